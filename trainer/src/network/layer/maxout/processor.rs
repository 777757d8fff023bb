//! The largest of each few values on the processor: one pass for the result, one for the gradient, on all cores.
//!
//! burn-flex looks for the place of each, and scatters the gradient to those places on one core.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, unary};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::Tensor;
use rayon::prelude::*;

use super::PIECES;
use crate::network::layer::processor::{CHUNK, slice, tensor};

/// `x` is `[N, F]`, `y` `[N, F / PIECES]`.
#[backend_extension(Flex, Autodiff)]
pub(super) trait Largest: Backend {
    /// The largest of each `PIECES` values that lie side by side.
    fn largest(x: FloatTensor<Self>) -> FloatTensor<Self>;

    /// The gradient with respect to `x`, of that with respect to `y`: of equal pieces the first has it. Has none of its own.
    fn largest_gradient(
        x: FloatTensor<Self>,
        y: FloatTensor<Self>,
        grad: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
}

/// The largest of each `PIECES` values that lie side by side: `[N, F]` to `[N, F / PIECES]`.
pub(super) fn largest(x: Tensor<2>) -> Tensor<2> {
    Tensor::from_dispatch(Dispatch::largest(x.into_dispatch()))
}

impl Largest for Flex {
    fn largest(x: FlexTensor) -> FlexTensor {
        let (shape, x) = (x.shape(), x.to_contiguous());
        let (places, _) = slice(&x).as_chunks::<PIECES>();
        let mut y = vec![0.0; places.len()];
        y.par_chunks_mut(CHUNK).zip(places.par_chunks(CHUNK)).for_each(|(y, places)| {
            for (y, [first, rest @ ..]) in y.iter_mut().zip(places) {
                // What is no number stays none. Without branches, which nobody could predict.
                *y = rest.iter().fold(*first, |y, x| if (*x > y) | x.is_nan() { *x } else { y });
            }
        });
        tensor(y, [shape[0], shape[1] / PIECES])
    }

    fn largest_gradient(x: FlexTensor, y: FlexTensor, grad: FlexTensor) -> FlexTensor {
        let (shape, x, grad) = (x.shape(), x.to_contiguous(), grad.to_contiguous());
        let (places, _) = slice(&x).as_chunks::<PIECES>();
        let mut of_x = vec![[0.0; PIECES]; places.len()];
        let chunks = of_x.par_chunks_mut(CHUNK).zip(places.par_chunks(CHUNK));
        let of_y = slice(&y).par_chunks(CHUNK).zip(slice(&grad).par_chunks(CHUNK));
        chunks.zip(of_y).for_each(|((of_x, x), (y, grad))| {
            for ((of_x, x), (y, grad)) in of_x.iter_mut().zip(x).zip(y.iter().zip(grad)) {
                let mut is_found = false;
                for (of_x, x) in of_x.iter_mut().zip(x) {
                    let is_place = (x == y) & !is_found;
                    *of_x = if is_place { *grad } else { 0.0 };
                    is_found |= is_place;
                }
            }
        });
        tensor(of_x.into_flattened(), shape)
    }
}

#[derive(Debug)]
struct Chosen;

impl<B: Largest> Backward<B, 1> for Chosen {
    type State = (FloatTensor<B>, FloatTensor<B>);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (x, y) = ops.state;
        unary::<B, _>(ops.parents, ops.node, grads, |grad| B::largest_gradient(x, y, grad));
    }
}

impl<B: Largest, C: CheckpointStrategy> Largest for Autodiff<B, C> {
    fn largest(x: FloatTensor<Self>) -> FloatTensor<Self> {
        let prepared = Chosen.prepare::<C>([x.node()]).compute_bound().stateful();
        let x = x.into_primitive();
        let y = B::largest(x.clone());
        match prepared {
            OpsKind::Tracked(prep) => prep.finish((x, y.clone()), y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }

    fn largest_gradient(
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        unreachable!("gradients are taken once")
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::network::values;
    use crate::training::normal;

    /// As the maximum over an axis of the pieces, in value and gradient, to the bit.
    #[test]
    fn it_is_the_maximum_over_an_axis() {
        let device = Device::flex().autodiff();
        // The second is more than a core takes at once.
        for (n, outputs) in [(3, 4), (70, 300), (1, 1)] {
            let x = normal(n, outputs * PIECES, 1, &device).require_grad();
            let direction = normal(n, outputs, 2, &device);
            let computed = |y: Tensor<2>| {
                let grads = (y.clone() * direction.clone()).sum().backward();
                [values(y), values(x.grad(&grads).unwrap())]
            };
            let expected = x.clone().reshape([n, outputs, PIECES]).max_dim(2).squeeze_dim(2);
            assert_eq!(computed(largest(x.clone())), computed(expected), "{n}x{outputs}");
        }
    }

    /// A run that diverges must be seen to.
    #[test]
    fn what_is_no_number_stays_none() {
        for place in 0..PIECES {
            let mut row = [1.0; PIECES];
            row[place] = f32::NAN;
            assert!(values(largest(Tensor::from_floats([row], &Device::flex())))[0].is_nan(), "{row:?}");
        }
    }
}
