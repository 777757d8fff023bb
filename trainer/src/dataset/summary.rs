//! What a set of images is, in numbers.

use std::collections::HashSet;

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::Dataset;

/// One part of a set, counted and measured.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Number of images or points.
    pub images: usize,
    /// Mean of each channel over all pixels, in the units of [`Dataset::images`]: pictures are in [-1, 1].
    pub mean: Vec<f64>,
    /// Standard deviation of each channel over all pixels, in the same units.
    pub std: Vec<f64>,
    /// Images in which no channel varies.
    pub constant: usize,
    /// Images that equal an earlier one in every value.
    pub duplicates: usize,
    /// Images of each class; none without classes.
    pub classes: Vec<usize>,
    digests: Vec<u128>,
}

/// What is summed over some images.
struct Sums {
    sum: Vec<f64>,
    squares: Vec<f64>,
    constant: usize,
    digests: Vec<u128>,
}

impl Summary {
    /// Looks at every image once.
    pub fn of(dataset: &Dataset) -> Self {
        /// Images that are in memory as numbers at a time, for each thread.
        const CHUNK: usize = 256;
        let [channels, height, width] = dataset.shape();
        let images = dataset.len();
        let chunks: Vec<Sums> = (0..images.div_ceil(CHUNK))
            .into_par_iter()
            .map(|chunk| {
                let indices: Vec<usize> = (chunk * CHUNK..images.min((chunk + 1) * CHUNK)).collect();
                Sums::of(&dataset.images(&indices), channels, height * width)
            })
            .collect();
        let total = |of: fn(&Sums) -> &[f64], c: usize| chunks.iter().map(|sums| of(sums)[c]).sum::<f64>();
        let pixels = (images * height * width) as f64;
        let mean: Vec<f64> = (0..channels).map(|c| total(|sums| &sums.sum, c) / pixels).collect();
        let variance = |(c, mean): (usize, &f64)| total(|sums| &sums.squares, c) / pixels - mean * mean;
        let std = mean.iter().enumerate().map(|channel| variance(channel).max(0.0).sqrt()).collect();
        let constant = chunks.iter().map(|sums| sums.constant).sum();
        let digests: Vec<u128> = chunks.into_iter().flat_map(|sums| sums.digests).collect();
        let duplicates = images - digests.iter().collect::<HashSet<_>>().len();
        let mut classes = vec![0; dataset.class_count().unwrap_or(0)];
        for label in (0..images).filter_map(|i| dataset.label(i)) {
            if let Some(count) = classes.get_mut(label as usize) {
                *count += 1;
            }
        }
        Self { images, mean, std, constant, duplicates, classes, digests }
    }

    /// Number of images that the other part has as well.
    pub fn shared_with(&self, other: &Self) -> usize {
        let theirs: HashSet<&u128> = other.digests.iter().collect();
        self.digests.iter().filter(|digest| theirs.contains(digest)).count()
    }
}

impl Sums {
    /// Of images `[N, C, area]`.
    fn of(values: &[f32], channels: usize, area: usize) -> Self {
        let (mut sum, mut squares) = (vec![0.0; channels], vec![0.0; channels]);
        let (mut constant, mut digests) = (0, vec![]);
        for image in values.chunks_exact(channels * area) {
            for (c, plane) in image.chunks_exact(area).enumerate() {
                sum[c] += plane.iter().copied().map(f64::from).sum::<f64>();
                squares[c] += plane.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>();
            }
            constant +=
                usize::from(image.chunks_exact(area).all(|plane| plane.iter().all(|v| *v == plane[0])));
            digests.push(digest(image));
        }
        Self { sum, squares, constant, digests }
    }
}

/// Half of a SHA-256, which tells images apart for certain in practice.
fn digest(image: &[f32]) -> u128 {
    let bytes: Vec<u8> = image.iter().flat_map(|value| value.to_le_bytes()).collect();
    Sha256::digest(&bytes).iter().take(16).fold(0, |digest, &byte| digest << 8 | u128::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_of_plain_sums() {
        let bytes: Vec<u8> = (0..700 * 2 * 3u32).map(|i| (i * i * 31 % 251) as u8).collect();
        let dataset = Dataset::new("t", [2, 1, 3], bytes.clone(), None).unwrap();
        let summary = Summary::of(&dataset);
        for c in 0..2 {
            let channel: Vec<f64> = bytes
                .chunks_exact(3)
                .skip(c)
                .step_by(2)
                .flatten()
                .map(|&byte| f64::from(byte) / 127.5 - 1.0)
                .collect();
            let n = channel.len() as f64;
            let mean = channel.iter().sum::<f64>() / n;
            let variance = channel.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n;
            // Values of an f32 are off by half an ulp of 1 at most.
            assert!((summary.mean[c] - mean).abs() < 1e-6, "{} {mean}", summary.mean[c]);
            assert!((summary.std[c] - variance.sqrt()).abs() < 1e-6, "{} {variance}", summary.std[c]);
        }
        assert_eq!((summary.images, summary.classes.len()), (700, 0));
    }

    #[test]
    fn copies_and_constant_images_are_counted() {
        let grey = |pixels: Vec<u8>, labels| Dataset::new("t", [1, 1, 2], pixels, Some(labels)).unwrap();
        let train = Summary::of(&grey(vec![1, 2, 3, 3, 1, 2, 2, 1, 1, 2], vec![0, 2, 0, 0, 2]));
        assert_eq!((train.duplicates, train.constant, &train.classes[..]), (2, 1, &[3, 0, 2][..]));
        let test = Summary::of(&grey(vec![2, 1, 9, 9, 1, 2], vec![0; 3]));
        assert_eq!((test.shared_with(&train), train.shared_with(&test), test.duplicates), (2, 4, 0));
    }
}
