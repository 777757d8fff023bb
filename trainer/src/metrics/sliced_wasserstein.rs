//! Sliced Wasserstein distance between patches of Laplacian pyramids: texture, size by size.

use anyhow::{Result, ensure};
use rayon::prelude::*;

use super::distance::dot;
use crate::training::noise::{self, Stream};

/// One distance for each level of the pyramids.
#[derive(Clone, Debug, PartialEq)]
pub struct SlicedWasserstein {
    /// Height, width and distance of each level, the finest first.
    pub levels: Vec<Level>,
}

/// The distance of one level.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Level {
    /// Of the level, in pixels.
    pub size: [usize; 2],
    /// Mean distance along a direction, in standard deviations of a pixel of a patch. The literature quotes a thousand
    /// times that.
    pub distance: f64,
}

impl SlicedWasserstein {
    /// Over the levels.
    pub fn mean(&self) -> f64 {
        self.levels.iter().map(|level| level.distance).sum::<f64>() / self.levels.len() as f64
    }
}

/// Compares 128 random patches of 7x7 pixels of every image along 512 random directions, on every level; `done`
/// is told how many more directions are measured, of 512 for each level.
///
/// A level has half the pixels of the one before, and at least 14 each way; the last is the small image itself. The
/// distance of like sets falls with the number of images: compare equal numbers only.
///
/// # Shapes
/// Both: `[N, C, H, W]` of the same N.
///
/// # Errors
/// When there are no images, not as many of each, or they have fewer than 7 pixels each way.
///
/// # Source
/// Karras et al. 2018, "Progressive Growing of GANs", arXiv:1710.10196, section 5, and their code: patches are shifted
/// and scaled, for each set and channel, to mean 0 and variance 1. Their levels end at 16 pixels, where sizes are powers
/// of two; so do these.
pub fn sliced_wasserstein(
    real: &[f32],
    generated: &[f32],
    shape: [usize; 3],
    seed: u64,
    done: impl Fn(usize) + Sync,
) -> Result<SlicedWasserstein> {
    let [c, h, w] = shape;
    let image = c * h * w;
    ensure!(
        image > 0 && !real.is_empty() && real.len() == generated.len() && real.len().is_multiple_of(image),
        "{} and {} values are no sets of equally many images",
        real.len(),
        generated.len()
    );
    ensure!(h >= PATCH && w >= PATCH, "images of {h}x{w} are smaller than a patch of {PATCH}x{PATCH}");
    ensure!(real.iter().chain(generated).all(|value| value.is_finite()), "an image is not finite");
    let levels = sizes([h, w]).len();
    let distance = |level: usize| {
        // Level by level, so that only the patches of one are in memory.
        let sets = [(real, 2 * level), (generated, 2 * level + 1)].map(|(images, stream)| {
            let seed = noise::seed_of(seed, Stream::Metrics, stream as u64);
            normalized(patches(images, shape, level, seed), c)
        });
        let directions =
            directions(c * PATCH * PATCH, noise::seed_of(seed, Stream::Metrics, !(level as u64)));
        sliced(&sets[0], &sets[1], &directions, &done)
    };
    let levels = sizes([h, w]).into_iter().zip((0..levels).map(distance));
    Ok(SlicedWasserstein { levels: levels.map(|(size, distance)| Level { size, distance }).collect() })
}

/// The extents of the levels, the finest first.
pub(super) fn sizes(finest: [usize; 2]) -> Vec<[usize; 2]> {
    let halved = |size: &[usize; 2]| {
        let half = size.map(|extent| extent.div_ceil(2));
        (half[0].min(half[1]) >= 2 * PATCH).then_some(half)
    };
    core::iter::successors(Some(finest), halved).collect()
}

