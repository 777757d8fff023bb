//! AVX2 with FMA and F16C: 8 lanes, tiles of 6 positions by 16 channels in 12 of 16 registers.

use core::arch::x86_64::*;

use half::f16;

use super::has;
use crate::exact::Exact;
#[cfg(any(test, feature = "std"))]
use crate::peak::{FmaLoop, fma_loop as fma_loop_of};
use crate::simd::{InnerLoop, Simd};
use crate::tiled::{self, Activations, Tiling};
use crate::{Kernels, Nest, NestFn, Sample, TapGemm, TapGemmF16Fn, TapGemmFn, portable, vector_nest};

/// The implementation for CPUs with AVX2, FMA and F16C.
pub(super) fn avx2() -> Option<Kernels> {
    if !(has!("avx2") && has!("fma") && has!("f16c")) {
        return None;
    }
    // SAFETY: the three features were established above, and a CPU does not lose one.
    let tap_gemm: TapGemmFn = |op, samples| unsafe { tiles(op, samples) };
    // SAFETY: as above.
    let tap_gemm_f16: TapGemmF16Fn = |op, samples| unsafe { tiles(op, samples) };
    // SAFETY: as above.
    let nest: Option<NestFn> = Some(|nest, arena| unsafe { loops(nest, arena) });
    let path = tiled::path::<8>;
    Some(Kernels {
        name: "avx2",
        tap_gemm,
        tap_gemm_f16: Some(tap_gemm_f16),
        nest,
        path,
        ..portable::KERNELS
    })
}

/// The same CPUs, with the bits of the reference.
pub(super) fn avx2_exact() -> Option<Kernels> {
    avx2()?;
    // SAFETY: the implementation is there, so its features are.
    let tap_gemm: TapGemmFn = |op, samples| unsafe { exact_tiles(op, samples) };
    // SAFETY: as above.
    let tap_gemm_f16: TapGemmF16Fn = |op, samples| unsafe { exact_tiles(op, samples) };
    Some(Kernels {
        name: "avx2-exact",
        tap_gemm,
        tap_gemm_f16: Some(tap_gemm_f16),
        path: |_, _| "tiles in registers",
        ..portable::KERNELS
    })
}

#[target_feature(enable = "avx2,fma,f16c")]
fn tiles<A: Activations>(op: &TapGemm<'_>, samples: &mut [Sample<'_, A>]) {
    let simd = Avx2::new();
    tiled::tap_gemm(Tiling { wide: simd, narrow: simd, max_rows: 6 }, op, samples);
}

#[target_feature(enable = "avx2,fma,f16c")]
fn loops(nest: &Nest<'_>, arena: &mut [f32]) {
    vector_nest::nest::<_, 8, 6>(Avx2::new(), nest, arena);
}

#[target_feature(enable = "avx2,fma,f16c")]
fn exact_tiles<A: Activations>(op: &TapGemm<'_>, samples: &mut [Sample<'_, A>]) {
    let simd = Exact(Avx2::new());
    tiled::tap_gemm(Tiling { wide: simd, narrow: simd, max_rows: 6 }, op, samples);
}

/// The widest multiply-add of this implementation.
#[cfg(any(test, feature = "std"))]
pub(super) fn fma_loop() -> Option<FmaLoop> {
    #[target_feature(enable = "avx2,fma,f16c")]
    fn run(rounds: u64) -> u64 {
        fma_loop_of(Avx2::new(), rounds)
    }
    avx2()?;
    // SAFETY: the implementation is there, so its features are.
    Some(FmaLoop { name: "avx2", run: |rounds| unsafe { run(rounds) } })
}

/// Proof of AVX2, FMA and F16C.
#[derive(Clone, Copy)]
pub(super) struct Avx2(());

impl Avx2 {
    /// Safe where the caller has the features; elsewhere the compiler asks for `unsafe`.
    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    pub(super) fn new() -> Self {
        Self(())
    }
}

impl Simd<8> for Avx2 {
    type V = __m256;

    #[inline(always)]
    fn splat(self, x: f32) -> __m256 {
        // SAFETY: `self` proves the feature.
        unsafe { _mm256_set1_ps(x) }
    }

    #[inline(always)]
    fn load(self, values: &[f32; 8]) -> __m256 {
        // SAFETY: `self` proves the feature; the array holds the 32 bytes read.
        unsafe { _mm256_loadu_ps(values.as_ptr()) }
    }

    #[inline(always)]
    fn load_f16(self, values: &[f16; 8]) -> __m256 {
        // SAFETY: `self` proves the feature; the array holds the 16 bytes read.
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(values.as_ptr().cast())) }
    }

    #[inline(always)]
    fn store(self, v: __m256, values: &mut [f32; 8]) {
        // SAFETY: `self` proves the feature; the array holds the 32 bytes written.
        unsafe { _mm256_storeu_ps(values.as_mut_ptr(), v) }
    }

    #[inline(always)]
    fn store_f16(self, v: __m256, values: &mut [f16; 8]) {
        // SAFETY: `self` proves the feature; the array holds the 16 bytes written.
        unsafe {
            let halves = _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(v);
            _mm_storeu_si128(values.as_mut_ptr().cast(), halves);
        }
    }

    #[inline(always)]
    fn mul_add(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        // SAFETY: `self` proves the feature.
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn mul(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` proves the feature.
        unsafe { _mm256_mul_ps(a, b) }
    }

    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` proves the feature.
        unsafe { _mm256_add_ps(a, b) }
    }

    #[inline(always)]
    fn sum(self, v: __m256) -> f32 {
        // SAFETY: `self` proves the feature.
        unsafe {
            let quarters = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
            let pairs = _mm_add_ps(quarters, _mm_movehl_ps(quarters, quarters));
            _mm_cvtss_f32(_mm_add_ss(pairs, _mm_movehdup_ps(pairs)))
        }
    }

    #[inline(always)]
    fn prefetch<T>(self, values: &[T]) {
        super::prefetch(values);
    }

    #[inline(always)]
    fn outline<T: InnerLoop<Self, 8>>(self, inner: T) -> T::Output {
        #[target_feature(enable = "avx2,fma,f16c")]
        #[inline(never)]
        fn run<T: InnerLoop<Avx2, 8>>(simd: Avx2, inner: T) -> T::Output {
            inner.run(simd)
        }
        // SAFETY: `self` proves the features.
        unsafe { run(self, inner) }
    }
}

#[cfg(test)]
mod tests {
    crate::kernel_tests!(super::avx2());

    mod exact {
        crate::exact_kernel_tests!(super::super::avx2_exact());
    }
}
