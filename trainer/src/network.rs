//! Generators and discriminators as lists of layers.
//!
//! In: latents `[N, latent_dim]` or images `[N, C, H, W]` in [-1, 1]. Out: images, or one score per image.
//! Weights are drawn from our own generator; burn's global one is never used.

mod config;
mod dcgan;
mod discriminator;
mod generator;
mod initialization;
pub mod layer;
mod mlp;
mod parameters;
mod posterior;
mod precision;
mod progressive;
mod resnet;
#[cfg(test)]
mod tests;
mod unet;

pub use config::{
    Activations, Architecture, Conditioning, DiscriminatorNorm, DiscriminatorOutput, Initialization,
    NetworkConfig,
};
pub use discriminator::Discriminator;
pub use generator::Generator;
pub(crate) use initialization::{initialized, multiplied};
pub use layer::{Condition, Growth};
pub(crate) use parameters::values;
pub use parameters::{NamedTensor, Parameters};
use pocketgan_compiler::graph;
pub use posterior::Posterior;
pub use precision::Precision;
pub use unet::UNet;

use burn::tensor::{Tensor, TensorData};

/// A leaf with the device, shape and gradient requirement of `like`, and other values.
pub(crate) fn replaced<const D: usize>(like: &Tensor<D>, values: Vec<f32>) -> Tensor<D> {
    let tensor = Tensor::from_data(TensorData::new(values, like.shape()), &like.device());
    tensor.set_require_grad(like.is_require_grad())
}

/// The values of a tensor, outside of any tensor library.
pub(crate) fn graph_tensor<const D: usize>(tensor: Tensor<D>) -> graph::Tensor {
    let shape = tensor.dims().to_vec();
    graph::Tensor::new(shape, values(tensor))
}
