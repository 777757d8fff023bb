//! Runs the suite of every kernel on this machine's fastest implementation and on the portable one.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;

use kernel_suite::print;
use pocketgan_kernels::testing::tap_gemm::Bound;
use pocketgan_kernels::{dispatch, testing};

kernel_suite::firmware!();

#[unsafe(no_mangle)]
fn firmware() {
    // Where a machine has no memory, all values read as zero, and nothing differs.
    let values: Vec<u32> = (0..500_000).collect();
    assert!(values.iter().zip(0..).all(|(&value, i)| value == i), "the heap is no memory");
    drop(values);
    // The first is the reference itself.
    for kernels in dispatch::available().into_iter().flatten().skip(1) {
        testing::on_device(kernels, SEED);
        print(format_args!("{}: as the reference, seed {SEED}\n", kernels.name));
    }
    // Microcontrollers have none that reorders or fuses.
    for kernels in dispatch::available_gradients().into_iter().flatten().skip(1) {
        testing::gradients_on_device(kernels, Bound::Bits, SEED);
        print(format_args!("gradients of {}: the bits of the reference, seed {SEED}\n", kernels.name));
    }
}

const SEED: u64 = 20_140_610;
