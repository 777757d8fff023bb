//! Unrolled GANs: the generator minimises its loss against the discriminator as it will be after some more updates.
//!
//! In: a discriminator with its optimizer, generated images, both losses. Out: the gradient of the generator's loss with respect
//! to the images, taken through every one of these updates, which are then forgotten.
//!
//! With `g(theta, x)` the gradient of the discriminator's loss, the updates `theta_k+1 = U(theta_k, m_k, v_k, g(theta_k, x))`
//! are run forwards and their adjoints backwards. An adjoint `w` of `g` needs the products of `w` with second derivatives,
//! `d<g, w>/d(theta, x)`; they are the derivative of the first-order gradient along `w`, here a central difference:
//! `(grad L(theta + e w) - grad L(theta - e w)) / 2 e`.
//!
//! The gradient of a network with kinks, such as LeakyReLU, has jumps. The derivative does not know them, but a difference counts
//! those that lie between its ends, and the shorter it is the more each weighs. In perceptrons with two hidden layers of 32 to
//! 128 this put the result off by 2 to 100 % and more; with both ends kept on the side of every kink where `theta` is, by less
//! than 0.1 %.
//!
//! # Source
//! Metz et al. 2017, "Unrolled Generative Adversarial Networks", arXiv:1611.02163. As in its code, all updates see one batch.

mod adjoint;
#[cfg(test)]
mod tests;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Gradients, Tensor, TensorData};

use super::optimizer::Optimizer;
use crate::network::{NamedTensor, replaced, values};
use adjoint::{Adjoint, State};

/// What the generator learns from an unrolled discriminator.
pub(crate) struct Unrolled {
    /// The generator's loss against it.
    pub(crate) loss: f32,
    /// The gradient of this loss with respect to the generated images, `[N, C, H, W]`.
    pub(crate) gradient: Tensor<4>,
}

/// Looks `steps` updates of `discriminator` ahead, by the rule and from the state of `optimizer`.
///
/// The losses are given a discriminator to judge with and the generated images, and must be deterministic. That of the
/// discriminator is given another discriminator between the two: every ReLU and the like must have the slope that it has there
/// for the same images. A smooth network need not look at it.
///
/// Neither the discriminator nor its optimizer changes, running statistics included; what is not trained, such as singular
/// vectors, stands still in the look-ahead. Weights are not clipped in it, and a loss must not contain a penalty of gradients,
/// whose surrogate does not know its derivative with respect to the images.
///
/// # Shapes
/// `fake`: `[N, C, H, W]`.
pub(crate) fn unrolled<M: Module>(
    discriminator: &M,
    optimizer: &Optimizer,
    lr: f64,
    steps: usize,
    fake: &Tensor<4>,
    discriminator_loss: impl Fn(&M, &M, Tensor<4>) -> Tensor<1>,
    generator_loss: impl Fn(&M, Tensor<4>) -> Tensor<1>,
) -> Unrolled {
    let trained = Trained::read(discriminator);
    let moments = optimizer.moments();
    let start = State {
        time: moments.time,
        theta: trained.theta.clone(),
        first: trained.pick(&moments.first.0),
        second: trained.pick(&moments.second.0),
    };
    let update = |state: &State, gradient: &[f64]| adjoint::advance(optimizer.rule(), lr, state, gradient);
    let pull = |state: &State, gradient: &[f64], adjoint: &mut Adjoint| {
        adjoint::pull_back(optimizer.rule(), lr, state, gradient, adjoint)
    };
    let slope = |theta: &[f64], loss: &dyn Fn(&M, Tensor<4>) -> Tensor<1>| {
        let discriminator = trained.write(discriminator, theta);
        let fake = fake.clone().detach().require_grad();
        let loss = loss(&discriminator, fake.clone());
        let grads = loss.backward();
        let gradient = fake.grad(&grads).map_or_else(|| vec![0.0; fake.shape().num_elements()], doubles);
        Slope {
            loss: f64::from(loss.into_scalar::<f32>()),
            theta: Trained::gradient(&discriminator, &grads),
            fake: gradient,
        }
    };
    let end = backpropagate(
        start,
        steps,
        RELATIVE_STEP,
        update,
        pull,
        |theta, kinks| {
            let kinks = trained.write(discriminator, kinks).no_grad();
            slope(theta, &|discriminator, fake| discriminator_loss(discriminator, &kinks, fake))
        },
        |theta| slope(theta, &generator_loss),
    );
    let gradient = end.fake.into_iter().map(|value| value as f32).collect();
    Unrolled {
        loss: end.loss as f32,
        gradient: Tensor::from_data(TensorData::new::<f32, _>(gradient, fake.shape()), &fake.device()),
    }
}

/// Length of the steps of differences of gradients in `f32`, as a part of the length of the weights: about the square root of its
/// precision. The cube root would be best for third derivatives of order one, but along a gradient they are far larger: in the
/// networks above it is off by up to 6 %, the square root by less than 0.1 %.
const RELATIVE_STEP: f64 = 3e-4;

/// A loss and its gradients at one place.
struct Slope {
    loss: f64,
    theta: Vec<f64>,
    fake: Vec<f64>,
}

