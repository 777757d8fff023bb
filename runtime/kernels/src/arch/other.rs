//! Architectures without an implementation of their own.

use crate::{ExpansionKernels, GradientKernels, Kernels};

/// Length of [`available`].
pub(crate) const COUNT: usize = 0;

/// None.
pub(crate) fn available() -> [Option<Kernels>; COUNT] {
    []
}

/// None.
pub(crate) fn available_exact() -> [Option<Kernels>; COUNT] {
    []
}

/// None.
pub(crate) fn expansions() -> [Option<ExpansionKernels>; COUNT] {
    []
}

/// Gradients, the fastest last.
pub(crate) fn gradients() -> [Option<GradientKernels>; COUNT] {
    []
}

/// Gradients that give the bits of the reference, the fastest last.
pub(crate) fn gradients_exact() -> [Option<GradientKernels>; COUNT] {
    []
}

/// None.
#[cfg(any(test, feature = "std"))]
pub(crate) fn fma_loops() -> [Option<crate::peak::FmaLoop>; COUNT] {
    []
}
