//! Half precision as storage: the exact conversion every implementation shares with the hardware ones.

use half::f16;

/// `half` as `f32`: exact, infinities and NaN included.
///
/// Branch-free integer work and one subtraction, so that it vectorises, and so that no operand is ever subnormal:
/// some CPUs flush those and others take a hundred cycles. `half`'s own conversion is 2.5 times slower on Cortex-M4.
#[inline(always)]
pub fn f16_to_f32(half: f16) -> f32 {
    let bits = u32::from(half.to_bits());
    let sign = (bits & 0x8000) << 16;
    let magnitude = (bits & 0x7fff) << 13;
    // The exponent's bias grows from 15 to 127; the all-ones exponent stays all ones.
    let rebias = if magnitude >= 0x0f80_0000 { 224 << 23 } else { 112 << 23 };
    let normal = magnitude + rebias;
    // A subnormal half is m * 2^-24: put m under the exponent of 2^-14 and take that 2^-14 away.
    let subnormal = f32::from_bits(magnitude + MIN_NORMAL.to_bits()) - MIN_NORMAL;
    let bits = if magnitude < 0x0080_0000 { subnormal.to_bits() } else { normal };
    f32::from_bits(bits | sign)
}

/// The half nearest to `value`, ties to even; infinite from 65,520 on. Every NaN becomes the same.
///
/// # Source
/// Giesen 2012, "float_to_half_fast3_rtne": additions that let the hardware round.
// Stores alone need it, once for each value of a layer: on a microcontroller code counts more.
#[cfg_attr(target_os = "none", inline(never))]
#[cfg_attr(not(target_os = "none"), inline(always))]
pub fn f32_to_f16(value: f32) -> f16 {
    let bits = value.to_bits();
    let sign = (bits >> 16) & 0x8000;
    let magnitude = bits & 0x7fff_ffff;
    if magnitude > 0x7f80_0000 {
        return f16::NAN;
    }
    let rounded = if magnitude >= 0x4780_0000 {
        // 65,536 and beyond, and infinity.
        0x7c00
    } else if magnitude < MIN_NORMAL.to_bits() {
        // Next to 0.5 the last bit of an `f32` is 2^-24, as that of a subnormal half.
        (f32::from_bits(magnitude) + 0.5).to_bits() - 0.5_f32.to_bits()
    } else {
        // The exponent's bias shrinks from 127 to 15; just less than half of what is cut off is added, and the other
        // bit of it where the result would be odd.
        let odd = (magnitude >> 13) & 1;
        (magnitude.wrapping_sub(112 << 23) + 0xfff + odd) >> 13
    };
    f16::from_bits((rounded | sign) as u16)
}

/// What activations and weights are stored as; arithmetic is `f32`.
pub(crate) trait Element: Copy {
    /// Exact.
    fn to_f32(self) -> f32;
    /// The nearest.
    fn from_f32(value: f32) -> Self;
}

impl Element for f32 {
    #[inline(always)]
    fn to_f32(self) -> f32 {
        self
    }

    #[inline(always)]
    fn from_f32(value: f32) -> Self {
        value
    }
}

impl Element for f16 {
    #[inline(always)]
    fn to_f32(self) -> f32 {
        f16_to_f32(self)
    }

    #[inline(always)]
    fn from_f32(value: f32) -> Self {
        f32_to_f16(value)
    }
}

/// Half number `index` of memory that holds two in each word, the first in the low bits.
#[inline(always)]
pub(crate) fn half_at(words: &[f32], index: usize) -> f32 {
    f16_to_f32(f16::from_bits((words[index / 2].to_bits() >> (index % 2 * 16)) as u16))
}

/// Writes half number `index`.
#[inline(always)]
pub(crate) fn set_half(words: &mut [f32], index: usize, value: f32) {
    let word = &mut words[index / 2];
    let (shift, bits) = (index % 2 * 16, u32::from(f32_to_f16(value).to_bits()));
    *word = f32::from_bits(word.to_bits() & !(0xffff << shift) | bits << shift);
}

/// The smallest normal half, 2^-14.
const MIN_NORMAL: f32 = f32::from_bits(113 << 23);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_round_as_the_half_crate_does() {
        // Every half, the points between two and their neighbours, and the ends.
        for bits in 0..0x7c00_u16 {
            let (low, high) = (f16::from_bits(bits).to_f32(), f16::from_bits(bits + 1).to_f32());
            let between = if high.is_finite() { (low + high) / 2.0 } else { 65_520.0 };
            for value in
                [low, between, between.next_up(), between.next_down(), low.next_up(), low.next_down()]
            {
                for value in [value, -value] {
                    assert_eq!(f32_to_f16(value).to_bits(), f16::from_f32(value).to_bits(), "{value:e}");
                }
            }
        }
        for value in [1e9, f32::INFINITY, f32::MAX, f32::MIN_POSITIVE, 1e-45] {
            assert_eq!(f32_to_f16(value), f16::from_f32(value), "{value:e}");
        }
        assert!(f32_to_f16(f32::NAN).is_nan());
    }

    #[test]
    fn halves_share_words() {
        let mut words = [0.0; 2];
        for (index, value) in [(3, -2.0), (0, 0.5), (1, 65_504.0)] {
            set_half(&mut words, index, value);
        }
        assert_eq!([0, 1, 2, 3].map(|index| half_at(&words, index)), [0.5, 65_504.0, 0.0, -2.0]);
    }

    #[test]
    fn every_half_converts_as_the_half_crate_does() {
        for bits in 0..=u16::MAX {
            let half = f16::from_bits(bits);
            let (ours, theirs) = (f16_to_f32(half), half.to_f32());
            if theirs.is_nan() {
                assert!(ours.is_nan(), "{bits:#06x}");
            } else {
                assert_eq!(ours.to_bits(), theirs.to_bits(), "{bits:#06x}");
            }
        }
    }
}
