//! Log-likelihood under Parzen windows: how GANs were compared in 2014.

use anyhow::{Context as _, Result, ensure};
use rayon::prelude::*;

/// Mean log-likelihood of test images, in nats.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Parzen {
    /// Over the test images; higher is better.
    pub mean: f64,
    /// Of the mean, from the spread of the images.
    pub standard_error: f64,
    /// Width of the windows that suits the validation images best.
    pub sigma: f64,
}

/// Puts a Gaussian on every generated image, chooses their width by the likelihood of `validation`, and measures that of
/// `test`.
///
/// Of high variance and poor in many dimensions: for comparison with figures of 2014 only. Their protocol has 10,000
/// generated images, 1000 for validation, and all 10,000 test digits of MNIST.
///
/// # Shapes
/// All three: `[N, pixels]` with pixels in [-1, 1], which count as [0, 1].
///
/// # Errors
/// When one of the sets is empty or not finite.
///
/// # Source
/// Goodfellow et al. 2014, arXiv:1406.2661, section 5; widths and protocol of parzen_ll.py in goodfeli/adversarial.
pub fn parzen_log_likelihood(
    generated: &[f32],
    validation: &[f32],
    test: &[f32],
    pixels: usize,
    done: impl Fn(usize) + Sync,
) -> Result<Parzen> {
    for (name, set) in [("generated", generated), ("validation", validation), ("test", test)] {
        ensure!(
            pixels > 0 && !set.is_empty() && set.len().is_multiple_of(pixels),
            "{} values are no {name} images of {pixels} pixels",
            set.len()
        );
        ensure!(set.iter().all(|value| value.is_finite()), "a {name} image is not finite");
    }
    let candidates = log_likelihoods(generated, validation, pixels, &sigmas(), &done);
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (sigma, _) = sigmas()
        .into_iter()
        .enumerate()
        .map(|(i, sigma)| (sigma, mean(&candidates.iter().map(|of| of[i]).collect::<Vec<_>>())))
        .reduce(|best, other| if other.1 > best.1 { other } else { best })
        .context("there are widths")?;
    let values: Vec<f64> =
        log_likelihoods(generated, test, pixels, &[sigma], &done).iter().map(|of| of[0]).collect();
    let n = values.len() as f64;
    let centre = mean(&values);
    let squares: f64 = values.iter().map(|value| (value - centre).powi(2)).sum();
    Ok(Parzen { mean: centre, standard_error: squares.sqrt() / n, sigma })
}

/// Ten widths from 0.1 to 1, in equal ratios.
fn sigmas() -> [f64; 10] {
    core::array::from_fn(|i| 10f64.powf(i as f64 / 9.0 - 1.0))
}

/// For each image its log-likelihood with each width.
fn log_likelihoods(
    centres: &[f32],
    images: &[f32],
    pixels: usize,
    sigmas: &[f64],
    done: &(impl Fn(usize) + Sync),
) -> Vec<Vec<f64>> {
    let of = |image: &[f32]| {
        // Pixels of [-1, 1] are twice as far apart as those of [0, 1].
        let distances: Vec<f64> =
            centres.chunks_exact(pixels).map(|centre| squared_distance(image, centre) / 4.0).collect();
        let least = distances.iter().copied().fold(f64::INFINITY, f64::min);
        let count = distances.len() as f64;
        let log_likelihood = |&sigma: &f64| {
            let precision = 0.5 / (sigma * sigma);
            let sum: f64 = distances.iter().map(|distance| (precision * (least - distance)).exp()).sum();
            let volume = pixels as f64 / 2.0 * (core::f64::consts::TAU * sigma * sigma).ln();
            sum.ln() - count.ln() - precision * least - volume
        };
        let values: Vec<f64> = sigmas.iter().map(log_likelihood).collect();
        done(1);
        values
    };
    images.par_chunks_exact(pixels).map(of).collect()
}

