//! 64-bit ARM.

mod neon;

#[cfg(any(test, feature = "std"))]
pub(super) use neon::fma_loop as neon_fma_loop;
pub(super) use neon::{neon, neon_exact};
