//! The hinge objective.

use anyhow::Result;
use burn::tensor::Tensor;
use burn::tensor::activation::relu;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Pair;

/// The discriminator is a soft-margin classifier, and images beyond the margin teach it nothing.
///
/// # Source
/// Lim and Ye 2017, "Geometric GAN", arXiv:1705.02894; Tran et al. 2017, "Hierarchical Implicit Models and Likelihood-Free
/// Variational Inference", arXiv:1702.08896.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Hinge {}

impl Hinge {
    pub(super) fn check(&self) -> Result<()> {
        Ok(())
    }

    /// `E max(0, 1 - D(x)) + E max(0, 1 + D(G(z)))`
    pub fn discriminator_loss(&self, pair: &Pair) -> Tensor<1> {
        let real = relu(-pair.real.scores.clone() + 1.0);
        let fake = relu(pair.fake.scores.clone() + 1.0);
        real.mean() + fake.mean()
    }

    /// `-E D(G(z))`
    pub fn generator_loss(&self, pair: &Pair) -> Tensor<1> {
        -pair.fake.scores.clone().mean()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objective::tests::{FAKE, Gradients, REAL, pair, value};

    #[test]
    fn losses_and_gradients_match_the_formula() {
        let objective = Hinge {};
        // Five roundings of values up to 5.
        let tolerance = 5.0 * 5.0 * f64::from(f32::EPSILON);
        let real: f64 = REAL.iter().map(|v| (1.0 - v).max(0.0)).sum();
        let fake: f64 = FAKE.iter().map(|v| (1.0 + v).max(0.0)).sum();
        let loss = value(objective.discriminator_loss(&pair(&REAL, &FAKE)));
        assert!((loss - (real + fake) / 3.0).abs() < tolerance, "{loss}");
        let loss = value(objective.generator_loss(&pair(&REAL, &FAKE)));
        assert!((loss + FAKE.iter().sum::<f64>() / 3.0).abs() < tolerance, "{loss}");
        let inside = |inside: bool| if inside { 1.0 / 3.0 } else { 0.0 };
        Gradients::of(&REAL, &FAKE, |pair| objective.discriminator_loss(pair))
            .assert_real(REAL.map(|v| -inside(v < 1.0)))
            .assert_fake(FAKE.map(|v| inside(v > -1.0)));
        Gradients::of(&REAL, &FAKE, |pair| objective.generator_loss(pair))
            .assert_no_real()
            .assert_fake([-1.0 / 3.0; 3]);
    }

    #[test]
    fn beyond_the_margin_the_discriminator_rests() {
        let objective = Hinge {};
        Gradients::of(&[1.5, 2.0, 1e4], &[-1.25, -3.0, -1e4], |pair| objective.discriminator_loss(pair))
            .assert_real([0.0; 3])
            .assert_fake([0.0; 3]);
    }
}
