//! The shape of both networks, as in the table `[network]`.

use anyhow::{Result, ensure};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Shape of both networks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NetworkConfig {
    /// What both networks are made of.
    pub architecture: Architecture,
    /// Height and width of the images: 28, 32 or 64; with `mlp` 1 to 64.
    pub size: usize,
    /// Channels of the images: 1 (grey) or 3 (RGB); with `mlp` 1 to 4, as points of a plane have 2.
    pub channels: usize,
    /// Channels of the widest picture inside; each halving of its size doubles them. In `resnet` of all pictures inside, in
    /// `mlp` values of each hidden layer.
    pub width: usize,
    /// Length of the latent vector.
    pub latent_dim: usize,
    /// Kernel of the layers of `dcgan` that change the size: 4, or 3, which has one more of them at 28x28, and a tail.
    pub kernel: usize,
    /// Channels at full size from which a last convolution k3 s1 p1 of the generator makes the image; 0 leaves the image
    /// to the last transposed convolution.
    pub generator_tail: usize,
    /// Hidden layers of an `mlp` generator.
    pub generator_depth: usize,
    /// Whether batch normalization stands between the layers of the generator; in `progressive` pixel normalization.
    pub generator_norm: bool,
    /// Whether the generator's weights have spectral normalization; it is folded at export.
    pub generator_spectral: bool,
    /// Channels of a second stage of the generator, which refines the images of the first; 0 for none. The first then stands
    /// still.
    pub refiner: usize,
    /// Normalization between the layers of the discriminator.
    pub discriminator_norm: DiscriminatorNorm,
    /// Convolutions of the discriminator at each size of the picture: one that halves it, the others k3 s1 p1. In `mlp` its
    /// hidden layers.
    pub discriminator_depth: usize,
    /// Channels of the widest picture inside the discriminator; 0 for as many as in the generator. A generator that must be
    /// small learns more from a discriminator that need not be.
    pub discriminator_width: usize,
    /// What the discriminator says.
    pub discriminator_output: DiscriminatorOutput,
    /// Functions between the layers.
    pub activations: Activations,
    /// Slope of the discriminator's LeakyReLU for negative values.
    pub leaky_slope: f64,
    /// Size of the picture at which both networks have a layer of self-attention; 0 for none.
    pub attention: usize,
    /// Classes that both networks are told; 0 for none.
    pub classes: usize,
    /// How they are told.
    pub conditioning: Conditioning,
    /// Images that the discriminator judges together (PacGAN).
    pub pack: usize,
    /// Images in a group of the minibatch standard deviation, a channel of the discriminator; 0 for none.
    pub minibatch_std: usize,
    /// How weights start.
    pub initialization: Initialization,
    /// Factor of the first weights and biases of an `mlp` discriminator as they start: with `tanh` the greater, the finer what it
    /// sees (the omega_0 of Sitzmann et al. 2020), with other activations the faster it learns.
    pub discriminator_frequency: f64,
    /// Octaves of Fourier features that an `mlp` discriminator sees beside its inputs: sines and cosines of 2^k pi times each; 0 for
    /// none. With them it tells apart what lies 2^-octaves extents from each other (Tancik et al. 2020).
    pub discriminator_octaves: usize,
    /// What a discriminator with octaves divides its inputs by, so that they reach from -1 to 1.
    pub discriminator_extent: f64,
}

/// What networks are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Architecture {
    /// Strided convolutions (Radford et al. 2016).
    Dcgan,
    /// Residual blocks, as in SN-GAN (Miyato et al. 2018).
    Resnet,
    /// Stages that are faded in (Karras et al. 2018); see `growth_steps`.
    Progressive,
    /// Dense layers.
    Mlp,
}

/// Normalization between the layers of the discriminator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum DiscriminatorNorm {
    /// Batch normalization after every layer but the first; with kernel 3 after every one.
    Batch,
    /// None: every score depends on its own image only.
    None,
    /// Spectral normalization of every weight: as before, and no layer can raise its gradient much.
    Spectral,
}

/// What the discriminator says of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum DiscriminatorOutput {
    /// How real it looks.
    Score,
    /// How badly an autoencoder draws it: the mean squared difference (EBGAN).
    Energy,
    /// Minus the log-probability of its class (CLS-GAN).
    ClassLoss,
    /// From which latents the generator would draw it (VAE): the discriminator is an encoder.
    Posterior,
}

