//! Pictures to pictures: a U-Net that learns from pairs.
//!
//! In: images, and a [`Task`] that makes the other half of each pair. Out: a network that undoes the task.
//!
//! # Source
//! Isola et al. 2017, "Image-to-Image Translation with Conditional Adversarial Networks" (pix2pix), arXiv:1611.07004: the
//! discriminator sees both pictures of a pair, and the mean absolute difference is part of the generator's loss.

use anyhow::{Result, ensure};
use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use crate::config::TrainingConfig;
use crate::dataset::Dataset;
use crate::network::{Condition, Discriminator, NetworkConfig, Parameters, UNet};
use crate::objective::{Objective, Pair};
use crate::training::noise::{self, Stream};
use crate::training::optimizer::Optimizer;
use crate::training::{Losses, Moments, training_device};

/// What is taken away from an image, for the network to bring back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// Everything but the edges: the length of the difference to the pixels to the right and below.
    Edges,
    /// Three of four pixels each way: means of 4x4, enlarged again.
    Upscale,
    /// A square in the middle, half as wide as the image.
    Inpaint,
}

/// How to train.
#[derive(Clone, Debug)]
pub struct Options {
    /// What the network undoes.
    pub task: Task,
    /// Channels after the first convolution of the U-Net.
    pub width: usize,
    /// Steps.
    pub steps: usize,
    /// Pairs in each step.
    pub batch_size: usize,
    /// Learning rate of both networks.
    pub lr: f64,
    /// Weight of the mean absolute difference beside the objective.
    pub l1_weight: f64,
    /// What both networks minimise.
    pub objective: Objective,
    /// Decides every random number.
    pub seed: u64,
}

impl Default for Options {
    /// The numbers of pix2pix.
    fn default() -> Self {
        Self {
            task: Task::Edges,
            width: 16,
            steps: 2000,
            batch_size: 16,
            lr: 2e-4,
            l1_weight: 100.0,
            objective: Objective::default(),
            seed: 0,
        }
    }
}

impl Task {
    /// The other half of the pair.
    ///
    /// # Shapes
    /// `images` and result: `[N, C, H, W]` in [-1, 1].
    pub fn input(self, images: &[f32], [channels, height, width]: [usize; 3]) -> Vec<f32> {
        let mut inputs = images.to_vec();
        let planes = inputs.chunks_exact_mut(height * width).zip(images.chunks_exact(height * width));
        debug_assert_eq!(images.len() % (channels * height * width), 0);
        for (input, image) in planes {
            let at = |y: usize, x: usize| image[y.min(height - 1) * width + x.min(width - 1)];
            for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
                input[y * width + x] = match self {
                    Self::Edges => {
                        let (down, right) = (at(y + 1, x) - at(y, x), at(y, x + 1) - at(y, x));
                        down.hypot(right).min(2.0) - 1.0
                    }
                    Self::Upscale => {
                        let block = |v: usize, most: usize| (v / 4 * 4)..(v / 4 * 4 + 4).min(most);
                        let (rows, columns) = (block(y, height), block(x, width));
                        let count = (rows.len() * columns.len()) as f32;
                        let pixels = rows.flat_map(|y| columns.clone().map(move |x| (y, x)));
                        pixels.map(|(y, x)| at(y, x)).sum::<f32>() / count
                    }
                    Self::Inpaint => {
                        let inside = |v: usize, most: usize| (most / 4..most - most / 4).contains(&v);
                        if inside(y, height) && inside(x, width) { 0.0 } else { at(y, x) }
                    }
                };
            }
        }
        inputs
    }
}

