//! NEON: 4 lanes in pairs of registers, tiles of 4 positions by 16 channels in 16 of 32 registers. The compiler keeps four
//! channels of each position in a register besides, so that with 6 positions it spills: 8 % more instructions.
//!
//! Every target that this file is compiled for promises NEON, so that nothing is asked at run time.

use core::arch::aarch64::*;
use core::arch::asm;

use half::f16;

use crate::exact::Exact;
#[cfg(any(test, feature = "std"))]
use crate::peak::{FmaLoop, fma_loop as fma_loop_of};
use crate::simd::{InnerLoop, Simd};
use crate::tiled::{self, Activations, Tiling};
use crate::{Kernels, Nest, Sample, TapGemm, portable, vector_nest};

/// The implementation for every CPU of this architecture.
pub(super) fn neon() -> Option<Kernels> {
    let (nest, path) = (Some(loops as _), tiled::path::<8>);
    Some(Kernels {
        name: "neon",
        tap_gemm: tiles,
        tap_gemm_f16: Some(tiles),
        nest,
        path,
        ..portable::KERNELS
    })
}

fn tiles<A: Activations>(op: &TapGemm<'_>, samples: &mut [Sample<'_, A>]) {
    tiled::tap_gemm(Tiling { wide: Neon, narrow: Neon, max_rows: 4 }, op, samples);
}

fn loops(nest: &Nest<'_>, arena: &mut [f32]) {
    vector_nest::nest::<_, 8, 6>(Neon, nest, arena);
}

/// The same CPUs, with the bits of the reference.
pub(super) fn neon_exact() -> Option<Kernels> {
    Some(Kernels {
        name: "neon-exact",
        tap_gemm: exact_tiles,
        tap_gemm_f16: Some(exact_tiles),
        path: |_, _| "tiles in registers",
        ..portable::KERNELS
    })
}

fn exact_tiles<A: Activations>(op: &TapGemm<'_>, samples: &mut [Sample<'_, A>]) {
    let simd = Exact(Neon);
    tiled::tap_gemm(Tiling { wide: simd, narrow: simd, max_rows: 4 }, op, samples);
}

/// The widest multiply-add of this implementation.
#[cfg(any(test, feature = "std"))]
pub(super) fn fma_loop() -> Option<FmaLoop> {
    Some(FmaLoop { name: "neon", run: |rounds| fma_loop_of(Neon, rounds) })
}

/// NEON, which the target promises.
#[derive(Clone, Copy)]
pub(super) struct Neon;

/// Eight lanes: a row of a panel.
type Pair = [float32x4_t; 2];

impl Simd<8> for Neon {
    type V = Pair;

    #[inline(always)]
    fn splat(self, x: f32) -> Pair {
        // SAFETY: the target promises NEON.
        unsafe { [vdupq_n_f32(x); 2] }
    }

    #[inline(always)]
    fn load(self, values: &[f32; 8]) -> Pair {
        // SAFETY: the target promises NEON; the array holds the 32 bytes read.
        unsafe { [vld1q_f32(values.as_ptr()), vld1q_f32(values.as_ptr().add(4))] }
    }

    #[inline(always)]
    fn load_f16(self, values: &[f16; 8]) -> Pair {
        // SAFETY: the target promises NEON; the array holds the 16 bytes read.
        unsafe {
            let halves = vld1q_u16(values.as_ptr().cast());
            let [low, high] = [vget_low_u16(halves), vget_high_u16(halves)].map(|h| vreinterpret_f16_u16(h));
            [vcvt_f32_f16(low), vcvt_f32_f16(high)]
        }
    }

    #[inline(always)]
    fn store(self, [low, high]: Pair, values: &mut [f32; 8]) {
        // SAFETY: the target promises NEON; the array holds the 32 bytes written.
        unsafe {
            vst1q_f32(values.as_mut_ptr(), low);
            vst1q_f32(values.as_mut_ptr().add(4), high);
        }
    }

    #[inline(always)]
    fn store_f16(self, v: Pair, values: &mut [f16; 8]) {
        // SAFETY: the target promises NEON; the array holds the 16 bytes written.
        unsafe {
            let [low, high] = v.map(|v| vreinterpret_u16_f16(vcvt_f16_f32(v)));
            vst1q_u16(values.as_mut_ptr().cast(), vcombine_u16(low, high));
        }
    }

    #[inline(always)]
    fn mul_add(self, a: Pair, b: Pair, c: Pair) -> Pair {
        // SAFETY: the target promises NEON.
        unsafe { [vfmaq_f32(c[0], a[0], b[0]), vfmaq_f32(c[1], a[1], b[1])] }
    }

    #[inline(always)]
    fn mul(self, a: Pair, b: Pair) -> Pair {
        // SAFETY: the target promises NEON.
        unsafe { [vmulq_f32(a[0], b[0]), vmulq_f32(a[1], b[1])] }
    }

    #[inline(always)]
    fn add(self, a: Pair, b: Pair) -> Pair {
        // SAFETY: the target promises NEON.
        unsafe { [vaddq_f32(a[0], b[0]), vaddq_f32(a[1], b[1])] }
    }

    #[inline(always)]
    fn sum(self, [low, high]: Pair) -> f32 {
        // SAFETY: the target promises NEON.
        unsafe { vaddvq_f32(vaddq_f32(low, high)) }
    }

    #[inline(always)]
    fn prefetch<T>(self, values: &[T]) {
        let start = values.as_ptr().cast::<u8>();
        for offset in (0..size_of_val(values)).step_by(64) {
            // SAFETY: a hint reads nothing, wherever it points.
            unsafe {
                asm!("prfm pldl1keep, [{}]", in(reg) start.wrapping_add(offset), options(nostack, readonly));
            }
        }
    }

    #[inline(always)]
    fn outline<T: InnerLoop<Self, 8>>(self, inner: T) -> T::Output {
        #[inline(never)]
        fn run<T: InnerLoop<Neon, 8>>(inner: T) -> T::Output {
            inner.run(Neon)
        }
        run(inner)
    }
}

#[cfg(test)]
mod tests {
    crate::kernel_tests!(super::neon());

    mod exact {
        crate::exact_kernel_tests!(super::super::neon_exact());
    }
}
