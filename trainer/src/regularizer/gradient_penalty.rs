//! Penalties of the gradient of the discriminator with respect to what it looks at.
//!
//! A penalty `P(g)` of `g_i = grad_x D(x_i)` has a gradient with respect to the weights that is of second order. It costs
//! no second backward pass: with `v_i = dP/dg_i` held constant, the derivative of `sum_i D(x_i)` along `v`, which a network
//! computes in one forward pass, has the same gradient with respect to the weights as `P`. So one takes the
//! [`points`](GradientPenalty::points), their gradients, the [`value_and_direction`](GradientPenalty::value_and_direction),
//! and adds the derivative along the direction to the loss.

use anyhow::{Result, ensure};
use burn::tensor::{Tensor, TensorData};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::training::noise;

/// A penalty of the gradient's norm, taken for each sample over all channels and pixels.
///
/// It presumes that a score depends on its own sample alone, which is not so with batch normalization.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GradientPenalty {
    /// Where the gradient is taken.
    pub at: PenaltyPoints,
    /// What is asked of its norm.
    pub form: PenaltyForm,
    /// Factor of the penalty.
    pub weight: f64,
}

/// Where the gradient is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PenaltyPoints {
    /// Between a real and a generated sample: `e x + (1 - e) G(z)` with one `e` in U\[0, 1\] per sample.
    ///
    /// # Source
    /// Gulrajani et al. 2017, "Improved Training of Wasserstein GANs", arXiv:1704.00028, algorithm 1.
    Interpolates,
    /// Near real samples: `x + a d` with `d = 0.5 std(x) U[0, 1]` in every number, `std` over the whole batch, and one `a` in
    /// U\[0, 1\] per sample. The noise is positive as in the authors' code; their paper leaves its sign open.
    ///
    /// # Source
    /// Kodali et al. 2017, "On Convergence and Stability of GANs", arXiv:1705.07215, and its reference code.
    Dragan,
    /// At real samples.
    Real,
    /// At generated samples.
    Fake,
    /// At both, the penalties added.
    Both,
}

/// What is asked of the norm of the gradient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PenaltyForm {
    /// `(|g| - 1)^2`, as in WGAN-GP and DRAGAN.
    TwoSided,
    /// `|g|^2 / 2`: R1 at real samples, R2 at generated ones.
    ///
    /// # Source
    /// Mescheder et al. 2018, "Which Training Methods for GANs do actually Converge?", arXiv:1801.04406, whose gamma is the
    /// weight.
    Squared,
    /// `|g|`, at real samples.
    ///
    /// # Source
    /// Qi 2017, "Loss-Sensitive Generative Adversarial Networks on Lipschitz Densities", arXiv:1701.06264, and the code of
    /// GLS-GAN.
    Norm,
}

impl Default for GradientPenalty {
    /// That of WGAN-GP.
    fn default() -> Self {
        Self { at: PenaltyPoints::Interpolates, form: PenaltyForm::TwoSided, weight: 10.0 }
    }
}

impl GradientPenalty {
    pub(super) fn check(&self) -> Result<()> {
        let weight = self.weight;
        ensure!(
            weight.is_finite() && weight >= 0.0,
            "the weight of gradient_penalty is {weight}, not a number from 0"
        );
        Ok(())
    }

    /// Where to take the gradient: a batch, or two for both, whose penalties are added. They are constants, from which no gradient
    /// flows back into the generator.
    ///
    /// # Shapes
    /// `real`, `fake` and each batch: `[N, C, H, W]`.
    ///
    /// # Panics
    /// When the two shapes differ.
    pub fn points(&self, real: Tensor<4>, fake: Tensor<4>, seed: u64) -> Vec<Tensor<4>> {
        assert_eq!(real.dims(), fake.dims(), "as many real as generated samples");
        let (real, fake) = (real.detach(), fake.detach());
        let [n, ..] = real.dims();
        let mut rng = noise::rng(seed);
        match self.at {
            PenaltyPoints::Interpolates => {
                let share: Vec<f32> = (0..n).map(|_| noise::uniform(&mut rng)).collect();
                let share = Tensor::from_data(TensorData::new(share, [n, 1, 1, 1]), &real.device());
                vec![fake.clone() + (real - fake) * share]
            }
            PenaltyPoints::Dragan => {
                let mut moves = vec![0.0; real.shape().num_elements()];
                let sample_len = moves.len() / n;
                for sample in moves.chunks_mut(sample_len) {
                    let share = noise::uniform(&mut rng);
                    sample.iter_mut().for_each(|value| *value = share * noise::uniform(&mut rng));
                }
                let moves = Tensor::from_data(TensorData::new(moves, real.shape()), &real.device());
                let mean = real.clone().mean().reshape([1; 4]);
                let spread = (real.clone() - mean).square().mean().sqrt().mul_scalar(0.5);
                vec![real + moves * spread.reshape([1; 4])]
            }
            PenaltyPoints::Real => vec![real],
            PenaltyPoints::Fake => vec![fake],
            PenaltyPoints::Both => vec![real, fake],
        }
    }

