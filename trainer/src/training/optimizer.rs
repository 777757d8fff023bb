//! Update rules over the parameters of a module.
//!
//! burn's own need about twelve passes over memory and as many temporary tensors per parameter; these one pass are
//! several milliseconds of each step on a CPU. On a GPU, whose kernels burn fuses, they are operations on tensors.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Gradients, Tensor};
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::mirror::{Mirror, Mirrored, Numbers};
use super::replica::Replica;
use crate::config::TrainingConfig;
use crate::network::{Parameters, replaced, values};

/// Which rule moves the weights. In TOML by its name in lower case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerName {
    /// Adam without weight decay, with `beta_1` and `beta_2`.
    #[default]
    Adam,
    /// RMSProp, which has no momentum: what the clipped Wasserstein critic was trained with.
    RmsProp,
    /// Gradient descent with `momentum`.
    Sgd,
}

/// The state of an optimizer.
#[derive(Clone, Debug, PartialEq)]
pub struct Moments {
    /// Number of updates so far.
    pub time: u64,
    /// Memory of the gradient, one tensor for each of the module's; zero where no gradient arrives or the rule has none.
    pub first: Parameters,
    /// Memory of the squared gradient, likewise.
    pub second: Parameters,
}

impl Moments {
    /// The state before the first update of a module with these parameters.
    pub fn zeros(parameters: &Parameters) -> Self {
        let mut zeros = parameters.clone();
        zeros.0.iter_mut().for_each(|tensor| tensor.data.fill(0.0));
        Self { time: 0, second: zeros.clone(), first: zeros }
    }
}

/// A rule with its numbers. `m` and `v` are the two moments.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Rule {
    /// `m = b1 m + (1 - b1) g`, `v = b2 v + (1 - b2) g^2`, `w -= lr m^ / (sqrt(v^) + eps)` where `m^ = m / (1 - b1^t)` and
    /// `v^ = v / (1 - b2^t)`.
    ///
    /// # Source
    /// Kingma and Ba 2015, arXiv:1412.6980, algorithm 1 with epsilon added to the bias-corrected root.
    Adam { beta_1: f32, beta_2: f32 },
    /// `v = a v + (1 - a) g^2`, `w -= lr g / (sqrt(v) + eps)`.
    ///
    /// # Source
    /// Tieleman and Hinton 2012, lecture 6.5 of "Neural Networks for Machine Learning", in the form and with the numbers that
    /// Arjovsky et al. 2017, arXiv:1701.07875, took over from PyTorch: a = 0.99, eps = 1e-8.
    RmsProp,
    /// `m = momentum m + g`, `w -= lr m`.
    ///
    /// # Source
    /// Polyak 1964, "Some methods of speeding up the convergence of iteration methods"; the learning rate stands outside of
    /// the memory, so that a change of it acts at once.
    Sgd { momentum: f32 },
}

pub(super) const EPSILON: f32 = 1e-8;
pub(super) const RMS_MEMORY: f32 = 0.99;

/// The rule of a run and its state for one module.
pub(crate) struct Optimizer {
    rule: Rule,
    time: u64,
    first: Mirror,
    second: Mirror,
    replica: Replica,
}

impl Optimizer {
    /// One that goes on from `moments`, of a module on the processor.
    pub(crate) fn new(moments: Moments, config: &TrainingConfig) -> Self {
        let rule = match config.optimizer {
            OptimizerName::Adam => Rule::Adam { beta_1: config.beta_1 as f32, beta_2: config.beta_2 as f32 },
            OptimizerName::RmsProp => Rule::RmsProp,
            OptimizerName::Sgd => Rule::Sgd { momentum: config.momentum as f32 },
        };
        let Moments { time, first, second } = moments;
        let (first, second) = (Mirror::new(first), Mirror::new(second));
        Self { rule, time, first, second, replica: Replica::alone() }
    }

    /// The same for a module on a GPU.
    pub(crate) fn on(self, device: &Device) -> Self {
        Self { first: self.first.on(device), second: self.second.on(device), ..self }
    }

    /// Follows from now on the mean of the gradients of all replicas.
    pub(super) fn share(&mut self, replica: Replica) {
        self.replica = replica;
    }

    pub(crate) fn rule(&self) -> Rule {
        self.rule
    }

    /// Begins anew.
    pub(super) fn forget(&mut self) {
        self.time = 0;
        self.first.clear();
        self.second.clear();
    }

