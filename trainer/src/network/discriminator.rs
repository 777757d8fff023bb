//! Images to scores.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};

use super::{DiscriminatorNorm, NetworkConfig, initialized};

/// Convolutions k4 s2 p1 that halve the picture, with LeakyReLU, then one dense score.
#[derive(Module, Debug)]
pub struct Discriminator {
    convs: Vec<Conv2d>,
    norms: Vec<Option<BatchNorm>>,
    dense: Linear,
}

/// Slope of the LeakyReLU for negative values.
const SLOPE: f64 = 0.2;

impl Discriminator {
    /// A discriminator with initial weights drawn from `seed`.
    pub fn new(config: &NetworkConfig, seed: u64, device: &Device) -> Self {
        let mut channels = config.channels_upwards();
        channels.reverse();
        let norm = |i: usize| i > 0 && config.discriminator_norm == DiscriminatorNorm::Batch;
        let convs = channels
            .windows(2)
            .enumerate()
            .map(|(i, pair)| {
                Conv2dConfig::new([pair[0], pair[1]], [4, 4])
                    .with_stride([2, 2])
                    .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
                    .with_bias(!norm(i))
                    .init(device)
            })
            .collect();
        let norms = channels[1..]
            .iter()
            .enumerate()
            .map(|(i, &c)| norm(i).then(|| BatchNormConfig::new(c).init(device)))
            .collect();
        let features = channels[channels.len() - 1] * config.base() * config.base();
        let dense = LinearConfig::new(features, 1).init(device);
        initialized(Self { convs, norms, dense }, seed)
    }

    /// Raw scores of images; no sigmoid.
    ///
    /// # Shapes
    /// `images`: `[N, C, H, W]`; result: `[N, 1]`.
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let mut x = images;
        for (conv, norm) in self.convs.iter().zip(&self.norms) {
            x = conv.forward(x);
            if let Some(norm) = norm {
                x = norm.forward(x);
            }
            x = leaky_relu(x);
        }
        self.dense.forward(x.flatten(1, 3))
    }
}

/// `max(x, 0) + SLOPE min(x, 0)`, written with ReLU: burn-flex masks element by element, several times slower.
pub(super) fn leaky_relu(x: Tensor<4>) -> Tensor<4> {
    relu(x.clone()).mul_scalar(1.0 - SLOPE) + x.mul_scalar(SLOPE)
}