/// `[N * 128, C, 7, 7]`: patches of one level at random places, those of image `i` from the random numbers of `(seed, i)`.
fn patches(images: &[f32], [c, h, w]: [usize; 3], level: usize, seed: u64) -> Vec<f32> {
    let (count, len) = (images.len() / (c * h * w), c * PATCH * PATCH);
    let mut patches = vec![0.0; count * PATCHES * len];
    patches.par_chunks_mut(PATCHES * len).zip(images.par_chunks_exact(c * h * w)).enumerate().for_each(
        |(i, (patches, image))| {
            let planes: Vec<Plane> =
                image.chunks_exact(h * w).map(|plane| laplacian(plane, h, w, level)).collect();
            let [height, width] = planes[0].size;
            let mut rng = noise::rng(noise::seed_of(seed, Stream::Metrics, i as u64));
            for patch in patches.chunks_exact_mut(len) {
                let top = noise::below(&mut rng, (height - PATCH + 1) as u32) as usize;
                let left = noise::below(&mut rng, (width - PATCH + 1) as u32) as usize;
                for (row, values) in patch.chunks_exact_mut(PATCH).enumerate() {
                    let at = (top + row % PATCH) * width + left;
                    values.copy_from_slice(&planes[row / PATCH].values[at..at + PATCH]);
                }
            }
        },
    );
    patches
}

/// Patches of mean 0 and variance 1 in every channel, over the whole set.
fn normalized(mut patches: Vec<f32>, channels: usize) -> Vec<f32> {
    const AREA: usize = PATCH * PATCH;
    for channel in 0..channels {
        let areas =
            || patches.chunks_exact(AREA).skip(channel).step_by(channels).flatten().map(|&v| f64::from(v));
        let n = (patches.len() / channels) as f64;
        let mean = areas().sum::<f64>() / n;
        let variance = areas().map(|value| (value - mean).powi(2)).sum::<f64>() / n;
        // What is left of a constant channel is rounding: a step of a byte is 8e-3.
        let scale = if variance.sqrt() > 1e-6 { 1.0 / variance.sqrt() } else { 0.0 };
        for area in patches.chunks_exact_mut(AREA).skip(channel).step_by(channels) {
            area.iter_mut().for_each(|value| *value = ((f64::from(*value) - mean) * scale) as f32);
        }
    }
    patches
}

/// Unit vectors, uniform on the sphere, one after the other.
fn directions(dim: usize, seed: u64) -> Vec<f32> {
    let mut values = vec![0.0; DIRECTIONS * dim];
    noise::fill_normal(seed, &mut values);
    for direction in values.chunks_exact_mut(dim) {
        let length = direction.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt();
        direction.iter_mut().for_each(|value| *value = (f64::from(*value) / length) as f32);
    }
    values
}

/// The mean, over directions, of the distance between sorted projections.
fn sliced(a: &[f32], b: &[f32], directions: &[f32], done: &(impl Fn(usize) + Sync)) -> f64 {
    let dim = directions.len() / DIRECTIONS;
    let distances: Vec<f64> = directions
        .par_chunks_exact(dim)
        .map(|direction| {
            let [a, b] = [a, b].map(|rows| {
                let mut projections: Vec<f32> =
                    rows.chunks_exact(dim).map(|row| dot(row, direction)).collect();
                projections.sort_unstable_by(f32::total_cmp);
                projections
            });
            done(1);
            a.iter().zip(&b).map(|(a, b)| f64::from((a - b).abs())).sum::<f64>() / a.len() as f64
        })
        .collect();
    distances.iter().sum::<f64>() / distances.len() as f64
}

/// One channel of one level.
struct Plane {
    size: [usize; 2],
    values: Vec<f32>,
}

/// Level `level` of the pyramid of one channel: what the next one loses, or, of the last level, all there is.
fn laplacian(values: &[f32], h: usize, w: usize, level: usize) -> Plane {
    let sizes = sizes([h, w]);
    let mut plane = Plane { size: [h, w], values: values.to_vec() };
    for _ in 0..level {
        plane = plane.halved();
    }
    if level + 1 < sizes.len() {
        let coarse = plane.halved().doubled(plane.size);
        plane.values.iter_mut().zip(&coarse.values).for_each(|(value, coarse)| *value -= coarse);
    }
    plane
}

impl Plane {
    /// Blurred, and every second row and column of it.
    fn halved(&self) -> Self {
        let blurred = self.blurred();
        let [height, width] = self.size.map(|extent| extent.div_ceil(2));
        let at = |y: usize, x: usize| blurred.values[2 * y * self.size[1] + 2 * x];
        let values =
            (0..height).flat_map(|y| (0..width).map(move |x| (y, x))).map(|(y, x)| at(y, x)).collect();
        Self { size: [height, width], values }
    }