    /// The penalty of the gradients at a batch of points, weight included, and its derivative with respect to them.
    ///
    /// The derivative of the norm at zero, where it has none, is taken as zero.
    ///
    /// # Shapes
    /// `gradients`: `[N, C, H, W]`, of the sum of the scores at the points; result: one number, and `[N, C, H, W]`.
    pub fn value_and_direction(&self, gradients: Tensor<4>) -> (Tensor<1>, Tensor<4>) {
        let [n, ..] = gradients.dims();
        let squares = gradients.clone().square().sum_dims(&[1, 2, 3]);
        let norms = squares.clone().sqrt();
        let unit = |gradients| {
            let zero = norms.clone().equal_scalar(0.0).float();
            gradients / (norms.clone() + zero)
        };
        let (values, slopes) = match self.form {
            PenaltyForm::TwoSided => {
                let excess = norms.clone().sub_scalar(1.0);
                (excess.clone().square(), unit(gradients) * excess.mul_scalar(2.0))
            }
            PenaltyForm::Squared => (squares.mul_scalar(0.5), gradients),
            PenaltyForm::Norm => (norms.clone(), unit(gradients)),
        };
        let share = self.weight / n as f64;
        (values.sum().mul_scalar(share), slopes.mul_scalar(share))
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::network::values;

    const FORMS: [PenaltyForm; 3] = [PenaltyForm::TwoSided, PenaltyForm::Squared, PenaltyForm::Norm];
    const SHAPE: [usize; 4] = [4, 2, 3, 2];
    const SAMPLE: usize = 12;
    const EPSILON: f64 = f32::EPSILON as f64;

    fn random(seed: u64, device: &Device) -> Tensor<4> {
        let mut data = vec![0.0; SHAPE.iter().product()];
        noise::fill_normal(seed, &mut data);
        Tensor::from_data(TensorData::new(data, SHAPE), device)
    }

    /// The one batch of a penalty that has one.
    fn points(penalty: &GradientPenalty, device: &Device) -> Tensor<4> {
        let points = penalty.points(random(2, device), random(3, device), 4);
        <[_; 1]>::try_from(points).expect("one batch")[0].clone().require_grad()
    }

    fn doubles<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
        values(tensor).into_iter().map(f64::from).collect()
    }

    fn norm(sample: &[f64]) -> f64 {
        sample.iter().map(|g| g * g).sum::<f64>().sqrt()
    }

    /// The penalty as the papers have it.
    fn reference(penalty: &GradientPenalty, gradients: &[f64]) -> f64 {
        let mean = gradients
            .chunks(SAMPLE)
            .map(norm)
            .map(|norm| match penalty.form {
                PenaltyForm::TwoSided => (norm - 1.0).powi(2),
                PenaltyForm::Squared => norm * norm / 2.0,
                PenaltyForm::Norm => norm,
            })
            .sum::<f64>()
            / (gradients.len() / SAMPLE) as f64;
        penalty.weight * mean
    }

