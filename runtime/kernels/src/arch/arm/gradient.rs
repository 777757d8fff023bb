//! Gradients with the instructions that convert halves.
//!
//! The rest is plain Rust: the compiler finds the multiply-add that rounds twice, so that one instruction for each product
//! gives the bits of the reference.

use half::f16;

use super::{Loops, fpu};
use crate::blocks::gradient::{self, GradientTiles, Walk};
use crate::portable::gradient::Plain;
use crate::{GradientKernels, PANEL, TapGemm};

/// The implementation, which every CPU of these targets can run.
pub(super) const GRADIENTS: GradientKernels =
    GradientKernels { name: "arm-fpu", input_gradient, weight_gradient };

fn input_gradient(op: &TapGemm<'_>, grad_out: &[f32], grad_in: &mut [f32]) {
    gradient::input_gradient(Fpu, op, grad_out, grad_in);
}

fn weight_gradient(
    op: &TapGemm<'_>,
    input: &[f32],
    grad_out: &[f32],
    grad_weights: &mut [[f32; PANEL]],
    grad_bias: &mut [f32],
) {
    gradient::weight_gradient(Fpu, op, input, grad_out, grad_weights, grad_bias);
}

/// [`Plain`], but for conversions.
#[derive(Clone, Copy)]
struct Fpu;

impl GradientTiles for Fpu {
    fn widen(self, halves: &[[f16; PANEL]], wide: &mut [[f32; PANEL]]) {
        for (halves, wide) in halves.iter().zip(wide) {
            fpu::Fpu::widen(halves, wide);
        }
    }

    #[inline(always)]
    fn input_tile(self, grads: [&[f32; PANEL]; 3], weights: &[[f32; PANEL]], sums: [&mut [f32]; 3]) {
        Plain.input_tile(grads, weights, sums);
    }

    #[inline(always)]
    fn weight_tile<const R: usize>(
        self,
        walk: &Walk,
        input: &[f32],
        grad_out: &[f32],
        sums: &mut [[f32; PANEL]; R],
    ) {
        Plain.weight_tile(walk, input, grad_out, sums);
    }
}
