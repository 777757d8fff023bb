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

use crate::network::layer::processor::{CHUNK, slice, tensor};

/// `x` is `[N, F]`, `y` `[N, F / pieces]`.
#[backend_extension(Flex, Autodiff)]
pub(super) trait Largest: Backend {
    /// The largest of each `pieces` values that lie side by side.
    fn largest(x: FloatTensor<Self>, pieces: usize) -> FloatTensor<Self>;

    /// The gradient with respect to `x`, of that with respect to `y`: of equal pieces the first has it. Has none of its own.
    fn largest_gradient(
        x: FloatTensor<Self>,
        y: FloatTensor<Self>,
        grad: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
}

/// The largest of each `pieces` values that lie side by side: `[N, F]` to `[N, F / pieces]`.
pub(super) fn largest(x: Tensor<2>, pieces: usize) -> Tensor<2> {
    Tensor::from_dispatch(Dispatch::largest(x.into_dispatch(), pieces))
}

impl Largest for Flex {
    fn largest(x: FlexTensor, pieces: usize) -> FlexTensor {
        let (shape, x) = (x.shape(), x.to_contiguous());
        let mut y = vec![0.0; shape.num_elements() / pieces];
        let chunks = y.par_chunks_mut(CHUNK).zip(slice(&x).par_chunks(CHUNK * pieces));
        chunks.for_each(|(y, x)| match pieces {
            USUAL => largest_of(x, USUAL, y),
            _ => largest_of(x, pieces, y),
        });
        tensor(y, [shape[0], shape[1] / pieces])
    }

    fn largest_gradient(x: FlexTensor, y: FlexTensor, grad: FlexTensor) -> FlexTensor {
        let (shape, x, grad) = (x.shape(), x.to_contiguous(), grad.to_contiguous());
        let pieces = shape[1] / y.shape()[1];
        let mut of_x = vec![0.0; shape.num_elements()];
        let chunks = of_x.par_chunks_mut(CHUNK * pieces).zip(slice(&x).par_chunks(CHUNK * pieces));
        let of_y = slice(&y).par_chunks(CHUNK).zip(slice(&grad).par_chunks(CHUNK));
        chunks.zip(of_y).for_each(|((of_x, x), of_y)| match pieces {
            USUAL => gradient_of(x, of_y, USUAL, of_x),
            _ => gradient_of(x, of_y, pieces, of_x),
        });
        tensor(of_x, shape)
    }
}

/// For this number of pieces there are loops of their own, without counters.
const USUAL: usize = 5;

#[inline(always)]
fn largest_of(x: &[f32], pieces: usize, y: &mut [f32]) {
    for (y, x) in y.iter_mut().zip(x.chunks_exact(pieces)) {
        // What is no number stays none. Without branches, which nobody could predict.
        let larger = |y: f32, x: &f32| if (*x > y) | x.is_nan() { *x } else { y };
        *y = x[1..].iter().fold(x[0], larger);
    }
}

#[inline(always)]
fn gradient_of(x: &[f32], (y, grad): (&[f32], &[f32]), pieces: usize, of_x: &mut [f32]) {
    let places = of_x.chunks_exact_mut(pieces).zip(x.chunks_exact(pieces));
    for ((of_x, x), (y, grad)) in places.zip(y.iter().zip(grad)) {
        let mut is_found = false;
        for (of_x, x) in of_x.iter_mut().zip(x) {
            let is_place = (x == y) & !is_found;
            *of_x = if is_place { *grad } else { 0.0 };
            is_found |= is_place;
        }
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
    fn largest(x: FloatTensor<Self>, pieces: usize) -> FloatTensor<Self> {
        let prepared = Chosen.prepare::<C>([x.node()]).compute_bound().stateful();
        let x = x.into_primitive();
        let y = B::largest(x.clone(), pieces);
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
    use burn::tensor::{Device, TensorData};

    use super::*;
    use crate::network::values;
    use crate::training::noise;

    /// As the maximum over an axis of the pieces, in value and gradient, to the bit.
    #[test]
    fn it_is_the_maximum_over_an_axis() {
        let device = Device::flex().autodiff();
        let random = |seed, shape: [usize; 2]| {
            let mut data = vec![0.0; shape.iter().product()];
            noise::fill_normal(seed, &mut data);
            Tensor::<2>::from_data(TensorData::new(data, shape), &device)
        };
        // The second is more than the cores take at once.
        for (n, outputs, pieces) in [(3, 4, 5), (70, 300, 2), (2, 3, 1)] {
            let x = random(1, [n, outputs * pieces]).require_grad();
            let direction = random(2, [n, outputs]);
            let computed = |y: Tensor<2>| {
                let grads = (y.clone() * direction.clone()).sum().backward();
                [values(y), values(x.grad(&grads).unwrap())]
            };
            let expected = x.clone().reshape([n, outputs, pieces]).max_dim(2).squeeze_dim(2);
            assert_eq!(computed(largest(x.clone(), pieces)), computed(expected), "{n}x{outputs}x{pieces}");
        }
    }

    /// A run that diverges must be seen to.
    #[test]
    fn what_is_no_number_stays_none() {
        for row in [[f32::NAN, 1.0], [1.0, f32::NAN]] {
            let y = largest(Tensor::from_floats([row], &Device::flex()), 2);
            assert!(values(y)[0].is_nan(), "{row:?}");
        }
    }
}
