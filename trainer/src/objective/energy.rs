//! The energy-based objective.

use anyhow::Result;
use burn::tensor::Tensor;
use burn::tensor::activation::relu;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Pair, ensure_in};

/// The discriminator gives real images a low energy, and generated ones at least a margin.
///
/// Energies must be bounded below, as the error of an autoencoder is: the first term pulls those of real images down for
/// ever. An error that is a mean over the values of an image, all in [-1, 1], is at most 4; a margin for sums over
/// values is larger by their number.
///
/// # Source
/// Zhao et al. 2017, "Energy-based Generative Adversarial Network", arXiv:1609.03126.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Energy {
    /// Energy above which a generated image no longer matters to the discriminator.
    pub margin: f64,
    /// Weight of the pulling-away term, which wants the features of generated images to differ; 0 to leave it out.
    pub pulling_away: f64,
}

impl Default for Energy {
    fn default() -> Self {
        Self { margin: 1.0, pulling_away: 0.1 }
    }
}

impl Energy {
    pub(super) fn check(&self) -> Result<()> {
        ensure_in("margin", self.margin, 0.0..)?;
        ensure_in("pulling_away", self.pulling_away, 0.0..)
    }

    /// `E D(x) + E max(0, m - D(G(z)))`
    pub fn discriminator_loss(&self, pair: &Pair) -> Tensor<1> {
        let fake = relu(-pair.fake.scores.clone() + self.margin);
        pair.real.scores.clone().mean() + fake.mean()
    }

    /// `E D(G(z)) + pulling_away PT`, where `PT` is the mean over pairs of generated images of the squared cosine between
    /// their features.
    pub fn generator_loss(&self, pair: &Pair) -> Tensor<1> {
        let energy = pair.fake.scores.clone().mean();
        if self.pulling_away == 0.0 {
            return energy;
        }
        energy + pulling_away(pair.fake.features.clone()).mul_scalar(self.pulling_away)
    }
}

/// Mean of the squared cosines between different rows of `[N, F]`; zero for a single row.
fn pulling_away(features: Tensor<2>) -> Tensor<1> {
    let n = features.dims()[0];
    let length = (features.clone().square().sum_dim(1) + SMALLEST_SQUARE).sqrt();
    let unit = features / length;
    let cosines = unit.clone().matmul(unit.transpose());
    let others = -Tensor::<2>::eye(n, &cosines.device()) + 1.0;
    let pairs = (n * n - n).max(1);
    (cosines.square() * others).sum().div_scalar(pairs as f64)
}

