//! The original objective.

use anyhow::Result;
use burn::tensor::Tensor;
use burn::tensor::activation::softplus;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Pair, ensure_in};

/// The discriminator maximises the log-likelihood of its verdicts `sigmoid(D)`, the generator minimises it.
///
/// The gradient of the generator vanishes where the discriminator is sure of itself; [`super::NonSaturating`] keeps it.
///
/// # Source
/// Goodfellow et al. 2014, "Generative Adversarial Networks", arXiv:1406.2661. One-sided label smoothing: Salimans et al.
/// 2016, "Improved Techniques for Training GANs", arXiv:1606.03498.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Minimax {
    /// What the target of real images lacks to 1; that of generated images is 0.
    pub smoothing: f64,
}

impl Minimax {
    pub(super) fn check(&self) -> Result<()> {
        ensure_in("smoothing", self.smoothing, 0.0..1.0)
    }

    /// `-E[(1 - s) log sigmoid(D(x)) + s log(1 - sigmoid(D(x)))] - E log(1 - sigmoid(D(G(z))))`, with smoothing `s`
    pub fn discriminator_loss(&self, pair: &Pair) -> Tensor<1> {
        // softplus(D) = softplus(-D) + D, so the smoothed term is softplus(-D) + s D.
        let real = &pair.real.scores;
        let real = softplus(-real.clone(), 1.0) + real.clone().mul_scalar(self.smoothing);
        real.mean() + softplus(pair.fake.scores.clone(), 1.0).mean()
    }

    /// `E log(1 - sigmoid(D(G(z))))`
    pub fn generator_loss(&self, pair: &Pair) -> Tensor<1> {
        -softplus(pair.fake.scores.clone(), 1.0).mean()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objective::tests::{FAKE, Gradients, REAL, pair, sigmoid, value};

    #[test]
    fn losses_match_the_formula() {
        let objective = Minimax { smoothing: 0.1 };
        let log = |v: f64| sigmoid(v).ln();
        let real: f64 = REAL.iter().map(|&v| -0.9 * log(v) - 0.1 * log(-v)).sum();
        let fake: f64 = FAKE.iter().map(|&v| -log(-v)).sum();
        // Eight roundings of values up to 4.
        let tolerance = 8.0 * 4.0 * f64::from(f32::EPSILON);
        let loss = value(objective.discriminator_loss(&pair(&REAL, &FAKE)));
        assert!((loss - (real + fake) / 3.0).abs() < tolerance, "{loss}");
        let loss = value(objective.generator_loss(&pair(&REAL, &FAKE)));
        assert!((loss + fake / 3.0).abs() < tolerance, "{loss}");
    }

    #[test]
    fn gradients_match_the_formula() {
        let objective = Minimax { smoothing: 0.1 };
        Gradients::of(&REAL, &FAKE, |pair| objective.discriminator_loss(pair))
            .assert_real(REAL.map(|v| (sigmoid(v) - 0.9) / 3.0))
            .assert_fake(FAKE.map(|v| sigmoid(v) / 3.0));
        Gradients::of(&REAL, &FAKE, |pair| objective.generator_loss(pair))
            .assert_no_real()
            .assert_fake(FAKE.map(|v| -sigmoid(v) / 3.0));
    }

    #[test]
    fn far_scores_stay_finite() {
        let far = [1e4, -1e4, 0.0];
        let objective = Minimax { smoothing: 0.25 };
        // softplus is exact this far from zero: the score itself on one side, zero on the other.
        let real = 0.25 * 1e4 + 0.75 * 1e4 + f64::ln(2.0);
        let fake = 1e4 + 0.0 + f64::ln(2.0);
        let tolerance = 4.0 * 1e4 * f64::from(f32::EPSILON);
        let loss = value(objective.discriminator_loss(&pair(&far, &far)));
        assert!((loss - (real + fake) / 3.0).abs() < tolerance, "{loss}");
        let loss = value(objective.generator_loss(&pair(&far, &far)));
        assert!((loss + fake / 3.0).abs() < tolerance, "{loss}");
        Gradients::of(&far, &far, |pair| objective.discriminator_loss(pair))
            .assert_real([0.25 / 3.0, -0.75 / 3.0, -0.25 / 3.0])
            .assert_fake([1.0 / 3.0, 0.0, 0.5 / 3.0]);
        Gradients::of(&far, &far, |pair| objective.generator_loss(pair)).assert_fake([
            -1.0 / 3.0,
            0.0,
            -0.5 / 3.0,
        ]);
    }

    #[test]
    fn smoothing_is_below_one() {
        for (smoothing, good) in [(0.0, true), (0.9, true), (1.0, false), (-0.1, false), (f64::NAN, false)] {
            assert_eq!(Minimax { smoothing }.check().is_ok(), good, "{smoothing}");
        }
    }
}
