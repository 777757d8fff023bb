//! The original objective with the generator's loss that is used in practice.

use anyhow::Result;
use burn::tensor::Tensor;
use burn::tensor::activation::softplus;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Minimax, Pair};

/// The discriminator of [`Minimax`]; the generator maximises the log-likelihood of being taken for real.
///
/// # Source
/// Goodfellow et al. 2014, "Generative Adversarial Networks", arXiv:1406.2661, section 3.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NonSaturating {
    /// What the target of real images lacks to 1; that of generated images is 0.
    pub smoothing: f64,
}

impl NonSaturating {
    pub(super) fn check(&self) -> Result<()> {
        self.minimax().check()
    }

    /// As [`Minimax::discriminator_loss`].
    pub fn discriminator_loss(&self, pair: &Pair) -> Tensor<1> {
        self.minimax().discriminator_loss(pair)
    }

    /// `-E log sigmoid(D(G(z)))`
    pub fn generator_loss(&self, pair: &Pair) -> Tensor<1> {
        softplus(-pair.fake.scores.clone(), 1.0).mean()
    }

    fn minimax(&self) -> Minimax {
        Minimax { smoothing: self.smoothing }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objective::tests::{FAKE, Gradients, REAL, pair, sigmoid, value};

    #[test]
    fn generator_loss_and_gradient_match_the_formula() {
        let objective = NonSaturating::default();
        let expected = FAKE.iter().map(|&v| -sigmoid(v).ln()).sum::<f64>() / 3.0;
        let loss = value(objective.generator_loss(&pair(&REAL, &FAKE)));
        // Five roundings of values up to 4.
        assert!((loss - expected).abs() < 5.0 * 4.0 * f64::from(f32::EPSILON), "{loss}");
        Gradients::of(&REAL, &FAKE, |pair| objective.generator_loss(pair))
            .assert_no_real()
            .assert_fake(FAKE.map(|v| (sigmoid(v) - 1.0) / 3.0));
    }

    #[test]
    fn the_gradient_stays_where_that_of_minimax_vanishes() {
        let far = [-1e4, 1e4, -30.0];
        Gradients::of(&REAL, &far, |pair| NonSaturating::default().generator_loss(pair)).assert_fake([
            -1.0 / 3.0,
            0.0,
            -1.0 / 3.0,
        ]);
        Gradients::of(&REAL, &far, |pair| Minimax::default().generator_loss(pair)).assert_fake([
            0.0,
            -1.0 / 3.0,
            0.0,
        ]);
    }

    #[test]
    fn the_discriminator_is_that_of_minimax() {
        let (smoothed, pair) = (NonSaturating { smoothing: 0.1 }, pair(&REAL, &FAKE));
        let expected = value(Minimax { smoothing: 0.1 }.discriminator_loss(&pair));
        assert_eq!(value(smoothed.discriminator_loss(&pair)), expected);
        assert!(NonSaturating { smoothing: 1.0 }.check().is_err());
    }
}
