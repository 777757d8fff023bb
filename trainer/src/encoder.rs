//! An encoder for a generator that has none: from images back to latents.
//!
//! In: the checkpoint of a run. Out: a checkpoint of the same generator, in which an encoder stands in place of the
//! discriminator, as if it were that of a variational autoencoder. The generator does not change. Such a checkpoint, or that
//! of an autoencoder, becomes an [`Encoder`].

use anyhow::{Result, ensure};
use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};

use crate::checkpoint::Checkpoint;
use crate::config::{Config, Decay, Decayed, TrainingConfig};
use crate::network::{
    Activations, Architecture, Condition, Discriminator, DiscriminatorNorm, DiscriminatorOutput, Generator,
    Growth, Parameters, values,
};
use crate::objective::{Evidence, Objective};
use crate::regularizer::RegularizerConfig;
use crate::training::noise::{self, Stream};
use crate::training::optimizer::Optimizer;
use crate::training::watch::History;
use crate::training::{Losses, Moments, OptimizerName, normal, training_device};

/// How an encoder is trained.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// Updates.
    pub steps: usize,
    /// Pairs of a latent and its image in each.
    pub batch_size: usize,
    /// Learning rate of Adam, which falls linearly to zero.
    pub lr: f64,
}

/// Both directions between latents and images, for inference.
#[derive(Debug)]
pub struct Encoder {
    encoder: Discriminator,
    generator: Generator,
    shape: [usize; 3],
}

/// Whether the discriminator of a run is an encoder.
pub fn has_encoder(config: &Config) -> bool {
    config.network.discriminator_output == DiscriminatorOutput::Posterior
}

/// Trains an encoder on pairs `(z, G(z))` of the averaged generator: the latents are to be as probable as possible given their
/// images. It has the body of the discriminator, with batch normalization. `progress` is told the step, counted from one, and
/// its loss.
///
/// # Errors
/// When the run cannot have an encoder, or the loss is no longer finite.
///
/// # Source
/// Chen et al. 2016, "InfoGAN", arXiv:1606.03657, whose bound this is for the whole latent vector; the generator, which
/// there learns as well, stands still.
pub fn learn(
    checkpoint: &Checkpoint,
    options: Options,
    mut progress: impl FnMut(usize, f32),
) -> Result<Checkpoint> {
    // Initial weights have the number of the network, like those of generator and discriminator.
    const NETWORK: u64 = 2;
    ensure_grown(checkpoint)?;
    let config = config(&checkpoint.config, options)?;
    let seed = |stream, index| noise::seed_of(config.seed, stream, index);
    let generator = checkpoint.ema_generator(&Device::flex())?;
    let device = training_device();
    let mut encoder = Discriminator::new(&config.network, seed(Stream::Weights, NETWORK), &device);
    let mut optimizer = Optimizer::new(Moments::zeros(&Parameters::read(&encoder)), &config.training);
    let mut losses = vec![];
    for step in 0..options.steps {
        let seed = seed(Stream::Encoder, step as u64);
        let latents = normal(options.batch_size, config.network.latent_dim, seed, &Device::flex());
        let images = Tensor::from_inner(generator.forward(latents.clone()));
        let condition = Condition::default();
        let posterior = encoder.posterior(encoder.features(images, &condition), &condition);
        let posterior = posterior.expect("its configuration says that it is an encoder");
        let loss = posterior.surprise(Tensor::from_inner(latents)).mean();
        let value = loss.clone().into_scalar::<f32>();
        ensure!(
            value.is_finite(),
            "step {step} diverged: the loss is {value}; a lower learning rate may help"
        );
        // The generator has no loss.
        losses.push(Losses { discriminator: value, generator: 0.0 });
        let lr = config.training.lr_d_at(step);
        optimizer.step(&mut encoder, &mut loss.backward(), lr);
        encoder = encoder.iterated();
        progress(step + 1, value);
    }
    Ok(Checkpoint {
        config,
        generator: checkpoint.average.clone(),
        discriminator: Parameters::read(&encoder),
        average: checkpoint.average.clone(),
        moments_g: Moments::zeros(&checkpoint.average),
        moments_d: optimizer.moments(),
        losses,
        history: History::default(),
    })
}