    /// A copy of its state.
    pub(crate) fn moments(&self) -> Moments {
        Moments { time: self.time, first: self.first.read(), second: self.second.read() }
    }

    /// Moves every parameter of `module` that has a gradient, which is taken from `grads`.
    pub(crate) fn step<M: Module>(&mut self, module: &mut M, grads: &mut Gradients, lr: f64) {
        self.time += 1;
        let (first, second) = (self.first.iter_mut(), self.second.iter_mut());
        let mut update =
            Update { rule: self.rule, time: self.time, lr, first, second, grads, replica: &self.replica };
        *module = module.clone().map(&mut update);
    }
}

struct Update<'a> {
    rule: Rule,
    time: u64,
    lr: f64,
    first: core::slice::IterMut<'a, Mirrored>,
    second: core::slice::IterMut<'a, Mirrored>,
    grads: &'a mut Gradients,
    replica: &'a Replica,
}

impl ModuleMapper for Update<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let first = self.first.next().expect("moments were made for this module");
        let second = self.second.next().expect("moments were made for this module");
        let Some(grad) = param.val().grad_remove(self.grads) else { return param };
        let grad = self.replica.mean(grad);
        param.map(|tensor| match (&mut first.numbers, &mut second.numbers) {
            (Numbers::Host(first), Numbers::Host(second)) => {
                let mut weights = values(tensor.clone());
                self.rule.update(self.time, self.lr, &mut weights, [first, second], &values(grad));
                replaced(&tensor, weights)
            }
            (Numbers::Device(first), Numbers::Device(second)) => {
                let (shape, trains) = (tensor.shape(), tensor.is_require_grad());
                let weights = tensor.inner().flatten(0, D - 1);
                let grad = grad.flatten(0, D - 1);
                let weights = self.rule.update_tensors(self.time, self.lr, weights, [first, second], grad);
                Tensor::from_inner(weights.reshape(shape)).set_require_grad(trains)
            }
            _ => unreachable!("both moments live in one place"),
        })
    }
}

impl Rule {
    /// Update number `time`, counted from one, of the weights of one tensor and of its moments.
    fn update(
        self,
        time: u64,
        lr: f64,
        weights: &mut [f32],
        [first, second]: [&mut Vec<f32>; 2],
        grad: &[f32],
    ) {
        /// Enough work for a thread.
        const CHUNK: usize = 1 << 14;
        let moments = first.par_chunks_mut(CHUNK).zip(second.par_chunks_mut(CHUNK));
        weights.par_chunks_mut(CHUNK).zip(moments).zip(grad.par_chunks(CHUNK)).for_each(
            |((weights, (first, second)), grad)| self.update_part(time, lr, weights, [first, second], grad),
        );
    }

    fn update_part(
        self,
        time: u64,
        lr: f64,
        weights: &mut [f32],
        [first, second]: [&mut [f32]; 2],
        grad: &[f32],
    ) {
        let each = weights.iter_mut().zip(first).zip(second).zip(grad);
        match self {
            Self::Adam { beta_1, beta_2 } => {
                let (lr, root) = self.bias_corrected(time, lr);
                let (lr, root) = (lr as f32, root as f32);
                for (((w, m), v), g) in each {
                    *m = flush(beta_1 * *m + (1.0 - beta_1) * g);
                    *v = flush(beta_2 * *v + (1.0 - beta_2) * g * g);
                    *w -= lr * *m / (v.sqrt() * root + EPSILON);
                }
            }
            Self::RmsProp => {
                let lr = lr as f32;
                for (((w, _), v), g) in each {
                    *v = flush(RMS_MEMORY * *v + (1.0 - RMS_MEMORY) * g * g);
                    *w -= lr * g / (v.sqrt() + EPSILON);
                }
            }
            Self::Sgd { momentum } => {
                let lr = lr as f32;
                for (((w, m), _), g) in each {
                    *m = flush(momentum * *m + g);
                    *w -= lr * *m;
                }
            }
        }
    }

