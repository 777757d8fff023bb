//! Networks that grow from small pictures to large ones.
//!
//! # Source
//! Karras et al. 2018, "Progressive Growing of GANs", arXiv:1710.10196, in small, and without its scaling of learning rates by
//! layer.

use burn::tensor::Device;

use super::layer::{
    Activation, AveragePool, Convolution, Dense, Function, Growing, Layer, PixelNorm, Reshape, Shrinking,
    Stage, Upsample,
};
use super::{DiscriminatorNorm, NetworkConfig};

fn leaky(config: &NetworkConfig) -> Layer {
    Layer::Activation(Activation::new(Function::LeakyRelu(config.leaky_slope)))
}

/// Channels from the smallest picture to the largest.
fn channels(config: &NetworkConfig, width: usize) -> Vec<usize> {
    let stages = config.sizes().len();
    (0..stages).rev().map(|level| width << level.min(3)).collect()
}

/// Dense to a small picture, then stages of nearest-neighbour enlargement and two convolutions k3.
pub(super) fn generator(config: &NetworkConfig, device: &Device) -> Vec<Layer> {
    let (channels, base, is_spectral) =
        (channels(config, config.width), config.base(), config.generator_spectral);
    let conv = |inputs, outputs, kernel: usize| {
        let conv = Convolution::new([inputs, outputs], kernel, 1, kernel / 2, device);
        Layer::Convolution(conv.spectral(is_spectral))
    };
    let norm = |layers: &mut Vec<Layer>| {
        layers.push(leaky(config));
        if config.generator_norm {
            layers.push(Layer::PixelNorm(PixelNorm::default()));
        }
    };
    let dense = Dense::new([config.latent_dim, channels[0] * base * base], device).spectral(is_spectral);
    let mut layers = vec![Layer::Dense(dense), Layer::Reshape(Reshape::new([channels[0], base, base]))];
    norm(&mut layers);
    let stages = (0..channels.len()).map(|i| {
        let mut body = vec![];
        if i > 0 {
            body.extend([Layer::Upsample(Upsample::new(2)), conv(channels[i - 1], channels[i], 3)]);
            norm(&mut body);
        }
        body.push(conv(channels[i], channels[i], 3));
        norm(&mut body);
        Stage::new(body, vec![conv(channels[i], config.channels, 1)])
    });
    layers.push(Layer::Growing(Growing::new(stages.collect())));
    layers.push(Layer::Activation(Activation::new(Function::Tanh)));
    layers
}

/// The same in the other direction, means of 2x2 between the stages.
pub(super) fn discriminator(config: &NetworkConfig, device: &Device) -> Vec<Layer> {
    let channels = channels(config, config.judge_width());
    let is_spectral = config.discriminator_norm == DiscriminatorNorm::Spectral;
    let conv = |inputs, outputs, kernel: usize| {
        let conv = Convolution::new([inputs, outputs], kernel, 1, kernel / 2, device);
        Layer::Convolution(conv.spectral(is_spectral))
    };
    let image = config.channels * config.pack;
    let stages = (0..channels.len()).map(|i| {
        let mut body = vec![conv(channels[i], channels[i], 3), leaky(config)];
        if i > 0 {
            body.extend([conv(channels[i], channels[i - 1], 3), leaky(config)]);
            body.push(Layer::AveragePool(AveragePool::new(2)));
        }
        Stage::new(body, vec![conv(image, channels[i], 1), leaky(config)])
    });
    vec![Layer::Shrinking(Shrinking::new(stages.collect()))]
}

/// Values of the discriminator's smallest picture.
pub(super) fn features(config: &NetworkConfig) -> usize {
    channels(config, config.judge_width())[0] * config.base() * config.base()
}
