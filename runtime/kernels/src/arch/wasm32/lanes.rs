//! Vectors of four lanes, and pairs of them for the rows of a panel.

use core::arch::wasm32::*;
use core::array;
use core::hint::black_box;

use half::f16;

use crate::Activation;
use crate::simd::{InnerLoop, Simd};

/// 128-bit vectors; with `RELAXED`, multiply-adds that round once where the CPU can.
///
/// Needs no proof of a feature: a module with an instruction that the engine lacks is refused as a whole.
///
/// Constants of conversions are fields, unknown to the compiler: V8 would make each anew, in three instructions, at every
/// use.
#[derive(Clone, Copy)]
pub(super) struct Lanes<const RELAXED: bool> {
    /// Sign, exponent and fraction of a half that is sign-extended and moved to those of an `f32`.
    half_bits: v128,
    /// From the exponent's bias of a half to that of an `f32`, 15 to 127.
    rebias: v128,
    /// More than any finite half.
    beyond: v128,
    infinity: v128,
}

impl<const RELAXED: bool> Lanes<RELAXED> {
    #[inline(always)]
    pub(super) fn new() -> Self {
        let splat = |bits| u32x4_splat(black_box(bits));
        Self {
            half_bits: splat(0x8fff_e000),
            rebias: splat((112 + 127) << 23),
            beyond: splat(65_536_f32.to_bits()),
            infinity: splat(f32::INFINITY.to_bits()),
        }
    }

    /// Four halves, sign-extended, as `f32`: exact, infinities and NaN included.
    #[inline(always)]
    fn widen(self, halves: v128) -> v128 {
        let small = v128_and(i32x4_shl(halves, 13), self.half_bits);
        let wide = f32x4_mul(small, self.rebias);
        let beyond = f32x4_ge(f32x4_abs(wide), self.beyond);
        v128_or(wide, v128_and(beyond, self.infinity))
    }
}

impl<const RELAXED: bool> Simd<4> for Lanes<RELAXED> {
    type V = v128;
    // LLVM would order eight steps sum by sum, and V8 keeps that order.
    const ONE_STEP: bool = true;

    #[inline(always)]
    fn splat(self, x: f32) -> v128 {
        f32x4_splat(x)
    }

    #[inline(always)]
    fn load(self, values: &[f32; 4]) -> v128 {
        // SAFETY: the array holds the 16 bytes read.
        unsafe { v128_load(values.as_ptr().cast()) }
    }

    #[inline(always)]
    fn load_f16(self, values: &[f16; 4]) -> v128 {
        // SAFETY: the array holds the 8 bytes read.
        self.widen(unsafe { i32x4_load_extend_i16x4(values.as_ptr().cast()) })
    }

    #[inline(always)]
    fn store(self, v: v128, values: &mut [f32; 4]) {
        // SAFETY: the array holds the 16 bytes written.
        unsafe { v128_store(values.as_mut_ptr().cast(), v) }
    }

    #[inline(always)]
    fn store_f16(self, v: v128, values: &mut [f16; 4]) {
        let halves = u16x8_narrow_i32x4(round(v), i32x4_splat(0));
        // SAFETY: the array holds the 8 bytes written.
        unsafe { v128_store64_lane::<0>(halves, values.as_mut_ptr().cast()) }
    }

    #[inline(always)]
    fn mul_add(self, a: v128, b: v128, c: v128) -> v128 {
        if RELAXED { f32x4_relaxed_madd(a, b, c) } else { f32x4_add(f32x4_mul(a, b), c) }
    }

    #[inline(always)]
    fn mul(self, a: v128, b: v128) -> v128 {
        f32x4_mul(a, b)
    }

    #[inline(always)]
    fn add(self, a: v128, b: v128) -> v128 {
        f32x4_add(a, b)
    }

    #[inline(always)]
    fn sum(self, v: v128) -> f32 {
        let pairs = f32x4_add(v, i32x4_shuffle::<2, 3, 0, 1>(v, v));
        f32x4_extract_lane::<0>(pairs) + f32x4_extract_lane::<1>(pairs)
    }

    #[inline(always)]
    fn prefetch<T>(self, values: &[T]) {
        touch(values);
    }

    #[inline(always)]
    fn activate(self, activation: Activation, values: &mut [f32]) {
        activate(activation, values);
    }

    #[inline(always)]
    fn outline<T: InnerLoop<Self, 4>>(self, inner: T) -> T::Output {
        outlined(self, inner)
    }
}

impl<const RELAXED: bool> Simd<8> for Lanes<RELAXED> {
    type V = [v128; 2];

    #[inline(always)]
    fn splat(self, x: f32) -> [v128; 2] {
        [f32x4_splat(x); 2]
    }

    #[inline(always)]
    fn load(self, values: &[f32; 8]) -> [v128; 2] {
        let [low, high] = quads(values);
        [Simd::<4>::load(self, low), Simd::<4>::load(self, high)]
    }

