//! Batch normalization, with one scale and shift for all, or one for each class.

mod processor;

use anyhow::Result;
use burn::module::{Module, Param};
use burn::nn::BatchNormConfig;
use burn::tensor::{Device, Tensor};
use pocketgan_compiler::graph::{Binary, Op, Value};

use super::{Compute, Condition, Draft};
use crate::device::is_processor;
use crate::network::graph_tensor;

/// Normalization by mean and variance of each channel over the batch, or by their standing values.
///
/// # Source
/// Ioffe and Szegedy 2015, arXiv:1502.03167.
#[derive(Module, Debug)]
pub struct BatchNorm {
    pub(crate) norm: burn::nn::BatchNorm,
}

/// The same, with scale and shift of the class of each image.
///
/// # Source
/// Dumoulin et al. 2017, arXiv:1610.07629; for GANs Miyato and Koyama 2018, arXiv:1802.05637.
#[derive(Module, Debug)]
pub struct ConditionalBatchNorm {
    /// Its own scale and shift stay as they were at the start.
    pub(crate) norm: burn::nn::BatchNorm,
    /// Scale of each class, `[classes, C]`.
    gamma: Param<Tensor<2>>,
    /// Shift of each class, `[classes, C]`.
    beta: Param<Tensor<2>>,
}

impl BatchNorm {
    /// For so many channels.
    pub fn new(channels: usize, device: &Device) -> Self {
        Self { norm: BatchNormConfig::new(channels).init(device) }
    }
}

impl ConditionalBatchNorm {
    /// For so many channels and classes.
    pub fn new(channels: usize, classes: usize, device: &Device) -> Self {
        let mut norm = BatchNormConfig::new(channels).init(device);
        norm.gamma = norm.gamma.set_require_grad(false);
        norm.beta = norm.beta.set_require_grad(false);
        Self {
            norm,
            gamma: Param::from_tensor(Tensor::ones([classes, channels], device)),
            beta: Param::from_tensor(Tensor::zeros([classes, channels], device)),
        }
    }
}

const UNMIXED: &str = "a network with batch normalization has no gradient of one image alone";

/// `norm.forward(x)`
fn normalize(norm: &burn::nn::BatchNorm, x: Tensor<4>) -> Tensor<4> {
    let device = x.device();
    if !(device.is_autodiff() && norm.training.is_enabled() && is_processor(&device)) {
        return norm.forward(x);
    }
    let (y, mean, variance) = processor::normalize(x, norm.gamma.val(), norm.beta.val(), norm.epsilon);
    for (standing, of_batch) in [(&norm.running_mean, mean), (&norm.running_var, variance)] {
        let standing_now = standing.value().to_device(&device).mul_scalar(1.0 - norm.momentum);
        standing.update((standing_now + of_batch.mul_scalar(norm.momentum)).detach());
        // An update counts from the next look of the same thread on, and steps may change threads.
        standing.value_sync();
    }
    y
}

fn op(norm: &burn::nn::BatchNorm) -> Op {
    Op::BatchNorm {
        gamma: graph_tensor(norm.gamma.val()),
        beta: graph_tensor(norm.beta.val()),
        mean: graph_tensor(norm.running_mean.value_sync()),
        variance: graph_tensor(norm.running_var.value_sync()),
        epsilon: norm.epsilon as f32,
    }
}

impl Compute for BatchNorm {
    fn forward(&self, x: Tensor<4>, _: &Condition) -> Tensor<4> {
        normalize(&self.norm, x)
    }

    fn tangent(&self, _: Tensor<4>, _: Tensor<4>, _: &Condition) -> [Tensor<4>; 2] {
        unreachable!("{UNMIXED}; configurations that ask for one are refused")
    }

    fn draft(&self, draft: &mut Draft<'_>, name: &str, x: Value) -> Result<Value> {
        draft.graph.push(format!("{name}.norm"), op(&self.norm), vec![x])
    }
}

impl Compute for ConditionalBatchNorm {
    fn forward(&self, x: Tensor<4>, condition: &Condition) -> Tensor<4> {
        normalize(&self.norm, x) * condition.of_class(&self.gamma) + condition.of_class(&self.beta)
    }

    fn tangent(&self, _: Tensor<4>, _: Tensor<4>, _: &Condition) -> [Tensor<4>; 2] {
        unreachable!("{UNMIXED}; configurations that ask for one are refused")
    }

    fn draft(&self, draft: &mut Draft<'_>, name: &str, x: Value) -> Result<Value> {
        let rank = draft.graph.shape(x).len();
        let scale = draft.of_class(&format!("{name}.gamma"), &self.gamma, rank)?;
        let shift = draft.of_class(&format!("{name}.beta"), &self.beta, rank)?;
        let graph = &mut *draft.graph;
        let x = graph.push(format!("{name}.norm"), op(&self.norm), vec![x])?;
        let x = graph.push(format!("{name}.scale"), Op::Binary(Binary::Mul), vec![x, scale])?;
        graph.push(format!("{name}.shift"), Op::Binary(Binary::Add), vec![x, shift])
    }
}
