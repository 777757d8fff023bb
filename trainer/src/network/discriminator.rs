//! Images to scores.

use anyhow::{Result, ensure};
use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::activation::relu;
use burn::tensor::module::{conv2d, linear};
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Tensor};

use super::generator::tensor;
use super::{DiscriminatorNorm, NetworkConfig, initialized};
use crate::graph::{Conv2dGeometry, Graph, Input, Op, Role, Unary};
use crate::objective::Judged;
use crate::regularizer::SpectralNorm;

/// Convolutions k4 s2 p1 that halve the picture, each followed by `discriminator_depth - 1` convolutions k3 s1 p1, all
/// with LeakyReLU, then one dense score.
#[derive(Module, Debug)]
pub struct Discriminator {
    convs: Vec<Conv2d>,
    norms: Vec<Option<BatchNorm>>,
    dense: Linear,
    /// One for each convolution and one for the dense layer, or none.
    spectra: Vec<SpectralNorm>,
}

/// Slope of the LeakyReLU for negative values.
const SLOPE: f64 = 0.2;

/// Steps of power iteration on the initial weights; later one for each update, since an update changes little.
const FIRST_ITERATIONS: usize = 20;

impl Discriminator {
    /// A discriminator with initial weights drawn from `seed`.
    pub fn new(config: &NetworkConfig, seed: u64, device: &Device) -> Self {
        let channels = config.channels_downwards();
        let norm = |i: usize| i > 0 && config.discriminator_norm == DiscriminatorNorm::Batch;
        let mut convs = vec![];
        let mut norms = vec![];
        for pair in channels.windows(2) {
            for level in 0..config.discriminator_depth {
                let (inputs, size, stride) = if level == 0 { (pair[0], 4, 2) } else { (pair[1], 3, 1) };
                let norm = norm(convs.len());
                let conv = Conv2dConfig::new([inputs, pair[1]], [size, size])
                    .with_stride([stride, stride])
                    .with_padding(PaddingConfig2d::Explicit(PADDING, PADDING, PADDING, PADDING))
                    .with_bias(!norm);
                convs.push(conv.init(device));
                norms.push(norm.then(|| BatchNormConfig::new(pair[1]).init(device)));
            }
        }
        let features = channels[channels.len() - 1] * config.base() * config.base();
        let dense = LinearConfig::new(features, 1).init(device);
        let spectra = if config.discriminator_norm == DiscriminatorNorm::Spectral {
            let convs = convs.iter().map(|conv| SpectralNorm::new(&conv.weight.val()));
            convs.chain([SpectralNorm::new(&dense.weight.val())]).collect()
        } else {
            vec![]
        };
        let mut discriminator = initialized(Self { convs, norms, dense, spectra }, seed);
        for _ in 0..FIRST_ITERATIONS {
            discriminator = discriminator.iterated();
        }
        discriminator
    }

    /// Raw scores of images; no sigmoid.
    ///
    /// # Shapes
    /// `images`: `[N, C, H, W]`; result: `[N, 1]`.
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        self.judge(images).scores
    }

    /// Scores of images, and the features that they are made of.
    ///
    /// # Shapes
    /// `images`: `[N, C, H, W]`.
    pub fn judge(&self, images: Tensor<4>) -> Judged {
        let mut x = images.clone();
        let mut spectra = self.spectra.iter();
        for (conv, norm) in self.convs.iter().zip(&self.norms) {
            let weight = normalized(spectra.next(), conv.weight.val());
            let bias = conv.bias.as_ref().map(|bias| bias.val());
            x = conv2d(x, weight, bias, ConvOptions::new(conv.stride, [PADDING; 2], [1; 2], 1));
            if let Some(norm) = norm {
                x = norm.forward(x);
            }
            x = leaky_relu(x);
        }
        let weight = normalized(spectra.next(), self.dense.weight.val());
        let features = x.flatten(1, 3);
        let bias = self.dense.bias.as_ref().map(|bias| bias.val());
        Judged { images, scores: linear(features.clone(), weight, bias), features }
    }

    /// The operations as they are for one image, normalized weights in place, for export.
    ///
    /// # Errors
    /// When a batch normalization makes scores depend on other images.
    pub fn graph(&self, [channels, height, width]: [usize; 3]) -> Result<Graph> {
        let image =
            Input { name: "image".into(), role: Role::Image, shape: vec![1, channels, height, width] };
        let mut graph = Graph::new(vec![image]);
        let mut value = graph.input(0);
        let mut spectra = self.spectra.iter();
        for (i, (conv, norm)) in self.convs.iter().zip(&self.norms).enumerate() {
            ensure!(norm.is_none(), "a discriminator with batch normalization scores no image alone");
            let op = Op::Conv2d {
                weight: tensor(normalized(spectra.next(), conv.weight.val())),
                bias: conv.bias.as_ref().map(|bias| tensor(bias.val())),
                geometry: Conv2dGeometry::square(conv.kernel_size[0], conv.stride[0], PADDING),
            };
            value = graph.push(format!("convs.{i}"), op, vec![value])?;
            value = graph.push(
                format!("convs.{i}.leaky"),
                Op::Unary(Unary::LeakyRelu(SLOPE as f32)),
                vec![value],
            )?;
        }
        let features = graph.shape(value).iter().product();
        value = graph.push("flatten", Op::Reshape(vec![1, features]), vec![value])?;
        // burn keeps the weight as [in, out].
        let weight = normalized(spectra.next(), self.dense.weight.val()).transpose();
        let op = Op::Dense {
            weight: tensor(weight),
            bias: self.dense.bias.as_ref().map(|bias| tensor(bias.val())),
        };
        graph.push("dense", op, vec![value])?;
        Ok(graph)
    }

    /// Lets the spectral norms, if there are any, follow the weights by a step of power iteration.
    pub(crate) fn iterated(mut self) -> Self {
        let convs = self.convs.iter().map(|conv| conv.weight.val().flatten(1, 3));
        let weights = convs.chain([self.dense.weight.val()]);
        self.spectra = self.spectra.into_iter().zip(weights).map(|(norm, w)| norm.iterated(w)).collect();
        self
    }
}

/// Keeps the size of a picture under k3 s1, and halves it under k4 s2.
const PADDING: usize = 1;

fn normalized<const D: usize>(norm: Option<&SpectralNorm>, weight: Tensor<D>) -> Tensor<D> {
    norm.map_or(weight.clone(), |norm| norm.normalized(weight))
}

/// `max(x, 0) + SLOPE min(x, 0)`, written with ReLU: burn-flex masks element by element, several times slower.
pub(super) fn leaky_relu(x: Tensor<4>) -> Tensor<4> {
    relu(x.clone()).mul_scalar(1.0 - SLOPE) + x.mul_scalar(SLOPE)
}
