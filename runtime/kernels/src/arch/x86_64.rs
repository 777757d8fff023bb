//! x86-64.

mod avx2;
mod avx512;

pub(super) use avx2::avx2;
pub(super) use avx512::avx512;

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