/// Functions between the layers of the networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Activations {
    /// ReLU in the generator, LeakyReLU in the discriminator.
    Relu,
    /// Hyperbolic tangent in both; `mlp` only.
    Tanh,
    /// ReLU in the generator, in the discriminator the largest of five linear functions; `mlp` only.
    Maxout,
}

/// How a network is told the class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Conditioning {
    /// A one-hot vector beside the input of the first layer (Mirza and Osindero 2014), which shifts what it computes.
    Concat,
    /// Scale and shift of each class in the generator's normalization, and a projection of the discriminator's features
    /// (Miyato and Koyama 2018).
    Projection,
}

/// How weights start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Initialization {
    /// N(0, 0.02), as in DCGAN.
    Normal,
    /// Orthogonal rows or columns times 1.4 (Saxe et al. 2014).
    Orthogonal,
    /// U(-1, 1) over the square root of the number of inputs, biases too, as in PyTorch: an `mlp` sees from its first step at
    /// many places what is near, where without biases it sees only directions.
    Uniform,
}

impl Default for NetworkConfig {
    fn default() -> Self {
        Self {
            architecture: Architecture::Dcgan,
            size: 28,
            channels: 1,
            width: 32,
            latent_dim: 64,
            kernel: 4,
            generator_tail: 0,
            generator_depth: 2,
            generator_norm: true,
            generator_spectral: false,
            refiner: 0,
            discriminator_norm: DiscriminatorNorm::Batch,
            discriminator_depth: 1,
            discriminator_width: 0,
            discriminator_output: DiscriminatorOutput::Score,
            activations: Activations::Relu,
            leaky_slope: 0.2,
            attention: 0,
            classes: 0,
            conditioning: Conditioning::Projection,
            pack: 1,
            minibatch_std: 0,
            initialization: Initialization::Normal,
            discriminator_frequency: 1.0,
            discriminator_octaves: 0,
            discriminator_extent: 1.0,
        }
    }
}