    #[inline(always)]
    fn load_f16(self, values: &[f16; 8]) -> [v128; 2] {
        let [low, high] = quads(values);
        [Simd::<4>::load_f16(self, low), Simd::<4>::load_f16(self, high)]
    }

    #[inline(always)]
    fn store(self, v: [v128; 2], values: &mut [f32; 8]) {
        let (quads, _) = values.as_chunks_mut::<4>();
        Simd::<4>::store(self, v[0], &mut quads[0]);
        Simd::<4>::store(self, v[1], &mut quads[1]);
    }

    #[inline(always)]
    fn store_f16(self, v: [v128; 2], values: &mut [f16; 8]) {
        let halves = u16x8_narrow_i32x4(round(v[0]), round(v[1]));
        // SAFETY: the array holds the 16 bytes written.
        unsafe { v128_store(values.as_mut_ptr().cast(), halves) }
    }

    #[inline(always)]
    fn mul_add(self, a: [v128; 2], b: [v128; 2], c: [v128; 2]) -> [v128; 2] {
        array::from_fn(|i| Simd::<4>::mul_add(self, a[i], b[i], c[i]))
    }

    #[inline(always)]
    fn mul(self, a: [v128; 2], b: [v128; 2]) -> [v128; 2] {
        array::from_fn(|i| f32x4_mul(a[i], b[i]))
    }

    #[inline(always)]
    fn add(self, a: [v128; 2], b: [v128; 2]) -> [v128; 2] {
        array::from_fn(|i| f32x4_add(a[i], b[i]))
    }

    #[inline(always)]
    fn sum(self, v: [v128; 2]) -> f32 {
        Simd::<4>::sum(self, f32x4_add(v[0], v[1]))
    }

    #[inline(always)]
    fn prefetch<T>(self, values: &[T]) {
        touch(values);
    }

    #[inline(always)]
    fn activate(self, activation: Activation, values: &mut [f32]) {
        activate(activation, values);
    }

    #[inline(always)]
    fn outline<T: InnerLoop<Self, 8>>(self, inner: T) -> T::Output {
        outlined(self, inner)
    }
}

#[inline(never)]
fn outlined<S: Simd<L>, T: InnerLoop<S, L>, const L: usize>(simd: S, inner: T) -> T::Output {
    inner.run(simd)
}

/// Reads a byte of every KiB: there is no other way to ask, and the CPU reads on from there by itself.
#[inline(always)]
fn touch<T>(values: &[T]) {
    let start = values.as_ptr().cast::<u8>();
    for offset in (0..size_of_val(values)).step_by(1024) {
        // SAFETY: the byte lies in the slice.
        unsafe { start.add(offset).read_volatile() };
    }
}

/// Once for all that call it: the module is smaller, and V8 is sooner done with its best code.
#[inline(never)]
fn activate(activation: Activation, values: &mut [f32]) {
    match activation {
        // As `relu`, with lanes also where the compiler may not vectorise.
        Activation::Relu => {
            let (quads, tail) = values.as_chunks_mut::<4>();
            for quad in quads {
                let quad: *mut v128 = quad.as_mut_ptr().cast();
                // SAFETY: the array holds the 16 bytes read and written.
                unsafe {
                    let v = v128_load(quad);
                    v128_store(quad, v128_bitselect(f32x4_splat(0.0), v, f32x4_lt(v, f32x4_splat(0.0))));
                }
            }
            activation.apply_all(tail);
        }
        _ => activation.apply_all(values),
    }
}

#[inline(always)]
fn quads<T>(values: &[T; 8]) -> [&[T; 4]; 2] {
    let (quads, _) = values.as_chunks();
    [&quads[0], &quads[1]]
}

/// The halves nearest to four values, each in the low bits of its lane; see [`f32_to_f16`](crate::f32_to_f16).
#[inline(always)]
fn round(v: v128) -> v128 {
    let sign = v128_and(u32x4_shr(v, 16), u32x4_splat(0x8000));
    let magnitude = v128_and(v, u32x4_splat(0x7fff_ffff));
    let odd = v128_and(u32x4_shr(magnitude, 13), u32x4_splat(1));
    let rebiased = i32x4_add(magnitude, i32x4_add(odd, i32x4_splat(0xfff - (112 << 23))));
    let normal = u32x4_shr(rebiased, 13);
    let subnormal = i32x4_sub(f32x4_add(magnitude, f32x4_splat(0.5)), f32x4_splat(0.5));
    let is_small = i32x4_lt(magnitude, i32x4_splat(113 << 23));
    let finite = v128_bitselect(subnormal, normal, is_small);
    let is_large = i32x4_ge(magnitude, i32x4_splat(0x4780_0000));
    let rounded = v128_bitselect(i32x4_splat(0x7c00), finite, is_large);
    let nan = v128_and(f32x4_ne(v, v), u32x4_splat(0x7e00));
    v128_or(v128_or(rounded, nan), sign)
}
