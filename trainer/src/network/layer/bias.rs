//! A bias for each channel. On the processor it is added in place and on all cores, as its gradient is added up.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, binary};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::Tensor;

use crate::device::is_processor;
use crate::network::layer::processor::{Planes, slice, tensor};

/// `x` and `y` are `[N, C, ..]`, a bias `[C]`.
#[backend_extension(Flex, Autodiff)]
pub(super) trait AddBias: Backend {
    /// `y = x + bias`
    fn add_bias(x: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self>;

    /// The gradient with respect to the bias, of that with respect to `y`. Has none of its own.
    fn bias_gradient(grad: FloatTensor<Self>) -> FloatTensor<Self>;
}

/// `x + bias`, of `[N, C, ..]` and `[C]`.
pub(super) fn add<const D: usize>(x: Tensor<D>, bias: Tensor<1>) -> Tensor<D> {
    if !is_processor(&x.device()) {
        let shape: [i32; D] = core::array::from_fn(|axis| if axis == 1 { -1 } else { 1 });
        return x + bias.reshape(shape);
    }
    Tensor::from_dispatch(Dispatch::add_bias(x.into_dispatch(), bias.into_dispatch()))
}

impl AddBias for Flex {
    fn add_bias(x: FlexTensor, bias: FlexTensor) -> FlexTensor {
        let (shape, bias) = (x.shape(), bias.to_contiguous());
        let planes = Planes::of(&shape);
        // A part of a larger tensor is copied, and so are values that somebody else has.
        let is_whole = x.is_contiguous() && x.storage::<f32>().len() == shape.num_elements();
        let mut x = if is_whole { x } else { tensor(slice(&x.to_contiguous()).to_vec(), shape) };
        planes.each(x.storage_mut(), slice(&bias), [], |value, bias, []| *value += bias);
        x
    }

    fn bias_gradient(grad: FlexTensor) -> FlexTensor {
        let (planes, grad) = (Planes::of(&grad.shape()), grad.to_contiguous());
        let sums = planes.sums(&vec![(); planes.channels], [slice(&grad)], |(), [grad]| grad);
        tensor(sums.into_iter().map(|sum| sum as f32).collect(), [planes.channels])
    }
}

#[derive(Debug)]
struct Added;

impl<B: AddBias> Backward<B, 2> for Added {
    type State = ();

    fn backward(self, ops: Ops<(), 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        binary::<B, _, _>(ops.parents, ops.node, grads, |grad| grad, B::bias_gradient);
    }
}

impl<B: AddBias, C: CheckpointStrategy> AddBias for Autodiff<B, C> {
    fn add_bias(x: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self> {
        let prepared = Added.prepare::<C>([x.node(), bias.node()]).compute_bound().stateful();
        let y = B::add_bias(x.into_primitive(), bias.into_primitive());
        match prepared {
            OpsKind::Tracked(prep) => prep.finish((), y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }

    fn bias_gradient(_: FloatTensor<Self>) -> FloatTensor<Self> {
        unreachable!("gradients are taken once")
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::network::values;
    use crate::training::normal;

    /// As a sum with the bias beside it, in value and gradients; what it was added to stays as it was for others.
    #[test]
    fn it_is_the_sum_with_each_channels_bias() {
        let device = Device::flex().autodiff();
        let random =
            |seed, shape: [usize; 4]| normal(1, shape.iter().product(), seed, &device).reshape(shape);
        for shape in [[3, 4, 5, 7], [5, 3, 1, 1], [300, 70, 1, 1], [2, 2, 40, 1]] {
            let (x, direction) = (random(1, shape).require_grad(), random(2, shape));
            let bias = random(3, [1, shape[1], 1, 1]).reshape([shape[1]]).detach().require_grad();
            let before = values(x.clone());
            let computed = |y: Tensor<4>| {
                let grads = (y.clone() * direction.clone()).sum().backward();
                [values(y), values(x.grad(&grads).unwrap()), values(bias.grad(&grads).unwrap())]
            };
            let [y, of_x, of_bias] = computed(add(x.clone(), bias.clone()));
            let [expected, expected_of_x, expected_of_bias] =
                computed(x.clone() + bias.clone().reshape([1, -1, 1, 1]));
            assert_eq!((y, of_x), (expected, expected_of_x));
            assert_eq!(values(x.clone()), before);
            let last = x.clone().narrow(0, shape[0] - 1, 1);
            let beside = last.clone() + bias.clone().reshape([1, -1, 1, 1]);
            assert_eq!(values(add(last, bias.clone())), values(beside), "a part of a tensor");
            // Sums of so many values below 5.
            let tolerance = 5.0 * f32::EPSILON * (shape[0] * shape[2] * shape[3]) as f32;
            for (found, expected) in of_bias.iter().zip(&expected_of_bias) {
                assert!((found - expected).abs() <= tolerance, "{shape:?}: {found} {expected}");
            }
        }
    }
}