    /// The same on a device: the new weights, `[N]` like all. Subnormal moments, which cost a GPU nothing, stay.
    fn update_tensors(
        self,
        time: u64,
        lr: f64,
        weights: Tensor<1>,
        [first, second]: [&mut Tensor<1>; 2],
        grad: Tensor<1>,
    ) -> Tensor<1> {
        /// `old = memory old + share new`
        fn remember(old: &mut Tensor<1>, memory: f32, share: f32, new: Tensor<1>) {
            *old = old.clone().mul_scalar(memory).add(new.mul_scalar(share));
        }
        let square = || grad.clone() * grad.clone();
        match self {
            Self::Adam { beta_1, beta_2 } => {
                let (lr, root) = self.bias_corrected(time, lr);
                remember(second, beta_2, 1.0 - beta_2, square());
                remember(first, beta_1, 1.0 - beta_1, grad);
                let scale = second.clone().sqrt().mul_scalar(root).add_scalar(EPSILON);
                weights - first.clone().mul_scalar(lr) / scale
            }
            Self::RmsProp => {
                remember(second, RMS_MEMORY, 1.0 - RMS_MEMORY, square());
                weights - grad.mul_scalar(lr) / second.clone().sqrt().add_scalar(EPSILON)
            }
            Self::Sgd { momentum } => {
                remember(first, momentum, 1.0, grad);
                weights - first.clone().mul_scalar(lr)
            }
        }
    }

    /// The learning rate and the factor of `sqrt(v)` that account for moments which began as zero.
    pub(super) fn bias_corrected(self, time: u64, lr: f64) -> (f64, f64) {
        let Self::Adam { beta_1, beta_2 } = self else { return (lr, 1.0) };
        let correction = |beta: f32| 1.0 - f64::from(beta).powf(time as f64);
        (lr / correction(beta_1), 1.0 / correction(beta_2).sqrt())
    }
}

