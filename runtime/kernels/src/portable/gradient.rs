//! Gradients in plain Rust: the bits of the reference.

use half::f16;

use crate::blocks::gradient::{self, GradientTiles, Walk, add, chunk};
use crate::{GradientKernels, PANEL, TapGemm, f16_to_f32};

/// The implementation for every target.
pub(crate) const GRADIENTS: GradientKernels =
    GradientKernels { name: "portable", input_gradient, weight_gradient };

fn input_gradient(op: &TapGemm<'_>, grad_out: &[f32], grad_in: &mut [f32]) {
    gradient::input_gradient(Plain, op, grad_out, grad_in);
}

fn weight_gradient(
    op: &TapGemm<'_>,
    input: &[f32],
    grad_out: &[f32],
    grad_weights: &mut [[f32; PANEL]],
    grad_bias: &mut [f32],
) {
    gradient::weight_gradient(Plain, op, input, grad_out, grad_weights, grad_bias);
}

/// Inner loops in plain Rust.
#[derive(Clone, Copy)]
pub(crate) struct Plain;

impl GradientTiles for Plain {
    #[inline(never)]
    fn widen(self, halves: &[[f16; PANEL]], wide: &mut [[f32; PANEL]]) {
        for (wide, halves) in wide.iter_mut().zip(halves) {
            *wide = halves.map(f16_to_f32);
        }
    }

    #[inline(never)]
    fn input_tile(self, grads: [&[f32; PANEL]; 3], weights: &[[f32; PANEL]], sums: [&mut [f32]; 3]) {
        add(grads, weights, 0, sums);
    }

    #[inline(never)]
    fn weight_tile<const R: usize>(
        self,
        walk: &Walk,
        input: &[f32],
        grad_out: &[f32],
        sums: &mut [[f32; PANEL]; R],
    ) {
        let mut acc = *sums;
        for row in 0..walk.rows {
            let [mut x, mut g] = walk.row(row);
            for _ in 0..walk.cols {
                let values: &[f32; R] = chunk(&input[x..]);
                let grads: &[f32; PANEL] = chunk(&grad_out[g..]);
                for lane in 0..PANEL {
                    for i in 0..R {
                        acc[i][lane] += values[i] * grads[lane];
                    }
                }
                x = x.wrapping_add(walk.input.steps[1]);
                g = g.wrapping_add(walk.output.steps[1]);
            }
        }
        *sums = acc;
    }
}

#[cfg(test)]
mod tests {
    crate::gradient_tests!(Some(super::GRADIENTS), Bits);
}
