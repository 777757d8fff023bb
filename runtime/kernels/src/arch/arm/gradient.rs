//! Gradients with the instructions that convert halves.
//!
//! The rest is plain Rust: the compiler finds the multiply-add that rounds twice, so that one instruction for each product
//! gives the bits of the reference.

use half::f16;

use super::Loops;
use super::fpu::Fpu;
use crate::blocks::gradient::{Widen, kernels};
use crate::{GradientKernels, PANEL};

/// The implementation, which every CPU of these targets can run.
pub(super) const GRADIENTS: GradientKernels = kernels::<Fpu>("arm-fpu");

impl Widen for Fpu {
    fn widen(halves: &[[f16; PANEL]], wide: &mut [[f32; PANEL]]) {
        for (halves, wide) in halves.iter().zip(wide) {
            <Self as Loops>::widen(halves, wide);
        }
    }
}
