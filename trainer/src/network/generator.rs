//! Latents to images.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use pocketgan_compiler::graph::{Graph, Input, Role};

use super::layer::{
    BatchNorm, ClassShift, Compute, Condition, ConditionalBatchNorm, Draft, FIRST_ITERATIONS, Growth, Layer,
    Residual, iterated,
};
use super::{Architecture, NetworkConfig, dcgan, initialized, mlp, progressive, resnet, unet};

/// Layers from a latent vector to an image.
///
/// A second stage adds to what the first computes, before the function that bounds both: it starts as almost nothing.
///
/// # Source
/// The stages: Zhang et al. 2017, "StackGAN", arXiv:1612.03242, whose second one reads no noise of its own either.
#[derive(Module, Debug)]
pub struct Generator {
    layers: Vec<Layer>,
    /// The second stage; none if empty. With one, `layers` are frozen and lack their last function, which is here.
    refiner: Vec<Layer>,
    latent_dim: usize,
    classes: usize,
}

/// The normalization of a generator, if it has any.
pub(super) fn norm(config: &NetworkConfig, channels: usize, device: &Device) -> Option<Layer> {
    config.generator_norm.then(|| {
        if config.has_conditional_norms() {
            Layer::ConditionalBatchNorm(ConditionalBatchNorm::new(channels, config.classes, device))
        } else {
            Layer::BatchNorm(BatchNorm::new(channels, device))
        }
    })
}

impl Generator {
    /// A generator with initial weights drawn from `seed`.
    pub fn new(config: &NetworkConfig, seed: u64, device: &Device) -> Self {
        let mut layers = match config.architecture {
            Architecture::Dcgan => dcgan::generator(config, device),
            Architecture::Resnet => resnet::generator(config, device),
            Architecture::Progressive => progressive::generator(config, device),
            Architecture::Mlp => mlp::generator(config, device),
        };
        // Without normalizations to tell the class to, the first layer is told it.
        if config.classes > 0
            && !config.has_conditional_norms()
            && let Layer::Dense(dense) = &layers[0]
        {
            let shift = ClassShift::new(dense.weight.dims()[1], config.classes, device);
            layers.insert(1, Layer::ClassShift(shift));
        }
        let mut refiner = vec![];
        if config.refiner > 0 {
            let bound = layers.pop();
            let body = unet::refiner(config.channels, config.refiner, device);
            refiner.push(Layer::Residual(Residual::new(body, vec![])));
            refiner.extend(bound);
        }
        let generator = Self { layers, refiner, latent_dim: config.latent_dim, classes: config.classes };
        let mut generator = initialized(generator, config.initialization, seed);
        for _ in 0..FIRST_ITERATIONS {
            generator.layers = iterated(generator.layers);
            generator.refiner = iterated(generator.refiner);
        }
        if !generator.refiner.is_empty() {
            generator.layers = generator.layers.freeze();
        }
        generator
    }

    /// Images for latents, of a network without classes.
    ///
    /// # Shapes
    /// `latents`: `[N, latent_dim]`; result: `[N, C, H, W]` in [-1, 1].
    pub fn forward(&self, latents: Tensor<2>) -> Tensor<4> {
        self.forward_in(latents, &Condition::default())
    }

    /// Images for latents, of the classes in `condition`.
    ///
    /// # Shapes
    /// `latents`: `[N, latent_dim]`; result: `[N, C, H, W]` in [-1, 1].
    pub fn forward_in(&self, latents: Tensor<2>, condition: &Condition) -> Tensor<4> {
        let [n, values] = latents.dims();
        let first = self.layers.forward(latents.reshape([n, values, 1, 1]), condition);
        self.refiner.forward(first, condition)
    }

    /// The operations for one image, with the standing statistics of the batch norms, for export.
    pub fn graph(&self) -> Graph {
        let input = |name: &str, role, shape: Vec<usize>| Input { name: name.into(), role, shape };
        let mut inputs = vec![input("z", Role::Latent, vec![1, self.latent_dim])];
        if self.classes > 0 {
            inputs.push(input("class", Role::Label, vec![1]));
        }
        let mut graph = Graph::new(inputs);
        let z = graph.input(0);
        let label = (self.classes > 0).then(|| graph.input(1));
        let mut draft = Draft { graph: &mut graph, label };
        let output = self.layers.draft(&mut draft, "layers", z);
        let output = output.and_then(|first| self.refiner.draft(&mut draft, "refiner", first));
        graph.set_output(output.expect("the layers have fitting shapes"));
        graph
    }

    /// Length of the latent vector.
    pub fn latent_dim(&self) -> usize {
        self.latent_dim
    }

    /// Classes that it is told; 0 for none.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// With a bias, zero at first, in the layers that ask for one, and none elsewhere.
    pub(crate) fn with_biases(mut self, dense: bool, convs: &[bool]) -> Self {
        let mut convs = convs.iter();
        for layer in &mut self.layers {
            let (bias, channels, wanted, device) = match layer {
                Layer::Dense(layer) => {
                    let [_, outputs] = layer.weight.dims();
                    (&mut layer.bias, outputs, dense, layer.weight.device())
                }
                Layer::TransposedConvolution(layer) => {
                    let channels = layer.weight.dims()[1];
                    let Some(&wanted) = convs.next() else { continue };
                    (&mut layer.bias, channels, wanted, layer.weight.device())
                }
                _ => continue,
            };
            *bias = wanted.then(|| Param::from_tensor(Tensor::zeros([channels], &device)));
        }
        self
    }

    /// With as much of its stages as they have grown, where it has any.
    pub(crate) fn with_growth(mut self, growth: Growth) -> Self {
        self.layers.iter_mut().for_each(|layer| layer.set_growth(growth));
        self
    }

    /// Lets the next training-mode forward pass enter the running statistics with weight `momentum`.
    pub(crate) fn with_momentum(mut self, momentum: f64) -> Self {
        self.layers.iter_mut().chain(&mut self.refiner).for_each(|layer| layer.set_momentum(momentum));
        self
    }

    /// Whether inference depends on statistics of training.
    pub(crate) fn has_statistics(&self) -> bool {
        self.layers.iter().chain(&self.refiner).any(Layer::mixes_images)
    }

    /// Lets the spectral norms, if there are any, follow the weights by a step of power iteration.
    pub(crate) fn iterated(mut self) -> Self {
        if self.refiner.is_empty() {
            self.layers = iterated(self.layers);
        }
        self.refiner = iterated(self.refiner);
        self
    }
}
