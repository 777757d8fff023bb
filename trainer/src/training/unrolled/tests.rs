use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig};
use burn::tensor::Device;

use super::*;
use crate::config::TrainingConfig;
use crate::network::Parameters;
use crate::training::optimizer::{OptimizerName, Rule};
use crate::training::{Moments, noise};

const RULES: [Rule; 4] = [
    Rule::Adam { beta_1: 0.5, beta_2: 0.999 },
    Rule::RmsProp,
    Rule::Sgd { momentum: 0.0 },
    Rule::Sgd { momentum: 0.75 },
];

fn look_ahead(
    rule: Rule,
    lr: f64,
    start: State,
    steps: usize,
    discriminator: impl Fn(&[f64]) -> Slope,
    generator: impl Fn(&[f64]) -> Slope,
) -> Slope {
    let update = |state: &State, gradient: &[f64]| adjoint::advance(rule, lr, state, gradient);
    let pull = |state: &State, gradient: &[f64], adjoint: &mut Adjoint| {
        adjoint::pull_back(rule, lr, state, gradient, adjoint)
    };
    backpropagate(start, steps, f64::EPSILON, update, pull, discriminator, generator)
}

/// `L_D = a t^2 / 2 + b t x` and `L_G = c t x`: with r = 1 - lr a, two steps lead to t_2 = r^2 t - lr b x (1 + r), and
/// L_G = c t_2 x has dL/dx = c t_2 - c x lr b (1 + r) and dL/dt = c r^2 x.
#[test]
fn two_steps_of_a_bilinear_game_by_hand() {
    let (a, b, c, lr, t, x) = (0.75, -1.25, 1.5, 0.125, 0.625, -0.5);
    let state = State { time: 0, theta: vec![t], first: vec![0.0], second: vec![0.0] };
    let discriminator = |theta: &[f64]| Slope {
        loss: a * theta[0] * theta[0] / 2.0 + b * theta[0] * x,
        theta: vec![a * theta[0] + b * x],
        fake: vec![b * theta[0]],
    };
    let generator =
        |theta: &[f64]| Slope { loss: c * theta[0] * x, theta: vec![c * x], fake: vec![c * theta[0]] };
    let end = look_ahead(Rule::Sgd { momentum: 0.0 }, lr, state, 2, discriminator, generator);
    let r = 1.0 - lr * a;
    let last = r * r * t - lr * b * x * (1.0 + r);
    // Central differences of a linear gradient are exact but for rounding, which the step, eps^(1/3), divides.
    let tolerance = 10.0 * f64::EPSILON / f64::EPSILON.cbrt();
    assert!((end.loss - c * last * x).abs() < 10.0 * f64::EPSILON);
    assert!((end.fake[0] - (c * last - c * x * lr * b * (1.0 + r))).abs() < tolerance, "{:?}", end.fake);
    assert!((end.theta[0] - c * r * r * x).abs() < tolerance, "{:?}", end.theta);
}

const HIDDEN: usize = 3;
const REAL: [f64; 2] = [0.9, -0.3];
const FAKE: [f64; 2] = [-0.8, 0.5];
const LR: f64 = 0.0625;

/// Least squares with `D(x) = sum_j a_j tanh(w_j x + b_j)`; weights are `w`, `b` and `a`, one after the other.
fn half_mean_square(theta: &[f64], images: &[f64], target: f64) -> Slope {
    let mut slope = Slope { loss: 0.0, theta: vec![0.0; 3 * HIDDEN], fake: vec![0.0; images.len()] };
    let (w, rest) = theta.split_at(HIDDEN);
    let (b, a) = rest.split_at(HIDDEN);
    for (x, fake) in images.iter().zip(&mut slope.fake) {
        let hidden: Vec<f64> = w.iter().zip(b).map(|(w, b)| (w * x + b).tanh()).collect();
        let error = hidden.iter().zip(a).map(|(h, a)| h * a).sum::<f64>() - target;
        slope.loss += error * error / 2.0 / images.len() as f64;
        let error = error / images.len() as f64;
        for j in 0..HIDDEN {
            let inner = error * a[j] * (1.0 - hidden[j] * hidden[j]);
            slope.theta[j] += inner * x;
            slope.theta[HIDDEN + j] += inner;
            slope.theta[2 * HIDDEN + j] += error * hidden[j];
            *fake += inner * w[j];
        }
    }
    slope
}

fn discriminator(theta: &[f64], fake: &[f64]) -> Slope {
    let real = half_mean_square(theta, &REAL, 1.0);
    let mut slope = half_mean_square(theta, fake, 0.0);
    add(&mut slope.theta, &real.theta);
    slope.loss += real.loss;
    slope
}

