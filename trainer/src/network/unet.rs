//! Pictures to pictures.

use anyhow::{Result, ensure};
use burn::module::Module;
use burn::tensor::{Device, Tensor};
use pocketgan_compiler::graph::{Graph, Input, Role};

use super::layer::{
    Activation, BatchNorm, Compute, Condition, Convolution, Draft, Function, Layer, Skip,
    TransposedConvolution,
};
use super::{Initialization, initialized};

/// Convolutions that halve a picture, transposed ones that double it again, and a way around each size.
///
/// # Source
/// Isola et al. 2017, "Image-to-Image Translation with Conditional Adversarial Networks", arXiv:1611.07004, in small.
#[derive(Module, Debug)]
pub struct UNet {
    layers: Vec<Layer>,
    channels: usize,
    size: usize,
}

impl UNet {
    /// A network from `channels[0]` to `channels[1]` channels of pictures of `size`, which `depth` halvings divide, with
    /// `width` channels after the first. Initial weights are drawn from `seed`.
    ///
    /// # Errors
    /// When a number is out of range.
    pub fn new(
        channels: [usize; 2],
        size: usize,
        width: usize,
        depth: u32,
        seed: u64,
        device: &Device,
    ) -> Result<Self> {
        ensure!(
            (1..=8).contains(&depth) && size > 0 && size.is_multiple_of(1 << depth),
            "{size} pixels are not halved {depth} times"
        );
        ensure!(
            channels.iter().all(|c| (1..=16).contains(c)) && (1..=512).contains(&width),
            "channels are 1 to 16, and the width 1 to 512"
        );
        let mut layers = levels(channels, width, depth, device);
        layers.push(Layer::Activation(Activation::new(Function::Tanh)));
        let network = Self { layers, channels: channels[0], size };
        Ok(initialized(network, Initialization::Normal, seed))
    }

    /// Pictures for pictures.
    ///
    /// # Shapes
    /// `images`: `[N, channels[0], size, size]`; result: `[N, channels[1], size, size]` in [-1, 1].
    pub fn forward(&self, images: Tensor<4>) -> Tensor<4> {
        self.layers.forward(images, &Condition::default())
    }

    /// The operations for one picture, for export.
    pub fn graph(&self) -> Graph {
        let shape = vec![1, self.channels, self.size, self.size];
        let mut graph = Graph::new(vec![Input { name: "image".into(), role: Role::Image, shape }]);
        let image = graph.input(0);
        let mut draft = Draft { graph: &mut graph, label: None };
        let output = self.layers.draft(&mut draft, "layers", image).expect("the layers have fitting shapes");
        graph.set_output(output);
        graph
    }
}

/// Layers from a picture whose values tanh bounds to what may be added to them.
pub(super) fn refiner(channels: usize, width: usize, device: &Device) -> Vec<Layer> {
    // 28 pixels are halved twice.
    const DEPTH: u32 = 2;
    let mut layers = vec![Layer::Activation(Activation::new(Function::Tanh))];
    layers.extend(levels([channels; 2], width, DEPTH, device));
    layers
}

/// From a picture to one of the same size, unbounded.
fn levels(channels: [usize; 2], width: usize, depth: u32, device: &Device) -> Vec<Layer> {
    let mut layers = level(channels[0], width, depth, device);
    layers.push(Layer::Activation(Activation::new(Function::Relu)));
    let up = TransposedConvolution::new([2 * width, channels[1]], 4, 2, 1, 0, device);
    layers.push(Layer::TransposedConvolution(up));
    layers
}

/// From a picture of `inputs` channels to one of half its size with `2 * width`: what a convolution sees, and what the
/// levels below make of it.
fn level(inputs: usize, width: usize, depth: u32, device: &Device) -> Vec<Layer> {
    let leaky = || Layer::Activation(Activation::new(Function::LeakyRelu(0.2)));
    let mut layers = vec![Layer::Convolution(Convolution::new([inputs, width], 4, 2, 1, device))];
    let mut body = vec![leaky()];
    if depth > 1 {
        body.extend(level(width, 2 * width, depth - 1, device));
        body.push(Layer::Activation(Activation::new(Function::Relu)));
        let up = TransposedConvolution::new([4 * width, width], 4, 2, 1, 0, device).with_bias(false);
        body.push(Layer::TransposedConvolution(up));
    } else {
        let conv = Convolution::new([width, width], 3, 1, 1, device).with_bias(false);
        body.push(Layer::Convolution(conv));
    }
    body.push(Layer::BatchNorm(BatchNorm::new(width, device)));
    layers.push(Layer::Skip(Skip::new(body)));
    layers
}