/// The generator's loss after `steps` updates, and its gradients with respect to the weights before the updates and the images.
///
/// `discriminator` and `generator` are the two losses at given weights, the former on the side of each kink where other weights
/// are.
fn backpropagate(
    start: State,
    steps: usize,
    relative_step: f64,
    update: impl Fn(&State, &[f64]) -> State,
    pull: impl Fn(&State, &[f64], &mut Adjoint) -> Vec<f64>,
    discriminator: impl Fn(&[f64], &[f64]) -> Slope,
    generator: impl Fn(&[f64]) -> Slope,
) -> Slope {
    let mut trace = Vec::with_capacity(steps);
    let mut state = start;
    for _ in 0..steps {
        let gradient = discriminator(&state.theta, &state.theta).theta;
        let next = update(&state, &gradient);
        trace.push((state, gradient));
        state = next;
    }
    let Slope { loss, theta, mut fake } = generator(&state.theta);
    let mut adjoint = Adjoint { first: vec![0.0; theta.len()], second: vec![0.0; theta.len()], theta };
    for (state, gradient) in trace.iter().rev() {
        let along = pull(state, gradient, &mut adjoint);
        let Some(curvature) = derivative(&discriminator, &state.theta, &along, relative_step) else {
            continue;
        };
        add(&mut adjoint.theta, &curvature.theta);
        add(&mut fake, &curvature.fake);
    }
    Slope { loss, theta: adjoint.theta, fake }
}

/// The derivative of both gradients along `along`, none if that is zero.
fn derivative(
    slope: impl Fn(&[f64], &[f64]) -> Slope,
    theta: &[f64],
    along: &[f64],
    relative_step: f64,
) -> Option<Slope> {
    let length = norm(along);
    if length == 0.0 {
        return None;
    }
    let scale = Some(norm(theta)).filter(|&length| length > 0.0).unwrap_or(1.0);
    let step = relative_step * scale / length;
    let moved = |by: f64| slope(&theta.iter().zip(along).map(|(t, a)| t + by * a).collect::<Vec<_>>(), theta);
    let (up, down) = (moved(step), moved(-step));
    let half = |up: f64, down: f64| (up - down) / (2.0 * step);
    let each = |up: Vec<f64>, down: Vec<f64>| up.into_iter().zip(down).map(|(u, d)| half(u, d)).collect();
    Some(Slope {
        loss: half(up.loss, down.loss),
        theta: each(up.theta, down.theta),
        fake: each(up.fake, down.fake),
    })
}

fn norm(values: &[f64]) -> f64 {
    values.iter().map(|v| v * v).sum::<f64>().sqrt()
}

fn add(sum: &mut [f64], values: &[f64]) {
    sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
}

fn doubles<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    values(tensor).into_iter().map(f64::from).collect()
}

/// The trained numbers of a module, one tensor after the other.
struct Trained {
    /// Which of the module's float tensors are trained.
    mask: Vec<bool>,
    theta: Vec<f64>,
}

impl Trained {
    fn read<M: Module>(module: &M) -> Self {
        let mut trained = Self { mask: vec![], theta: vec![] };
        module.visit(&mut trained);
        trained
    }

    /// The numbers of those of `tensors`, one for each of the module's, that are trained.
    fn pick(&self, tensors: &[NamedTensor]) -> Vec<f64> {
        let kept = tensors.iter().zip(&self.mask).filter(|(_, trained)| **trained);
        kept.flat_map(|(tensor, _)| &tensor.data).map(|&value| f64::from(value)).collect()
    }

    /// A copy of `module` with these numbers, which shares nothing with it.
    fn write<M: Module>(&self, module: &M, theta: &[f64]) -> M {
        // A clone would share its running statistics, and update them.
        module.valid().train().map(&mut Writer { mask: self.mask.iter(), theta })
    }

    /// Gradients of the trained numbers of `module`, zero where none arrived.
    fn gradient<M: Module>(module: &M, grads: &Gradients) -> Vec<f64> {
        let mut collector = Collector { grads, theta: vec![] };
        module.visit(&mut collector);
        collector.theta
    }
}

impl ModuleVisitor for Trained {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.mask.push(param.is_require_grad());
        if param.is_require_grad() {
            self.theta.extend(doubles(param.val()));
        }
    }
}

struct Writer<'a> {
    mask: core::slice::Iter<'a, bool>,
    theta: &'a [f64],
}

impl ModuleMapper for Writer<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if !self.mask.next().expect("the mask was made from this module") {
            return param;
        }
        param.map(|tensor| {
            let (values, rest) = self.theta.split_at(tensor.shape().num_elements());
            self.theta = rest;
            replaced(&tensor, values.iter().map(|&value| value as f32).collect()).require_grad()
        })
    }
}

struct Collector<'a> {
    grads: &'a Gradients,
    theta: Vec<f64>,
}

impl ModuleVisitor for Collector<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if !param.is_require_grad() {
            return;
        }
        let tensor = param.val();
        match tensor.grad(self.grads) {
            Some(gradient) => self.theta.extend(doubles(gradient)),
            None => self.theta.resize(self.theta.len() + tensor.shape().num_elements(), 0.0),
        }
    }
}