    /// Pixels at every second place, zeros between, blurred and made four times as bright.
    fn doubled(&self, size: [usize; 2]) -> Self {
        let mut values = vec![0.0; size[0] * size[1]];
        for (y, row) in self.values.chunks_exact(self.size[1]).enumerate() {
            for (x, value) in row.iter().enumerate() {
                values[2 * y * size[1] + 2 * x] = 4.0 * value;
            }
        }
        Self { size, values }.blurred()
    }

    /// With the binomial kernel of 5x5; beyond the border the image is mirrored at its last pixel.
    fn blurred(&self) -> Self {
        const KERNEL: [f32; 5] = [1.0 / 16.0, 4.0 / 16.0, 6.0 / 16.0, 4.0 / 16.0, 1.0 / 16.0];
        let [height, width] = self.size;
        let blur = |values: &[f32], extent: usize, stride: usize, position: usize, at: usize| -> f32 {
            let line = at - position * stride;
            (0..5).map(|tap| KERNEL[tap] * values[line + mirrored(position + tap, extent) * stride]).sum()
        };
        let len = height * width;
        let across: Vec<f32> = (0..len).map(|at| blur(&self.values, width, 1, at % width, at)).collect();
        let values = (0..len).map(|at| blur(&across, height, width, at / width, at)).collect();
        Self { size: self.size, values }
    }
}

/// Place `index - 2` of a line, mirrored into it; lines have at least three pixels.
fn mirrored(index: usize, extent: usize) -> usize {
    let index = index.abs_diff(2);
    if index < extent { index } else { 2 * (extent - 1) - index }
}

