//! 64-bit Arm.

mod neon;

use crate::{GradientKernels, Kernels};

/// Length of [`available`].
pub(crate) const COUNT: usize = 1;

/// What this CPU has, the fastest last.
pub(crate) fn available() -> [Option<Kernels>; COUNT] {
    [neon::neon()]
}

/// What this CPU has of implementations that give the bits of the reference, the fastest last.
pub(crate) fn available_exact() -> [Option<Kernels>; COUNT] {
    [neon::neon_exact()]
}

/// Gradients, the fastest last.
pub(crate) fn gradients() -> [Option<GradientKernels>; COUNT] {
    [neon::gradient::gradients()]
}

/// Gradients that give the bits of the reference, the fastest last.
pub(crate) fn gradients_exact() -> [Option<GradientKernels>; COUNT] {
    [neon::gradient::gradients_exact()]
}

/// The widest multiply-adds of [`available`].
#[cfg(any(test, feature = "std"))]
pub(crate) fn fma_loops() -> [Option<crate::peak::FmaLoop>; COUNT] {
    [neon::fma_loop()]
}