impl NetworkConfig {
    /// Whether networks of this shape exist.
    ///
    /// # Errors
    /// Names the value out of range.
    pub fn check(&self) -> Result<()> {
        let is_mlp = self.architecture == Architecture::Mlp;
        let bounded = |name: &str, value: usize, least: usize, most: usize| {
            ensure!((least..=most).contains(&value), "{name} is {value}, outside {least}..={most}");
            Ok(())
        };
        if is_mlp {
            bounded("size", self.size, 1, 64)?;
            ensure!(
                self.discriminator_norm != DiscriminatorNorm::Batch
                    || self.activations != Activations::Maxout,
                "maxout layers have no batch normalization: discriminator_norm is to be none or spectral"
            );
        } else {
            ensure!([28, 32, 64].contains(&self.size), "size is {}, not 28, 32 or 64", self.size);
            ensure!(self.activations == Activations::Relu, "activations other than relu are for mlp");
        }
        ensure!(
            [1, 3].contains(&self.channels) || is_mlp && [self.channels, self.size] == [2, 1],
            "channels is {}: pictures have 1 or 3, and points of the plane, for mlp of size 1, have 2",
            self.channels
        );
        bounded("width", self.width, 1, if is_mlp { 8192 } else { 512 })?;
        bounded("latent_dim", self.latent_dim, 1, 4096)?;
        bounded("generator_tail", self.generator_tail, 0, 512)?;
        bounded("refiner", self.refiner, 0, 512)?;
        ensure!(
            self.refiner == 0 || matches!(self.architecture, Architecture::Dcgan | Architecture::Resnet),
            "a refiner is for dcgan and resnet"
        );
        bounded("generator_depth", self.generator_depth, 1, 16)?;
        bounded("discriminator_depth", self.discriminator_depth, 1, 8)?;
        bounded("discriminator_width", self.discriminator_width, 0, if is_mlp { 8192 } else { 512 })?;
        bounded("classes", self.classes, 0, 4096)?;
        bounded("pack", self.pack, 1, 16)?;
        bounded("minibatch_std", self.minibatch_std, 0, 1024)?;
        ensure!(self.minibatch_std != 1, "minibatch_std is 1: one image alone does not differ");
        ensure!(
            self.discriminator_frequency == 1.0
                || is_mlp
                    && self.discriminator_norm != DiscriminatorNorm::Spectral
                    && (1e-3..=1e3).contains(&self.discriminator_frequency),
            "discriminator_frequency is {}: it is for mlp without spectral normalization, and from 0.001 to 1000",
            self.discriminator_frequency
        );
        bounded("discriminator_octaves", self.discriminator_octaves, 0, 16)?;
        ensure!(
            self.discriminator_octaves == 0 || is_mlp,
            "discriminator_octaves is {}: it is for mlp",
            self.discriminator_octaves
        );
        ensure!(
            self.discriminator_extent == 1.0
                || self.discriminator_octaves > 0 && (1e-3..=1e3).contains(&self.discriminator_extent),
            "discriminator_extent is {}: it is for discriminators with octaves, and from 0.001 to 1000",
            self.discriminator_extent
        );
        ensure!((0.0..1.0).contains(&self.leaky_slope), "leaky_slope is {}, outside 0..1", self.leaky_slope);
        ensure!([3, 4].contains(&self.kernel), "kernel is {}, not 3 or 4", self.kernel);
        ensure!(
            self.kernel == 4 || self.architecture == Architecture::Dcgan && self.size == 28,
            "kernel 3 is for dcgan at 28x28"
        );
        ensure!(
            self.architecture != Architecture::Progressive
                || self.discriminator_norm != DiscriminatorNorm::Batch,
            "progressive has no batch normalization: discriminator_norm is to be \"none\" or \"spectral\""
        );
        if self.attention > 0 {
            let sizes = self.attention_sizes();
            ensure!(
                sizes.contains(&self.attention),
                "attention is {}, not one of the sizes {sizes:?} that both networks have pictures of",
                self.attention
            );
        }
        ensure!(
            self.classes == 0
                || !matches!(self.architecture, Architecture::Resnet | Architecture::Progressive)
                || self.conditioning == Conditioning::Projection,
            "a discriminator of resnet or progressive is told classes by projection"
        );
        ensure!(self.classes == 0 || self.pack == 1, "images of different classes are not judged together");
        ensure!(
            self.discriminator_output != DiscriminatorOutput::ClassLoss || self.classes > 1,
            "the loss of a class needs classes"
        );
        ensure!(
            self.discriminator_output != DiscriminatorOutput::Energy || self.classes == 0,
            "an autoencoder is told no classes: classes is to be 0, or discriminator_output another"
        );
        ensure!(
            self.discriminator_output != DiscriminatorOutput::Posterior
                || self.pack == 1 && self.minibatch_std == 0,
            "an encoder looks at one image: without pack and minibatch_std"
        );
        ensure!(
            self.discriminator_output != DiscriminatorOutput::Energy
                || self.architecture != Architecture::Resnet
                    && self.architecture != Architecture::Progressive
                    && self.kernel == 4
                    && self.minibatch_std == 0,
            "autoencoders are dcgan with kernel 4 or mlp, without minibatch_std"
        );
        Ok(())
    }

    /// Height and width of the smallest picture inside: 7 or 4.
    pub fn base(&self) -> usize {
        if self.size == 28 && self.kernel == 4 { 7 } else { 4 }
    }

    /// Heights of the pictures inside, from the smallest to the image.
    pub(crate) fn sizes(&self) -> Vec<usize> {
        // 28, 14, 7, and with kernel 3 also 4.
        let mut sizes = vec![self.size];
        while sizes[sizes.len() - 1] > self.base() {
            sizes.push(sizes[sizes.len() - 1].div_ceil(2));
        }
        sizes.reverse();
        sizes
    }

    /// Sizes of pictures that both networks can attend to: even ones, of which they halve what keys and values are computed from.
    fn attention_sizes(&self) -> Vec<usize> {
        let sizes = self.sizes();
        let inner = &sizes[..sizes.len() - 1];
        let shared = match self.architecture {
            Architecture::Dcgan => inner,
            Architecture::Resnet => inner.get(1..).unwrap_or_default(),
            _ => &[],
        };
        shared.iter().copied().filter(|size| size.is_multiple_of(2)).collect()
    }

    /// Channels of the pictures inside a `dcgan` with kernel 4, from the smallest to the image.
    pub(crate) fn channels_upwards(&self) -> Vec<usize> {
        super::dcgan::channels(self, self.width, self.channels)
    }

    /// Channels of the discriminator's widest picture.
    pub(crate) fn judge_width(&self) -> usize {
        if self.discriminator_width == 0 { self.width } else { self.discriminator_width }
    }

    /// Whether the normalizations of the generator know the class.
    pub(crate) fn has_conditional_norms(&self) -> bool {
        self.classes > 0
            && self.conditioning == Conditioning::Projection
            && self.generator_norm
            && self.architecture != Architecture::Progressive
    }
}
