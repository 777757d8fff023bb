//! One axis of a scaled picture: which of its pixels each pixel of the display shows.

use super::Filter;

/// Between which two pixels of the picture a pixel of the display lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    pub(super) low: u32,
    /// The next one, or again `low` where that has all the weight or there is none.
    pub(super) high: u32,
    /// Share of `high`, of [`ONE`].
    pub(super) weight: u32,
}

/// The samples of successive pixels of the display.
///
/// Centres of pixels lie on centres: pixel `i` of `target` lies at `(i + 1/2) * source / target` of the picture, where pixel `j`
/// covers `j..j + 1`. Positions are counted in whole 256ths of a pixel and a remainder, in 32 bits, so that stepping divides
/// nothing and never drifts.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    last: u32,
    /// What lies between a position and the one to mix at, and which bits of that are a weight: for `Nearest` none.
    offset: u32,
    weight_bits: u32,
    /// In 256ths of a pixel; the remainder in units of `1 / denominator` of these.
    position: u32,
    remainder: u32,
    step: u32,
    step_remainder: u32,
    denominator: u32,
}

impl Axis {
    /// The samples from pixel `first` of `target` on. Of more than [`MOST_SOURCE`] pixels the rest is cut off.
    ///
    /// # Panics
    /// When `first < target <= MOST_TARGET` or `0 < source` does not hold.
    pub(super) fn new(source: usize, target: u32, first: u32, filter: Filter) -> Self {
        assert!(first < target && target <= MOST_TARGET && source > 0, "{first} of {target}, {source}");
        let source = source.min(MOST_SOURCE) as u32;
        let (offset, weight_bits) = match filter {
            Filter::Nearest => (0, 0),
            Filter::Bilinear => (ONE / 2, ONE - 1),
        };
        let (step, rest) = (source * ONE / target, source * ONE % target);
        // (2 * first + 1) * source * ONE / (2 * target), of which `first * step` is whole.
        let [first, target, rest] = [first, target, rest].map(u64::from);
        let numerator = u64::from(step) * target + (2 * first + 1) * rest;
        let position = first * u64::from(step) + numerator / (2 * target);
        Self {
            last: source - 1,
            offset,
            weight_bits,
            // Less than `source * ONE`, and less than `2 * target`.
            position: position as u32,
            remainder: (numerator % (2 * target)) as u32,
            step,
            step_remainder: 2 * rest as u32,
            denominator: 2 * target as u32,
        }
    }
}

impl Iterator for Axis {
    type Item = Sample;

    /// Never `None`: pixels beyond the last show that again.
    fn next(&mut self) -> Option<Sample> {
        // Beyond the outermost centres the outermost pixels go on.
        let position = self.position.saturating_sub(self.offset);
        let low = (position / ONE).min(self.last);
        let weight = position & self.weight_bits;
        let high = if weight == 0 { low } else { self.last.min(low + 1) };
        self.position = self.position.saturating_add(self.step);
        self.remainder += self.step_remainder;
        if self.remainder >= self.denominator {
            self.remainder -= self.denominator;
            self.position = self.position.saturating_add(1);
        }
        Some(Sample { low, high, weight })
    }
}

/// The whole weight.
pub(super) const ONE: u32 = 256;

/// The most pixels of a picture, whose 256ths 32 bits can count.
const MOST_SOURCE: usize = (1 << 24) - 1;

/// The most pixels of a display, so that two remainders fit into 32 bits.
pub(super) const MOST_TARGET: u32 = 1 << 30;

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    /// The definition, divided anew for each pixel.
    fn position(source: usize, target: u32, pixel: u32) -> usize {
        let numerator = u128::from(ONE) * (2 * u128::from(pixel) + 1) * source as u128;
        (numerator / (2 * u128::from(target))) as usize
    }

    #[test]
    fn stepping_never_drifts() {
        for source in [1, 2, 3, 7, 28, 64, 1000] {
            for target in [1, 2, 3, 5, 28, 29, 63, 240, 1023] {
                for first in [0, target / 3, target - 1] {
                    let nearest = Axis::new(source, target, first, Filter::Nearest);
                    let bilinear = Axis::new(source, target, first, Filter::Bilinear);
                    for (pixel, (near, between)) in (first..target).zip(nearest.zip(bilinear)) {
                        let position = position(source, target, pixel);
                        let low = (position / 256) as u32;
                        assert_eq!(near, Sample { low, high: low, weight: 0 });
                        assert!((low as usize) < source);
                        let position = position.max(128) as u32 - 128;
                        let (low, weight) = (position / 256, position % 256);
                        let high = if weight == 0 { low } else { (low + 1).min(source as u32 - 1) };
                        assert_eq!(between, Sample { low, high, weight });
                    }
                }
            }
        }
    }

    #[test]
    fn whole_multiples_repeat_pixels() {
        let columns: Vec<u32> =
            Axis::new(3, 9, 0, Filter::Nearest).take(9).map(|sample| sample.low).collect();
        assert_eq!(columns, [0, 0, 0, 1, 1, 1, 2, 2, 2]);
    }

    #[test]
    fn half_the_size_is_the_mean_of_two() {
        let samples: Vec<Sample> = Axis::new(4, 2, 0, Filter::Bilinear).take(2).collect();
        assert_eq!(
            samples,
            [Sample { low: 0, high: 1, weight: ONE / 2 }, Sample { low: 2, high: 3, weight: ONE / 2 }]
        );
    }

    /// Debug assertions would find an overflow.
    #[test]
    fn the_largest_sizes_fit() {
        for source in [1, 28, MOST_SOURCE - 1, MOST_SOURCE, usize::MAX] {
            for target in [1, 28, MOST_TARGET - 1, MOST_TARGET] {
                for first in [0, target / 2, target - 1] {
                    for (pixel, sample) in
                        (first..target).zip(Axis::new(source, target, first, Filter::Nearest)).take(9)
                    {
                        let expected = position(source.min(MOST_SOURCE), target, pixel) / 256;
                        assert_eq!(sample.low as usize, expected, "{source} {target} {pixel}");
                    }
                }
            }
        }
    }
}