    #[test]
    fn value_and_direction_are_those_of_the_papers() {
        let gradients = random(1, &Device::flex());
        let start = doubles(gradients.clone());
        for form in FORMS {
            let penalty = GradientPenalty { form, weight: 3.0, ..Default::default() };
            let (value, direction) = penalty.value_and_direction(gradients.clone());
            let expected = reference(&penalty, &start);
            // Norms of 12 numbers, here up to 6, squared, of which the mean is taken.
            let rounding = 20.0 * EPSILON;
            let atol = rounding * penalty.weight * 36.0;
            assert!((doubles(value)[0] - expected).abs() < atol, "{penalty:?}");
            let h = 1e-5;
            for (i, found) in doubles(direction).into_iter().enumerate() {
                let moved = |by| {
                    let mut gradients = start.clone();
                    gradients[i] += by;
                    reference(&penalty, &gradients)
                };
                let expected = (moved(h) - moved(-h)) / (2.0 * h);
                // Third derivatives are of the order of the weight; the value, below 200, is rounded in f64.
                let differences = 10.0 * penalty.weight * h * h + 200.0 * f64::EPSILON / h;
                let atol = rounding * penalty.weight * 2.0 * 6.0 + differences;
                assert!((found - expected).abs() < atol, "{penalty:?} {i}: {found} {expected}");
            }
        }
    }

    /// Over the channels alone, or over the batch, the norm would be another.
    #[test]
    fn the_norm_is_over_all_of_a_sample() {
        let device = Device::flex();
        let gradients = Tensor::<4>::ones(SHAPE, &device).mul_scalar(1.0 / (SAMPLE as f64).sqrt());
        let penalty = GradientPenalty::default();
        let (value, direction) = penalty.value_and_direction(gradients);
        // The norm is one, up to the rounding of 12 squares.
        let off = 20.0 * EPSILON;
        assert!(doubles(value)[0] < penalty.weight * off * off);
        assert!(doubles(direction).iter().all(|v| v.abs() < 2.0 * penalty.weight * off));
    }

    #[test]
    fn a_gradient_of_zero_is_safe() {
        for form in FORMS {
            let penalty = GradientPenalty { form, ..Default::default() };
            let (value, direction) = penalty.value_and_direction(Tensor::zeros(SHAPE, &Device::flex()));
            let expected = if form == PenaltyForm::TwoSided { 10.0 } else { 0.0 };
            assert_eq!(values(value), [expected], "{form:?}");
            assert!(values(direction).iter().all(|&v| v == 0.0), "{form:?}");
        }
    }

    /// `D(x) = <w, x>` has the gradient `w` everywhere, and the derivative `<w, v>` along `v`.
    #[test]
    fn the_gradient_for_a_linear_discriminator_is_the_closed_form() {
        let device = Device::flex().autodiff();
        let mut weight = vec![0.0; SAMPLE];
        noise::fill_normal(5, &mut weight);
        let weight = Tensor::<4>::from_data(TensorData::new(weight, [1, 2, 3, 2]), &device).require_grad();
        let w = doubles(weight.clone());
        let length = norm(&w);
        for form in FORMS {
            let penalty = GradientPenalty { form, ..Default::default() };
            let points = points(&penalty, &device);
            let grads = (points.clone() * weight.clone()).sum().backward();
            let (_, direction) =
                penalty.value_and_direction(points.grad(&grads).expect("scores read the points"));
            let grads = (direction * weight.clone()).sum().backward();
            let found = doubles(weight.grad(&grads).expect("the derivative reads the weight"));
            let slope = match form {
                PenaltyForm::TwoSided => 2.0 * (length - 1.0),
                PenaltyForm::Squared => length,
                PenaltyForm::Norm => 1.0,
            };
            for (found, w) in found.iter().zip(&w) {
                let expected = penalty.weight * slope * w / length;
                let atol = 30.0 * EPSILON * penalty.weight * 2.0 * (length + 1.0);
                assert!((found - expected).abs() < atol, "{form:?}: {found} {expected}");
            }
        }
    }

