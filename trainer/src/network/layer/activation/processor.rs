//! Functions of each value on the processor: one pass for the result, one for the gradient, on all cores.
//!
//! The gradient is a function of the result alone, so nothing else is kept. burn-flex takes three passes for a leaky ReLU and
//! more for its gradient, and all on one core.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, unary};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::Tensor;
use rayon::prelude::*;

use super::Function;
use crate::network::layer::processor::{CHUNK, slice, tensor, zeros};

/// All tensors have the shape of the first.
#[backend_extension(Flex, Autodiff)]
pub(super) trait Activate: Backend {
    /// `y = f(x)`
    fn activate(x: FloatTensor<Self>, function: Function) -> FloatTensor<Self>;

    /// The gradient with respect to `x`, of that with respect to `y`. Has none of its own.
    fn activate_gradient(
        y: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        function: Function,
    ) -> FloatTensor<Self>;
}

/// The function of each value.
pub(super) fn activate(x: Tensor<4>, function: Function) -> Tensor<4> {
    Tensor::from_dispatch(Dispatch::activate(x.into_dispatch(), function))
}

impl Activate for Flex {
    fn activate(x: FlexTensor, function: Function) -> FlexTensor {
        let x = x.to_contiguous();
        match function {
            Function::Relu => map([&x, &x], |x, _| if x <= 0.0 { 0.0 } else { x }),
            Function::LeakyRelu(slope) => {
                let slope = slope as f32;
                map([&x, &x], move |x, _| if x > 0.0 { x } else { slope * x })
            }
            Function::Tanh => map([&x, &x], |x, _| x.tanh()),
        }
    }

    fn activate_gradient(y: FlexTensor, grad: FlexTensor, function: Function) -> FlexTensor {
        let grad = grad.to_contiguous();
        match function {
            Function::Relu => map([&y, &grad], |y, grad| if y > 0.0 { grad } else { 0.0 }),
            // Slopes are not negative, so results have the sign of what they were made from.
            Function::LeakyRelu(slope) => {
                let slope = slope as f32;
                map([&y, &grad], move |y, grad| if y > 0.0 { grad } else { slope * grad })
            }
            Function::Tanh => map([&y, &grad], |y, grad| (1.0 - y * y) * grad),
        }
    }
}

/// A function of two values, of which one may be the other.
fn map([a, b]: [&FlexTensor; 2], function: impl Fn(f32, f32) -> f32 + Sync) -> FlexTensor {
    let (shape, a, b) = (a.shape(), slice(a), slice(b));
    let mut y = zeros(a.len());
    let chunks = y.par_chunks_mut(CHUNK).zip(a.par_chunks(CHUNK)).zip(b.par_chunks(CHUNK));
    chunks.for_each(|((y, a), b)| {
        y.iter_mut().zip(a.iter().zip(b)).for_each(|(y, (a, b))| *y = function(*a, *b));
    });
    tensor(y, shape)
}

#[derive(Debug)]
struct Activated;

impl<B: Activate> Backward<B, 1> for Activated {
    type State = (FloatTensor<B>, Function);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (y, function) = ops.state;
        unary::<B, _>(ops.parents, ops.node, grads, |grad| B::activate_gradient(y, grad, function));
    }
}

impl<B: Activate, C: CheckpointStrategy> Activate for Autodiff<B, C> {
    fn activate(x: FloatTensor<Self>, function: Function) -> FloatTensor<Self> {
        let prepared = Activated.prepare::<C>([x.node()]).compute_bound().stateful();
        let y = B::activate(x.into_primitive(), function);
        match prepared {
            OpsKind::Tracked(prep) => prep.finish((y.clone(), function), y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }

    fn activate_gradient(_: FloatTensor<Self>, _: FloatTensor<Self>, _: Function) -> FloatTensor<Self> {
        unreachable!("gradients are taken once")
    }
}
