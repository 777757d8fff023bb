//! The least-squares objective.

use anyhow::{Result, ensure};
use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Pair;

/// Least-squares losses with target codes.
///
/// # Source
/// Mao et al. 2017, "Least Squares Generative Adversarial Networks", arXiv:1611.04076.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
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
    use crate::objective::tests::{FAKE, Gradients, REAL, pair, value};

    const CODES: LeastSquares = LeastSquares { a: -1.0, b: 1.0, c: 0.5 };

    fn half(values: [f64; 3], target: f64) -> f64 {
        values.iter().map(|v| (v - target).powi(2)).sum::<f64>() / 6.0
    }

    /// Five roundings of values up to 16.
    const TOLERANCE: f64 = 5.0 * 16.0 * f32::EPSILON as f64;

    #[test]
    fn losses_match_the_formula() {
        let pair = pair(&REAL, &FAKE);
        let loss = value(CODES.discriminator_loss(&pair));
        assert!((loss - (half(REAL, 1.0) + half(FAKE, -1.0))).abs() < TOLERANCE, "{loss}");
        let loss = value(CODES.generator_loss(&pair));
        assert!((loss - half(FAKE, 0.5)).abs() < TOLERANCE, "{loss}");
    }

    #[test]
    fn gradients_match_the_formula() {
        Gradients::of(&REAL, &FAKE, |pair| CODES.discriminator_loss(pair))
            .assert_real(REAL.map(|v| (v - 1.0) / 3.0))
            .assert_fake(FAKE.map(|v| (v + 1.0) / 3.0));
        Gradients::of(&REAL, &FAKE, |pair| CODES.generator_loss(pair))
            .assert_no_real()
            .assert_fake(FAKE.map(|v| (v - 0.5) / 3.0));
    }

    /// For the discriminator both codings of the paper are one, with `D' = 2D - 1`. For the generator they are not:
    /// a code of 0 is then 1/2, the score of the undecided.
    #[test]
    fn codings_differ_by_an_affine_map() {
        let shared = pair(&REAL, &FAKE);
        let mapped = pair(&REAL.map(|v| 2.0 * v - 1.0), &FAKE.map(|v| 2.0 * v - 1.0));
        let centred = LeastSquares { a: -1.0, b: 1.0, c: 0.0 };
        let loss = value(LeastSquares::default().discriminator_loss(&shared));
        // Scaled by powers of two, every rounding is the same.
        assert_eq!(value(centred.discriminator_loss(&mapped)), 4.0 * loss);
        let undecided = LeastSquares { c: 0.5, ..LeastSquares::default() };
        assert_eq!(value(centred.generator_loss(&mapped)), 4.0 * value(undecided.generator_loss(&shared)));
    }
}
