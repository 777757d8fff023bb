//! Dense layers, for points of a plane and for comparisons with the first papers.

use burn::tensor::Device;

use super::generator::norm;
use super::layer::{Activation, BatchNorm, Dense, FourierFeatures, Function, Layer, Maxout, Reshape};
use super::{Activations, DiscriminatorNorm, NetworkConfig};

/// `generator_depth` hidden layers; images end in tanh, points in nothing.
pub(super) fn generator(config: &NetworkConfig, device: &Device) -> Vec<Layer> {
    let hidden = match config.activations {
        Activations::Tanh => Function::Tanh,
        Activations::Relu | Activations::Maxout => Function::Relu,
    };
    let mut layers = vec![];
    let mut inputs = config.latent_dim;
    for _ in 0..config.generator_depth {
        let mut dense = Dense::new([inputs, config.width], device).spectral(config.generator_spectral);
        if config.generator_norm {
            dense = dense.without_bias();
        }
        layers.push(Layer::Dense(dense));
        layers.extend(norm(config, config.width, device));
        layers.push(Layer::Activation(Activation::new(hidden)));
        inputs = config.width;
    }
    let image = [config.channels, config.size, config.size];
    let dense = Dense::new([inputs, image.iter().product()], device).spectral(config.generator_spectral);
    layers.push(Layer::Dense(dense));
    if config.size > 1 {
        layers.push(Layer::Activation(Activation::new(Function::Tanh)));
    }
    layers.push(Layer::Reshape(Reshape::new(image)));
    layers
}

/// `discriminator_depth` hidden layers.
pub(super) fn discriminator(config: &NetworkConfig, device: &Device) -> Vec<Layer> {
    let is_spectral = config.discriminator_norm == DiscriminatorNorm::Spectral;
    let width = config.judge_width();
    let mut layers = vec![];
    let mut inputs = config.channels * config.pack * config.size * config.size;
    if config.discriminator_octaves > 0 {
        let features = FourierFeatures::new(config.discriminator_octaves, config.discriminator_extent);
        inputs = features.outputs(inputs);
        layers.push(Layer::FourierFeatures(features));
    }
    for i in 0..config.discriminator_depth {
        if config.activations == Activations::Maxout {
            layers.push(Layer::Maxout(Maxout::new([inputs, width], is_spectral, device)));
        } else {
            let function = match config.activations {
                Activations::Tanh => Function::Tanh,
                _ => Function::LeakyRelu(config.leaky_slope),
            };
            layers.push(Layer::Dense(Dense::new([inputs, width], device).spectral(is_spectral)));
            if i > 0 && config.discriminator_norm == DiscriminatorNorm::Batch {
                layers.push(Layer::BatchNorm(BatchNorm::new(width, device)));
            }
            layers.push(Layer::Activation(Activation::new(function)));
        }
        inputs = width;
    }
    layers
}

/// From the features back to the image.
pub(super) fn decoder(config: &NetworkConfig, device: &Device) -> Vec<Layer> {
    let image = [config.channels * config.pack, config.size, config.size];
    let is_spectral = config.discriminator_norm == DiscriminatorNorm::Spectral;
    let dense = Dense::new([config.judge_width(), image.iter().product()], device).spectral(is_spectral);
    let mut layers = vec![Layer::Dense(dense)];
    if config.size > 1 {
        layers.push(Layer::Activation(Activation::new(Function::Tanh)));
    }
    layers.push(Layer::Reshape(Reshape::new(image)));
    layers
}
