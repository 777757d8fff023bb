//! Gradients with 128-bit vectors.

use super::COUNT;
use super::lanes::Lanes;
use crate::GradientKernels;
use crate::exact::Exact;
use crate::simd::Simd;
use crate::tiled::Tiling;

/// What this module was compiled for, the fastest last.
pub(crate) fn gradients() -> [Option<GradientKernels>; COUNT] {
    [
        cfg!(target_feature = "simd128").then_some(tiled_gradients!(
            "simd128",
            4,
            tiling(Lanes::<false>::new())
        )),
        cfg!(target_feature = "relaxed-simd").then_some(tiled_gradients!(
            "relaxed-simd",
            4,
            tiling(Lanes::<true>::new())
        )),
    ]
}

/// The same, with the bits of the reference.
pub(crate) fn gradients_exact() -> [Option<GradientKernels>; COUNT] {
    let exact = tiled_gradients!("simd128-exact", 4, tiling(Exact(Lanes::<false>::new())));
    [cfg!(target_feature = "simd128").then_some(exact), None]
}

fn tiling<S: Simd<4>>(lanes: S) -> Tiling<S, S> {
    Tiling { wide: lanes, narrow: lanes, max_rows: 4 }
}