const PATCH: usize = 7;
const PATCHES: usize = 128;
/// Along which patches are compared, on every level.
pub(super) const DIRECTIONS: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(len: usize, seed: u64) -> Vec<f32> {
        let mut values = vec![0.0; len];
        noise::fill_normal(seed, &mut values);
        values
    }

    #[test]
    fn levels_end_where_those_of_the_paper_do() {
        assert_eq!(sizes([64, 64]), [[64, 64], [32, 32], [16, 16]]);
        assert_eq!(sizes([28, 28]), [[28, 28], [14, 14]]);
        assert_eq!(sizes([27, 40]), [[27, 40], [14, 20]]);
        assert_eq!(sizes([7, 7]), [[7, 7]]);
    }

    #[test]
    fn a_pyramid_adds_up_to_its_image() {
        let (h, w) = (31, 56);
        let image = normal(h * w, 1);
        let levels = sizes([h, w]).len();
        assert_eq!(levels, 2);
        let mut sum = laplacian(&image, h, w, levels - 1);
        for level in (0..levels - 1).rev() {
            let fine = laplacian(&image, h, w, level);
            sum = sum.doubled(fine.size);
            sum.values.iter_mut().zip(&fine.values).for_each(|(sum, value)| *sum += value);
        }
        // A subtraction and an addition of numbers below 8, each rounded once.
        let error = sum.values.iter().zip(&image).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(error <= 8.0 * f32::EPSILON, "{error}");
    }

    #[test]
    fn blurring_is_a_plain_sum_and_keeps_constants() {
        let plane = Plane { size: [9, 8], values: normal(72, 2) };
        let blurred = plane.blurred();
        let weights = [1.0, 4.0, 6.0, 4.0, 1.0];
        let reflect = |i: i64, n: i64| {
            if i < 0 {
                -i
            } else if i >= n {
                2 * n - 2 - i
            } else {
                i
            }
        };
        for y in 0..9i64 {
            for x in 0..8i64 {
                let mut expected = 0.0;
                for dy in 0..5 {
                    for dx in 0..5 {
                        let at = reflect(y + dy - 2, 9) * 8 + reflect(x + dx - 2, 8);
                        let weight = weights[dy as usize] * weights[dx as usize] / 256.0;
                        expected += weight * f64::from(plane.values[at as usize]);
                    }
                }
                let found = f64::from(blurred.values[(8 * y + x) as usize]);
                // Ten roundings of sums that stay below 4.
                assert!((found - expected).abs() < 40.0 * f64::from(f32::EPSILON), "{found} {expected}");
            }
        }
        // Weights are sixteenths: a constant stays what it is, and an enlarged one as well.
        let flat = Plane { size: [10, 12], values: vec![3.0; 120] };
        assert!(flat.blurred().values.iter().all(|&value| value == 3.0));
        assert!(flat.halved().doubled([10, 12]).values.iter().all(|&value| value == 3.0));
    }

    #[test]
    fn projections_have_a_closed_form() {
        // One pixel of distance along each axis: |direction . shift|, for sets of one row.
        let dim = 5;
        let directions = directions(dim, 3);
        let (a, b) = (vec![0.0; dim], vec![1.0, -2.0, 0.5, 0.0, 3.0]);
        let expected = directions
            .chunks_exact(dim)
            .map(|d| d.iter().zip(&b).map(|(d, b)| f64::from(d * b)).sum::<f64>().abs())
            .sum::<f64>()
            / DIRECTIONS as f64;
        // Five products below 3, rounded in single precision.
        assert!((sliced(&a, &b, &directions, &|_| ()) - expected).abs() < 15.0 * f64::from(f32::EPSILON));
        for direction in directions.chunks_exact(dim) {
            let length: f64 = direction.iter().map(|&v| f64::from(v).powi(2)).sum();
            assert!((length - 1.0).abs() < 1e-6, "squares of five values, each rounded to 6e-8");
        }
        // Of a set, only the distribution counts.
        let rows = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 0.0];
        let swapped = [6.0, 7.0, 8.0, 9.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0];
        assert_eq!(sliced(&rows, &swapped, &directions, &|_| ()), 0.0);
    }

    #[test]
    fn like_sets_are_near_and_others_far() -> Result<()> {
        let (n, shape) = (6, [3, 28, 28]);
        let len = n * 3 * 28 * 28;
        let (a, b) = (normal(len, 4), normal(len, 5));
        // Images without texture, each of one brightness.
        let flat: Vec<f32> = (0..len).map(|i| b[i - i % (28 * 28)]).collect();
        let run = |a: &[f32], b: &[f32]| sliced_wasserstein(a, b, shape, 9, |_| ());
        let (near, far) = (run(&a, &b)?, run(&a, &flat)?);
        assert_eq!(near.levels.iter().map(|level| level.size).collect::<Vec<_>>(), [[28, 28], [14, 14]]);
        assert_eq!(near, run(&a, &b)?);
        // Projections of noise against zeros: the mean of |N(0, 1)|, but for correlations that a pyramid leaves.
        let (fine, expected) = (far.levels[0].distance, core::f64::consts::FRAC_2_PI.sqrt());
        assert!((0.8 * expected..1.1 * expected).contains(&fine), "{fine} {expected}");
        assert!(fine > 3.0 * near.levels[0].distance, "{near:?}");
        assert_eq!(near.mean(), (near.levels[0].distance + near.levels[1].distance) / 2.0);
        // Patches are scaled: brightness and contrast do not count, and a black set is no error.
        let bright: Vec<f32> = b.iter().map(|value| value * 4.0 + 8.0).collect();
        let drift = (run(&a, &bright)?.mean() - near.mean()).abs();
        assert!(drift < 1e-4, "a value up to 24 is rounded by 1e-6, {drift}");
        assert!(run(&a, &vec![0.0; len])?.mean().is_finite());
        Ok(())
    }

    #[test]
    fn what_cannot_be_compared_is_an_error() {
        let run = |a: &[f32], b: &[f32], shape| sliced_wasserstein(a, b, shape, 0, |_| ()).is_err();
        assert!(run(&[0.0; 36], &[0.0; 36], [1, 6, 6]));
        assert!(run(&[0.0; 49], &[0.0; 98], [1, 7, 7]));
        assert!(run(&[], &[], [1, 7, 7]));
        assert!(run(&[f32::NAN; 49], &[0.0; 49], [1, 7, 7]));
    }
}
