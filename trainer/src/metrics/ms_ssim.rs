//! Multi-scale structural similarity of pairs of images: how much alike a generator's images are.

use anyhow::{Result, ensure};
use rayon::prelude::*;

/// The mean over pairs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MsSsim {
    /// 1 where all images are the same; real images say what is right.
    pub mean: f64,
    /// Of the mean, from the spread of the pairs; absent with one pair.
    pub standard_error: Option<f64>,
    /// Pairs that were compared.
    pub pairs: usize,
    /// Scales that the images are large enough for, of five.
    pub scales: usize,
}

/// Compares the first image with the second, the third with the fourth, and so on: images in random order are paired at
/// random, and no image counts twice.
///
/// # Shapes
/// `images`: `[N, C, H, W]` in [-1, 1]; channels are compared alone and averaged.
///
/// # Errors
/// When there are fewer than two images, or they are smaller than the window of 11 pixels.
///
/// # Source
/// Wang et al. 2003, "Multi-scale structural similarity for image quality assessment"; as a measure of diversity Odena et
/// al. 2017, arXiv:1610.09585. Five scales need 176 pixels; smaller images have the first of them, as many as fit, with
/// weights that sum to 1, so that compare figures of one size only. A negative structure counts as 0, as in TensorFlow.
pub fn ms_ssim(images: &[f32], [c, h, w]: [usize; 3], done: impl Fn(usize) + Sync) -> Result<MsSsim> {
    let image = c * h * w;
    ensure!(image > 0 && images.len() >= 2 * image, "{} values are no pair of images", images.len());
    ensure!(images.iter().all(|value| value.is_finite()), "an image is not finite");
    let scales = scales([h, w]);
    ensure!(scales > 0, "images of {h}x{w} are smaller than the window of {WINDOW}x{WINDOW}");
    let values: Vec<f64> = images
        .par_chunks_exact(2 * image)
        .map(|pair| {
            let (a, b) = pair.split_at(image);
            let planes = a.chunks_exact(h * w).zip(b.chunks_exact(h * w));
            let sum: f64 =
                planes.map(|(a, b)| similarity(Plane::new(a, h, w), Plane::new(b, h, w), scales)).sum();
            done(2);
            sum / c as f64
        })
        .collect();
    let pairs = values.len();
    let mean = values.iter().sum::<f64>() / pairs as f64;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let standard_error = (pairs > 1).then(|| (squares / ((pairs - 1) * pairs) as f64).sqrt());
    Ok(MsSsim { mean, standard_error, pairs, scales })
}

/// How many scales fit: each has half the pixels of the one before, at least 11 each way, and there are five at most.
fn scales([height, width]: [usize; 2]) -> usize {
    let mut size = height.min(width);
    let mut scales = 0;
    while size >= WINDOW && scales < WEIGHTS.len() {
        (scales, size) = (scales + 1, size / 2);
    }
    scales
}

/// One channel, in [0, 1].
struct Plane {
    height: usize,
    width: usize,
    values: Vec<f64>,
}

impl Plane {
    fn new(values: &[f32], height: usize, width: usize) -> Self {
        Self { height, width, values: values.iter().map(|&value| (f64::from(value) + 1.0) / 2.0).collect() }
    }

    fn product(&self, other: &Self) -> Self {
        let values = self.values.iter().zip(&other.values).map(|(a, b)| a * b).collect();
        Self { values, ..*self }
    }

    /// Means under the window wherever it lies inside the image.
    fn windowed(&self) -> Self {
        let weights = window();
        let [height, width] = [self.height, self.width].map(|extent| extent - (WINDOW - 1));
        let across: Vec<f64> = self
            .values
            .chunks_exact(self.width)
            .flat_map(|row| {
                row.windows(WINDOW).map(|values| values.iter().zip(weights).map(|(v, w)| v * w).sum())
            })
            .collect();
        let mut values = vec![0.0; height * width];
        for (y, row) in values.chunks_exact_mut(width).enumerate() {
            for (weight, source) in weights.iter().zip(across[y * width..].chunks_exact(width)) {
                row.iter_mut().zip(source).for_each(|(sum, value)| *sum += weight * value);
            }
        }
        Self { height, width, values }
    }

