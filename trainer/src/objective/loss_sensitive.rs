//! The loss-sensitive objective, and its generalisation.

use anyhow::Result;
use burn::tensor::Tensor;
use burn::tensor::activation::relu;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Pair, ensure_in};

/// Scores are losses `L`: a real image shall have less than a generated one, by a margin in proportion to their distance.
///
/// A pair that keeps its margin no longer matters to the discriminator. A real and a generated image of one pair have the
/// same place in their batches. `slope` is the share of a kept margin that still counts: 0 is LS-GAN, 1 is
/// Wasserstein with `D = -L`, and what lies between is GLS-GAN. With `gamma` above 0, losses must be bounded below.
///
/// CLS-GAN, for labelled images, has the same objective over other scores: `L = -log softmax(c)_y` for the logits `c` of
/// the classes, where both images of a pair have the label `y`, and `gamma` is 1.
///
/// # Source
/// Qi 2017, "Loss-Sensitive Generative Adversarial Networks on Lipschitz Densities", arXiv:1701.06264.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LossSensitive {
    /// Margin per distance. The distance is `(mean |x - y|^p)^(1/p)` over the values of an image, so that a scale fits
    /// images of all sizes.
    pub scale: f64,
    /// The `p` of the distance, from 1.
    pub power: f64,
    /// Weight of the losses of real images by themselves.
    pub gamma: f64,
    /// Slope of the cost of a margin that is kept, up to 1; that of a margin that is not is 1.
    pub slope: f64,
}

impl Default for LossSensitive {
    /// The author's numbers: 2e-4 times a sum over the values of 3x64x64 images, and 8e-4 times one over those of 3x32x32,
    /// are 2.4576 times a mean.
    fn default() -> Self {
        Self { scale: 2.4576, power: 1.0, gamma: 0.0, slope: 0.0 }
    }
}

impl LossSensitive {
    pub(super) fn check(&self) -> Result<()> {
        ensure_in("scale", self.scale, 0.0..)?;
        ensure_in("power", self.power, 1.0..)?;
        ensure_in("gamma", self.gamma, 0.0..)?;
        ensure_in("slope", self.slope, ..=1.0)
    }

    /// `gamma E L(x) + E C(margin(x, G(z)) + L(x) - L(G(z)))`, with `C(v) = max(v, slope v)`
    pub fn discriminator_loss(&self, pair: &Pair) -> Tensor<1> {
        let [real, fake] = [&pair.real, &pair.fake].map(|judged| judged.scores.clone());
        let missing = self.margin(pair) + real.clone() - fake;
        let cost = relu(missing.clone()).mul_scalar(1.0 - self.slope) + missing.mul_scalar(self.slope);
        real.mean().mul_scalar(self.gamma) + cost.mean()
    }

    /// `E L(G(z))`
    pub fn generator_loss(&self, pair: &Pair) -> Tensor<1> {
        pair.fake.scores.clone().mean()
    }

