//! The discriminator that goes with a file.
//!
//! That of the training run is of no use on a device: it is many times larger than need be, may have batch normalization, and
//! files from elsewhere come without. A small one is trained here, in seconds, against the finished generator.

use anyhow::{Context, Result, ensure};
use burn::tensor::{Tensor, TensorData};
use pocketgan_compiler::export::channels_last;
use pocketgan_compiler::graph::Graph;
use pocketgan_finetune::augment::Policy;
use pocketgan_runtime::latent::fill_normal;
use pocketgan_runtime::{Generator, Latent, Model};

use crate::config::TrainingConfig;
use crate::dataset::Dataset;
use crate::network::{Condition, Discriminator, DiscriminatorNorm, NetworkConfig, Parameters};
use crate::objective::{LeastSquares, Pair};
use crate::training::noise::{self, Stream};
use crate::training::optimizer::Optimizer;
use crate::training::{Moments, training_device};

/// How a judge is trained.
#[derive(Clone, Debug)]
pub struct JudgeOptions {
    /// Channels after its first convolution; each further one doubles them.
    pub width: usize,
    /// Steps.
    pub steps: usize,
    /// Images of each kind in a step.
    pub batch_size: usize,
    /// Learning rate.
    pub lr: f64,
    /// Of every random draw.
    pub seed: u64,
}

impl Default for JudgeOptions {
    fn default() -> Self {
        Self { width: 8, steps: 500, batch_size: 32, lr: 1e-3, seed: 0 }
    }
}

/// Trains a discriminator of images of `dataset` and pictures of `model`, both changed as they are while a device learns.
/// `progress` is told the steps done and the last mean scores of real and generated pictures.
///
/// # Errors
/// When no discriminator exists for pictures of this size, or the data set has others.
pub(super) fn train(
    model: &Model<'_>,
    dataset: &Dataset,
    [a, b, c]: [f32; 3],
    options: &JudgeOptions,
    mut progress: impl FnMut(usize, [f32; 2]),
) -> Result<Graph> {
    let shape = model.output_shape();
    let [height, width, channels] = shape;
    ensure!(
        dataset.shape() == [channels, height, width],
        "the data set has images of {:?}, the model draws {:?}",
        dataset.shape(),
        [channels, height, width]
    );
    ensure!(height == width, "no discriminator exists for pictures of {height}x{width}");
    let network = NetworkConfig {
        size: height,
        channels,
        width: options.width,
        discriminator_norm: DiscriminatorNorm::None,
        ..NetworkConfig::default()
    };
    network
        .check()
        .with_context(|| format!("a discriminator for pictures of {height}x{width}x{channels}"))?;
    let device = training_device();
    let seed = |index: u64| noise::seed_of(options.seed, Stream::Judge, index);
    let mut judge = Discriminator::new(&network, seed(0), &device);
    let config = TrainingConfig { beta_1: 0.5, beta_2: 0.99, ..TrainingConfig::default() };
    let mut optimizer = Optimizer::new(Moments::zeros(&Parameters::read(&judge)), &config);
    let objective = LeastSquares { a: a.into(), b: b.into(), c: c.into() };
    let mut arena = vec![0.0; model.arena_len()];
    let mut generator = Generator::new(model, &mut arena)?;
    let mut latent = vec![0.0; model.latent_dim()];
    for step in 0..options.steps {
        let draw = |pair: usize, kind: u64| seed(1 + (step * options.batch_size + pair) as u64 * 4 + kind);
        let mut batches = [vec![], vec![]];
        for pair in 0..options.batch_size {
            let index = noise::below(&mut noise::rng(draw(pair, 0)), dataset.len() as u32);
            let real = to_pixels(&dataset.images(&[index as usize]), shape, model.range());
            fill_normal(draw(pair, 1), &mut latent);
            let fake = generator.generate(Latent::from(&latent[..]));
            for ((batch, values), kind) in batches.iter_mut().zip([&real[..], fake.values]).zip([2, 3]) {
                let change = Policy::GEOMETRY.change(draw(pair, kind), shape, model.range());
                let mut seen = vec![0.0; values.len()];
                change.apply(shape, model.range(), values, &mut seen);
                batch.extend(to_planes(&seen, shape));
            }
        }
        let tensor = |values: Vec<f32>| {
            let data = TensorData::new(values, [options.batch_size, channels, height, width]);
            Tensor::<4>::from_data(data, &device)
        };
        let [real, fake] = batches.map(|values| judge.judge(tensor(values), &Condition::default()));
        let pair = Pair { real, fake };
        let mut grads = objective.discriminator_loss(&pair).backward();
        // Linearly down to a tenth, so that the last steps settle.
        let rate = options.lr * (1.0 - 0.9 * step as f64 / options.steps as f64);
        optimizer.step(&mut judge, &mut grads, rate);
        progress(step + 1, [pair.real, pair.fake].map(|judged| judged.scores.mean().into_scalar()));
    }
    judge.graph([channels, height, width]).context("the discriminator as a graph")
}

/// `[C, H, W]` in [-1, 1] to `[H, W, C]` in a model's range.
pub fn to_pixels(planes: &[f32], [height, width, channels]: [usize; 3], [low, high]: [f32; 2]) -> Vec<f32> {
    let mut pixels = vec![0.0; planes.len()];
    channels_last(&[1, channels, height, width], |plane, pixel| {
        pixels[pixel] = (planes[plane] + 1.0) / 2.0 * (high - low) + low;
    });
    pixels
}

/// `[H, W, C]` to `[C, H, W]`.
fn to_planes(pixels: &[f32], [height, width, channels]: [usize; 3]) -> Vec<f32> {
    let mut planes = vec![0.0; pixels.len()];
    channels_last(&[1, channels, height, width], |plane, pixel| planes[plane] = pixels[pixel]);
    planes
}
