//! The evidence lower bound of a variational autoencoder.

use anyhow::Result;
use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Pair, ensure_in};

/// Both networks minimise one loss: how badly the generator draws an image from what the encoder says of it, and how much the
/// encoder says.
///
/// With pixels that are normal around what the generator draws, of variance `beta`, the loss is minus the evidence lower
/// bound times `beta`, but for a constant. More `beta` makes latents of images more like those of the prior, and images
/// less like what was encoded; with too little, latents of the prior draw no images.
///
/// # Source
/// Kingma and Welling 2014, "Auto-Encoding Variational Bayes", arXiv:1312.6114; `beta` Higgins et al. 2017, "beta-VAE".
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Evidence {
    /// Weight of the divergence from the prior.
    pub beta: f64,
}

impl Default for Evidence {
    fn default() -> Self {
        Self { beta: 1.0 }
    }
}

impl Evidence {
    pub(super) fn check(&self) -> Result<()> {
        ensure_in("beta", self.beta, 0.0..)
    }

    /// [`Self::loss`].
    pub fn discriminator_loss(&self, pair: &Pair) -> Tensor<1> {
        self.loss(pair)
    }

    /// [`Self::loss`].
    pub fn generator_loss(&self, pair: &Pair) -> Tensor<1> {
        self.loss(pair)
    }

    /// `E 1/2 |x - G(z)|^2 + beta E KL(q(z|x) || N(0, 1))`, with squares summed over an image. The generated images are drawn
    /// from latents of the real ones, whose scores are the divergences.
    pub fn loss(&self, pair: &Pair) -> Tensor<1> {
        let n = pair.real.images.dims()[0];
        let error = (pair.real.images.clone() - pair.fake.images.clone()).square().sum();
        error.div_scalar(2.0 * n as f64) + pair.real.scores.clone().mean().mul_scalar(self.beta)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Posterior, values};
    use crate::objective::Judged;
    use crate::objective::tests::{tensor, value};
    use burn::tensor::Device;

    /// One image of one pixel, `x = 0.8`; an encoder that says `m = 0.5, s = log variance = -1` of it, a sample with noise
    /// `e = 0.75`, and a decoder `w z` with `w = 1.5`.
    #[test]
    fn loss_and_gradients_of_a_linear_autoencoder() {
        let device = Device::flex().autodiff();
        let (x, m, s, e, w, beta) = (0.8f64, 0.5f64, -1.0f64, 0.75f64, 1.5f64, 0.25);
        let leaf = |v: f64| tensor(&[v], [1, 1], &device).require_grad();
        let (mean, log_variance, weight) = (leaf(m), leaf(s), leaf(w));
        let posterior = Posterior { mean: mean.clone(), log_variance: log_variance.clone() };
        let latents = posterior.sample(tensor(&[e], [1, 1], &device));
        let judged = |images: Tensor<2>| Judged {
            images: images.reshape([1, 1, 1, 1]),
            scores: posterior.divergence(),
            features: Tensor::zeros([1, 1], &device),
        };
        let real = judged(tensor(&[x], [1, 1], &device));
        let pair = Pair { real, fake: judged(latents * weight.clone()) };
        let loss = Evidence { beta }.loss(&pair);

        let z = m + (s / 2.0).exp() * e;
        let residual = x - w * z;
        let expected = residual * residual / 2.0 + beta / 2.0 * (m * m + s.exp() - 1.0 - s);
        // Two dozen roundings of values below 2.
        let tolerance = 24.0 * 2.0 * f64::from(f32::EPSILON);
        assert!((value(loss.clone()) - expected).abs() < tolerance);
        let gradients = loss.backward();
        let by_z = -residual * w;
        for (leaf, expected) in [
            (mean, by_z + beta * m),
            (log_variance, by_z * e * (s / 2.0).exp() / 2.0 + beta / 2.0 * (s.exp() - 1.0)),
            (weight, -residual * z),
        ] {
            let found = f64::from(values(leaf.grad(&gradients).expect("the loss depends on it"))[0]);
            assert!((found - expected).abs() < tolerance, "{found} {expected}");
        }
    }

    #[test]
    fn sums_over_pixels_and_means_over_images() {
        let device = Device::flex();
        let judged = |images: &[f64], scores: &[f64]| Judged {
            images: tensor(images, [2, 1, 1, 2], &device),
            scores: tensor(scores, [2, 1], &device),
            features: Tensor::zeros([2, 1], &device),
        };
        let real = judged(&[1.0, 0.0, 0.0, 0.0], &[1.0, 3.0]);
        let fake = judged(&[0.0, 0.0, 1.0, 2.0], &[9.0, 9.0]);
        // (1 + 0 + 1 + 4) / (2 * 2) + 0.5 * (1 + 3) / 2, exact in f32.
        assert_eq!(value(Evidence { beta: 0.5 }.loss(&Pair { real, fake })), 2.5);
        assert!(Evidence { beta: -0.1 }.check().is_err());
        assert!(Evidence { beta: f64::NAN }.check().is_err());
    }
}