    /// Of each pair, `[N, 1]`; a constant for both networks.
    fn margin(&self, pair: &Pair) -> Tensor<2> {
        let [real, fake] = [&pair.real, &pair.fake].map(|judged| judged.images.clone().detach());
        let difference = (real - fake).abs().flatten::<2>(1, 3);
        // In units of the largest, so that no power overflows.
        let largest = difference.clone().max_dim(1).clamp_min(f32::MIN_POSITIVE);
        let mean = (difference / largest.clone()).powf_scalar(self.power).mean_dim(1);
        mean.powf_scalar(1.0 / self.power) * largest.mul_scalar(self.scale)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objective::Wasserstein;
    use crate::objective::tests::{FAKE, Gradients, REAL, pair, tensor, value};
    use burn::tensor::activation::log_softmax;
    use burn::tensor::{Device, Int, TensorData};

    const OBJECTIVE: LossSensitive = LossSensitive { scale: 2.0, power: 1.0, gamma: 0.0, slope: 0.0 };
    /// Of `with_images`, for p = 1 and a scale of 2: the means of |x - y| are 1, 0 and 0.75.
    const MARGINS: [f64; 3] = [2.0, 0.0, 1.5];

    /// Images of two values each, `[3, 1, 1, 2]`.
    fn with_images(mut pair: Pair) -> Pair {
        let device = pair.real.images.device();
        let images = |values: &[f64; 6]| tensor::<2>(values, [3, 2], &device).reshape([3, 1, 1, 2]);
        pair.real.images = images(&[1.0, 0.5, -1.0, 0.25, 0.0, 0.0]);
        pair.fake.images = images(&[-0.5, 0.0, -1.0, 0.25, 0.5, -1.0]);
        pair
    }

    fn missing() -> [f64; 3] {
        core::array::from_fn(|i| MARGINS[i] + REAL[i] - FAKE[i])
    }

    #[test]
    fn losses_and_gradients_match_the_formula() {
        for (gamma, slope) in [(0.0, 0.0), (0.5, 0.0), (0.25, 0.125), (0.0, -1.0)] {
            let objective = LossSensitive { gamma, slope, ..OBJECTIVE };
            let pair = with_images(pair(&REAL, &FAKE));
            let expected: f64 = missing().iter().zip(REAL).map(|(&v, l)| v.max(slope * v) + gamma * l).sum();
            let loss = value(objective.discriminator_loss(&pair));
            // A dozen roundings of values up to 8.
            assert!((loss - expected / 3.0).abs() < 12.0 * 8.0 * f64::from(f32::EPSILON), "{loss}");
            let cost = missing().map(|v| if v > 0.0 { 1.0 } else { slope });
            Gradients::of(&REAL, &FAKE, |pair| objective.discriminator_loss(&with_images(pair.clone())))
                .assert_real(cost.map(|c| (c + gamma) / 3.0))
                .assert_fake(cost.map(|c| -c / 3.0));
            Gradients::of(&REAL, &FAKE, |pair| objective.generator_loss(pair))
                .assert_no_real()
                .assert_fake([1.0 / 3.0; 3]);
        }
        // Both sides of the cost were there.
        assert!(missing().iter().any(|&v| v > 0.0) && missing().iter().any(|&v| v < 0.0));
    }

    #[test]
    fn kept_margins_leave_the_discriminator_no_gradient() {
        let kept = [MARGINS[0] + 0.5, MARGINS[1] + 0.5, MARGINS[2] + 0.5];
        let loss = |pair: &Pair| OBJECTIVE.discriminator_loss(&with_images(pair.clone()));
        Gradients::of(&[0.0; 3], &kept, loss).assert_real([0.0; 3]).assert_fake([0.0; 3]);
        Gradients::of(&[0.0; 3], &[kept[0], kept[1], 1.0], loss)
            .assert_real([0.0, 0.0, 1.0 / 3.0])
            .assert_fake([0.0, 0.0, -1.0 / 3.0]);
    }

    #[test]
    fn a_slope_of_one_is_wasserstein() {
        let objective = LossSensitive { slope: 1.0, ..OBJECTIVE };
        let negated = |pair: &Pair| {
            let mut pair = pair.clone();
            pair.real.scores = -pair.real.scores;
            pair.fake.scores = -pair.fake.scores;
            pair
        };
        let wasserstein = Wasserstein {};
        let ours = Gradients::of(&REAL, &FAKE, |p| objective.discriminator_loss(&with_images(p.clone())));
        let theirs = Gradients::of(&REAL, &FAKE, |p| wasserstein.discriminator_loss(&negated(p)));
        assert_eq!(ours, theirs);
        let ours = Gradients::of(&REAL, &FAKE, |pair| objective.generator_loss(pair));
        let theirs = Gradients::of(&REAL, &FAKE, |pair| wasserstein.generator_loss(&negated(pair)));
        assert_eq!(ours, theirs);
    }

    /// CLS-GAN: the gradient goes through the losses into the logits of a classifier.
    #[test]
    fn losses_may_come_from_a_classifier() {
        let device = Device::flex().autodiff();
        let labels = [2, 0, 1];
        let logits: [[f64; 9]; 2] = [
            [0.5, -1.0, 0.25, 1.0, 0.0, -0.5, 2.0, 0.75, 0.0],
            [1.5, 0.0, 0.0, -1.0, 2.0, 0.5, 0.25, 0.5, 1.0],
        ];
        let leaves = logits.map(|logits| tensor::<2>(&logits, [3, 3], &device).require_grad());
        let label = Tensor::<2, Int>::from_data(TensorData::new(labels.to_vec(), [3, 1]), &device);
        let mut pair = with_images(pair(&REAL, &FAKE));
        for (judged, leaf) in [&mut pair.real, &mut pair.fake].into_iter().zip(&leaves) {
            judged.scores = -log_softmax(leaf.clone(), 1).gather(1, label.clone());
        }
        let grads = LossSensitive { gamma: 1.0, ..OBJECTIVE }.discriminator_loss(&pair).backward();

        let softmax = |logits: &[f64; 9], i: usize, class: usize| {
            let row = &logits[3 * i..][..3];
            row[class].exp() / row.iter().map(|v| v.exp()).sum::<f64>()
        };
        let loss = |logits: &[f64; 9], i: usize| -softmax(logits, i, labels[i] as usize).ln();
        for (leaf, (side, sign)) in leaves.iter().zip([(0, 1.0), (1, -1.0)]) {
            let grad = leaf.grad(&grads).expect("a loss of logits").into_data();
            for (at, got) in grad.try_into_vec::<f32>().expect("f32").into_iter().enumerate() {
                let (i, class) = (at / 3, at % 3);
                let counts = f64::from(MARGINS[i] + loss(&logits[0], i) - loss(&logits[1], i) > 0.0);
                let slope = sign * counts + if side == 0 { 1.0 } else { 0.0 };
                let one_hot = f64::from(class == labels[i] as usize);
                let expected = slope / 3.0 * (softmax(&logits[side], i, class) - one_hot);
                // A dozen roundings of values up to 1.
                assert!(
                    (f64::from(got) - expected).abs() < 12.0 * f64::from(f32::EPSILON),
                    "{got} {expected}"
                );
            }
        }
    }

    #[test]
    fn the_margin_is_a_scaled_distance() {
        let pair = with_images(pair(&REAL, &FAKE));
        let mean =
            |p: f64, values: [f64; 2]| (values.iter().map(|v| v.powf(p)).sum::<f64>() / 2.0).powf(1.0 / p);
        for power in [1.0, 2.0, 3.5, 400.0] {
            let margin = LossSensitive { power, ..OBJECTIVE }.margin(&pair).into_data();
            let margin = margin.try_into_vec::<f32>().expect("f32");
            let expected = [[1.5, 0.5], [0.0, 0.0], [0.5, 1.0]].map(|v| 2.0 * mean(power, v));
            for (got, expected) in margin.iter().zip(expected) {
                // The base of the power is off by eps / 2, and what comes of it by p times that; the root divides by p.
                // Eight roundings stay, of values up to 3.
                assert!(
                    (f64::from(*got) - expected).abs() <= 8.0 * 3.0 * f64::from(f32::EPSILON),
                    "{got} {expected}"
                );
            }
        }
    }

    #[test]
    fn the_margin_does_not_depend_on_the_resolution() {
        let device = Device::flex();
        let mut small = with_images(pair(&REAL, &FAKE));
        let repeated = |images: Tensor<4>| images.repeat(&[1, 3, 4, 8]);
        let margin = |pair: &Pair| OBJECTIVE.margin(pair).to_device(&device).into_data();
        let expected = margin(&small);
        small.real.images = repeated(small.real.images);
        small.fake.images = repeated(small.fake.images);
        // Sums of 192 numbers with two bits each are exact.
        assert_eq!(margin(&small), expected);
    }

    #[test]
    fn numbers_are_in_range() {
        assert!(LossSensitive::default().check().is_ok());
        assert!(LossSensitive { slope: -1.0, ..OBJECTIVE }.check().is_ok());
        assert!(LossSensitive { slope: 1.5, ..OBJECTIVE }.check().is_err());
        assert!(LossSensitive { power: 0.5, ..OBJECTIVE }.check().is_err());
        assert!(LossSensitive { scale: -1.0, ..OBJECTIVE }.check().is_err());
        assert!(LossSensitive { gamma: f64::NAN, ..OBJECTIVE }.check().is_err());
    }
}
