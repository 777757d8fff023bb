//! The Wasserstein objective.

use anyhow::Result;
use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Pair;

/// The critic's loss is minus its estimate of the Wasserstein-1 distance, in units of its Lipschitz constant.
///
/// It means something only for a critic that is kept Lipschitz, by clipped weights, a gradient penalty or spectral norms.
///
/// # Source
/// Arjovsky et al. 2017, "Wasserstein GAN", arXiv:1701.07875.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Wasserstein {}

impl Wasserstein {
    pub(super) fn check(&self) -> Result<()> {
        Ok(())
    }

    /// `E D(G(z)) - E D(x)`
    pub fn discriminator_loss(&self, pair: &Pair) -> Tensor<1> {
        pair.fake.scores.clone().mean() - pair.real.scores.clone().mean()
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
        let objective = Wasserstein {};
        // Sums of three numbers with few bits are exact; the division, the difference and its operands are not.
        let tolerance = 4.0 * f64::from(f32::EPSILON);
        let mean = |values: [f64; 3]| values.iter().sum::<f64>() / 3.0;
        let loss = value(objective.discriminator_loss(&pair(&REAL, &FAKE)));
        assert!((loss - (mean(FAKE) - mean(REAL))).abs() < tolerance, "{loss}");
        let loss = value(objective.generator_loss(&pair(&REAL, &FAKE)));
        assert!((loss + mean(FAKE)).abs() < tolerance, "{loss}");
        Gradients::of(&REAL, &FAKE, |pair| objective.discriminator_loss(pair))
            .assert_real([-1.0 / 3.0; 3])
            .assert_fake([1.0 / 3.0; 3]);
        Gradients::of(&REAL, &FAKE, |pair| objective.generator_loss(pair))
            .assert_no_real()
            .assert_fake([-1.0 / 3.0; 3]);
    }
}
