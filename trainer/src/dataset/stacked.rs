//! Three images as the colours of one, so that few classes become many.

use anyhow::{Result, ensure};

use super::{Dataset, Items};
use crate::training::noise::{self, Stream};

/// Stacks of three images of another set, made when they are asked for.
#[derive(Clone, Debug)]
pub(super) struct Stacks {
    /// Grey images.
    parts: Dataset,
    len: usize,
    seed: u64,
}

/// Stacks of `parts`, grey digits; the label of a stack is the number that its digits write.
///
/// # Source
/// Metz et al. 2017, "Unrolled Generative Adversarial Networks", arXiv:1611.02163.
pub(super) fn dataset(parts: Dataset) -> Result<Dataset> {
    let [channels, height, width] = parts.shape();
    ensure!(channels == 1, "stacks are made of grey images, {} has {channels} channels", parts.name());
    let name = format!("stacked-{}", parts.name());
    let stacks = Stacks { parts, len: STACKS, seed: 0 };
    Dataset::of_items(&name, [3, height, width], Items::Stacks(Box::new(stacks)), None)
}

impl Stacks {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// `[3, H, W]` in [-1, 1].
    pub(super) fn image(&self, index: usize) -> Vec<f32> {
        self.parts.images(&self.members(index))
    }

    /// `100 a + 10 b + c` for digits `a`, `b` and `c`.
    pub(super) fn label(&self, index: usize) -> Option<u32> {
        self.members(index).into_iter().try_fold(0, |label, part| Some(10 * label + self.parts.label(part)?))
    }

    /// One more than the largest label.
    pub(super) fn class_count(&self) -> Option<usize> {
        self.parts.class_count().map(|digits| 111 * (digits - 1) + 1)
    }

    /// Which images of `parts` stack `index` is made of; the seed and the index alone decide.
    fn members(&self, index: usize) -> [usize; 3] {
        let mut rng = noise::rng(noise::seed_of(self.seed, Stream::Data, index as u64));
        // A data set has at most 2^32 - 1 images.
        [(); 3].map(|()| noise::below(&mut rng, self.parts.len() as u32) as usize)
    }
}

/// The published runs draw new stacks for ever; of these one sees each once in 10,000 steps of 128.
const STACKS: usize = 1_280_000;

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten images of two pixels, whose bytes are 10 and 20 times their labels.
    fn digits() -> Dataset {
        let pixels = (0..10u8).flat_map(|digit| [10 * digit, 20 * digit]).collect();
        Dataset::new("digits", [1, 1, 2], pixels, Some((0..10).collect())).unwrap()
    }

    #[test]
    fn labels_are_those_of_the_parts() {
        let stacked = dataset(digits()).unwrap();
        assert_eq!((stacked.shape(), stacked.len(), stacked.name()), ([3, 1, 2], STACKS, "stacked-digits"));
        assert_eq!(stacked.class_count(), Some(1000));
        for index in (0..2000).chain([STACKS - 1]) {
            let image = stacked.images(&[index]);
            let byte = |value: f32| ((value + 1.0) * 127.5).round() as u32;
            let digits: Vec<u32> = image.chunks_exact(2).map(|plane| byte(plane[0]) / 10).collect();
            for (digit, plane) in digits.iter().zip(image.chunks_exact(2)) {
                assert_eq!(byte(plane[1]), 20 * digit, "the second pixel of stack {index}");
            }
            assert_eq!(stacked.label(index), Some(100 * digits[0] + 10 * digits[1] + digits[2]));
        }
    }

    #[test]
    fn every_place_has_every_digit_as_often() {
        let stacked = dataset(digits()).unwrap();
        let n = 10_000;
        let mut counts = [[0; 10]; 3];
        for label in (0..n).filter_map(|index| stacked.label(index)) {
            for (place, digit) in [label / 100, label / 10 % 10, label % 10].into_iter().enumerate() {
                counts[place][digit as usize] += 1;
            }
        }
        // Five standard deviations of a binomial count.
        let spread = (n as f64 * 0.1 * 0.9).sqrt();
        for count in counts.as_flattened() {
            assert!((f64::from(*count) - 0.1 * n as f64).abs() < 5.0 * spread, "{counts:?}");
        }
    }

    #[test]
    fn stacks_depend_on_their_index_alone() {
        let [once, again] = [dataset(digits()).unwrap(), dataset(digits()).unwrap()];
        assert_eq!(once.images(&[5, 6]), again.images(&[5, 6]));
        assert_eq!(once.images(&[6]), again.images(&[5, 6])[6..]);
        assert!((0..100).any(|index| once.label(index) != once.label(index + 1)));
    }

    #[test]
    fn coloured_parts_and_parts_without_labels() {
        assert!(dataset(Dataset::new("t", [3, 1, 1], vec![0; 6], None).unwrap()).is_err());
        assert_eq!(dataset(Dataset::new("t", [1, 1, 1], vec![0; 6], None).unwrap()).unwrap().label(3), None);
    }
}