/// An encoder reads what the whole generator draws.
fn ensure_grown(checkpoint: &Checkpoint) -> Result<()> {
    let (config, steps) = (&checkpoint.config, checkpoint.step_count());
    let last = Growth { stage: config.network.sizes().len() - 1, share: 1.0 };
    ensure!(
        config.growth_after(steps).is_none_or(|growth| growth == last),
        "after {steps} steps the generator still grows: train it on"
    );
    Ok(())
}

/// The run that an encoder's checkpoint says it is.
fn config(run: &Config, options: Options) -> Result<Config> {
    ensure!(!has_encoder(run), "the run has an encoder: its discriminator");
    ensure!(run.network.classes == 0, "the generator is told classes, of which an encoder knows nothing");
    let mut config = run.clone();
    config.objective = Objective::Evidence(Evidence::default());
    config.regularizer = RegularizerConfig::default();
    let network = &mut config.network;
    network.discriminator_output = DiscriminatorOutput::Posterior;
    let has_batch_norm =
        network.architecture != Architecture::Progressive && network.activations != Activations::Maxout;
    network.discriminator_norm =
        if has_batch_norm { DiscriminatorNorm::Batch } else { DiscriminatorNorm::None };
    (network.pack, network.minibatch_std) = (1, 0);
    config.training = TrainingConfig {
        steps: options.steps,
        // Grown from its first step.
        growth_steps: 0,
        batch_size: options.batch_size,
        lr_d: options.lr,
        decay: Decay::Linear,
        decay_start: 0,
        decayed: Decayed::Both,
        decay_end: options.steps,
        optimizer: OptimizerName::Adam,
        beta_1: 0.9,
        beta_2: 0.999,
        discriminator_steps: 1,
        simultaneous: false,
        unroll: 0,
        ..config.training
    };
    config.check()?;
    Ok(config)
}

impl Encoder {
    /// Encoder and averaged generator of a checkpoint.
    ///
    /// # Errors
    /// When it has no encoder, or its tensors do not fit its configuration.
    pub fn new(checkpoint: &Checkpoint) -> Result<Self> {
        let network = &checkpoint.config.network;
        ensure!(has_encoder(&checkpoint.config), "the run has a discriminator that is no encoder");
        ensure!(network.classes == 0, "the generator is told classes, of which the encoder says nothing");
        Ok(Self {
            encoder: checkpoint.discriminator(&Device::flex())?,
            generator: checkpoint.ema_generator(&Device::flex())?,
            shape: [network.channels, network.size, network.size],
        })
    }

    /// `[C, H, W]`
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// Length of the latent vector.
    pub fn latent_dim(&self) -> usize {
        self.generator.latent_dim()
    }

    /// The most probable latents of images.
    ///
    /// # Shapes
    /// `images`: `[N, C, H, W]` in [-1, 1]; result: `[N, latent_dim]`.
    pub fn encode(&self, images: &[f32]) -> Vec<f32> {
        let encode = |images| {
            let condition = Condition::default();
            let posterior = self.encoder.posterior(self.encoder.features(images, &condition), &condition);
            values(posterior.expect("`new` saw that it is an encoder").mean)
        };
        images
            .chunks(BATCH * self.pixels())
            .flat_map(|images| encode(self.images(images, &Device::flex())))
            .collect()
    }

    /// Images of latents.
    ///
    /// # Shapes
    /// `latents`: `[N, latent_dim]`; result: `[N, C, H, W]` in [-1, 1].
    pub fn draw(&self, latents: &[f32]) -> Vec<f32> {
        let draw = |latents| values(self.generator.forward(latents));
        latents
            .chunks(BATCH * self.latent_dim())
            .flat_map(|z| draw(self.latents(z, &Device::flex())))
            .collect()
    }

