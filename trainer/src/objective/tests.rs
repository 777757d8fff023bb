//! What the tests of objectives share, and the tests that look at several.

use super::*;
use burn::tensor::{Device, TensorData};

/// Scores of real images, exact in f32.
pub(super) const REAL: [f64; 3] = [0.25, -2.0, 1.5];
/// Scores of generated images, exact in f32.
pub(super) const FAKE: [f64; 3] = [-0.75, 3.0, 0.5];

/// A judged pair with these scores as leaves, and images and features that are zero.
pub(super) fn pair(real: &[f64], fake: &[f64]) -> Pair {
    let device = Device::flex().autodiff();
    let judged = |scores: &[f64]| Judged {
        images: Tensor::zeros([scores.len(), 1, 1, 1], &device),
        scores: tensor(scores, [scores.len(), 1], &device).require_grad(),
        features: Tensor::zeros([scores.len(), 1], &device),
    };
    Pair { real: judged(real), fake: judged(fake) }
}

pub(super) fn tensor<const D: usize>(values: &[f64], shape: [usize; D], device: &Device) -> Tensor<D> {
    let values: Vec<f32> = values.iter().map(|&v| v as f32).collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

pub(super) fn value(loss: Tensor<1>) -> f64 {
    loss.into_scalar::<f32>().into()
}

pub(super) fn mean(values: [f64; 3]) -> f64 {
    values.iter().sum::<f64>() / 3.0
}

pub(super) fn sigmoid(value: f64) -> f64 {
    1.0 / (1.0 + (-value).exp())
}

/// Of a loss by the scores; `None` where the loss does not depend on them.
#[derive(Debug, PartialEq)]
pub(super) struct Gradients {
    pub(super) real: Option<Vec<f32>>,
    pub(super) fake: Option<Vec<f32>>,
}

impl Gradients {
    pub(super) fn of(real: &[f64], fake: &[f64], loss: impl Fn(&Pair) -> Tensor<1>) -> Self {
        let pair = pair(real, fake);
        let loss = loss(&pair);
        assert!(loss.clone().into_scalar::<f32>().is_finite());
        let grads = loss.backward();
        let read = |judged: &Judged| {
            let grad = judged.scores.grad(&grads)?.into_data();
            Some(grad.try_into_vec().expect("f32"))
        };
        Self { real: read(&pair.real), fake: read(&pair.fake) }
    }

    pub(super) fn assert_real(self, expected: [f64; 3]) -> Self {
        assert_close(self.real.as_deref().expect("a loss of real scores"), expected);
        self
    }

    pub(super) fn assert_fake(self, expected: [f64; 3]) -> Self {
        assert_close(self.fake.as_deref().expect("a loss of generated scores"), expected);
        self
    }

    pub(super) fn assert_no_real(self) -> Self {
        assert_eq!(self.real, None);
        self
    }
}

fn assert_close(gradient: &[f32], expected: [f64; 3]) {
    assert_eq!(gradient.len(), 3);
    // A dozen roundings of terms below 4.
    let tolerance = 12.0 * 4.0 * f64::from(f32::EPSILON);
    for (got, expected) in gradient.iter().zip(expected) {
        assert!((f64::from(*got) - expected).abs() < tolerance, "{gradient:?}: {got}, not {expected}");
    }
}

#[test]
fn every_name_is_listed_and_read() {
    for name in Objective::NAMES {
        let objective: Objective = name.parse().unwrap();
        assert_eq!(objective.name(), name);
        assert_eq!(objective.to_string(), name);
        objective.check().unwrap();
        let text = toml::to_string(&objective).unwrap();
        assert!(text.contains(&format!("name = \"{name}\"")), "{text}");
        assert_eq!(toml::from_str::<Objective>(&text).unwrap(), objective);
    }
    let error = "least_squares".parse::<Objective>().unwrap_err().to_string();
    assert!(Objective::NAMES.iter().all(|name| error.contains(name)), "{error}");
    // serde lists the variants that there are.
    let error = toml::from_str::<Objective>("name = \"none\"").unwrap_err().to_string();
    let listed = Objective::NAMES.map(|name| format!("`{name}`")).join(", ");
    assert_eq!(error.lines().next(), Some(&*format!("unknown variant `none`, expected one of {listed}")));
}

#[test]
fn tables_have_defaults_and_no_unknown_keys() {
    let parse = toml::from_str::<Objective>;
    assert_eq!(parse("").unwrap(), Objective::LeastSquares(LeastSquares::default()));
    assert_eq!(parse("c = 0.5").unwrap(), Objective::LeastSquares(LeastSquares { a: 0.0, b: 1.0, c: 0.5 }));
    assert_eq!(
        parse("name = \"energy\"\nmargin = 10").unwrap(),
        Objective::Energy(Energy { margin: 10.0, pulling_away: 0.1 })
    );
    assert!(parse("name = \"hinge\"\nmargin = 1.0").is_err());
    assert!(parse("name = \"minimax\"\na = 1.0").is_err());
    assert!(parse("name = 3").is_err());
}

#[test]
fn flags_agree_with_gradients() {
    for name in Objective::NAMES {
        let objective: Objective = name.parse().unwrap();
        if matches!(objective, Objective::Evidence(_)) {
            // It looks at images, and scores of real ones only.
            continue;
        }
        let falls = |gradient: Vec<f32>| {
            let falls = gradient[0] > 0.0;
            assert!(gradient.iter().all(|&g| g != 0.0 && (g > 0.0) == falls), "{name}: {gradient:?}");
            falls
        };
        // Within every margin, and on the wrong side for losses.
        let [real, fake] = [[0.5; 3], [0.25; 3]];
        let generator = Gradients::of(&real, &fake, |pair| objective.generator_loss(pair));
        assert_eq!(generator.real.is_some(), objective.generator_needs_real(), "{name}");
        assert_eq!(falls(generator.fake.unwrap()), !objective.real_is_high(), "{name}");
        let discriminator = Gradients::of(&real, &fake, |pair| objective.discriminator_loss(pair));
        assert_eq!(falls(discriminator.real.unwrap()), !objective.real_is_high(), "{name}");
        assert_eq!(falls(discriminator.fake.unwrap()), objective.real_is_high(), "{name}");
    }
}

/// Points of a grid with the densities of two Gaussians, `N(0, 1)` for real and `N(1, 1.5^2)` for generated points.
fn gaussians() -> Vec<(f64, f64)> {
    let density = |x: f64, mean: f64, deviation: f64| {
        let z = (x - mean) / deviation;
        (-0.5 * z * z).exp() / (deviation * (2.0 * core::f64::consts::PI).sqrt())
    };
    let points = (0..=GRID).map(|i| -10.0 + STEP * i as f64);
    points.map(|x| (density(x, 0.0, 1.0), density(x, 1.0, 1.5))).collect()
}

const GRID: usize = 220;
const STEP: f64 = 0.1;

/// The largest gradient of the loss over all points, by the score of one point each, of a discriminator that is a table.
///
/// Every point is once in the real and once in the generated batch, and counts by its densities.
fn table_gradient(optimum: impl Fn(f64, f64) -> f64, loss: impl Fn(&Pair) -> Tensor<1>) -> f64 {
    let points = gaussians();
    let scores: Vec<f64> = points.iter().map(|&(p, q)| optimum(p, q)).collect();
    let grads = Gradients::of(&scores, &scores, loss);
    let n = points.len() as f64;
    let (real, fake) = (grads.real.unwrap(), grads.fake.unwrap());
    let gradients = points.iter().zip(real.iter().zip(&fake));
    gradients.map(|((p, q), (r, f))| (n * (p * f64::from(*r) + q * f64::from(*f))).abs()).fold(0.0, f64::max)
}

/// A dozen roundings of slopes up to 4, and scores up to 45, themselves rounded by half an `eps` of that, where slopes
/// change by at most 1 per score; times densities up to 0.4 on either side.
const TABLE_TOLERANCE: f64 = (12.0 * 4.0 + 45.0 / 2.0) * 0.8 * f32::EPSILON as f64;

#[test]
fn the_optimal_discriminator_is_the_log_ratio_of_densities() {
    for smoothing in [0.0, 0.1] {
        // sigmoid(D) = (1 - s) p / (p + q).
        let optimum = |p: f64, q: f64| ((1.0 - smoothing) * p / (smoothing * p + q)).ln();
        let objective = NonSaturating { smoothing };
        let gradient = table_gradient(optimum, |pair| objective.discriminator_loss(pair));
        assert!(gradient < TABLE_TOLERANCE, "{gradient}");
        // Another table is not stationary.
        let gradient = table_gradient(|p, q| optimum(p, q) + 0.01, |pair| objective.discriminator_loss(pair));
        assert!(gradient > 100.0 * TABLE_TOLERANCE, "{gradient}");
    }
}

#[test]
fn the_optimal_discriminator_of_least_squares_is_a_mean_of_codes() {
    for (a, b) in [(0.0, 1.0), (-1.0, 1.0), (0.25, -0.5)] {
        let objective = LeastSquares { a, b, c: 0.0 };
        let loss = |pair: &Pair| objective.discriminator_loss(pair);
        let gradient = table_gradient(|p, q| (b * p + a * q) / (p + q), loss);
        assert!(gradient < TABLE_TOLERANCE, "{gradient}");
        let gradient = table_gradient(|p, q| (a * p + b * q) / (p + q), loss);
        assert!(gradient > 100.0 * TABLE_TOLERANCE, "{gradient}");
    }
}

/// `V(D*) + log 4 = 2 JSD`, both integrated over the grid.
#[test]
fn the_value_at_the_optimum_is_the_jensen_shannon_divergence() {
    // The loss of one point at a time: a score far on the right side costs nothing.
    let cost = |real: f64, fake: f64| value(Minimax::default().discriminator_loss(&pair(&[real], &[fake])));
    let (mut v, mut divergence) = (0.0, 0.0);
    for (p, q) in gaussians() {
        let optimum = (p / q).ln();
        v -= STEP * (p * cost(optimum, -1e4) + q * cost(1e4, optimum));
        let mean = (p + q) / 2.0;
        divergence += STEP * 0.5 * (p * (p / mean).ln() + q * (q / mean).ln());
    }
    // Four roundings of costs whose integral is below 2 log 2. The sums themselves are exact to far more, as the functions
    // are smooth and vanish at both ends; beyond them, seven deviations out, lies 1e-11 of the wider Gaussian.
    let tolerance = 4.0 * 2.0 * f64::ln(2.0) * f64::from(f32::EPSILON) + 1e-9;
    assert!((v + f64::ln(4.0) - 2.0 * divergence).abs() < tolerance, "{v} {divergence}");
    // Two Gaussians this far apart differ by a good part of log 2.
    assert!(divergence > 0.05 && divergence < f64::ln(2.0), "{divergence}");
}
