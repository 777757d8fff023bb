//! The least-squares objective.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

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
    /// `1/2 E(D(x) - b)^2 + 1/2 E(D(G(z)) - a)^2`
    ///
    /// # Shapes
    /// `real` and `fake`: `[N, 1]`, raw scores.
    pub fn discriminator_loss(&self, real: Tensor<2>, fake: Tensor<2>) -> Tensor<1> {
        half_mean_square(real, self.b) + half_mean_square(fake, self.a)
    }

    /// `1/2 E(D(G(z)) - c)^2`
    ///
    /// # Shapes
    /// `fake`: `[N, 1]`, raw scores.
    pub fn generator_loss(&self, fake: Tensor<2>) -> Tensor<1> {
        half_mean_square(fake, self.c)
    }
}

fn half_mean_square(scores: Tensor<2>, target: f64) -> Tensor<1> {
    scores.sub_scalar(target).square().mean().mul_scalar(0.5)
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    const CODES: LeastSquares = LeastSquares { a: -1.0, b: 1.0, c: 0.5 };
    const REAL: [f64; 3] = [0.25, -2.0, 1.5];
    const FAKE: [f64; 3] = [-0.75, 3.0, 0.5];

    fn scores(values: [f64; 3], device: &Device) -> Tensor<2> {
        Tensor::<1>::from_floats(values.map(|v| v as f32), device).reshape([3, 1])
    }

    fn half(values: [f64; 3], target: f64) -> f64 {
        values.iter().map(|v| (v - target).powi(2)).sum::<f64>() / 6.0
    }

    /// Five roundings of values up to 9.
    const TOLERANCE: f64 = 5.0 * 9.0 * f32::EPSILON as f64;

    #[test]
    fn losses_match_the_formula() {
        let device = Device::flex();
        let loss = CODES.discriminator_loss(scores(REAL, &device), scores(FAKE, &device));
        let expected = half(REAL, 1.0) + half(FAKE, -1.0);
        assert!((f64::from(loss.into_scalar::<f32>()) - expected).abs() < TOLERANCE);
        let loss = CODES.generator_loss(scores(FAKE, &device));
        assert!((f64::from(loss.into_scalar::<f32>()) - half(FAKE, 0.5)).abs() < TOLERANCE);
    }

    #[test]
    fn gradients_match_the_formula() {
        let device = Device::flex().autodiff();
        let real = scores(REAL, &device).require_grad();
        let fake = scores(FAKE, &device).require_grad();
        let grads = CODES.discriminator_loss(real.clone(), fake.clone()).backward();
        for (tensor, values, target) in [(real, REAL, 1.0), (fake, FAKE, -1.0)] {
            let grad = tensor.grad(&grads).expect("the loss reads both");
            let grad = grad.into_data().try_into_vec::<f32>().expect("f32");
            for (g, v) in grad.iter().zip(values) {
                assert!((f64::from(*g) - (v - target) / 3.0).abs() < TOLERANCE);
            }
        }
    }
}