    /// Latents near `latents` whose images are closer to `images`: the best that `steps` of gradient descent find, by Adam.
    ///
    /// # Shapes
    /// `images`: `[N, C, H, W]`; `latents` and result: `[N, latent_dim]`.
    pub fn refine(&self, images: &[f32], latents: &[f32], steps: usize) -> Vec<f32> {
        let batches = images.chunks(BATCH * self.pixels()).zip(latents.chunks(BATCH * self.latent_dim()));
        batches.flat_map(|(images, latents)| self.refine_batch(images, latents, steps)).collect()
    }

    fn refine_batch(&self, images: &[f32], latents: &[f32], steps: usize) -> Vec<f32> {
        // A tenth of the prior's deviation.
        const LR: f64 = 0.1;
        let device = training_device();
        // A copy of one for inference keeps its standing statistics where gradients are computed.
        let generator = self.generator.clone().fork(&device);
        let images = self.images(images, &device);
        let mut moving =
            Latents { values: Param::from_tensor(self.latents(latents, &device).require_grad()) };
        let config = TrainingConfig { beta_1: 0.9, ..TrainingConfig::default() };
        let mut optimizer = Optimizer::new(Moments::zeros(&Parameters::read(&moving)), &config);
        let mut best = latents.to_vec();
        let mut least = vec![f32::INFINITY; images.dims()[0]];
        for step in 0..=steps {
            let difference = generator.forward(moving.values.val()) - images.clone();
            let errors = difference.square().flatten::<2>(1, 3).mean_dim(1);
            let found = values(moving.values.val());
            let rows = best.chunks_exact_mut(self.latent_dim()).zip(found.chunks_exact(self.latent_dim()));
            for ((least, error), (best, found)) in least.iter_mut().zip(values(errors.clone())).zip(rows) {
                if error < *least {
                    *least = error;
                    best.copy_from_slice(found);
                }
            }
            if step < steps {
                optimizer.step(&mut moving, &mut errors.sum().backward(), LR);
            }
        }
        best
    }

    /// Mean squared error of the latents of `count` generated images, in units of the prior's variance: 0 knows all, 1 nothing.
    pub fn latent_error(&self, count: usize, seed: u64) -> f64 {
        let mut latents = vec![0.0; count * self.latent_dim()];
        noise::fill_normal(seed, &mut latents);
        mean_squared_error(&latents, &self.encode(&self.draw(&latents)))
    }

    fn pixels(&self) -> usize {
        self.shape.iter().product()
    }

    fn images(&self, images: &[f32], device: &Device) -> Tensor<4> {
        let [c, h, w] = self.shape;
        Tensor::from_data(TensorData::new(images.to_vec(), [images.len() / self.pixels(), c, h, w]), device)
    }

    fn latents(&self, latents: &[f32], device: &Device) -> Tensor<2> {
        let shape = [latents.len() / self.latent_dim(), self.latent_dim()];
        Tensor::from_data(TensorData::new(latents.to_vec(), shape), device)
    }
}

/// Enough for the matrix products to be efficient, little enough for the cache.
const BATCH: usize = 64;

/// Latents that move, as an optimizer sees them.
#[derive(Module, Debug)]
struct Latents {
    values: Param<Tensor<2>>,
}

/// Mean over all values of the squared difference.
///
/// # Panics
/// When there are not as many of both.
pub fn mean_squared_error(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len(), "values are compared one by one");
    a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>() / a.len() as f64
}

/// The `count` rows of `latents` that are nearest to `query`, the nearest first; of equal ones the first.
///
/// # Shapes
/// `query`: `[latent_dim]`; `latents`: `[N, latent_dim]`.
pub fn nearest(query: &[f32], latents: &[f32], count: usize) -> Vec<usize> {
    let distances: Vec<f64> =
        latents.chunks_exact(query.len()).map(|row| mean_squared_error(query, row)).collect();
    let mut order: Vec<usize> = (0..distances.len()).collect();
    order.sort_by(|&a, &b| distances[a].total_cmp(&distances[b]));
    order.truncate(count);
    order
}