fn generator(theta: &[f64], fake: &[f64]) -> Slope {
    half_mean_square(theta, fake, 1.0)
}

fn start() -> State {
    State {
        time: 0,
        theta: vec![0.75, -0.5, 1.25, 0.25, -0.25, 0.5, 1.0, -0.75, 0.5],
        first: vec![0.0; 3 * HIDDEN],
        second: vec![0.0; 3 * HIDDEN],
    }
}

/// A state from which every number has been moved before.
fn later(rule: Rule) -> State {
    let first = adjoint::advance(rule, LR, &start(), &[0.25; 3 * HIDDEN]);
    adjoint::advance(rule, LR, &first, &[-0.125; 3 * HIDDEN])
}

#[test]
fn gradients_are_those_of_the_whole_look_ahead() {
    for (rule, steps) in RULES.into_iter().flat_map(|rule| [0, 1, 3].map(|steps| (rule, steps))) {
        for state in [start(), later(rule)] {
            let run = |theta: &[f64], fake: &[f64]| {
                let state = State { theta: theta.to_vec(), ..state.clone() };
                look_ahead(rule, LR, state, steps, |t| discriminator(t, fake), |t| generator(t, fake))
            };
            let found = run(&state.theta, &FAKE);
            let h = 1e-5;
            let difference = |values: &[f64], i: usize, loss: &dyn Fn(&[f64]) -> f64| {
                let moved = |by| {
                    let mut values = values.to_vec();
                    values[i] += by;
                    loss(&values)
                };
                (moved(h) - moved(-h)) / (2.0 * h)
            };
            // Values and third derivatives are of order 1, here 10 to be safe, which leaves precision^(2/3) in the products
            // and about as much in these differences. Through a root it is multiplied by lr / sqrt(v) for each step, below 10
            // once for the smallest gradients, and by less later.
            let tolerance = 10.0 * (h * h + f64::EPSILON / h + f64::EPSILON.powf(2.0 / 3.0)) * 100.0;
            for i in 0..FAKE.len() {
                let expected = difference(&FAKE, i, &|fake| run(&state.theta, fake).loss);
                let error = (found.fake[i] - expected).abs();
                assert!(error < tolerance, "{rule:?} {steps} fake {i}: {} {expected}", found.fake[i]);
            }
            for i in 0..state.theta.len() {
                let expected = difference(&state.theta, i, &|theta| run(theta, &FAKE).loss);
                let error = (found.theta[i] - expected).abs();
                assert!(error < tolerance, "{rule:?} {steps} weight {i}: {} {expected}", found.theta[i]);
            }
        }
    }
}

/// What would be found if the updates were constants is another gradient.
#[test]
fn a_detached_look_ahead_is_something_else() {
    for rule in RULES {
        let mut state = later(rule);
        let run =
            |state| look_ahead(rule, LR, state, 3, |t| discriminator(t, &FAKE), |t| generator(t, &FAKE)).fake;
        let found = run(state.clone());
        for _ in 0..3 {
            state = adjoint::advance(rule, LR, &state, &discriminator(&state.theta, &FAKE).theta);
        }
        let detached = generator(&state.theta, &FAKE).fake;
        let apart = norm(&found.iter().zip(&detached).map(|(f, d)| f - d).collect::<Vec<_>>());
        assert!(apart > 0.02 * norm(&found), "{rule:?}: {found:?} {detached:?}");
    }
}

/// The same discriminator as a module.
#[derive(Module, Debug)]
struct Tanh {
    input: Linear,
    output: Linear,
}

impl Tanh {
    fn new(device: &Device) -> Self {
        let module = Self {
            input: LinearConfig::new(1, HIDDEN).init(device),
            output: LinearConfig::new(HIDDEN, 1).with_bias(false).init(device),
        };
        let trained = Trained::read(&module);
        trained.write(&module, &start().theta)
    }

    fn half_mean_square(&self, images: Tensor<4>, target: f64) -> Tensor<1> {
        let scores = self.output.forward(self.input.forward(images.flatten::<2>(1, 3)).tanh());
        scores.sub_scalar(target).square().mean().mul_scalar(0.5)
    }
}

fn images(values: &[f64], device: &Device) -> Tensor<4> {
    let data: Vec<f32> = values.iter().map(|&value| value as f32).collect();
    Tensor::from_data(TensorData::new(data, [values.len(), 1, 1, 1]), device)
}