/// `x`, or zero where it is subnormal.
///
/// Where no gradient arrives any more, a memory that fades by rounding to nearest never reaches zero, but stays a few of the
/// smallest numbers there are, with which a processor computes a hundred times as slowly. No weight can tell the difference.
fn flush(x: f32) -> f32 {
    if x.abs() < f32::MIN_POSITIVE { 0.0 } else { x }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::nn::{Linear, LinearConfig};
    use burn::tensor::Device;

    /// The rules in f64, straight from the papers.
    fn reference(config: &TrainingConfig, mut w: f64, grads: &[f64], lr: f64) -> f64 {
        let (beta_1, beta_2) = (config.beta_1, config.beta_2);
        let (mut m, mut v) = (0.0, 0.0f64);
        for (t, g) in (1..).zip(grads) {
            match config.optimizer {
                OptimizerName::Adam => {
                    m = beta_1 * m + (1.0 - beta_1) * g;
                    v = beta_2 * v + (1.0 - beta_2) * g * g;
                    let (m_hat, v_hat) = (m / (1.0 - beta_1.powi(t)), v / (1.0 - beta_2.powi(t)));
                    w -= lr * m_hat / (v_hat.sqrt() + 1e-8);
                }
                OptimizerName::RmsProp => {
                    v = 0.99 * v + 0.01 * g * g;
                    w -= lr * g / (v.sqrt() + 1e-8);
                }
                OptimizerName::Sgd => {
                    m = config.momentum * m + g;
                    w -= lr * m;
                }
            }
        }
        w
    }

    fn config(optimizer: OptimizerName) -> TrainingConfig {
        TrainingConfig { optimizer, momentum: 0.9, ..TrainingConfig::default() }
    }

    fn linear(device: &Device) -> Linear {
        LinearConfig::new(1, 1).with_bias(false).init(device)
    }

    fn step(optimizer: &mut Optimizer, linear: &mut Linear, grad: f64) {
        let x = Tensor::<2>::from_floats([[grad as f32]], &linear.weight.val().device());
        let mut grads = linear.forward(x).sum().backward();
        optimizer.step(linear, &mut grads, 0.01);
    }

    const RULES: [OptimizerName; 3] = [OptimizerName::Adam, OptimizerName::RmsProp, OptimizerName::Sgd];

    #[test]
    fn follows_the_papers() {
        let device = Device::flex().autodiff();
        for config in RULES.map(config) {
            let mut linear = linear(&device);
            let start = f64::from(values(linear.weight.val())[0]);
            let mut optimizer = Optimizer::new(Moments::zeros(&Parameters::read(&linear)), &config);
            let grads = [3.0, -0.5, 0.25, 1e-3];
            for grad in grads {
                step(&mut optimizer, &mut linear, grad);
            }
            let expected = reference(&config, start, &grads, 0.01);
            let found = f64::from(values(linear.weight.val())[0]);
            // Each step moves by at most ten times lr, the first of RMSProp's, or by lr times a memory below 5, and rounds a
            // dozen values relatively. A memory of 0.99 as f32 makes a share of 1 - 0.99 that is off by eps / 0.01.
            let tolerance =
                grads.len() as f64 * f64::from(f32::EPSILON) * (start.abs() + (12.0 + 100.0) * 10.0 * 0.01);
            assert!((found - expected).abs() < tolerance, "{:?}: {found} {expected}", config.optimizer);
        }
    }

    /// Both ways to compute an update, on a module that both can reach.
    #[test]
    fn a_device_computes_what_the_processor_does() {
        let device = Device::flex().autodiff();
        for config in RULES.map(config) {
            let mut here = linear(&device);
            let mut there = here.clone();
            let zeros = || Optimizer::new(Moments::zeros(&Parameters::read(&there)), &config);
            let (mut host, mut gpu) = (zeros(), zeros().on(&device));
            for grad in [3.0, -0.5, 0.25, 1e-3] {
                step(&mut host, &mut here, grad);
                step(&mut gpu, &mut there, grad);
            }
            let [found, expected] = [&there, &here].map(|linear| values(linear.weight.val())[0]);
            // The same operations in the same order, but for factors that one rounds and the other may not: a few roundings
            // of the weight and of each step, which is at most ten times lr, or lr times a memory below 5.
            let tolerance = 4.0 * f32::EPSILON * (expected.abs() + 8.0 * 10.0 * 0.01);
            assert!((found - expected).abs() < tolerance, "{:?}: {found} {expected}", config.optimizer);
            let [found, expected] = [gpu, host].map(|optimizer| optimizer.moments());
            assert_eq!(found.time, expected.time);
            for (found, expected) in [(found.first, expected.first), (found.second, expected.second)] {
                let (found, expected) = (&found.0[0], &expected.0[0]);
                assert_eq!((&found.name, &found.shape), (&expected.name, &expected.shape));
                let error = (found.data[0] - expected.data[0]).abs();
                assert!(error <= 16.0 * f32::EPSILON * 9.0, "{:?}: {found:?} {expected:?}", config.optimizer);
            }
            // What it moved is still trained.
            assert!(there.weight.is_require_grad());
        }
    }

    #[test]
    fn memories_of_gradients_that_no_longer_arrive_fade_to_zero() {
        // Memories of 0.99 are below the smallest normal number after ln(2^-126) / ln(0.99) steps.
        const STEPS: usize = 8690;
        let device = Device::flex().autodiff();
        for optimizer in RULES {
            let config = TrainingConfig { beta_1: 0.9, beta_2: 0.99, ..config(optimizer) };
            let mut linear = linear(&device);
            let mut optimizer = Optimizer::new(Moments::zeros(&Parameters::read(&linear)), &config);
            step(&mut optimizer, &mut linear, 1.0);
            for _ in 0..STEPS {
                step(&mut optimizer, &mut linear, 0.0);
            }
            let Moments { first, second, .. } = optimizer.moments();
            assert_eq!([first.0[0].data[0], second.0[0].data[0]], [0.0; 2], "{:?}", config.optimizer);
        }
    }

    #[test]
    fn state_taken_and_given_back_gives_the_same_bits() {
        let device = Device::flex().autodiff();
        for config in RULES.map(config) {
            let mut whole = linear(&device);
            let mut optimizer = Optimizer::new(Moments::zeros(&Parameters::read(&whole)), &config);
            step(&mut optimizer, &mut whole, 3.0);
            let mut resumed = whole.clone();
            let mut again = Optimizer::new(optimizer.moments(), &config);
            let mut fresh = whole.clone();
            let mut forgetful = Optimizer::new(Moments::zeros(&Parameters::read(&fresh)), &config);
            step(&mut optimizer, &mut whole, -0.5);
            step(&mut again, &mut resumed, -0.5);
            step(&mut forgetful, &mut fresh, -0.5);
            assert_eq!(Parameters::read(&whole), Parameters::read(&resumed), "{:?}", config.optimizer);
            assert_eq!(optimizer.moments(), again.moments(), "{:?}", config.optimizer);
            assert_ne!(Parameters::read(&whole), Parameters::read(&fresh), "{:?}", config.optimizer);
        }
    }

    #[test]
    fn names_are_those_of_the_file() {
        let parsed = |name: &str| toml::from_str::<TrainingConfig>(&format!("optimizer = \"{name}\""));
        let names = ["adam", "rmsprop", "sgd"].map(|name| parsed(name).unwrap().optimizer);
        assert_eq!(names, RULES);
        assert!(parsed("rms-prop").is_err());
    }
}