/// The seed of latents that the encoder of a run has not seen.
pub fn validation_seed(config: &Config) -> u64 {
    noise::seed_of(config.seed, Stream::Encoder, u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Architecture, Initialization};
    use crate::training::Trainer;

    /// A generator with weights that have not been trained: its pictures are random functions of three numbers.
    fn run() -> Checkpoint {
        let mut config = Config::default();
        config.network.architecture = Architecture::Mlp;
        config.network.initialization = Initialization::Orthogonal;
        config.network.size = 4;
        config.network.width = 24;
        config.network.latent_dim = 3;
        Trainer::new(&config).unwrap().checkpoint()
    }

    const OPTIONS: Options = Options { steps: 250, batch_size: 64, lr: 3e-3 };

    #[test]
    fn an_encoder_finds_latents_of_images() {
        let mut last = f32::INFINITY;
        let learned = learn(&run(), OPTIONS, |_, loss| last = loss).unwrap();
        let learned = Checkpoint::from_bytes(&learned.to_bytes()).unwrap();
        assert_eq!(learned.average, run().average);
        assert_eq!(learned.losses.last().unwrap().discriminator, last);
        let encoder = Encoder::new(&learned).unwrap();
        let seed = validation_seed(&learned.config);
        let error = encoder.latent_error(512, seed);
        assert!(error < 0.2, "{error}");

        // One that has seen another generator knows nothing: two independent numbers differ by both of their variances.
        let mut other = run().config;
        other.seed = 1;
        let stranger = Checkpoint { discriminator: learned.discriminator.clone(), ..learned.clone() };
        let other = Trainer::new(&other).unwrap().checkpoint();
        let stranger = Checkpoint { generator: other.generator, average: other.average, ..stranger };
        let error = Encoder::new(&stranger).unwrap().latent_error(512, seed);
        assert!(error > 0.7, "{error}");

        // Gradient steps only ever help, and lead on.
        let mut latents = vec![0.0; 20 * 3];
        noise::fill_normal(5, &mut latents);
        let images = encoder.draw(&latents);
        let found = encoder.encode(&images);
        let refined = encoder.refine(&images, &found, 10);
        let error = |latents: &[f32]| mean_squared_error(&images, &encoder.draw(latents));
        assert!(error(&refined) < 0.5 * error(&found), "{} {}", error(&refined), error(&found));
        assert_eq!(encoder.refine(&images, &found, 0), found);
        // Each image is nearest to itself.
        for (i, z) in found.chunks_exact(3).enumerate() {
            assert_eq!(nearest(z, &found, 3)[0], i);
        }
    }

    #[test]
    fn the_same_run_gives_the_same_encoder() {
        let options = Options { steps: 3, ..OPTIONS };
        let once = learn(&run(), options, |_, _| ()).unwrap().to_bytes();
        assert!(once == learn(&run(), options, |_, _| ()).unwrap().to_bytes());
    }

    #[test]
    fn what_has_no_encoder_is_an_error() {
        let mut conditional = run();
        conditional.config.network.classes = 3;
        assert!(learn(&conditional, OPTIONS, |_, _| ()).is_err());
        assert!(Encoder::new(&run()).is_err());
        let learned = learn(&run(), Options { steps: 1, ..OPTIONS }, |_, _| ()).unwrap();
        assert!(learn(&learned, OPTIONS, |_, _| ()).is_err());
        assert!(learn(&run(), Options { batch_size: 1, ..OPTIONS }, |_, _| ()).is_err());
        assert!(learn(&run(), Options { lr: f64::NAN, ..OPTIONS }, |_, _| ()).is_err());
    }

    #[test]
    fn neighbours_are_in_order() {
        let latents = [0.0, 0.0, 3.0, 4.0, 1.0, 0.0, 0.0, -1.0];
        assert_eq!(nearest(&[0.5, 0.0], &latents, 3), [0, 2, 3]);
        assert_eq!(nearest(&[3.0, 3.0], &latents, 9), [1, 2, 0, 3]);
    }
}
