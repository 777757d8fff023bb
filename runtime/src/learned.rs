//! A step that runs with what a delta changes: its tensors in place of the file's, and factors before the activation.
//!
//! A model calls this through function pointers, so that firmware that never names `Model::with_delta` links none of it.

use half::f16;
use pocketgan_format::{Change, Delta, File, Network, Step, Target, Tensor, ValueType};
use pocketgan_kernels::{Activation, Kernels, PANEL, TapGemm, f16_to_f32, f32_to_f16};

use crate::operation::{Operation, panels};

/// A delta that was checked against a model's file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Learned<'a> {
    delta: Delta<'a>,
    run: fn(&Delta<'_>, &File<'_>, &Step, &Kernels, &mut [f32]),
    #[cfg(feature = "rayon")]
    run_in: fn(&rayon::ThreadPool, &Delta<'_>, &File<'_>, &Step, &Kernels, &mut [f32]),
}

impl<'a> Learned<'a> {
    pub(crate) fn new(delta: Delta<'a>) -> Self {
        Self {
            delta,
            run,
            #[cfg(feature = "rayon")]
            run_in,
        }
    }

    pub(crate) fn delta(&self) -> &Delta<'a> {
        &self.delta
    }

    /// Runs one of the file's steps for each of some samples, whose arenas follow each other.
    pub(crate) fn run(&self, file: &File<'_>, step: &Step, kernels: &Kernels, arenas: &mut [f32]) {
        (self.run)(&self.delta, file, step, kernels, arenas);
    }

    /// [`run`](Self::run) on the threads of a pool.
    #[cfg(feature = "rayon")]
    pub(crate) fn run_in(
        &self,
        pool: &rayon::ThreadPool,
        file: &File<'_>,
        step: &Step,
        kernels: &Kernels,
        arenas: &mut [f32],
    ) {
        (self.run_in)(pool, &self.delta, file, step, kernels, arenas);
    }
}

fn run(delta: &Delta<'_>, file: &File<'_>, step: &Step, kernels: &Kernels, arenas: &mut [f32]) {
    let arena_len = file.arena_bytes() / size_of::<f32>();
    changed(delta, file, step, arenas, |operation, arenas| operation.run(kernels, None, arenas, arena_len));
}

#[cfg(feature = "rayon")]
fn run_in(
    pool: &rayon::ThreadPool,
    delta: &Delta<'_>,
    file: &File<'_>,
    step: &Step,
    kernels: &Kernels,
    arenas: &mut [f32],
) {
    let arena_len = file.arena_bytes() / size_of::<f32>();
    // Factors are one product for each sum of many: they stay on this thread.
    changed(delta, file, step, arenas, |operation, arenas| {
        operation.run_in(pool, kernels, None, arenas, arena_len)
    });
}

/// Calls `run` with the step's operation as the delta changes it, and multiplies what it wrote.
fn changed(
    delta: &Delta<'_>,
    file: &File<'_>,
    step: &Step,
    arenas: &mut [f32],
    run: impl FnOnce(&Operation<'_>, &mut [f32]),
) {
    let Some(mut operation) = Operation::new(file, step) else { return };
    let (Operation::TapGemm { gemm, .. }, Step::TapGemm(step)) = (&mut operation, step) else {
        return run(&operation, arenas);
    };
    let find = |tensor, change| delta.find(Target { network: Network::Generator, tensor, change });
    if let Some(weights) = find(step.weights, Change::Replace) {
        gemm.weights = panels(weights);
    }
    if let Some(Tensor::F32(bias)) = find(step.bias, Change::Replace) {
        gemm.bias = bias.as_flattened();
    }
    let Some(Tensor::F32(factors)) = find(step.bias, Change::Factor) else {
        return run(&operation, arenas);
    };
    let activation = core::mem::replace(&mut gemm.activation, Activation::Identity);
    run(&operation, arenas);
    let Operation::TapGemm { gemm, output, values, .. } = operation else { return };
    let scale = Scale { gemm, factors, activation };
    let arena_len = file.arena_bytes() / size_of::<f32>();
    for arena in arenas.chunks_exact_mut(arena_len) {
        match values {
            ValueType::F32 => scale.apply(&mut arena[output..], |value| value, |value| value),
            ValueType::F16 => {
                let halves: &mut [f16] = bytemuck::cast_slice_mut(arena);
                scale.apply(&mut halves[output..], f16_to_f32, f32_to_f16);
            }
        }
    }
}

/// `activation(factor[n] * out[p, n])` at every position `p` that an operation wrote.
struct Scale<'a> {
    gemm: TapGemm<'a>,
    /// One for each output channel, padded to whole panels.
    factors: &'a [[f32; PANEL]],
    activation: Activation,
}

impl Scale<'_> {
    fn apply<T: Copy>(&self, output: &mut [T], widen: impl Fn(T) -> f32, narrow: impl Fn(f32) -> T) {
        let TapGemm { rows, cols, output: pixels, .. } = self.gemm;
        for position in 0..rows * cols {
            let start = self.gemm.output_start(position / cols, position % cols);
            let pixel = &mut output[start..start + pixels.channels];
            for (values, factors) in pixel.chunks_mut(PANEL).zip(self.factors) {
                let mut wide = [0.0; PANEL];
                for ((wide, &value), factor) in wide.iter_mut().zip(&*values).zip(factors) {
                    *wide = factor * widen(value);
                }
                self.activation.apply_all(&mut wide);
                for (value, wide) in values.iter_mut().zip(wide) {
                    *value = narrow(wide);
                }
            }
        }
    }
}
