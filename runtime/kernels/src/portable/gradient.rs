//! Gradients in plain Rust: the bits of the reference.

use half::f16;

use crate::blocks::gradient::{Widen, kernels};
use crate::{GradientKernels, PANEL, f16_to_f32};

/// The implementation for every target.
pub(crate) const GRADIENTS: GradientKernels = kernels::<Plain>("portable");

struct Plain;

impl Widen for Plain {
    #[inline(never)]
    fn widen(halves: &[[f16; PANEL]], wide: &mut [[f32; PANEL]]) {
        for (wide, halves) in wide.iter_mut().zip(halves) {
            *wide = halves.map(f16_to_f32);
        }
    }
}

#[cfg(test)]
mod tests {
    crate::gradient_tests!(Some(super::GRADIENTS), Bits);
}
