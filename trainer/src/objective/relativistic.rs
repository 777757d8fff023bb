//! Relativistic objectives: scores count only by their difference from those of the other batch.
//!
//! Both networks have the same loss, of scores that shall be high and others that shall be low: for the discriminator real
//! and generated, for the generator generated and real. So the generator's needs fresh scores of real images.

use anyhow::Result;
use burn::tensor::Tensor;
use burn::tensor::activation::softplus;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Pair;

/// Logistic loss of the difference between a real and a generated image in the same place of their batches.
///
/// The discriminator minimises `-E log sigmoid(D(x) - D(G(z)))`.
///
/// # Source
/// Jolicoeur-Martineau 2018, "The relativistic discriminator: a key element missing from standard GAN", arXiv:1807.00734:
/// RSGAN.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Relativistic {}

impl Relativistic {
    fn loss(high: &Tensor<2>, low: &Tensor<2>) -> Tensor<1> {
        softplus(low.clone() - high.clone(), 1.0).mean()
    }
}

/// Logistic loss of the difference from the mean score of the other batch.
///
/// The discriminator minimises `-1/2 E log sigmoid(D(x) - E D(G(z))) - 1/2 E log(1 - sigmoid(D(G(z)) - E D(x)))`.
///
/// Half of the paper's sum, as in the author's code: the loss of the undecided is `log 2`, as it is in pairs.
///
/// # Source
/// Jolicoeur-Martineau 2018, arXiv:1807.00734: RaSGAN.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RelativisticAverage {}

impl RelativisticAverage {
    fn loss(high: &Tensor<2>, low: &Tensor<2>) -> Tensor<1> {
        let loss = softplus(-above_mean(high, low), 1.0).mean() + softplus(above_mean(low, high), 1.0).mean();
        loss.mul_scalar(0.5)
    }
}

/// Squared difference from a distance of one to the mean score of the other batch.
///
/// The discriminator minimises `1/2 E(D(x) - E D(G(z)) - 1)^2 + 1/2 E(D(G(z)) - E D(x) + 1)^2`.
///
/// # Source
/// Jolicoeur-Martineau 2018, arXiv:1807.00734: RaLSGAN.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RelativisticAverageLeastSquares {}

impl RelativisticAverageLeastSquares {
    fn loss(high: &Tensor<2>, low: &Tensor<2>) -> Tensor<1> {
        let loss =
            (above_mean(high, low) - 1.0).square().mean() + (above_mean(low, high) + 1.0).square().mean();
        loss.mul_scalar(0.5)
    }
}

/// The losses of both networks.
macro_rules! swapped {
    ($($objective:ident),*) => {
        $(impl $objective {
            pub(super) fn check(&self) -> Result<()> {
                Ok(())
            }

            /// Real images shall score high, generated ones low.
            pub fn discriminator_loss(&self, pair: &Pair) -> Tensor<1> {
                Self::loss(&pair.real.scores, &pair.fake.scores)
            }

            /// Generated images shall score high, real ones low.
            pub fn generator_loss(&self, pair: &Pair) -> Tensor<1> {
                Self::loss(&pair.fake.scores, &pair.real.scores)
            }
        })*
    };
}

swapped!(Relativistic, RelativisticAverage, RelativisticAverageLeastSquares);

