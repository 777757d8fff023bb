//! Strided convolutions.
//!
//! # Source
//! Radford et al. 2016, arXiv:1511.06434. With kernel 3 the networks of Metz et al. 2017, arXiv:1611.02163, for stacked
//! digits.

use burn::tensor::Device;

use super::generator::norm;
use super::layer::{
    Activation, Attention, BatchNorm, Convolution, Dense, Function, Layer, Reshape, TransposedConvolution,
};
use super::{DiscriminatorNorm, DiscriminatorOutput, NetworkConfig};

/// Channels of the pictures inside, from the smallest to the image.
pub(super) fn channels(config: &NetworkConfig, width: usize, image: usize) -> Vec<usize> {
    let doublings = config.sizes().len() - 1;
    (0..doublings).rev().map(|level| width << level).chain([image]).collect()
}

/// Dense to a small picture, then transposed convolutions that double it, with batch norm and ReLU between them and tanh
/// at the end; before it perhaps a convolution k3 s1 p1 that mends what the others cannot, as each of their pixels sees
/// 2x2 of the smaller picture only.
pub(super) fn generator(config: &NetworkConfig, device: &Device) -> Vec<Layer> {
    let (sizes, is_spectral) = (config.sizes(), config.generator_spectral);
    let tail = if config.kernel == 3 { config.width } else { config.generator_tail };
    let mut channels = if config.kernel == 3 {
        channels(config, 2 * config.width, config.width)
    } else {
        channels(config, config.width, if tail > 0 { tail } else { config.channels })
    };
    let base = config.base();
    let has_norm = config.generator_norm;
    let mut dense = Dense::new([config.latent_dim, channels[0] * base * base], device).spectral(is_spectral);
    if has_norm {
        dense = dense.without_bias();
    }
    let mut layers = vec![Layer::Dense(dense), Layer::Reshape(Reshape::new([channels[0], base, base]))];
    let relu = |layers: &mut Vec<Layer>, channels, size| {
        layers.extend(norm(config, channels, device));
        layers.push(Layer::Activation(Activation::new(Function::Relu)));
        if size == config.attention {
            layers.push(Layer::Attention(Attention::new(channels, is_spectral, device)));
        }
    };
    relu(&mut layers, channels[0], base);
    let last = channels.len() - 1;
    for (i, pair) in channels.windows(2).enumerate() {
        let is_image = i + 1 == last && tail == 0;
        // The parity of the larger picture is the smaller one's with kernel 4, and chosen with kernel 3.
        let output_padding = if config.kernel == 3 { usize::from(sizes[i + 1] == 2 * sizes[i]) } else { 0 };
        let conv =
            TransposedConvolution::new([pair[0], pair[1]], config.kernel, 2, 1, output_padding, device);
        let conv = conv.with_bias(is_image || !has_norm).spectral(is_spectral);
        layers.push(Layer::TransposedConvolution(conv));
        if !is_image {
            relu(&mut layers, pair[1], sizes[i + 1]);
        }
    }
    if tail > 0 {
        channels.push(config.channels);
        let conv = Convolution::new([tail, config.channels], 3, 1, 1, device).spectral(is_spectral);
        layers.push(Layer::Convolution(conv));
    }
    layers.push(Layer::Activation(Activation::new(Function::Tanh)));
    layers
}

/// Convolutions that halve the picture, each followed by `discriminator_depth - 1` convolutions k3 s1 p1, all with
/// LeakyReLU.
pub(super) fn discriminator(config: &NetworkConfig, device: &Device) -> Vec<Layer> {
    let mut channels = channels(config, config.judge_width(), config.channels * config.pack);
    channels.reverse();
    let is_spectral = config.discriminator_norm == DiscriminatorNorm::Spectral;
    let mut layers = vec![];
    let mut convs = 0;
    let sizes = config.sizes();
    for (i, pair) in channels.windows(2).enumerate() {
        let size = sizes[sizes.len() - 2 - i];
        for level in 0..config.discriminator_depth {
            let (inputs, kernel, stride) =
                if level == 0 { (pair[0], config.kernel, 2) } else { (pair[1], 3, 1) };
            let has_norm =
                config.discriminator_norm == DiscriminatorNorm::Batch && (convs > 0 || config.kernel == 3);
            let conv = Convolution::new([inputs, pair[1]], kernel, stride, 1, device);
            layers.push(Layer::Convolution(conv.with_bias(!has_norm).spectral(is_spectral)));
            if has_norm {
                layers.push(Layer::BatchNorm(BatchNorm::new(pair[1], device)));
            }
            layers.push(Layer::Activation(Activation::new(Function::LeakyRelu(config.leaky_slope))));
            convs += 1;
        }
        if size == config.attention {
            layers.push(Layer::Attention(Attention::new(pair[1], is_spectral, device)));
        }
    }
    layers
}

/// From the features back to the image: the way of the discriminator in the other direction.
pub(super) fn decoder(config: &NetworkConfig, device: &Device) -> Vec<Layer> {
    debug_assert_eq!(config.discriminator_output, DiscriminatorOutput::Energy);
    let channels = channels(config, config.judge_width(), config.channels * config.pack);
    let is_spectral = config.discriminator_norm == DiscriminatorNorm::Spectral;
    let mut layers = vec![];
    for (i, pair) in channels.windows(2).enumerate() {
        if i > 0 {
            layers.push(Layer::Activation(Activation::new(Function::LeakyRelu(config.leaky_slope))));
        }
        let conv = TransposedConvolution::new([pair[0], pair[1]], config.kernel, 2, 1, 0, device);
        layers.push(Layer::TransposedConvolution(conv.spectral(is_spectral)));
    }
    layers.push(Layer::Activation(Activation::new(Function::Tanh)));
    layers
}

/// Values of the discriminator's smallest picture.
pub(super) fn features(config: &NetworkConfig) -> usize {
    channels(config, config.judge_width(), 1)[0] * config.base() * config.base()
}
