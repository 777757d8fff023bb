//! One axis of a scaled picture: which of its pixels each pixel of the display shows.

use super::Filter;

/// Between which two pixels of the picture a pixel of the display lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    pub(super) low: usize,
    /// The next one, or again `low`.
    pub(super) high: usize,
    /// Share of `high`, of [`ONE`].
    pub(super) weight: u32,
}

/// The samples of successive pixels of the display.
///
/// Centres of pixels lie on centres: pixel `i` of `target` lies at `(i + 1/2) * source / target` of the picture, where pixel `j`
/// covers `j..j + 1`. Positions are counted in whole 256ths of a pixel and a remainder, so that stepping divides nothing and
/// never drifts.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    filter: Filter,
    last: u64,
    /// In 256ths of a pixel; the remainder in units of `1 / denominator` of these.
    position: u64,
    remainder: u64,
    step: u64,
    step_remainder: u64,
    denominator: u64,
}

impl Axis {
    /// The samples from pixel `first` of `target` on.
    ///
    /// # Panics
    /// When `first < target <= i32::MAX` or `0 < source` does not hold.
    pub(super) fn new(source: usize, target: u32, first: u32, filter: Filter) -> Self {
        assert!(
            first < target && i32::try_from(target).is_ok() && source > 0,
            "{first} of {target}, {source}"
        );
        // No picture has more; and all that follows stays below 2^64.
        let source = (source as u64).min(u64::from(u32::MAX));
        let (first, target) = (u64::from(first), u64::from(target));
        let units = source * u64::from(ONE);
        let (step, rest) = (units / target, units % target);
        // (2 * first + 1) * units / (2 * target), of which `first * step` is whole.
        let denominator = 2 * target;
        let numerator = step * target + (2 * first + 1) * rest;
        Self {
            filter,
            last: source - 1,
            position: first * step + numerator / denominator,
            remainder: numerator % denominator,
            step,
            step_remainder: 2 * rest,
            denominator,
        }
    }
}

impl Iterator for Axis {
    type Item = Sample;

    fn next(&mut self) -> Option<Sample> {
        let one = u64::from(ONE);
        let sample = match self.filter {
            Filter::Nearest => {
                let low = (self.position / one).min(self.last) as usize;
                Sample { low, high: low, weight: 0 }
            }
            Filter::Bilinear => {
                // Beyond the outermost centres the outermost pixels go on.
                let position = self.position.saturating_sub(one / 2);
                let low = (position / one).min(self.last);
                let high = (low + 1).min(self.last);
                Sample { low: low as usize, high: high as usize, weight: (position % one) as u32 }
            }
        };
        self.position += self.step;
        self.remainder += self.step_remainder;
        if self.remainder >= self.denominator {
            self.remainder -= self.denominator;
            self.position += 1;
        }
        Some(sample)
    }
}

/// The whole weight.
pub(super) const ONE: u32 = 256;

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    /// The definition, divided anew for each pixel.
    fn position(source: usize, target: u32, pixel: u32) -> u128 {
        u128::from(ONE) * (2 * u128::from(pixel) + 1) * source as u128 / (2 * u128::from(target))
    }

    #[test]
    fn stepping_never_drifts() {
        for source in [1, 2, 3, 7, 28, 64, 1000] {
            for target in [1, 2, 3, 5, 28, 29, 63, 240, 1023] {
                for first in [0, target / 3, target - 1] {
                    let nearest = Axis::new(source, target, first, Filter::Nearest);
                    let bilinear = Axis::new(source, target, first, Filter::Bilinear);
                    for (pixel, (near, between)) in (first..target).zip(nearest.zip(bilinear)) {
                        let position = position(source, target, pixel) as usize;
                        assert_eq!(near, Sample { low: position / 256, high: position / 256, weight: 0 });
                        assert!(near.low < source);
                        let centre = position.saturating_sub(128);
                        let low = centre / 256;
                        let high = (low + 1).min(source - 1);
                        assert_eq!(between, Sample { low, high, weight: (centre % 256) as u32 });
                    }
                }
            }
        }
    }

    #[test]
    fn whole_multiples_repeat_pixels() {
        let columns: Vec<usize> =
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
        let most = i32::MAX as u32;
        for source in [1, 28, u32::MAX as usize] {
            for target in [1, 28, most - 1, most] {
                for first in [0, target / 2, target - 1] {
                    let sample = Axis::new(source, target, first, Filter::Nearest).next();
                    let expected = (position(source, target, first) / 256) as usize;
                    assert_eq!(sample.map(|sample| sample.low), Some(expected), "{source} {target} {first}");
                }
            }
        }
    }
}