/// `scores` less the mean of the others, `[N, 1]`. The gradient goes into both.
fn above_mean(scores: &Tensor<2>, others: &Tensor<2>) -> Tensor<2> {
    scores.clone() - others.clone().mean_dim(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objective::tests::{FAKE, Gradients, REAL, mean, pair, sigmoid, value};

    /// A dozen roundings of values up to 16.
    const TOLERANCE: f64 = 12.0 * 16.0 * f32::EPSILON as f64;

    #[test]
    fn paired() {
        let objective = Relativistic {};
        let differences: [f64; 3] = core::array::from_fn(|i| REAL[i] - FAKE[i]);
        let loss = value(objective.discriminator_loss(&pair(&REAL, &FAKE)));
        assert!((loss - mean(differences.map(|d| -sigmoid(d).ln()))).abs() < TOLERANCE, "{loss}");
        let loss = value(objective.generator_loss(&pair(&REAL, &FAKE)));
        assert!((loss - mean(differences.map(|d| -sigmoid(-d).ln()))).abs() < TOLERANCE, "{loss}");
        Gradients::of(&REAL, &FAKE, |pair| objective.discriminator_loss(pair))
            .assert_real(differences.map(|d| -sigmoid(-d) / 3.0))
            .assert_fake(differences.map(|d| sigmoid(-d) / 3.0));
        Gradients::of(&REAL, &FAKE, |pair| objective.generator_loss(pair))
            .assert_real(differences.map(|d| sigmoid(d) / 3.0))
            .assert_fake(differences.map(|d| -sigmoid(d) / 3.0));
    }

    /// The slopes of the costs of `REAL` and `FAKE`, and the gradients that follow: of score i,
    /// `1/2n (own slope - mean of the slopes of the other batch)`.
    fn check_average(
        loss: impl Fn(&Pair) -> Tensor<1>,
        real_slope: impl Fn(f64) -> f64,
        fake_slope: impl Fn(f64) -> f64,
    ) {
        let real = REAL.map(|v| real_slope(v - mean(FAKE)));
        let fake = FAKE.map(|v| fake_slope(v - mean(REAL)));
        Gradients::of(&REAL, &FAKE, loss)
            .assert_real(real.map(|slope| (slope - mean(fake)) / 6.0))
            .assert_fake(fake.map(|slope| (slope - mean(real)) / 6.0));
    }

    #[test]
    fn average() {
        let objective = RelativisticAverage {};
        let (real, fake) = (REAL.map(|v| v - mean(FAKE)), FAKE.map(|v| v - mean(REAL)));
        let cost = |v: f64| -sigmoid(v).ln();
        let loss = value(objective.discriminator_loss(&pair(&REAL, &FAKE)));
        let expected = (mean(real.map(cost)) + mean(fake.map(|v| cost(-v)))) / 2.0;
        assert!((loss - expected).abs() < TOLERANCE, "{loss}");
        let loss = value(objective.generator_loss(&pair(&REAL, &FAKE)));
        let expected = (mean(real.map(|v| cost(-v))) + mean(fake.map(cost))) / 2.0;
        assert!((loss - expected).abs() < TOLERANCE, "{loss}");
        check_average(|pair| objective.discriminator_loss(pair), |v| -sigmoid(-v), sigmoid);
        check_average(|pair| objective.generator_loss(pair), sigmoid, |v| -sigmoid(-v));
    }

    #[test]
    fn average_least_squares() {
        let objective = RelativisticAverageLeastSquares {};
        let (real, fake) = (REAL.map(|v| v - mean(FAKE)), FAKE.map(|v| v - mean(REAL)));
        let from = |target: f64| move |v: f64| (v - target).powi(2);
        let loss = value(objective.discriminator_loss(&pair(&REAL, &FAKE)));
        assert!((loss - (mean(real.map(from(1.0))) + mean(fake.map(from(-1.0)))) / 2.0).abs() < TOLERANCE);
        let loss = value(objective.generator_loss(&pair(&REAL, &FAKE)));
        assert!((loss - (mean(real.map(from(-1.0))) + mean(fake.map(from(1.0)))) / 2.0).abs() < TOLERANCE);
        check_average(|pair| objective.discriminator_loss(pair), |v| 2.0 * (v - 1.0), |v| 2.0 * (v + 1.0));
        check_average(|pair| objective.generator_loss(pair), |v| 2.0 * (v + 1.0), |v| 2.0 * (v - 1.0));
    }

    #[test]
    fn a_constant_on_all_scores_changes_nothing() {
        let shifted = pair(&REAL.map(|v| v + 4.0), &FAKE.map(|v| v + 4.0));
        let pair = pair(&REAL, &FAKE);
        for loss in [
            |pair: &Pair| Relativistic {}.discriminator_loss(pair),
            |pair: &Pair| RelativisticAverage {}.discriminator_loss(pair),
            |pair: &Pair| RelativisticAverageLeastSquares {}.discriminator_loss(pair),
        ] {
            assert!((value(loss(&pair)) - value(loss(&shifted))).abs() < TOLERANCE);
        }
    }

    #[test]
    fn far_scores_stay_finite() {
        let [real, fake] = [[1e4, -1e4, 0.0], [-1e4, 1e4, 0.0]];
        let objective = Relativistic {};
        // softplus is exact this far from zero: 0, 2e4 and log 2.
        let loss = value(objective.discriminator_loss(&pair(&real, &fake)));
        assert!((loss - (2e4 + f64::ln(2.0)) / 3.0).abs() < 3.0 * 2e4 * f64::from(f32::EPSILON), "{loss}");
        Gradients::of(&real, &fake, |pair| objective.discriminator_loss(pair))
            .assert_real([0.0, -1.0 / 3.0, -0.5 / 3.0])
            .assert_fake([0.0, 1.0 / 3.0, 0.5 / 3.0]);
    }
}
