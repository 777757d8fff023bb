//! x86-64.

mod amx;
mod avx2;
mod avx512;
mod expansion;
mod gradient;

pub(crate) use expansion::{expansions, third_level_bytes};
pub(crate) use gradient::{gradients, gradients_exact};

use crate::Kernels;

/// Length of [`available`].
pub(crate) const COUNT: usize = 3;

/// What this CPU has, the fastest last.
pub(crate) fn available() -> [Option<Kernels>; COUNT] {
    [avx2::avx2(), avx512::avx512(), amx::amx()]
}

/// What this CPU has of implementations that give the bits of the reference, the fastest last.
pub(crate) fn available_exact() -> [Option<Kernels>; COUNT] {
    [avx2::avx2_exact(), avx512::avx512_exact(), None]
}

/// The widest multiply-adds of [`available`] in single precision.
#[cfg(any(test, feature = "std"))]
pub(crate) fn fma_loops() -> [Option<crate::peak::FmaLoop>; COUNT] {
    [avx2::fma_loop(), avx512::fma_loop(), None]
}

/// Asks for the cache lines of `values`.
#[inline(always)]
fn prefetch<T>(values: &[T]) {
    let line = values.as_ptr().cast::<i8>();
    for offset in (0..size_of_val(values)).step_by(64) {
        // SAFETY: a hint reads nothing, and every x86-64 has SSE.
        unsafe {
            core::arch::x86_64::_mm_prefetch::<{ core::arch::x86_64::_MM_HINT_T0 }>(line.wrapping_add(offset))
        };
    }
}

/// Whether the CPU has a feature: asked at run time with `std`, else promised by the compiler's target.
macro_rules! has {
    ($feature:tt) => {{
        #[cfg(any(test, feature = "std"))]
        let has = std::is_x86_feature_detected!($feature);
        #[cfg(not(any(test, feature = "std")))]
        let has = cfg!(target_feature = $feature);
        has
    }};
}
use has;
