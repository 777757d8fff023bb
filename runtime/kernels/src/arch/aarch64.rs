//! 64-bit Arm.

mod expansion;
mod gradient;
mod neon;

pub(crate) use expansion::expansions;
pub(crate) use gradient::{gradients, gradients_exact};

use crate::Kernels;

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

/// The widest multiply-adds of [`available`].
#[cfg(any(test, feature = "std"))]
pub(crate) fn fma_loops() -> [Option<crate::peak::FmaLoop>; COUNT] {
    [neon::fma_loop()]
}
