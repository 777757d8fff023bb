//! From single precision to two `bfloat16`: the upper half of an `f32` each.

use core::arch::x86_64::*;
use core::mem::MaybeUninit;

use half::f16;

use super::super::avx512::Avx512;
use super::tile::{DEPTH, ROWS, WeightTile};
use crate::PANEL;
use crate::simd::SimdElement;

/// Splits the channels of a pixel: `high + low` is within `2^-17` of the value. Writes zeros after the last.
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512bf16,avx2,fma,f16c")]
#[inline]
pub(super) fn pixel<A: SimdElement>(
    simd: Avx512,
    values: &[A],
    high: &mut [MaybeUninit<u16>],
    low: &mut [MaybeUninit<u16>],
) {
    let (vectors, tail) = values.as_chunks::<16>();
    let (high, low) = (high.as_chunks_mut::<16>().0, low.as_chunks_mut::<16>().0);
    let mut padded = [A::from_f32(0.0); 16];
    padded[..tail.len()].copy_from_slice(tail);
    let zeros = [A::from_f32(0.0); 16];
    let all = vectors.iter().chain([&padded, &zeros]);
    for ((values, high), low) in all.zip(high).zip(low) {
        let x = A::load(simd, values);
        // SAFETY: both are 256 bits without meaning of their own.
        let bits = |x| unsafe { core::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(x)) };
        let h = bits(x);
        let wide = _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(h)));
        let l = bits(_mm512_sub_ps(x, wide));
        // SAFETY: each array holds the 32 bytes written.
        unsafe {
            _mm256_storeu_si256(high.as_mut_ptr().cast(), h);
            _mm256_storeu_si256(low.as_mut_ptr().cast(), l);
        }
    }
}

/// Splits at most 32 rows of two panels, exactly. What is missing becomes zero.
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512bf16,avx2,fma,f16c")]
#[inline]
pub(super) fn weights(rows: [&[[f16; PANEL]]; 2], tile: &mut MaybeUninit<WeightTile>) {
    let tile: *mut [[u16; DEPTH]; ROWS] = tile.as_mut_ptr().cast();
    let row = |k: usize| {
        let [a, b] = rows.map(|rows| match rows.get(k) {
            // SAFETY: a row holds the 16 bytes read.
            Some(row) => unsafe { _mm_loadu_si128(row.as_ptr().cast()) },
            None => _mm_setzero_si128(),
        });
        _mm512_castps_si512(_mm512_cvtph_ps(_mm256_set_m128i(b, a)))
    };
    let (upper, half) = (_mm512_set1_epi32(!0xffff), _mm512_set1_epi32(0x8000));
    // Rounded to nearest, which leaves half as much to the low part as cutting off.
    let rounded = |x: __m512i| _mm512_and_si512(_mm512_add_epi32(x, half), upper);
    let rest = |x: __m512i, high: __m512i| {
        _mm512_castps_si512(_mm512_sub_ps(_mm512_castsi512_ps(x), _mm512_castsi512_ps(high)))
    };
    // The upper half of `odd`, and that of `even` below it.
    let join = |even, odd| _mm512_or_si512(_mm512_and_si512(odd, upper), _mm512_srli_epi32::<16>(even));
    for pair in 0..ROWS {
        let rows = [row(2 * pair), row(2 * pair + 1)];
        let high = rows.map(rounded);
        let low = [rest(rows[0], high[0]), rest(rows[1], high[1])];
        // SAFETY: a tile has 16 rows of 64 bytes in both parts.
        unsafe {
            _mm512_storeu_si512((&raw mut (*tile)[pair]).cast(), join(high[0], high[1]));
            _mm512_storeu_si512((&raw mut (*tile.add(1))[pair]).cast(), join(low[0], low[1]));
        }
    }
}
