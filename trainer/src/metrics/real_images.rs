//! Real images that generated ones are compared with.

use core::ops::Range;

use anyhow::{Result, ensure};
use rand_core::{Rng as _, SeedableRng as _};
use rand_xoshiro::Xoshiro128PlusPlus;

use crate::dataset::Dataset;

/// Real images that the generated ones are compared with, and others that show how close real images come.
#[derive(Clone, Debug)]
pub struct RealImages {
    /// `[C, H, W]`
    pub shape: [usize; 3],
    /// `[N, C, H, W]` in [-1, 1].
    pub reference: Vec<f32>,
    /// As many others, of the same kind.
    pub floor: Vec<f32>,
    /// What the others are, for people.
    pub floor_name: String,
    /// Where the others stand in the training set, if they are of it.
    pub floor_places: Option<Vec<usize>>,
    /// Up to 1000 training images that are on neither side, to choose with; may be none.
    pub validation: Vec<f32>,
}

impl RealImages {
    /// Draws `samples` images of `train` at random, and the floor from where it is fairest: from `test`, else from the
    /// rest of `train`. A `train` without that many to spare is halved, and gives fewer than `samples`.
    ///
    /// # Errors
    /// When there are too few images.
    ///
    /// # Panics
    /// When the images of `test` have another shape.
    pub fn choose(train: &Dataset, test: Option<&Dataset>, samples: usize, seed: u64) -> Result<Self> {
        let order = permutation(train.len(), seed);
        let (shape, pick) = (train.shape(), |range: Range<usize>| train.images(&order[range]));
        if let Some(test) = test {
            assert_eq!(test.shape(), shape, "both parts of a data set have one shape");
            let most = train.len().min(test.len());
            ensure!(samples <= most, "{samples} samples of {most} images: ask for fewer with --samples");
            // Another seed, so that images which the parts share at equal places are not paired.
            let floor = test.images(&permutation(test.len(), !seed)[..samples]);
            return Ok(Self {
                shape,
                reference: pick(0..samples),
                floor,
                floor_name: "test images".into(),
                floor_places: None,
                validation: pick(samples..train.len().min(samples + VALIDATION)),
            });
        }
        let half = samples.min(train.len() / 2);
        ensure!(half > 0, "one image cannot be compared with others");
        Ok(Self {
            shape,
            reference: pick(0..half),
            floor: pick(half..2 * half),
            floor_name: "other training images".into(),
            floor_places: Some(order[half..2 * half].to_vec()),
            validation: pick(2 * half..train.len().min(2 * half + VALIDATION)),
        })
    }

    /// Number of reference images, and of those of the floor.
    pub fn len(&self) -> usize {
        self.reference.len() / self.shape.iter().product::<usize>()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.reference.is_empty()
    }
}

/// The numbers below `len` in random order (Fisher and Yates).
fn permutation(len: usize, seed: u64) -> Vec<usize> {
    let mut random = Xoshiro128PlusPlus::seed_from_u64(seed);
    let mut order: Vec<usize> = (0..len).collect();
    for i in (1..len).rev() {
        let below = (u128::from(random.next_u64()) * (i as u128 + 1)) >> 64;
        order.swap(i, below as usize);
    }
    order
}

/// As in the protocol of 2014.
const VALIDATION: usize = 1000;

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    /// Images of one pixel with the values `from` and following.
    fn numbered(from: u8, len: u8) -> Dataset {
        Dataset::new("numbered", [1, 1, 1], (from..from + len).collect(), None).expect("it has images")
    }

    fn numbers(images: &[f32]) -> Vec<u8> {
        images.iter().map(|value| ((value + 1.0) * 127.5).round() as u8).collect()
    }

    #[test]
    fn permutations_are_complete_and_seeded() {
        let mut order = permutation(1000, 7);
        assert_eq!(order, permutation(1000, 7));
        assert_ne!(order, permutation(1000, 8));
        order.sort_unstable();
        assert!(order.iter().copied().eq(0..1000));
    }

    #[test]
    fn the_floor_comes_from_the_test_part() -> Result<()> {
        let (train, test) = (numbered(0, 50), numbered(100, 30));
        let real = RealImages::choose(&train, Some(&test), 20, 0)?;
        assert_eq!((real.len(), real.floor.len(), &*real.floor_name), (20, 20, "test images"));
        assert!(numbers(&real.reference).iter().all(|&n| n < 50));
        assert!(numbers(&real.floor).iter().all(|&n| n >= 100));
        assert!(real.floor_places.is_none());
        let mut all = [numbers(&real.reference), numbers(&real.validation)].concat();
        all.sort_unstable();
        assert!(all.iter().copied().eq(0..50), "those that are left choose");
        assert!(RealImages::choose(&train, Some(&test), 31, 0).is_err());
        Ok(())
    }

    #[test]
    fn without_a_test_part_no_image_is_on_both_sides() -> Result<()> {
        for (samples, expected) in [(20, 20), (25, 25), (40, 25)] {
            let real = RealImages::choose(&numbered(0, 50), None, samples, 3)?;
            assert_eq!((real.len(), real.floor.len()), (expected, expected));
            let mut all = [numbers(&real.reference), numbers(&real.floor)].concat();
            let places = real.floor_places.context("they are training images")?;
            assert!(places.iter().map(|&place| place as u8).eq(numbers(&real.floor)));
            all.extend(numbers(&real.validation));
            all.sort_unstable();
            all.dedup();
            assert_eq!(all.len(), 50);
        }
        assert!(RealImages::choose(&numbered(0, 1), None, 5, 0).is_err());
        Ok(())
    }
}