    /// Means of 2x2 pixels; an odd row or column at the end is left out.
    fn halved(&self) -> Self {
        let (height, width) = (self.height / 2, self.width / 2);
        let at = |y: usize, x: usize| self.values[y * self.width + x];
        let mean = |y: usize, x: usize| (at(y, x) + at(y, x + 1) + at(y + 1, x) + at(y + 1, x + 1)) / 4.0;
        let values = (0..height).flat_map(|y| (0..width).map(move |x| mean(2 * y, 2 * x))).collect();
        Self { height, width, values }
    }
}

/// Structure of every scale and luminance of the last, each to its weight.
fn similarity(mut a: Plane, mut b: Plane, scales: usize) -> f64 {
    let weights = &WEIGHTS[..scales];
    let total: f64 = weights.iter().sum();
    let mut product = 1.0;
    for (scale, weight) in weights.iter().enumerate() {
        if scale > 0 {
            (a, b) = (a.halved(), b.halved());
        }
        let (both, structure) = ssim(&a, &b);
        let value = if scale + 1 == scales { both } else { structure };
        product *= value.max(0.0).powf(weight / total);
    }
    product
}

/// Means over all windows: luminance times contrast and structure, and contrast and structure alone.
fn ssim(a: &Plane, b: &Plane) -> (f64, f64) {
    let (mean_a, mean_b) = (a.windowed(), b.windowed());
    let [aa, bb, ab] = [a.product(a), b.product(b), a.product(b)].map(|plane| plane.windowed());
    let (mut both, mut structure) = (0.0, 0.0);
    for i in 0..aa.values.len() {
        let (ma, mb) = (mean_a.values[i], mean_b.values[i]);
        let (va, vb, covariance) = (aa.values[i] - ma * ma, bb.values[i] - mb * mb, ab.values[i] - ma * mb);
        let cs = (2.0 * covariance + C2) / (va + vb + C2);
        both += (2.0 * ma * mb + C1) / (ma * ma + mb * mb + C1) * cs;
        structure += cs;
    }
    let n = aa.values.len() as f64;
    (both / n, structure / n)
}

/// A Gaussian with a standard deviation of 1.5 pixels; sum 1.
fn window() -> [f64; WINDOW] {
    let weights: [f64; WINDOW] = core::array::from_fn(|i| {
        let x = i as f64 - (WINDOW / 2) as f64;
        (-x * x / (2.0 * 1.5 * 1.5)).exp()
    });
    let sum: f64 = weights.iter().sum();
    weights.map(|weight| weight / sum)
}

