//! Residual blocks.
//!
//! # Source
//! Miyato et al. 2018, arXiv:1802.05957, appendix B.4; with `attention` Zhang et al. 2019, arXiv:1805.08318.

use burn::tensor::Device;

use super::generator::norm;
use super::layer::{
    Activation, Attention, AveragePool, BatchNorm, Convolution, Dense, Function, Layer, Reshape, Residual,
    SumPixels, Upsample,
};
use super::{DiscriminatorNorm, NetworkConfig};

fn relu() -> Layer {
    Layer::Activation(Activation::new(Function::Relu))
}

/// Dense to a small picture, blocks that double it, and a convolution; `width` channels everywhere.
pub(super) fn generator(config: &NetworkConfig, device: &Device) -> Vec<Layer> {
    let (width, base, is_spectral) = (config.width, config.base(), config.generator_spectral);
    let conv = |outputs, kernel: usize| {
        let conv = Convolution::new([width, outputs], kernel, 1, kernel / 2, device);
        Layer::Convolution(conv.spectral(is_spectral))
    };
    let mut layers = vec![
        Layer::Dense(Dense::new([config.latent_dim, width * base * base], device).spectral(is_spectral)),
        Layer::Reshape(Reshape::new([width, base, base])),
    ];
    for &size in &config.sizes()[1..] {
        let mut body: Vec<Layer> = norm(config, width, device).into_iter().collect();
        body.extend([relu(), Layer::Upsample(Upsample::new(2)), conv(width, 3)]);
        body.extend(norm(config, width, device));
        body.extend([relu(), conv(width, 3)]);
        let shortcut = vec![Layer::Upsample(Upsample::new(2)), conv(width, 1)];
        layers.push(Layer::Residual(Residual::new(body, shortcut)));
        if size == config.attention {
            layers.push(Layer::Attention(Attention::new(width, is_spectral, device)));
        }
    }
    layers.extend(norm(config, width, device));
    layers.extend([relu(), conv(config.channels, 3), Layer::Activation(Activation::new(Function::Tanh))]);
    layers
}

/// Blocks that halve the picture, then `discriminator_depth` blocks that do not, and the sum over all pixels.
pub(super) fn discriminator(config: &NetworkConfig, device: &Device) -> Vec<Layer> {
    let width = config.judge_width();
    let is_spectral = config.discriminator_norm == DiscriminatorNorm::Spectral;
    let conv = |inputs, kernel: usize| {
        let conv = Convolution::new([inputs, width], kernel, 1, kernel / 2, device);
        Layer::Convolution(conv.spectral(is_spectral))
    };
    let norms = |layers: &mut Vec<Layer>| {
        if config.discriminator_norm == DiscriminatorNorm::Batch {
            layers.push(Layer::BatchNorm(BatchNorm::new(width, device)));
        }
    };
    let pool = || Layer::AveragePool(AveragePool::new(2));
    let image = config.channels * config.pack;
    let first =
        Residual::new(vec![conv(image, 3), relu(), conv(width, 3), pool()], vec![pool(), conv(image, 1)]);
    let mut layers = vec![Layer::Residual(first)];
    let sizes = config.sizes();
    let attend = |layers: &mut Vec<Layer>, size| {
        if size == config.attention {
            layers.push(Layer::Attention(Attention::new(width, is_spectral, device)));
        }
    };
    attend(&mut layers, sizes[sizes.len() - 2]);
    let halvings = sizes.len() - 2;
    for i in 0..halvings + config.discriminator_depth {
        let mut body = vec![];
        norms(&mut body);
        body.extend([relu(), conv(width, 3)]);
        norms(&mut body);
        body.extend([relu(), conv(width, 3)]);
        let mut shortcut = vec![];
        if i < halvings {
            body.push(pool());
            shortcut = vec![conv(width, 1), pool()];
        }
        layers.push(Layer::Residual(Residual::new(body, shortcut)));
        if i < halvings {
            attend(&mut layers, sizes[halvings - 1 - i]);
        }
    }
    layers.extend([relu(), Layer::SumPixels(SumPixels::default())]);
    layers
}
