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

/// For `f64`: balances the error of a difference, of second order, against rounding, which the step divides.
fn relative_step() -> f64 {
    f64::EPSILON.cbrt()
}

fn look_ahead(
    rule: Rule,
    lr: f64,
    start: State,
    steps: usize,
    discriminator: impl Fn(&[f64], &[f64]) -> Slope,
    generator: impl Fn(&[f64]) -> Slope,
) -> Slope {
    let update = |state: &State, gradient: &[f64]| adjoint::advance(rule, lr, state, gradient);
    let pull = |state: &State, gradient: &[f64], adjoint: &mut Adjoint| {
        adjoint::pull_back(rule, lr, state, gradient, adjoint)
    };
    backpropagate(start, steps, relative_step(), update, pull, discriminator, generator)
}

/// `L_D = a t^2 / 2 + b t x` and `L_G = c t x`: with r = 1 - lr a, two steps lead to t_2 = r^2 t - lr b x (1 + r), and
/// L_G = c t_2 x has dL/dx = c t_2 - c x lr b (1 + r) and dL/dt = c r^2 x.
#[test]
fn two_steps_of_a_bilinear_game_by_hand() {
    let (a, b, c, lr, t, x) = (0.75, -1.25, 1.5, 0.125, 0.625, -0.5);
    let state = State { time: 0, theta: vec![t], first: vec![0.0], second: vec![0.0] };
    let discriminator = |theta: &[f64], _: &[f64]| Slope {
        loss: a * theta[0] * theta[0] / 2.0 + b * theta[0] * x,
        theta: vec![a * theta[0] + b * x],
        fake: vec![b * theta[0]],
    };
    let generator =
        |theta: &[f64]| Slope { loss: c * theta[0] * x, theta: vec![c * x], fake: vec![c * theta[0]] };
    let end = look_ahead(Rule::Sgd { momentum: 0.0 }, lr, state, 2, discriminator, generator);
    let r = 1.0 - lr * a;
    let last = r * r * t - lr * b * x * (1.0 + r);
    // Central differences of a linear gradient are exact but for rounding, which the step divides.
    let tolerance = 10.0 * f64::EPSILON / relative_step();
    assert!((end.loss - c * last * x).abs() < 10.0 * f64::EPSILON);
    assert!((end.fake[0] - (c * last - c * x * lr * b * (1.0 + r))).abs() < tolerance, "{:?}", end.fake);
    assert!((end.theta[0] - c * r * r * x).abs() < tolerance, "{:?}", end.theta);
}

const HIDDEN: usize = 3;
const REAL: [f64; 2] = [0.9, -0.3];
const FAKE: [f64; 2] = [-0.8, 0.5];
const LR: f64 = 0.0625;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Activation {
    Tanh,
    LeakyRelu,
}

/// Least squares with `D(x) = sum_j a_j f(w_j x + b_j)`; weights are `w`, `b` and `a`, one after the other. A LeakyReLU has the
/// slope that it has with `kinks`.
fn half_mean_square(
    activation: Activation,
    theta: &[f64],
    kinks: &[f64],
    images: &[f64],
    target: f64,
) -> Slope {
    let mut slope = Slope { loss: 0.0, theta: vec![0.0; 3 * HIDDEN], fake: vec![0.0; images.len()] };
    let a = &theta[2 * HIDDEN..];
    for (&x, fake) in images.iter().zip(&mut slope.fake) {
        let inner = |theta: &[f64], j: usize| theta[j] * x + theta[HIDDEN + j];
        let (hidden, slopes): (Vec<f64>, Vec<f64>) = (0..HIDDEN)
            .map(|j| match activation {
                Activation::Tanh => (inner(theta, j).tanh(), 1.0 - inner(theta, j).tanh().powi(2)),
                Activation::LeakyRelu => {
                    let slope = if inner(kinks, j) > 0.0 { 1.0 } else { 0.25 };
                    (slope * inner(theta, j), slope)
                }
            })
            .unzip();
        let error = hidden.iter().zip(a).map(|(h, a)| h * a).sum::<f64>() - target;
        slope.loss += error * error / 2.0 / images.len() as f64;
        let error = error / images.len() as f64;
        for j in 0..HIDDEN {
            let inner = error * a[j] * slopes[j];
            slope.theta[j] += inner * x;
            slope.theta[HIDDEN + j] += inner;
            slope.theta[2 * HIDDEN + j] += error * hidden[j];
            *fake += inner * theta[j];
        }
    }
    slope
}

fn discriminator(activation: Activation, theta: &[f64], kinks: &[f64], fake: &[f64]) -> Slope {
    let real = half_mean_square(activation, theta, kinks, &REAL, 1.0);
    let mut slope = half_mean_square(activation, theta, kinks, fake, 0.0);
    add(&mut slope.theta, &real.theta);
    slope.loss += real.loss;
    slope
}

fn generator(activation: Activation, theta: &[f64], fake: &[f64]) -> Slope {
    half_mean_square(activation, theta, theta, fake, 1.0)
}

