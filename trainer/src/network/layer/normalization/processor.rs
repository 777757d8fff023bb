//! Batch normalization on the processor: two passes for the statistics and one for the result, on all cores.
//!
//! burn-flex makes it of a dozen operations on whole tensors, two of which only move values, and all on one core.

#[cfg(test)]
mod tests;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::Tensor;

use crate::network::layer::processor::{Planes, slice, tensor};

/// `x` and `y` are `[N, C, H, W]`, all others `[C]`.
#[backend_extension(Flex, Autodiff)]
pub(super) trait Normalize: Backend {
    /// `y = gamma (x - mean) / sqrt(variance + epsilon) + beta`, and mean and biased variance of the batch, which have no
    /// gradient.
    fn normalize(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// The gradients with respect to `x`, `gamma` and `beta`, of that with respect to `y`. They have none of their own.
    fn normalize_gradients(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        epsilon: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

/// What `batch_norm_train` computes: the result `[N, C, H, W]`, and mean and biased variance `[C]` of the batch.
pub(super) fn normalize(
    x: Tensor<4>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    epsilon: f64,
) -> (Tensor<4>, Tensor<1>, Tensor<1>) {
    let (y, mean, variance) =
        Dispatch::normalize(x.into_dispatch(), gamma.into_dispatch(), beta.into_dispatch(), epsilon);
    (Tensor::from_dispatch(y), Tensor::from_dispatch(mean), Tensor::from_dispatch(variance))
}

impl Normalize for Flex {
    fn normalize(
        x: FlexTensor,
        gamma: FlexTensor,
        beta: FlexTensor,
        epsilon: f64,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let [x, gamma, beta] = [x, gamma, beta].map(|values| values.to_contiguous());
        let (shape, planes) = (x.shape(), Planes::of(&x.shape()));
        let (x, gamma, beta) = (slice(&x), slice(&gamma), slice(&beta));
        let count = (planes.batch * planes.area) as f64;
        let means = |sums: Vec<f64>| sums.into_iter().map(|sum| (sum / count) as f32).collect::<Vec<f32>>();
        let mean = means(planes.sums(&vec![(); planes.channels], [x], |(), [x]| x));
        let variance = means(planes.sums(&mean, [x], |mean, [x]| (x - mean) * (x - mean)));
        let inverses = inverses(&variance, epsilon);
        let of_channel = |channel| (mean[channel], gamma[channel] * inverses[channel], beta[channel]);
        let of_channel: Vec<(f32, f32, f32)> = (0..planes.channels).map(of_channel).collect();
        let y = planes.map(&of_channel, [x], |(mean, scale, shift), [x]| (x - mean) * scale + shift);
        (tensor(y, shape), tensor(mean, [planes.channels]), tensor(variance, [planes.channels]))
    }

    fn normalize_gradients(
        x: FlexTensor,
        gamma: FlexTensor,
        mean: FlexTensor,
        variance: FlexTensor,
        grad: FlexTensor,
        epsilon: f64,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let [x, gamma, grad] = [x, gamma, grad].map(|values| values.to_contiguous());
        let (shape, planes) = (x.shape(), Planes::of(&x.shape()));
        let (x, grad, mean, variance) = (slice(&x), slice(&grad), slice(&mean), slice(&variance));
        let count = (planes.batch * planes.area) as f32;
        let inverses = inverses(variance, epsilon);
        let of_beta = planes.sums(&vec![(); planes.channels], [grad], |(), [grad]| grad);
        let of_beta: Vec<f32> = of_beta.into_iter().map(|sum| sum as f32).collect();
        let of_gamma = planes.sums(mean, [x, grad], |mean, [x, grad]| (x - mean) * grad);
        let of_gamma =
            of_gamma.into_iter().zip(&inverses).map(|(sum, inverse)| (sum * f64::from(*inverse)) as f32);
        let of_gamma: Vec<f32> = of_gamma.collect();
        let gamma = slice(&gamma);
        let of_channel = |channel: usize| {
            let inverse = inverses[channel];
            let (along, constant) = (inverse * of_gamma[channel] / count, of_beta[channel] / count);
            (mean[channel], gamma[channel] * inverse, along, constant)
        };
        let of_channel: Vec<(f32, f32, f32, f32)> = (0..planes.channels).map(of_channel).collect();
        let of_x = planes.map(&of_channel, [x, grad], |(mean, scale, along, constant), [x, grad]| {
            scale * (grad - constant - (x - mean) * along)
        });
        (tensor(of_x, shape), tensor(of_gamma, [planes.channels]), tensor(of_beta, [planes.channels]))
    }
}

/// `1 / sqrt(variance + epsilon)`
fn inverses(variance: &[f32], epsilon: f64) -> Vec<f32> {
    variance.iter().map(|variance| 1.0 / (variance + epsilon as f32).sqrt()).collect()
}

#[derive(Debug)]
struct Normalization;

/// `x`, `gamma`, mean, variance and epsilon.
type Kept<B> = (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>, FloatTensor<B>, f64);

impl<B: Normalize> Backward<B, 3> for Normalization {
    type State = Kept<B>;

    fn backward(self, ops: Ops<Kept<B>, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let (x, gamma, mean, variance, epsilon) = ops.state;
        let (of_x, of_gamma, of_beta) = B::normalize_gradients(x, gamma, mean, variance, grad, epsilon);
        for (node, grad) in ops.parents.into_iter().zip([of_x, of_gamma, of_beta]) {
            if let Some(node) = node {
                grads.register::<B>(node.id, grad);
            }
        }
    }
}

impl<B: Normalize, C: CheckpointStrategy> Normalize for Autodiff<B, C> {
    fn normalize(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let prepared =
            Normalization.prepare::<C>([x.node(), gamma.node(), beta.node()]).compute_bound().stateful();
        let (x, gamma, beta) = (x.into_primitive(), gamma.into_primitive(), beta.into_primitive());
        let (y, mean, variance) = B::normalize(x.clone(), gamma.clone(), beta, epsilon);
        let constants = [&mean, &variance].map(|values| Self::from_inner(values.clone()));
        let y = match prepared {
            OpsKind::Tracked(prep) => prep.finish((x, gamma, mean, variance, epsilon), y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        };
        let [mean, variance] = constants;
        (y, mean, variance)
    }

    fn normalize_gradients(
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        unreachable!("gradients are taken once")
    }
}