fn discriminator_loss(module: &Tanh, fake: Tensor<4>) -> Tensor<1> {
    module.half_mean_square(images(&REAL, &fake.device()), 1.0) + module.half_mean_square(fake, 0.0)
}

fn config(rule: Rule) -> TrainingConfig {
    let config = TrainingConfig::default();
    match rule {
        Rule::Adam { beta_1, beta_2 } => {
            TrainingConfig { beta_1: beta_1.into(), beta_2: beta_2.into(), ..config }
        }
        Rule::RmsProp => TrainingConfig { optimizer: OptimizerName::RmsProp, ..config },
        Rule::Sgd { momentum } => {
            TrainingConfig { optimizer: OptimizerName::Sgd, momentum: momentum.into(), ..config }
        }
    }
}

#[test]
fn modules_have_the_gradient_of_the_plain_numbers() {
    let device = Device::flex().autodiff();
    let fake = images(&FAKE, &device);
    for rule in RULES {
        let mut module = Tanh::new(&device);
        let mut optimizer = Optimizer::new(Moments::zeros(&Parameters::read(&module)), &config(rule));
        let mut state = start();
        for done in 0..3 {
            let before = (Parameters::read(&module), optimizer.moments().clone());
            let found = unrolled(&module, &optimizer, LR, 3, &fake, discriminator_loss, |module, fake| {
                module.half_mean_square(fake, 1.0)
            });
            assert_eq!(before, (Parameters::read(&module), optimizer.moments().clone()));
            let expected =
                look_ahead(rule, LR, state.clone(), 3, |t| discriminator(t, &FAKE), |t| generator(t, &FAKE));
            // The products are good to precision^(2/3), here of f32, relative to derivatives of order 1, times lr / sqrt(v) as
            // above.
            let tolerance = 10.0 * f64::from(f32::EPSILON).powf(2.0 / 3.0);
            for (found, expected) in doubles(found.gradient).iter().zip(&expected.fake) {
                assert!((found - expected).abs() < tolerance, "{rule:?} {done}: {found} {expected}");
            }
            assert!((f64::from(found.loss) - expected.loss).abs() < 100.0 * f64::from(f32::EPSILON));

            // The look-ahead moves as training does.
            let mut grads = discriminator_loss(&module, fake.clone()).backward();
            optimizer.step(&mut module, &mut grads, LR);
            state = adjoint::advance(rule, LR, &state, &discriminator(&state.theta, &FAKE).theta);
            let trained = Trained::read(&module);
            let first = trained.pick(&optimizer.moments().first.0);
            let second = trained.pick(&optimizer.moments().second.0);
            for (found, expected) in
                [(&trained.theta, &state.theta), (&first, &state.first), (&second, &state.second)]
            {
                for (found, expected) in found.iter().zip(expected) {
                    // Some hundred roundings in a gradient, which a root multiplies by up to 10.
                    let tolerance = 1000.0 * f64::from(f32::EPSILON);
                    assert!((found - expected).abs() < tolerance, "{rule:?} {done}: {found} {expected}");
                }
            }
        }
    }
}

#[derive(Module, Debug)]
struct Normalized {
    norm: BatchNorm,
    output: Linear,
    frozen: Linear,
}

impl Normalized {
    fn score(&self, images: Tensor<4>) -> Tensor<1> {
        let features = self.norm.forward(images.flatten::<2>(1, 3));
        (self.output.forward(features.clone()) + self.frozen.forward(features)).square().mean()
    }
}

#[test]
fn running_statistics_and_frozen_weights_stay() {
    let device = Device::flex().autodiff();
    let linear = || LinearConfig::new(2, 1).init(&device);
    let module = Normalized {
        norm: BatchNormConfig::new(2).init(&device),
        output: linear(),
        frozen: linear().no_grad(),
    };
    let mut data = vec![0.0; 10];
    noise::fill_normal(1, &mut data);
    let fake = Tensor::from_data(TensorData::new(data, [5, 2, 1, 1]), &device);
    module.score(fake.clone());
    let optimizer =
        Optimizer::new(Moments::zeros(&Parameters::read(&module)), &config(Rule::Sgd { momentum: 0.0 }));
    let before = Parameters::read(&module);
    let found = unrolled(&module, &optimizer, LR, 2, &fake, Normalized::score, Normalized::score);
    assert!(found.loss.is_finite() && norm(&doubles(found.gradient)) > 0.0);
    assert_eq!(Parameters::read(&module), before);
    let mask = Trained::read(&module).mask;
    assert_eq!(mask, [true, true, false, false, true, true, false, false]);
}