/// Trains a U-Net on pairs of `dataset`; `progress` is told the steps done, and the losses of the last one.
///
/// # Errors
/// When numbers are out of range, images cannot be halved twice, or a loss is no longer finite.
pub fn train(dataset: &Dataset, options: &Options, mut progress: impl FnMut(usize, Losses)) -> Result<UNet> {
    let [channels, size, width] = dataset.shape();
    ensure!(size == width, "images are square, not {size}x{width}");
    ensure!(
        (2..=4096).contains(&options.batch_size),
        "batch_size is {}, outside 2..=4096",
        options.batch_size
    );
    ensure!(
        options.objective.real_is_high(),
        "objective {} has no discriminator for pairs",
        options.objective.name()
    );
    options.objective.check()?;
    // As often as the size allows, down to 4 pixels.
    let depth =
        (1..=4).take_while(|&depth| size.is_multiple_of(1 << depth) && size >> depth >= 4).count() as u32;
    let device = training_device();
    let seed = |index| noise::seed_of(options.seed, Stream::Weights, index);
    let mut generator = UNet::new([channels, channels], size, options.width, depth, seed(0), &device)?;
    let network = NetworkConfig { size, channels, pack: 2, width: options.width, ..NetworkConfig::default() };
    network.check()?;
    // A pair is two pictures behind each other, as packed ones are.
    let mut discriminator = Discriminator::new(&network, seed(1), &device);
    let config = TrainingConfig { beta_1: 0.5, ..TrainingConfig::default() };
    let zeros = |parameters: &Parameters| Optimizer::new(Moments::zeros(parameters), &config);
    let mut optimizer_g = zeros(&Parameters::read(&generator));
    let mut optimizer_d = zeros(&Parameters::read(&discriminator));
    for step in 0..options.steps {
        let mut random = noise::rng(noise::seed_of(options.seed, Stream::Order, step as u64));
        let indices: Vec<usize> = (0..options.batch_size)
            .map(|_| noise::below(&mut random, dataset.len() as u32) as usize)
            .collect();
        let images = dataset.images(&indices);
        let tensor = |values: Vec<f32>| {
            let data = TensorData::new(values, [options.batch_size, channels, size, size]);
            Tensor::<4>::from_data(data, &device)
        };
        let input = tensor(options.task.input(&images, dataset.shape()));
        let real = tensor(images);
        let fake = generator.forward(input.clone());
        let pair = |image: &Tensor<4>| Tensor::cat(vec![input.clone(), image.clone()], 1);
        let judge = |discriminator: &Discriminator, fake: Tensor<4>| Pair {
            real: discriminator.judge(pair(&real), &Condition::default()),
            fake: discriminator.judge(pair(&fake), &Condition::default()),
        };
        let loss_d = options.objective.discriminator_loss(&judge(&discriminator, fake.clone().detach()));
        optimizer_d.step(&mut discriminator, &mut loss_d.backward(), options.lr);
        let adversarial =
            options.objective.generator_loss(&judge(&discriminator.clone().no_grad(), fake.clone()));
        let difference = (fake - real.clone()).abs().mean();
        let loss_g = adversarial + difference.mul_scalar(options.l1_weight);
        optimizer_g.step(&mut generator, &mut loss_g.backward(), options.lr);
        let losses = Losses { discriminator: loss_d.into_scalar(), generator: loss_g.into_scalar() };
        ensure!(
            losses.discriminator.is_finite() && losses.generator.is_finite(),
            "step {step} diverged: losses {} and {}",
            losses.discriminator,
            losses.generator
        );
        progress(step + 1, losses);
    }
    Ok(generator.valid())
}

/// What the network makes of images, `[N, C, H, W]`.
pub fn translate(network: &UNet, inputs: &[f32], [channels, height, width]: [usize; 3]) -> Vec<f32> {
    const BATCH: usize = 32;
    let image = channels * height * width;
    let device = Device::flex();
    inputs
        .chunks(BATCH * image)
        .flat_map(|chunk| {
            let data = TensorData::new(chunk.to_vec(), [chunk.len() / image, channels, height, width]);
            crate::network::values(network.forward(Tensor::from_data(data, &device)))
        })
        .collect()
}

/// Mean absolute difference of two sets of values in [-1, 1].
pub fn mean_difference(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from((a - b).abs())).sum::<f64>() / a.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_by_hand() {
        let image = [-1.0, -1.0, -1.0, 1.0];
        let edges = Task::Edges.input(&image, [1, 2, 2]);
        assert_eq!(edges, [-1.0, 1.0, 1.0, -1.0], "a step of 2 to the right and below");
        let ramp: Vec<f32> = (0..64).map(|i| (i % 8) as f32 / 8.0).collect();
        let upscaled = Task::Upscale.input(&ramp, [1, 8, 8]);
        assert_eq!((upscaled[0], upscaled[3], upscaled[4]), (1.5 / 8.0, 1.5 / 8.0, 5.5 / 8.0));
        let hole = Task::Inpaint.input(&ramp, [1, 8, 8]);
        assert_eq!(
            hole.iter().zip(&ramp).filter(|(a, b)| a != b).count(),
            4 * 4,
            "no pixel inside is 0 before"
        );
    }

    /// Squares of random grey, of which only the edge is known to lie between two halves.
    #[test]
    fn it_learns_to_undo_a_task_and_repeats_itself() {
        let pixels = (0..64 * 28 * 28).map(|i| {
            let (image, y) = (i / 784, i % 784 / 28);
            if y < 8 + image % 12 { 40 } else { 220 }
        });
        let dataset = Dataset::new("halves", [1, 28, 28], pixels.collect(), None).unwrap();
        let options = Options { width: 4, steps: 200, batch_size: 8, lr: 2e-3, ..Options::default() };
        let mut losses = vec![];
        let network = train(&dataset, &options, |_, loss| losses.push(loss)).unwrap();
        let indices: Vec<usize> = (0..16).collect();
        let images = dataset.images(&indices);
        let inputs = options.task.input(&images, [1, 28, 28]);
        let made = translate(&network, &inputs, [1, 28, 28]);
        // The best that knows nothing says the median of each pixel, here about 0.7 away.
        let median = mean_difference(&images, &vec![0.0; images.len()]);
        assert!(mean_difference(&images, &made) < 0.5 * median, "{}", mean_difference(&images, &made));
        let mut again = vec![];
        train(&dataset, &Options { steps: 3, ..options.clone() }, |_, loss| again.push(loss)).unwrap();
        assert_eq!(again, losses[..3]);
        let wrong = Options { objective: "energy".parse().unwrap(), ..options };
        assert!(train(&dataset, &wrong, |_, _| {}).is_err());
    }
}
