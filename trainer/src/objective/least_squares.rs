//! The least-squares objective.

use anyhow::{Result, ensure};
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::Pair;

/// Least-squares losses with target codes.
///
/// # Source
/// Mao et al. 2017, "Least Squares Generative Adversarial Networks", arXiv:1611.04076.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LeastSquares {
    /// What the discriminator shall say of generated images.
    pub a: f64,
    /// What the discriminator shall say of real images.
    pub b: f64,
    /// What the generator wants the discriminator to say of generated images.
    pub c: f64,
}

impl Default for LeastSquares {
    /// The 0-1 coding.
    fn default() -> Self {
        Self { a: 0.0, b: 1.0, c: 1.0 }
    }
}

impl LeastSquares {
    pub(super) fn check(&self) -> Result<()> {
        for (name, code) in [("a", self.a), ("b", self.b), ("c", self.c)] {
            ensure!(code.is_finite(), "code {name} is {code}");
        }
        Ok(())
    }

    /// `1/2 E(D(x) - b)^2 + 1/2 E(D(G(z)) - a)^2`
    ///
    /// No sigmoid stands before the squares.
    pub fn discriminator_loss(&self, pair: &Pair) -> Tensor<1> {
        half_mean_square(&pair.real.scores, self.b) + half_mean_square(&pair.fake.scores, self.a)
    }

    /// `1/2 E(D(G(z)) - c)^2`
    pub fn generator_loss(&self, pair: &Pair) -> Tensor<1> {
        half_mean_square(&pair.fake.scores, self.c)
    }
}

fn half_mean_square(scores: &Tensor<2>, target: f64) -> Tensor<1> {
    scores.clone().sub_scalar(target).square().mean().mul_scalar(0.5)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objective::Judged;
    use burn::tensor::Device;

    const CODES: LeastSquares = LeastSquares { a: -1.0, b: 1.0, c: 0.5 };
    const REAL: [f64; 3] = [0.25, -2.0, 1.5];
    const FAKE: [f64; 3] = [-0.75, 3.0, 0.5];

    fn pair(device: &Device) -> Pair {
        let judged = |values: [f64; 3]| Judged {
            images: Tensor::zeros([3, 1, 1, 1], device),
            scores: Tensor::<1>::from_floats(values.map(|v| v as f32), device).reshape([3, 1]).require_grad(),
            features: Tensor::zeros([3, 1], device),
        };
        Pair { real: judged(REAL), fake: judged(FAKE) }
    }

    fn half(values: [f64; 3], target: f64) -> f64 {
        values.iter().map(|v| (v - target).powi(2)).sum::<f64>() / 6.0
    }

    /// Five roundings of values up to 9.
    const TOLERANCE: f64 = 5.0 * 9.0 * f32::EPSILON as f64;

    #[test]
    fn losses_match_the_formula() {
        let pair = pair(&Device::flex().autodiff());
        let loss = CODES.discriminator_loss(&pair);
        let expected = half(REAL, 1.0) + half(FAKE, -1.0);
        assert!((f64::from(loss.into_scalar::<f32>()) - expected).abs() < TOLERANCE);
        let loss = CODES.generator_loss(&pair);
        assert!((f64::from(loss.into_scalar::<f32>()) - half(FAKE, 0.5)).abs() < TOLERANCE);
    }

    #[test]
    fn gradients_match_the_formula() {
        let pair = pair(&Device::flex().autodiff());
        let grads = CODES.discriminator_loss(&pair).backward();
        for (tensor, values, target) in [(pair.real.scores, REAL, 1.0), (pair.fake.scores, FAKE, -1.0)] {
            let grad = tensor.grad(&grads).expect("the loss reads both");
            let grad = grad.into_data().try_into_vec::<f32>().expect("f32");
            for (g, v) in grad.iter().zip(values) {
                assert!((f64::from(*g) - (v - target) / 3.0).abs() < TOLERANCE);
            }
        }
    }
}