    /// `D(x) = <w, x>^2 / 2` has the gradient `<w, x> w`, and the derivative `<w, x> <w, v>` along `v`: here the gradient of
    /// the penalty really is of second order.
    #[test]
    fn the_derivative_along_the_direction_has_the_gradient_of_the_penalty() {
        let device = Device::flex().autodiff();
        let mut start = vec![0.0; SAMPLE];
        noise::fill_normal(6, &mut start);
        let weight =
            Tensor::<4>::from_data(TensorData::new(start.clone(), [1, 2, 3, 2]), &device).require_grad();
        let project = |x: Tensor<4>| (x * weight.clone()).sum_dims(&[1, 2, 3]);
        let start: Vec<f64> = start.into_iter().map(f64::from).collect();
        for form in FORMS {
            let penalty = GradientPenalty { form, weight: 1.0, ..Default::default() };
            let points = points(&penalty, &device);
            let x = doubles(points.clone());
            let value = |w: &[f64]| {
                let gradient = |x: &[f64]| {
                    let along: f64 = w.iter().zip(x).map(|(w, x)| w * x).sum();
                    w.iter().map(|w| along * w).collect::<Vec<_>>()
                };
                reference(&penalty, &x.chunks(SAMPLE).flat_map(gradient).collect::<Vec<_>>())
            };
            let grads = project(points.clone()).square().mul_scalar(0.5).sum().backward();
            let (_, direction) =
                penalty.value_and_direction(points.grad(&grads).expect("scores read the points"));
            let derivative = (project(points.detach()) * project(direction)).sum();
            let grads = derivative.backward();
            let found = doubles(weight.grad(&grads).expect("the derivative reads the weight"));
            let h = 1e-5;
            let expected: Vec<f64> = (0..SAMPLE)
                .map(|i| {
                    let moved = |by| {
                        let mut w = start.clone();
                        w[i] += by;
                        value(&w)
                    };
                    (moved(h) - moved(-h)) / (2.0 * h)
                })
                .collect();
            // The gradient is a sum over terms of about its own length, each of some 50 roundings. The differences are far
            // better: the penalty is below 1e4 and so are its third derivatives.
            let atol = 50.0 * EPSILON * (norm(&expected) + 1.0) + 1e4 * (h * h + f64::EPSILON / h);
            for (found, expected) in found.iter().zip(&expected) {
                assert!((found - expected).abs() < atol, "{form:?}: {found} {expected}");
            }
        }
    }

    #[test]
    fn points_lie_where_they_should() {
        let device = Device::flex();
        let (real, fake) = (random(7, &device), random(8, &device));
        let points = |at, seed| {
            let penalty = GradientPenalty { at, ..Default::default() };
            let batches = penalty.points(real.clone(), fake.clone(), seed);
            batches.into_iter().map(doubles).collect::<Vec<_>>()
        };
        let (x, g) = (doubles(real.clone()), doubles(fake.clone()));
        assert_eq!(points(PenaltyPoints::Real, 9), [&x[..]]);
        assert_eq!(points(PenaltyPoints::Fake, 9), [&g[..]]);
        assert_eq!(points(PenaltyPoints::Both, 9), [&x[..], &g]);

        let samples = x.chunks(SAMPLE).zip(g.chunks(SAMPLE));
        let mut shares = vec![];
        for ((x, g), point) in samples.zip(points(PenaltyPoints::Interpolates, 9).concat().chunks(SAMPLE)) {
            // All numbers of a sample share one place between the two.
            let share = (point[0] - g[0]) / (x[0] - g[0]);
            assert!((0.0..1.0).contains(&share), "{share}");
            for ((x, g), point) in x.iter().zip(g).zip(point) {
                assert!((g + share * (x - g) - point).abs() < 100.0 * EPSILON, "{share}");
            }
            shares.push(share);
        }
        assert!(shares.windows(2).all(|pair| (pair[0] - pair[1]).abs() > 1e-3), "{shares:?}");

        let mean = x.iter().sum::<f64>() / x.len() as f64;
        let spread = norm(&x.iter().map(|x| x - mean).collect::<Vec<_>>()) / (x.len() as f64).sqrt();
        let moved = points(PenaltyPoints::Dragan, 9).concat();
        let moves: Vec<f64> = moved.iter().zip(&x).map(|(moved, x)| (moved - x) / spread).collect();
        assert!(moves.iter().all(|m| (-10.0 * EPSILON..0.5).contains(m)), "{moves:?}");
        // The product of two uniform numbers has the mean 1/4 and the variance 1/9 - 1/16; one of them is common to 12.
        let mean = moves.iter().sum::<f64>() / moves.len() as f64;
        let error = 0.5 * ((1.0f64 / 9.0 - 1.0 / 16.0) / 4.0).sqrt();
        assert!((mean - 0.125).abs() < 3.0 * error, "{mean}");
        for at in [PenaltyPoints::Interpolates, PenaltyPoints::Dragan] {
            assert_eq!(points(at, 9), points(at, 9));
            assert_ne!(points(at, 9), points(at, 10));
        }
    }
}
