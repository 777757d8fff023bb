//! Adam over the parameters of a module.
//!
//! burn's own needs about twelve passes over memory and as many temporary tensors per parameter; this one pass is
//! several milliseconds of each step on a CPU. Its state is plain numbers, which a checkpoint keeps bit by bit.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Gradients, Tensor};

use crate::config::TrainingConfig;
use crate::network::{Parameters, replaced, values};

/// The state of Adam.
#[derive(Clone, Debug, PartialEq)]
pub struct Moments {
    /// Number of updates so far.
    pub time: u64,
    /// Moving average of the gradient, one tensor for each of the module's; zero where no gradient arrives.
    pub first: Parameters,
    /// Moving average of the squared gradient.
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

/// Adam without weight decay.
///
/// # Source
/// Kingma and Ba 2015, arXiv:1412.6980, algorithm 1 with epsilon added to the bias-corrected root.
pub(crate) struct Adam {
    moments: Moments,
    beta_1: f32,
    beta_2: f32,
}

const EPSILON: f32 = 1e-8;

impl Adam {
    pub(crate) fn new(moments: Moments, config: &TrainingConfig) -> Self {
        Self { moments, beta_1: config.beta_1 as f32, beta_2: config.beta_2 as f32 }
    }

    pub(crate) fn moments(&self) -> &Moments {
        &self.moments
    }

    /// Moves every parameter of `module` that has a gradient.
    pub(crate) fn step<M: Module>(&mut self, module: &mut M, grads: Gradients, lr: f64) {
        self.moments.time += 1;
        let time = self.moments.time as f64;
        let correction_1 = 1.0 - f64::from(self.beta_1).powf(time);
        let correction_2 = 1.0 - f64::from(self.beta_2).powf(time);
        let mut update = Update {
            rates: Rates {
                beta_1: self.beta_1,
                beta_2: self.beta_2,
                lr: (lr / correction_1) as f32,
                root: (1.0 / correction_2.sqrt()) as f32,
            },
            first: self.moments.first.0.iter_mut(),
            second: self.moments.second.0.iter_mut(),
            grads,
        };
        *module = module.clone().map(&mut update);
    }
}

#[derive(Clone, Copy)]
struct Rates {
    beta_1: f32,
    beta_2: f32,
    lr: f32,
    root: f32,
}

struct Update<'a> {
    rates: Rates,
    first: core::slice::IterMut<'a, crate::network::NamedTensor>,
    second: core::slice::IterMut<'a, crate::network::NamedTensor>,
    grads: Gradients,
}

impl ModuleMapper for Update<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let first = &mut self.first.next().expect("moments were made for this module").data;
        let second = &mut self.second.next().expect("moments were made for this module").data;
        let Some(grad) = param.val().grad_remove(&mut self.grads) else { return param };
        let grad = values(grad);
        let rates = self.rates;
        param.map(|tensor| {
            let mut weights = values(tensor.clone());
            update(&mut weights, first, second, &grad, rates);
            replaced(&tensor, weights)
        })
    }
}

fn update(weights: &mut [f32], first: &mut [f32], second: &mut [f32], grad: &[f32], rates: Rates) {
    let Rates { beta_1, beta_2, lr, root } = rates;
    for (((w, m), v), g) in weights.iter_mut().zip(first).zip(second).zip(grad) {
        *m = beta_1 * *m + (1.0 - beta_1) * g;
        *v = beta_2 * *v + (1.0 - beta_2) * g * g;
        *w -= lr * *m / (v.sqrt() * root + EPSILON);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::nn::LinearConfig;
    use burn::tensor::Device;

    /// Adam in f64, straight from the paper.
    fn reference(mut w: f64, grads: &[f64], lr: f64, beta_1: f64, beta_2: f64) -> f64 {
        let (mut m, mut v) = (0.0, 0.0);
        for (t, g) in (1..).zip(grads) {
            m = beta_1 * m + (1.0 - beta_1) * g;
            v = beta_2 * v + (1.0 - beta_2) * g * g;
            let (m_hat, v_hat) = (m / (1.0 - beta_1.powi(t)), v / (1.0 - beta_2.powi(t)));
            w -= lr * m_hat / (v_hat.sqrt() + 1e-8);
        }
        w
    }

    #[test]
    fn follows_the_paper() {
        let device = Device::flex().autodiff();
        let mut linear = LinearConfig::new(1, 1).with_bias(false).init(&device);
        let start = f64::from(values(linear.weight.val())[0]);
        let config = TrainingConfig::default();
        let mut adam = Adam::new(Moments::zeros(&Parameters::read(&linear)), &config);
        let inputs = [3.0, -0.5, 0.25, 1e-3];
        for input in inputs {
            let x = Tensor::<2>::from_floats([[input as f32]], &device);
            let grads = linear.forward(x).sum().backward();
            adam.step(&mut linear, grads, 0.01);
        }
        let expected = reference(start, &inputs, 0.01, config.beta_1, config.beta_2);
        let found = f64::from(values(linear.weight.val())[0]);
        // Each step moves by at most about lr and rounds a dozen values relatively.
        let tolerance = inputs.len() as f64 * f64::from(f32::EPSILON) * (start.abs() + 12.0 * 0.01);
        assert!((found - expected).abs() < tolerance, "{found} {expected}");
    }
}
