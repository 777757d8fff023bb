//! WebAssembly: a module says at compile time what it needs, so that a page chooses between modules.

mod expansion;
mod gradient;
mod lanes;

pub(crate) use expansion::expansions;
pub(crate) use gradient::{gradients, gradients_exact};
use lanes::Lanes;

#[cfg(any(test, feature = "std"))]
use crate::peak::{FmaLoop, fma_loop};
use crate::tiled::{self, Tiling};
use crate::{Kernels, Sample, TapGemm, portable};

/// Length of [`available`].
pub(crate) const COUNT: usize = 2;

/// What this module was compiled for, the fastest last.
pub(crate) fn available() -> [Option<Kernels>; COUNT] {
    [simd128(), relaxed_simd()]
}

/// None yet: the portable implementation serves.
pub(crate) fn available_exact() -> [Option<Kernels>; COUNT] {
    [None; COUNT]
}

/// The widest multiply-adds of [`available`].
#[cfg(any(test, feature = "std"))]
pub(crate) fn fma_loops() -> [Option<FmaLoop>; COUNT] {
    [simd128_fma_loop(), relaxed_simd_fma_loop()]
}

/// The implementation for 128-bit vectors, which every current browser has.
fn simd128() -> Option<Kernels> {
    cfg!(target_feature = "simd128").then_some(kernels::<false>("simd128"))
}

/// The same with multiply-adds that round once where the CPU can.
fn relaxed_simd() -> Option<Kernels> {
    cfg!(target_feature = "relaxed-simd").then_some(kernels::<true>("relaxed-simd"))
}

const fn kernels<const RELAXED: bool>(name: &'static str) -> Kernels {
    Kernels {
        name,
        tap_gemm: tiles::<f32, RELAXED>,
        tap_gemm_f16: Some(tiles::<half::f16, RELAXED>),
        path: tiled::path::<4>,
        ..portable::KERNELS
    }
}

/// Tiles of 4 positions by 8 channels: V8 has 15 registers to give, and keeps eight sums in them but not twelve.
fn tiles<A: tiled::Activations, const RELAXED: bool>(op: &TapGemm<'_>, samples: &mut [Sample<'_, A>]) {
    let lanes = Lanes::<RELAXED>::new();
    tiled::tap_gemm::<_, _, A, 4>(Tiling { wide: lanes, narrow: lanes, max_rows: 4 }, op, samples);
}

/// The multiply-adds of [`simd128`].
#[cfg(any(test, feature = "std"))]
fn simd128_fma_loop() -> Option<FmaLoop> {
    let run = |rounds| fma_loop::<_, 4>(Lanes::<false>::new(), rounds);
    simd128().map(|kernels| FmaLoop { name: kernels.name, run })
}

/// The multiply-adds of [`relaxed_simd`].
#[cfg(any(test, feature = "std"))]
fn relaxed_simd_fma_loop() -> Option<FmaLoop> {
    let run = |rounds| fma_loop::<_, 4>(Lanes::<true>::new(), rounds);
    relaxed_simd().map(|kernels| FmaLoop { name: kernels.name, run })
}