/// The unrolled gradient for the network above.
fn unrolled_network(activation: Activation, rule: Rule, start: State, steps: usize, fake: &[f64]) -> Slope {
    look_ahead(
        rule,
        LR,
        start,
        steps,
        |theta, kinks| discriminator(activation, theta, kinks, fake),
        |theta| generator(activation, theta, fake),
    )
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

fn difference(values: &[f64], i: usize, h: f64, loss: impl Fn(&[f64]) -> f64) -> f64 {
    let moved = |by| {
        let mut values = values.to_vec();
        values[i] += by;
        loss(&values)
    };
    (moved(h) - moved(-h)) / (2.0 * h)
}

#[test]
fn gradients_are_those_of_the_whole_look_ahead() {
    for (rule, steps) in RULES.into_iter().flat_map(|rule| [0, 1, 3].map(|steps| (rule, steps))) {
        for state in [start(), later(rule)] {
            let run = |theta: &[f64], fake: &[f64]| {
                let state = State { theta: theta.to_vec(), ..state.clone() };
                unrolled_network(Activation::Tanh, rule, state, steps, fake)
            };
            let found = run(&state.theta, &FAKE);
            let h = 1e-5;
            // Values and third derivatives are of order 1, here 10 to be safe, which leaves the square of the step in the
            // products and about as much in these differences. Through a root it is multiplied by lr / sqrt(v) for each step,
            // below 10 once for the smallest gradients, and by less later.
            let tolerance = 10.0 * (h * h + f64::EPSILON / h + relative_step().powi(2)) * 100.0;
            for i in 0..FAKE.len() {
                let expected = difference(&FAKE, i, h, |fake| run(&state.theta, fake).loss);
                let error = (found.fake[i] - expected).abs();
                assert!(error < tolerance, "{rule:?} {steps} fake {i}: {} {expected}", found.fake[i]);
            }
            for i in 0..state.theta.len() {
                let expected = difference(&state.theta, i, h, |theta| run(theta, &FAKE).loss);
                let error = (found.theta[i] - expected).abs();
                assert!(error < tolerance, "{rule:?} {steps} weight {i}: {} {expected}", found.theta[i]);
            }
        }
    }
}

/// A kink so near that differences of gradients reach over it, and differences of losses do not.
#[test]
fn the_other_side_of_a_kink_does_not_matter() {
    let activation = Activation::LeakyRelu;
    let rule = Rule::Sgd { momentum: 0.0 };
    let mut state = start();
    state.theta[HIDDEN] = -state.theta[0] * FAKE[0] + 5e-7;
    let h = 1e-7;
    // Values and third derivatives are below 10.
    let tolerance = 10.0 * (h * h + f64::EPSILON / h + relative_step().powi(2));
    let found = unrolled_network(activation, rule, state.clone(), 1, &FAKE);
    let careless = look_ahead(
        rule,
        LR,
        state.clone(),
        1,
        |theta, _| discriminator(activation, theta, theta, &FAKE),
        |theta| generator(activation, theta, &FAKE),
    );
    let mut largest = 0.0f64;
    for i in 0..FAKE.len() {
        let loss = |fake: &[f64]| unrolled_network(activation, rule, state.clone(), 1, fake).loss;
        let expected = difference(&FAKE, i, h, loss);
        assert!((found.fake[i] - expected).abs() < tolerance, "fake {i}: {} {expected}", found.fake[i]);
        largest = largest.max((careless.fake[i] - expected).abs());
    }
    assert!(largest > 1000.0 * tolerance, "{largest}");
}

/// What would be found if the updates were constants is another gradient.
#[test]
fn a_detached_look_ahead_is_something_else() {
    for rule in RULES {
        let mut state = later(rule);
        let found = unrolled_network(Activation::Tanh, rule, state.clone(), 3, &FAKE).fake;
        for _ in 0..3 {
            let gradient = discriminator(Activation::Tanh, &state.theta, &state.theta, &FAKE).theta;
            state = adjoint::advance(rule, LR, &state, &gradient);
        }
        let detached = generator(Activation::Tanh, &state.theta, &FAKE).fake;
        let apart = norm(&found.iter().zip(&detached).map(|(f, d)| f - d).collect::<Vec<_>>());
        assert!(apart > 0.02 * norm(&found), "{rule:?}: {found:?} {detached:?}");
    }
}

/// The smooth discriminator as a module.
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
            let found = unrolled(
                &module,
                &optimizer,
                LR,
                3,
                &fake,
                |module: &Tanh, _, fake| discriminator_loss(module, fake),
                |module, fake| module.half_mean_square(fake, 1.0),
            );
            assert_eq!(before, (Parameters::read(&module), optimizer.moments().clone()));
            let expected = unrolled_network(Activation::Tanh, rule, state.clone(), 3, &FAKE);
            // The products are off by rounding, divided by the step, relative to derivatives of order 1, which a root multiplies
            // as above.
            let tolerance = 10.0 * f64::from(f32::EPSILON) / RELATIVE_STEP;
            for (found, expected) in doubles(found.gradient).iter().zip(&expected.fake) {
                assert!((found - expected).abs() < tolerance, "{rule:?} {done}: {found} {expected}");
            }
            assert!((f64::from(found.loss) - expected.loss).abs() < 100.0 * f64::from(f32::EPSILON));

            // The look-ahead moves as training does.
            let mut grads = discriminator_loss(&module, fake.clone()).backward();
            optimizer.step(&mut module, &mut grads, LR);
            let gradient = discriminator(Activation::Tanh, &state.theta, &state.theta, &FAKE).theta;
            state = adjoint::advance(rule, LR, &state, &gradient);
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
    let loss = |module: &Normalized, _: &Normalized, fake| module.score(fake);
    let found = unrolled(&module, &optimizer, LR, 2, &fake, loss, Normalized::score);
    assert!(found.loss.is_finite() && norm(&doubles(found.gradient)) > 0.0);
    assert_eq!(Parameters::read(&module), before);
    let mask = Trained::read(&module).mask;
    assert_eq!(mask, [true, true, false, false, true, true, false, false]);
}
