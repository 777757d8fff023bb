//! Counts the instructions of each layer of the digits' model, for every implementation that this machine has.
//!
//! Prints a line for each layer: implementation, index, input channels, output channels, positions, taps, multiplications
//! with inputs that exist, and instructions.
#![no_std]
#![no_main]

use core::cell::Cell;

use kernel_suite::{instructions, pixels_read, print};
use pocketgan_kernels::{Sample, TapGemm};
use pocketgan_runtime::{Generator, Kernels, Latent, Model, dispatch, include_model};

kernel_suite::firmware!();

static MODEL: &[u8] = include_model!(concat!(env!("OUT_DIR"), "/model.pgan"));

#[unsafe(no_mangle)]
fn firmware() {
    let model = Model::load(MODEL).expect("the model is intact");
    let mut arena = [0.0; ARENA_LEN];
    for kernels in dispatch::available().into_iter().flatten() {
        COUNTED.kernels.set(Some(kernels));
        COUNTED.layer.set(0);
        let counting = Kernels { tap_gemm: count, ..kernels }.without_nests();
        let mut generator =
            Generator::with_kernels(&model, &mut arena, counting).expect("the arena is large enough");
        generator.generate(Latent::from_seed(0));
    }
}

/// What [`count`] counts: a function pointer carries nothing.
struct Counted {
    kernels: Cell<Option<Kernels>>,
    layer: Cell<usize>,
}

// SAFETY: the program has one thread, and enables no interrupt.
unsafe impl Sync for Counted {}

static COUNTED: Counted = Counted { kernels: Cell::new(None), layer: Cell::new(0) };

/// Runs a layer and prints what it cost.
fn count(op: &TapGemm<'_>, samples: &mut [Sample<'_, f32>]) {
    let kernels = COUNTED.kernels.get().expect("set before the first layer");
    let instructions = instructions(|| (kernels.tap_gemm)(op, samples));
    let layer = COUNTED.layer.replace(COUNTED.layer.get() + 1);
    let (c, n, positions) = (op.input.channels, op.output.channels, op.rows * op.cols);
    print(format_args!(
        "{} {layer} {c} {n} {positions} {} {} {instructions}\n",
        kernels.name,
        op.taps.len(),
        pixels_read(op) * c * n,
    ));
}

/// More than the model asks for.
const ARENA_LEN: usize = 20_000;
