//! Latents to images.

use burn::module::{Module, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig, ConvTranspose2d, ConvTranspose2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::activation::{relu, tanh};
use burn::tensor::{Device, Tensor};

use super::{NetworkConfig, initialized};
use crate::graph::{self, Conv2dGeometry, Graph, Op, Unary};

/// Dense to a small picture, then transposed convolutions k4 s2 p1 that double it, with batch norm and ReLU between
/// them and tanh at the end; before it perhaps a convolution k3 s1 p1 that mends what the others cannot, as each of
/// their pixels sees 2x2 of the smaller picture only.
#[derive(Module, Debug)]
pub struct Generator {
    dense: Linear,
    norms: Vec<BatchNorm>,
    convs: Vec<ConvTranspose2d>,
    tail: Option<Conv2d>,
    base: usize,
}

impl Generator {
    /// A generator with initial weights drawn from `seed`.
    pub fn new(config: &NetworkConfig, seed: u64, device: &Device) -> Self {
        let mut channels = config.channels_upwards();
        let tail = (config.generator_tail > 0).then(|| {
            Conv2dConfig::new([config.generator_tail, config.channels], [3, 3])
                .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
                .init(device)
        });
        if tail.is_some() {
            channels.insert(channels.len() - 1, config.generator_tail);
        }
        let base = config.base();
        let dense =
            LinearConfig::new(config.latent_dim, channels[0] * base * base).with_bias(false).init(device);
        let norms =
            channels[..channels.len() - 1].iter().map(|&c| BatchNormConfig::new(c).init(device)).collect();
        let doubling = channels.len() - usize::from(tail.is_some());
        let last = channels.len() - 2;
        let convs = channels[..doubling]
            .windows(2)
            .enumerate()
            .map(|(i, pair)| {
                ConvTranspose2dConfig::new([pair[0], pair[1]], [4, 4])
                    .with_stride([2, 2])
                    .with_padding([1, 1])
                    .with_bias(i == last)
                    .init(device)
            })
            .collect();
        initialized(Self { dense, norms, convs, tail, base }, seed)
    }

    /// Images for latents.
    ///
    /// # Shapes
    /// `latents`: `[N, latent_dim]`; result: `[N, C, H, W]` in [-1, 1].
    pub fn forward(&self, latents: Tensor<2>) -> Tensor<4> {
        let n = latents.dims()[0];
        let mut x = self.dense.forward(latents).reshape([n as i32, -1, self.base as i32, self.base as i32]);
        for (norm, conv) in self.norms.iter().zip(&self.convs) {
            x = conv.forward(relu(norm.forward(x)));
        }
        if let (Some(tail), Some(norm)) = (&self.tail, self.norms.last()) {
            x = tail.forward(relu(norm.forward(x)));
        }
        tanh(x)
    }

    /// The chain of operations with the standing statistics of the batch norms, for export.
    pub fn graph(&self) -> Graph {
        let [latent_dim, features] = self.dense.weight.dims();
        let mut nodes = vec![];
        let mut push = |name: String, op: Op| nodes.push((name, op));
        // burn keeps the weight as [in, out].
        let weight = tensor(self.dense.weight.val().transpose());
        let bias = self.dense.bias.as_ref().map(|b| tensor(b.val()));
        push("dense".into(), Op::Dense { weight, bias });
        let area = self.base * self.base;
        push("reshape".into(), Op::Reshape(vec![1, features / area, self.base, self.base]));
        for (i, norm) in self.norms.iter().enumerate() {
            let batch_norm = Op::BatchNorm {
                gamma: tensor(norm.gamma.val()),
                beta: tensor(norm.beta.val()),
                mean: tensor(norm.running_mean.value_sync()),
                variance: tensor(norm.running_var.value_sync()),
                epsilon: norm.epsilon as f32,
            };
            push(format!("blocks.{i}.norm"), batch_norm);
            push(format!("blocks.{i}.relu"), Op::Unary(Unary::Relu));
            if let Some(conv) = self.convs.get(i) {
                let conv = Op::ConvTranspose2d {
                    weight: tensor(conv.weight.val()),
                    bias: conv.bias.as_ref().map(|b| tensor(b.val())),
                    geometry: Conv2dGeometry::square(4, 2, 1),
                };
                push(format!("blocks.{i}.conv"), conv);
            }
        }
        if let Some(tail) = &self.tail {
            let conv = Op::Conv2d {
                weight: tensor(tail.weight.val()),
                bias: tail.bias.as_ref().map(|b| tensor(b.val())),
                geometry: Conv2dGeometry::square(3, 1, 1),
            };
            push("tail".into(), conv);
        }
        push("tanh".into(), Op::Unary(Unary::Tanh));
        Graph::chain(latent_dim, nodes).expect("the network has these shapes")
    }

    /// Length of the latent vector.
    pub fn latent_dim(&self) -> usize {
        self.dense.weight.dims()[0]
    }

    /// With a bias, zero at first, in the layers that ask for one, and none elsewhere.
    pub(crate) fn with_biases(mut self, dense: bool, convs: &[bool]) -> Self {
        let device = self.dense.weight.device();
        let zeros = |n: usize| Param::from_tensor(Tensor::zeros([n], &device));
        let features = self.dense.weight.dims()[1];
        self.dense.bias = dense.then(|| zeros(features));
        for (conv, &bias) in self.convs.iter_mut().zip(convs) {
            let channels = conv.weight.dims()[1];
            conv.bias = bias.then(|| zeros(channels));
        }
        self
    }

    /// Lets the next training-mode forward pass enter the running statistics with weight `momentum`.
    pub(crate) fn with_momentum(mut self, momentum: f64) -> Self {
        self.norms.iter_mut().for_each(|norm| norm.momentum = momentum);
        self
    }
}

pub(super) fn tensor<const D: usize>(tensor: Tensor<D>) -> graph::Tensor {
    let shape = tensor.dims().to_vec();
    graph::Tensor::new(shape, super::parameters::values(tensor))
}
