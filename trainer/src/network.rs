//! Generators and discriminators of the DCGAN family, as burn modules.
//!
//! In: latents `[N, latent_dim]` or images `[N, C, H, W]` in [-1, 1]. Out: images, or one score per image.
//! Weights are drawn from our own generator; burn's global one is never used.

mod discriminator;
mod generator;
mod parameters;
#[cfg(test)]
mod tests;

pub use discriminator::Discriminator;
pub use generator::Generator;
pub(crate) use parameters::values;
pub use parameters::{NamedTensor, Parameters};

use anyhow::{Result, ensure};
use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use crate::training::noise;

/// Shape of both networks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NetworkConfig {
    /// Height and width of the images: 28, 32 or 64.
    pub size: usize,
    /// Channels of the images: 1 (grey) or 3 (RGB).
    pub channels: usize,
    /// Channels of the widest picture inside; each halving of its size doubles them.
    pub width: usize,
    /// Length of the latent vector.
    pub latent_dim: usize,
    /// Channels at full size from which a last convolution k3 s1 p1 of the generator makes the image; 0 leaves the image
    /// to the last transposed convolution.
    pub generator_tail: usize,
    /// Normalization between the layers of the discriminator.
    pub discriminator_norm: DiscriminatorNorm,
    /// Convolutions of the discriminator at each size of the picture: one that halves it, the others k3 s1 p1.
    pub discriminator_depth: usize,
    /// Channels of the widest picture inside the discriminator; 0 for as many as in the generator. A generator that must be
    /// small learns more from a discriminator that need not be.
    pub discriminator_width: usize,
}

/// Normalization between the layers of the discriminator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum DiscriminatorNorm {
    /// Batch normalization after every convolution but the first.
    Batch,
    /// None: every score depends on its own image only.
    None,
    /// Spectral normalization of every weight: as before, and no layer can raise its gradient much.
    Spectral,
}

impl Default for NetworkConfig {
    fn default() -> Self {
        Self {
            size: 28,
            channels: 1,
            width: 32,
            latent_dim: 64,
            generator_tail: 0,
            discriminator_norm: DiscriminatorNorm::Batch,
            discriminator_depth: 1,
            discriminator_width: 0,
        }
    }
}

impl NetworkConfig {
    /// Whether networks of this shape exist.
    ///
    /// # Errors
    /// Names the value out of range.
    pub fn check(&self) -> Result<()> {
        ensure!([28, 32, 64].contains(&self.size), "size is {}, not 28, 32 or 64", self.size);
        ensure!([1, 3].contains(&self.channels), "channels is {}, not 1 or 3", self.channels);
        ensure!((1..=512).contains(&self.width), "width is {}, outside 1..=512", self.width);
        ensure!((1..=4096).contains(&self.latent_dim), "latent_dim is {}, outside 1..=4096", self.latent_dim);
        let tail = self.generator_tail;
        ensure!(tail <= 512, "generator_tail is {tail}, outside 0..=512");
        let depth = self.discriminator_depth;
        ensure!((1..=8).contains(&depth), "discriminator_depth is {depth}, outside 1..=8");
        let width = self.discriminator_width;
        ensure!(width <= 512, "discriminator_width is {width}, outside 0..=512");
        Ok(())
    }

    /// Height and width of the smallest picture inside: 7 or 4.
    pub fn base(&self) -> usize {
        if self.size == 28 { 7 } else { 4 }
    }

    /// Channels of the generator, from its smallest picture to the image.
    pub(crate) fn channels_upwards(&self) -> Vec<usize> {
        let doublings = (self.size / self.base()).ilog2();
        (0..doublings).rev().map(|level| self.width << level).chain([self.channels]).collect()
    }

    /// Channels of the discriminator, from the image to its smallest picture.
    fn channels_downwards(&self) -> Vec<usize> {
        let width = if self.discriminator_width == 0 { self.width } else { self.discriminator_width };
        let mut channels = Self { width, ..self.clone() }.channels_upwards();
        channels.reverse();
        channels
    }
}

/// Draws initial weights: N(0, 0.02), batch-norm scales N(1, 0.02), biases and shifts 0; and the directions from which
/// power iterations start.
///
/// # Source
/// Radford et al. 2016, "Unsupervised Representation Learning with Deep Convolutional Generative Adversarial
/// Networks", arXiv:1511.06434, and its reference code.
struct Initializer {
    seed: u64,
    path: Vec<String>,
    drawn: u64,
}

fn initialized<M: Module>(module: M, seed: u64) -> M {
    module.map(&mut Initializer { seed, path: vec![], drawn: 0 })
}

impl ModuleMapper for Initializer {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        const SPREAD: f32 = 0.02;
        let (mean, spread) = match self.path.last().map(String::as_str) {
            Some("weight") => (0.0, SPREAD),
            Some("gamma") => (1.0, SPREAD),
            Some("running_var") => (1.0, 0.0),
            Some("u") => (0.0, 1.0),
            _ => (0.0, 0.0),
        };
        let seed = noise::seed_of(self.seed, noise::Stream::Weights, self.drawn);
        self.drawn += 1;
        param.map(|tensor| {
            let mut values = vec![0.0; tensor.shape().num_elements()];
            if spread > 0.0 {
                noise::fill_normal(seed, &mut values);
            }
            values.iter_mut().for_each(|v| *v = mean + spread * *v);
            replaced(&tensor, values)
        })
    }
}

/// A leaf with the device, shape and gradient requirement of `like`, and other values.
pub(crate) fn replaced<const D: usize>(like: &Tensor<D>, values: Vec<f32>) -> Tensor<D> {
    let device: Device = like.device();
    let tensor = Tensor::from_data(TensorData::new(values, like.shape()), &device);
    tensor.set_require_grad(like.is_require_grad())
}
