//! AVX-512F: 16 lanes, tiles of 8 positions by 32 channels in 16 of 32 registers.

use core::arch::x86_64::*;

use half::f16;

use super::avx2::Avx2;
use super::has;
use crate::exact::Exact;
#[cfg(any(test, feature = "std"))]
use crate::peak::{FmaLoop, fma_loop as fma_loop_of};
use crate::simd::{InnerLoop, Simd};
use crate::tiled::{self, Activations, Tiling};
use crate::{Kernels, Nest, NestFn, Sample, TapGemm, TapGemmF16Fn, TapGemmFn, portable, vector_nest};

/// The implementation for CPUs with AVX-512F and VL (and AVX2, FMA and F16C, which all of them have).
pub(super) fn avx512() -> Option<Kernels> {
    if !(has!("avx512f") && has!("avx512vl") && has!("avx2") && has!("fma") && has!("f16c")) {
        return None;
    }
    // SAFETY: the features were established above, and a CPU does not lose one.
    let tap_gemm: TapGemmFn = |op, samples| unsafe { tiles(op, samples) };
    // SAFETY: as above.
    let tap_gemm_f16: TapGemmF16Fn = |op, samples| unsafe { tiles(op, samples) };
    // SAFETY: as above.
    let nest: Option<NestFn> = Some(|nest, arena| unsafe { loops(nest, arena) });
    let path = tiled::path::<16>;
    Some(Kernels {
        name: "avx512",
        tap_gemm,
        tap_gemm_f16: Some(tap_gemm_f16),
        nest,
        path,
        ..portable::KERNELS
    })
}

/// The same CPUs, with the bits of the reference.
pub(super) fn avx512_exact() -> Option<Kernels> {
    avx512()?;
    // SAFETY: the implementation is there, so its features are.
    let tap_gemm: TapGemmFn = |op, samples| unsafe { exact_tiles(op, samples) };
    // SAFETY: as above.
    let tap_gemm_f16: TapGemmF16Fn = |op, samples| unsafe { exact_tiles(op, samples) };
    Some(Kernels {
        name: "avx512-exact",
        tap_gemm,
        tap_gemm_f16: Some(tap_gemm_f16),
        path: |_, _| "tiles in registers",
        ..portable::KERNELS
    })
}

#[target_feature(enable = "avx512f,avx512vl,avx2,fma,f16c")]
pub(super) fn tiles<A: Activations>(op: &TapGemm<'_>, samples: &mut [Sample<'_, A>]) {
    tiled::tap_gemm(Tiling { wide: Avx512::new(), narrow: Avx2::new(), max_rows: 8 }, op, samples);
}

#[target_feature(enable = "avx512f,avx512vl,avx2,fma,f16c")]
fn loops(nest: &Nest<'_>, arena: &mut [f32]) {
    vector_nest::nest::<_, 16, 8>(Avx512::new(), nest, arena);
}

#[target_feature(enable = "avx512f,avx512vl,avx2,fma,f16c")]
fn exact_tiles<A: Activations>(op: &TapGemm<'_>, samples: &mut [Sample<'_, A>]) {
    let (wide, narrow) = (Exact(Avx512::new()), Exact(Avx2::new()));
    tiled::tap_gemm(Tiling { wide, narrow, max_rows: 8 }, op, samples);
}

/// The widest multiply-add of this implementation.
#[cfg(any(test, feature = "std"))]
pub(super) fn fma_loop() -> Option<FmaLoop> {
    #[target_feature(enable = "avx512f,avx512vl,avx2,fma,f16c")]
    fn run(rounds: u64) -> u64 {
        fma_loop_of(Avx512::new(), rounds)
    }
    avx512()?;
    // SAFETY: the implementation is there, so its features are.
    Some(FmaLoop { name: "avx512", run: |rounds| unsafe { run(rounds) } })
}

/// Proof of AVX-512F, AVX-512VL, AVX2, FMA and F16C.
#[derive(Clone, Copy)]
pub(super) struct Avx512(());

impl Avx512 {
    /// Safe where the caller has the feature; elsewhere the compiler asks for `unsafe`.
    #[target_feature(enable = "avx512f,avx512vl,avx2,fma,f16c")]
    #[inline]
    pub(super) fn new() -> Self {
        Self(())
    }
}

impl Simd<16> for Avx512 {
    type V = __m512;

    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        // SAFETY: `self` proves the feature.
        unsafe { _mm512_set1_ps(x) }
    }

    #[inline(always)]
    fn load(self, values: &[f32; 16]) -> __m512 {
        // SAFETY: `self` proves the feature; the array holds the 64 bytes read.
        unsafe { _mm512_loadu_ps(values.as_ptr()) }
    }

    #[inline(always)]
    fn load_f16(self, values: &[f16; 16]) -> __m512 {
        // SAFETY: `self` proves the feature; the array holds the 32 bytes read.
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(values.as_ptr().cast())) }
    }

    #[inline(always)]
    fn store(self, v: __m512, values: &mut [f32; 16]) {
        // SAFETY: `self` proves the feature; the array holds the 64 bytes written.
        unsafe { _mm512_storeu_ps(values.as_mut_ptr(), v) }
    }

    #[inline(always)]
    fn store_f16(self, v: __m512, values: &mut [f16; 16]) {
        // SAFETY: `self` proves the feature; the array holds the 32 bytes written.
        unsafe {
            let halves = _mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(v);
            _mm256_storeu_si256(values.as_mut_ptr().cast(), halves);
        }
    }

    #[inline(always)]
    fn mul_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: `self` proves the feature.
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` proves the feature.
        unsafe { _mm512_mul_ps(a, b) }
    }

    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` proves the feature.
        unsafe { _mm512_add_ps(a, b) }
    }

    #[inline(always)]
    fn sum(self, v: __m512) -> f32 {
        // SAFETY: `self` proves the feature.
        unsafe { _mm512_reduce_add_ps(v) }
    }

    #[inline(always)]
    fn prefetch<T>(self, values: &[T]) {
        super::prefetch(values);
    }

    #[inline(always)]
    fn outline<T: InnerLoop<Self, 16>>(self, inner: T) -> T::Output {
        #[target_feature(enable = "avx512f,avx512vl,avx2,fma,f16c")]
        #[inline(never)]
        fn run<T: InnerLoop<Avx512, 16>>(simd: Avx512, inner: T) -> T::Output {
            inner.run(simd)
        }
        // SAFETY: `self` proves the features.
        unsafe { run(self, inner) }
    }
}

#[cfg(test)]
mod tests {
    crate::kernel_tests!(super::avx512());

    mod exact {
        crate::exact_kernel_tests!(super::super::avx512_exact());
    }
}
