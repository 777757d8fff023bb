//! What the programs of this package share: the machines they run on, and a heap for the suite.
//!
//! A program defines `fn firmware()`, which returns when all is well and panics when it is not.
#![no_std]

mod heap;
#[cfg_attr(target_arch = "riscv32", path = "machine/riscv.rs")]
#[cfg_attr(not(target_arch = "riscv32"), path = "machine/arm.rs")]
mod machine;

pub use heap::Heap;
pub use machine::{exit, instructions, print};

use core::panic::PanicInfo;

use pocketgan_kernels::TapGemm;

/// Runs the program and ends the machine with its status.
fn start() -> ! {
    unsafe extern "Rust" {
        safe fn firmware();
    }
    firmware();
    exit(true)
}

/// Says what is wrong and ends the machine with a failure.
#[doc(hidden)]
pub fn panic(info: &PanicInfo<'_>) -> ! {
    print(format_args!("{info}\n"));
    exit(false)
}

/// How many pixels inside the input all positions read together.
pub fn pixels_read(op: &TapGemm<'_>) -> usize {
    let axis = |axis: usize, count: usize, extent: usize| {
        move |tap: &[i16; 2]| {
            let inside = |p: &usize| {
                (p * op.in_step[axis]).checked_add_signed(tap[axis].into()).is_some_and(|p| p < extent)
            };
            (0..count).filter(inside).count()
        }
    };
    let (rows, cols) = (axis(0, op.rows, op.input.height), axis(1, op.cols, op.input.width));
    op.taps.iter().map(|tap| rows(tap) * cols(tap)).sum()
}

/// Defines what a program needs besides `fn firmware()`.
#[macro_export]
macro_rules! firmware {
    () => {
        #[global_allocator]
        static HEAP: $crate::Heap = $crate::Heap::new();

        #[panic_handler]
        fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
            $crate::panic(info)
        }
    };
}