/// Summed in `f64`: a likelihood has it in its exponent, up to fifty times.
fn squared_distance(a: &[f32], b: &[f32]) -> f64 {
    let mut sums = [0.0f64; 8];
    let (a, a_rest) = a.as_chunks::<8>();
    let (b, b_rest) = b.as_chunks::<8>();
    for (a, b) in a.iter().zip(b) {
        for lane in 0..sums.len() {
            sums[lane] += f64::from(a[lane] - b[lane]).powi(2);
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(a, b)| f64::from(a - b).powi(2)).sum();
    sums.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::noise;

    /// Images of 11 pixels in [-1, 1], in steps that halve exactly.
    fn images(n: usize, seed: u64) -> Vec<f32> {
        let mut rng = noise::rng(seed);
        (0..11 * n).map(|_| noise::below(&mut rng, 257) as f32 / 128.0 - 1.0).collect()
    }

    #[test]
    fn one_window_has_a_closed_form() -> Result<()> {
        // Four pixels of 1 against 0.5 in [0, 1]: squared distance 1.
        let parzen = parzen_log_likelihood(&[0.0; 4], &[1.0; 4], &[1.0; 8], 4, |_| ())?;
        // The likelihood of 4 pixels at a distance of 1 is greatest with sigma^2 = 1/4; the next widths in the list are
        // 10^(-1/3) = 0.464 and 10^(-2/9) = 0.599.
        let sigma = 10f64.powf(-1.0 / 3.0);
        let value = |sigma: f64| -0.5 / (sigma * sigma) - 2.0 * (core::f64::consts::TAU * sigma * sigma).ln();
        assert!(value(sigma) > value(10f64.powf(-2.0 / 9.0)) && value(sigma) > value(10f64.powf(-4.0 / 9.0)));
        assert!((parzen.sigma - sigma).abs() < 4.0 * f64::EPSILON);
        assert!((parzen.mean - value(sigma)).abs() < 64.0 * f64::EPSILON, "{parzen:?} {}", value(sigma));
        assert_eq!(parzen.standard_error, 0.0);
        Ok(())
    }

    #[test]
    fn windows_are_summed_as_by_a_plain_loop() -> Result<()> {
        let (generated, validation, test) = (images(40, 1), images(7, 2), images(9, 3));
        let plain = |x: &[f32], sigma: f64| {
            let density: f64 = generated
                .chunks(11)
                .map(|centre| {
                    let gaussian = |(a, b): (&f32, &f32)| {
                        let d = f64::from(a - b) / 2.0 / sigma;
                        (-d * d / 2.0).exp() / (core::f64::consts::TAU.sqrt() * sigma)
                    };
                    x.iter().zip(centre).map(gaussian).product::<f64>() / 40.0
                })
                .sum();
            density.ln()
        };
        let found = log_likelihoods(&generated, &validation, 11, &sigmas(), &|_| ());
        for (image, found) in validation.chunks(11).zip(&found) {
            for (&sigma, &value) in sigmas().iter().zip(found) {
                let expected = plain(image, sigma);
                // Exponents up to 11 / (2 0.1^2) = 550, rounded a few times, and products of 11 factors.
                assert!((value - expected).abs() < 550.0 * 32.0 * f64::EPSILON, "{value} {expected}");
            }
        }
        let parzen = parzen_log_likelihood(&generated, &validation, &test, 11, |_| ())?;
        let values: Vec<f64> = test.chunks(11).map(|image| plain(image, parzen.sigma)).collect();
        let mean = values.iter().sum::<f64>() / 9.0;
        let error = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>().sqrt() / 9.0;
        assert!((parzen.mean - mean).abs() < 1e-10 && (parzen.standard_error - error).abs() < 1e-10);
        Ok(())
    }

    #[test]
    fn far_images_have_finite_likelihoods() -> Result<()> {
        // exp of -5e5 is zero in f64; its logarithm is not taken.
        let parzen = parzen_log_likelihood(&[-1.0; 10_000], &[-1.0; 10_000], &[1.0; 10_000], 10_000, |_| ())?;
        let expected = -10_000.0 * (50.0 + 0.5 * (core::f64::consts::TAU * 0.01).ln());
        assert!((parzen.mean / expected - 1.0).abs() < 1e-12, "{parzen:?} {expected}");
        assert!(parzen_log_likelihood(&[], &[0.0], &[0.0], 1, |_| ()).is_err());
        assert!(parzen_log_likelihood(&[0.0], &[f32::NAN], &[0.0], 1, |_| ()).is_err());
        assert!(parzen_log_likelihood(&[0.0; 3], &[0.0; 2], &[0.0; 2], 2, |_| ()).is_err());
        Ok(())
    }
}
