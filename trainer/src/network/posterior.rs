//! What an encoder says of the latents of images.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::layer::{Condition, Dense};

/// A normal distribution of each latent number, independent of the others.
///
/// # Source
/// Kingma and Welling 2014, "Auto-Encoding Variational Bayes", arXiv:1312.6114.
#[derive(Clone, Debug)]
pub struct Posterior {
    /// `[N, latent_dim]`
    pub mean: Tensor<2>,
    /// `[N, latent_dim]`
    pub log_variance: Tensor<2>,
}

impl Posterior {
    /// Latents with this distribution, as a function of its numbers.
    ///
    /// # Shapes
    /// `noise`: `[N, latent_dim]`, standard normal; result likewise.
    pub fn sample(&self, noise: Tensor<2>) -> Tensor<2> {
        self.mean.clone() + self.log_variance.clone().mul_scalar(0.5).exp() * noise
    }

    /// Kullback-Leibler divergence from the prior `N(0, 1)`, in nats: `1/2 sum(mean^2 + variance - 1 - log variance)`.
    ///
    /// # Shapes
    /// Result: `[N, 1]`.
    pub fn divergence(&self) -> Tensor<2> {
        let variance = self.log_variance.clone().exp();
        (self.mean.clone().square() + variance - self.log_variance.clone() - 1.0).sum_dim(1).mul_scalar(0.5)
    }

    /// Minus the logarithm of the density at `latents`, without the constant: `1/2 sum((z - mean)^2 / variance + log variance)`.
    ///
    /// # Shapes
    /// `latents`: `[N, latent_dim]`; result: `[N, 1]`.
    pub fn surprise(&self, latents: Tensor<2>) -> Tensor<2> {
        let error = (latents - self.mean.clone()).square();
        (error * self.log_variance.clone().neg().exp() + self.log_variance.clone()).sum_dim(1).mul_scalar(0.5)
    }
}

/// From features to mean and logarithm of the variance.
#[derive(Module, Debug)]
pub(super) struct PosteriorHead {
    /// To `2 latent_dim` values.
    dense: Dense,
}

impl PosteriorHead {
    pub(super) fn new(features: usize, latent_dim: usize, spectral: bool, device: &Device) -> Self {
        Self { dense: Dense::new([features, 2 * latent_dim], device).spectral(spectral) }
    }

    pub(super) fn posterior(&self, features: Tensor<2>, condition: &Condition) -> Posterior {
        halves(self.dense.matrix(features, condition))
    }

    /// How the divergence changes with the features.
    pub(super) fn divergence_along(
        &self,
        features: Tensor<2>,
        features_v: Tensor<2>,
        condition: &Condition,
    ) -> Tensor<2> {
        let Posterior { mean, log_variance } = self.posterior(features, condition);
        let along = halves(self.dense.linear(features_v, condition));
        let by_variance = log_variance.exp().sub_scalar(1.0).mul_scalar(0.5);
        (mean * along.mean + by_variance * along.log_variance).sum_dim(1)
    }

    pub(super) fn iterated(self) -> Self {
        Self { dense: self.dense.iterated() }
    }
}

fn halves(values: Tensor<2>) -> Posterior {
    let latent_dim = values.dims()[1] / 2;
    let [mean, log_variance] = [0, latent_dim].map(|start| values.clone().narrow(1, start, latent_dim));
    Posterior { mean, log_variance }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::values;

    fn posterior(mean: [f64; 2], log_variance: [f64; 2]) -> Posterior {
        let tensor = |v: [f64; 2]| Tensor::from_floats([v.map(|v| v as f32)], &Device::flex());
        Posterior { mean: tensor(mean), log_variance: tensor(log_variance) }
    }

    /// The trapezoidal rule over ten deviations, whose error for a normal density is far below rounding.
    fn integral(mean: f64, log_variance: f64, f: impl Fn(f64, f64) -> f64) -> f64 {
        let deviation = (log_variance / 2.0).exp();
        let step = deviation / 10.0;
        let points = (-100..=100).map(|i| mean + step * f64::from(i));
        points.map(|z| step * f(z, log_density(z, mean, log_variance))).sum()
    }

    fn log_density(z: f64, mean: f64, log_variance: f64) -> f64 {
        -0.5 * ((z - mean).powi(2) / log_variance.exp() + log_variance + (2.0 * core::f64::consts::PI).ln())
    }

    const MEAN: [f64; 2] = [0.75, -1.5];
    const LOG_VARIANCE: [f64; 2] = [-2.0, 0.5];

    #[test]
    fn the_divergence_is_the_integral_that_defines_it() {
        let divergence: f64 = (0..2)
            .map(|i| {
                let log_ratio = |z, log_q: f64| log_q.exp() * (log_q - log_density(z, 0.0, 0.0));
                integral(MEAN[i], LOG_VARIANCE[i], log_ratio)
            })
            .sum();
        let found = f64::from(values(posterior(MEAN, LOG_VARIANCE).divergence())[0]);
        // A dozen roundings of sums below 8.
        assert!((found - divergence).abs() < 12.0 * 8.0 * f64::from(f32::EPSILON), "{found} {divergence}");
        assert_eq!(values(posterior([0.0; 2], [0.0; 2]).divergence()), [0.0]);
    }

    #[test]
    fn the_surprise_is_minus_the_log_density() {
        let z = [0.25, -3.0];
        let constant = (2.0 * core::f64::consts::PI).ln();
        let expected: f64 =
            (0..2).map(|i| -log_density(z[i], MEAN[i], LOG_VARIANCE[i])).sum::<f64>() - constant;
        let latents = Tensor::from_floats([z.map(|v| v as f32)], &Device::flex());
        let found = f64::from(values(posterior(MEAN, LOG_VARIANCE).surprise(latents))[0]);
        // A dozen roundings of sums below 8.
        assert!((found - expected).abs() < 12.0 * 8.0 * f64::from(f32::EPSILON), "{found} {expected}");
    }

    #[test]
    fn samples_have_mean_and_deviation() {
        let posterior = posterior(MEAN, LOG_VARIANCE);
        for noise in [0.0, 1.0, -2.0] {
            let found = values(posterior.sample(Tensor::from_floats([[noise; 2]], &Device::flex())));
            for i in 0..2 {
                let expected = MEAN[i] + noise * (LOG_VARIANCE[i] / 2.0).exp();
                // Four roundings of values below 4.
                let error = (f64::from(found[i]) - expected).abs();
                assert!(error < 4.0 * 4.0 * f64::from(f32::EPSILON), "{found:?} {expected}");
            }
        }
    }
}