/// Keeps the gradient finite for features that are all zero.
const SMALLEST_SQUARE: f64 = 1e-12;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objective::tests::{FAKE, Gradients, REAL, pair, tensor, value};
    use burn::tensor::Device;

    const OBJECTIVE: Energy = Energy { margin: 0.5, pulling_away: 0.0 };

    #[test]
    fn losses_and_gradients_match_the_formula() {
        // Five roundings of values up to 4.
        let tolerance = 5.0 * 4.0 * f64::from(f32::EPSILON);
        let [real, fake] = [[0.25, 2.0, 1.5], [0.375, 3.0, 0.0]];
        let loss = value(OBJECTIVE.discriminator_loss(&pair(&real, &fake)));
        assert!((loss - (3.75 + 0.125 + 0.0 + 0.5) / 3.0).abs() < tolerance, "{loss}");
        let loss = value(OBJECTIVE.generator_loss(&pair(&real, &fake)));
        assert!((loss - 3.375 / 3.0).abs() < tolerance, "{loss}");
        Gradients::of(&real, &fake, |pair| OBJECTIVE.discriminator_loss(pair))
            .assert_real([1.0 / 3.0; 3])
            .assert_fake([-1.0 / 3.0, 0.0, -1.0 / 3.0]);
        Gradients::of(&real, &fake, |pair| OBJECTIVE.generator_loss(pair))
            .assert_no_real()
            .assert_fake([1.0 / 3.0; 3]);
    }

    #[test]
    fn pulling_away_of_known_angles() {
        let device = Device::flex();
        // Six roundings of cosines up to 1.
        let tolerance = 6.0 * f64::from(f32::EPSILON);
        let third = 1.0 / 3.0;
        for (features, expected) in [
            (vec![[1.0, 0.0, 0.0], [0.0, 3.0, 0.0], [0.0, 0.0, -2.0]], 0.0),
            (vec![[0.5, -2.0, 1.0]; 3], 1.0),
            (vec![[0.5, -2.0, 1.0], [-1.0, 4.0, -2.0]], 1.0),
            (vec![[1.0, 0.0, 0.0], [5.0, 5.0, 0.0]], 0.5),
            // Of three pairs, one is parallel.
            (vec![[1.0, 0.0, 0.0], [2.0, 0.0, 0.0], [0.0, 1.0, 0.0]], third),
            (vec![[1.0, 2.0, 3.0]], 0.0),
        ] {
            let got = value(pulling_away(tensor(&features.concat(), [features.len(), 3], &device)));
            assert!((got - expected).abs() < tolerance, "{features:?}: {got}");
        }
    }

    #[test]
    fn the_gradient_of_pulling_away_matches_the_formula() {
        let device = Device::flex().autodiff();
        let [f, g] = [[1.0, 2.0, -0.5], [0.25, 1.0, 1.5]];
        let features = tensor(&[f, g].concat(), [2, 3], &device).require_grad();
        let mut pair = pair(&REAL[..2], &FAKE[..2]);
        pair.fake.features = features.clone();
        let objective = Energy { pulling_away: 0.25, ..OBJECTIVE };
        let grads = objective.generator_loss(&pair).backward();
        let grad = features.grad(&grads).expect("the loss reads features").into_data();
        let grad = grad.try_into_vec::<f32>().expect("f32");

        // d cos^2 / df = 2 cos (g / |f||g| - cos f / |f|^2), and the same for g.
        let dot = |a: [f64; 3], b: [f64; 3]| (0..3).map(|i| a[i] * b[i]).sum::<f64>();
        let cos = dot(f, g) / (dot(f, f) * dot(g, g)).sqrt();
        let slope = |a: [f64; 3], b: [f64; 3], i: usize| {
            0.25 * 2.0 * cos * (b[i] / (dot(a, a) * dot(b, b)).sqrt() - cos * a[i] / dot(a, a))
        };
        let expected = (0..3).map(|i| slope(f, g, i)).chain((0..3).map(|i| slope(g, f, i)));
        for (got, expected) in grad.iter().zip(expected) {
            // A dozen roundings of terms below 0.5.
            assert!(
                (f64::from(*got) - expected).abs() < 12.0 * 0.5 * f64::from(f32::EPSILON),
                "{got} {expected}"
            );
        }
    }

    #[test]
    fn features_that_are_zero_have_finite_gradients() {
        let device = Device::flex().autodiff();
        let features = tensor(&[0.0, 0.0, 1.0, 2.0], [2, 2], &device).require_grad();
        let loss = pulling_away(features.clone());
        let grads = loss.backward();
        let grad = features.grad(&grads).expect("the loss reads features").into_data();
        let grad = grad.try_into_vec::<f32>().expect("f32");
        assert!(grad.iter().all(|g| g.is_finite()), "{grad:?}");
        assert_eq!(value(loss), 0.0);
    }

    #[test]
    fn numbers_are_not_negative() {
        assert!(Energy { margin: -1.0, ..OBJECTIVE }.check().is_err());
        assert!(Energy { pulling_away: f64::INFINITY, ..OBJECTIVE }.check().is_err());
        assert!(Energy { margin: 0.0, pulling_away: 0.0 }.check().is_ok());
    }
}