const WINDOW: usize = 11;
const WEIGHTS: [f64; 5] = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333];
/// For values from 0 to 1.
const C1: f64 = 0.01 * 0.01;
const C2: f64 = 0.03 * 0.03;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::noise;

    fn noisy(len: usize, seed: u64) -> Vec<f32> {
        let mut rng = noise::rng(seed);
        (0..len).map(|_| noise::uniform(&mut rng) * 2.0 - 1.0).collect()
    }

    /// By the definition: for every place a window of 11x11 weights, and central moments.
    fn plain_ssim(a: &[f64], b: &[f64], h: usize, w: usize) -> (f64, f64) {
        let g = |d: usize| (-(d as f64 - 5.0).powi(2) / 4.5).exp();
        let total: f64 = (0..11).flat_map(|y| (0..11).map(move |x| g(y) * g(x))).sum();
        let (mut ssim, mut cs, mut n) = (0.0, 0.0, 0.0);
        for top in 0..=h - 11 {
            for left in 0..=w - 11 {
                let over = |f: &dyn Fn(f64, f64) -> f64| {
                    let mut sum = 0.0;
                    for y in 0..11 {
                        for x in 0..11 {
                            let at = (top + y) * w + left + x;
                            sum += g(y) * g(x) / total * f(a[at], b[at]);
                        }
                    }
                    sum
                };
                let (ma, mb) = (over(&|a, _| a), over(&|_, b| b));
                let va = over(&|a, _| (a - ma).powi(2));
                let vb = over(&|_, b| (b - mb).powi(2));
                let covariance = over(&|a, b| (a - ma) * (b - mb));
                let structure = (2.0 * covariance + 9e-4) / (va + vb + 9e-4);
                ssim += structure * (2.0 * ma * mb + 1e-4) / (ma * ma + mb * mb + 1e-4);
                cs += structure;
                n += 1.0;
            }
        }
        (ssim / n, cs / n)
    }

    #[test]
    fn two_scales_are_those_of_the_definition() -> Result<()> {
        let (h, w) = (23, 26);
        // Half alike, so that no structure is negative.
        let (base, other) = (noisy(h * w, 1), noisy(h * w, 2));
        let mixed: Vec<f32> = base.iter().zip(&other).map(|(a, b)| 0.5 * (a + b)).collect();
        let found = ms_ssim(&[base.clone(), mixed.clone()].concat(), [1, h, w], |_| ())?;
        assert_eq!((found.pairs, found.scales, found.standard_error), (1, 2, None));

        let unit = |values: &[f32]| values.iter().map(|&v| f64::from(v) * 0.5 + 0.5).collect::<Vec<_>>();
        let half = |values: &[f64]| {
            let mut result = vec![];
            for y in 0..h / 2 {
                for x in 0..w / 2 {
                    let sum: f64 = [(0, 0), (0, 1), (1, 0), (1, 1)]
                        .map(|(i, j)| values[(2 * y + i) * w + 2 * x + j])
                        .iter()
                        .sum();
                    result.push(sum / 4.0);
                }
            }
            result
        };
        let (a, b) = (unit(&base), unit(&mixed));
        let (_, fine) = plain_ssim(&a, &b, h, w);
        let (coarse, _) = plain_ssim(&half(&a), &half(&b), h / 2, w / 2);
        assert!(fine > 0.1 && coarse > 0.1, "the test needs structure: {fine} {coarse}");
        let expected = fine.powf(0.0448 / 0.3304) * coarse.powf(0.2856 / 0.3304);
        // Variances as differences of moments below 1 lose 121 roundings, over a denominator of at least C2.
        assert!((found.mean - expected).abs() < 121.0 * f64::EPSILON / C2 * 4.0, "{found:?} {expected}");
        Ok(())
    }

    #[test]
    fn equal_images_are_alike_and_opposite_ones_are_not() -> Result<()> {
        let image = noisy(2 * 44 * 44, 3);
        let same = ms_ssim(&image.repeat(4), [2, 44, 44], |_| ())?;
        assert_eq!((same.pairs, same.scales), (2, 3));
        assert!((same.mean - 1.0).abs() < 16.0 * f64::EPSILON, "{same:?}");
        assert!(same.standard_error.is_some_and(|error| error < 16.0 * f64::EPSILON));
        let opposite: Vec<f32> = image.iter().map(|value| -value).collect();
        let opposite = ms_ssim(&[image, opposite].concat(), [2, 44, 44], |_| ())?;
        assert_eq!(opposite.mean, 0.0, "negative structure counts as none");
        Ok(())
    }

    #[test]
    fn scales_are_those_that_fit() {
        let sizes = [10, 11, 21, 22, 28, 44, 64, 88, 175, 176, 1024];
        assert_eq!(sizes.map(|size| scales([size, 2000])), [0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]);
        assert!(ms_ssim(&[0.0; 200], [1, 10, 10], |_| ()).is_err());
        assert!(ms_ssim(&[0.0; 144], [1, 12, 12], |_| ()).is_err(), "one image");
        assert!(ms_ssim(&[f32::NAN; 288], [1, 12, 12], |_| ()).is_err());
    }
}
