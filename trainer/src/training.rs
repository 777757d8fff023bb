//! The training loop: two networks, two optimizers, and the moving average of the generator.
//!
//! In: a `Config` and a `Dataset`. Out: a `Trainer`, whose `checkpoint` holds all of its state. A run draws every
//! random number from its seed and the number of the step, and reads no clock: the same configuration gives the
//! same bits, also when it is cut into parts by checkpoints.

mod average;
mod evidence;
mod mirror;
pub mod noise;
pub(crate) mod optimizer;
mod refining;
mod replica;
mod statistics;
mod step;
#[cfg(test)]
mod tests;
mod unrolled;
pub mod watch;

use std::path::Path;

use anyhow::{Result, bail, ensure};
use burn::module::Module;
use burn::tensor::{Device, FloatDType, Tensor, TensorData};

pub use optimizer::{Moments, OptimizerName};
pub(crate) use statistics::averaged;
pub use statistics::reestimate;

use crate::checkpoint::Checkpoint;
use crate::config::Config;
use crate::dataset::Dataset;
use crate::device::is_processor;
use crate::grid;
use crate::network::{Condition, Discriminator, Generator, Parameters, Precision};
use mirror::Mirror;
use noise::Stream;
use optimizer::Optimizer;
use replica::Replica;

/// Losses of one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Losses {
    /// Of the discriminator, before its update.
    pub discriminator: f32,
    /// Of the generator, after the update of the discriminator.
    pub generator: f32,
}

/// A run in progress.
pub struct Trainer {
    config: Config,
    device: Device,
    generator: Generator,
    discriminator: Discriminator,
    optimizer_g: Optimizer,
    optimizer_d: Optimizer,
    average: Mirror,
    losses: Vec<Losses>,
    /// Of the steps after those: `[2]` each, discriminator and generator, where they were computed.
    unread: Vec<Tensor<1>>,
    /// Order of the images in the epoch with the given number.
    order: Option<(u64, Vec<u32>)>,
    /// Steps between two looks at the losses: each waits until the device has done all that it was told.
    read_every: usize,
    replica: Replica,
    others: Option<Others>,
}

/// Runs of the same configuration that compute the other parts of every batch.
struct Others {
    /// A thread for each, and one for the run that has them.
    pool: rayon::ThreadPool,
    trainers: Vec<Trainer>,
}

/// On a GPU.
const READ_EVERY: usize = 25;

/// Trains from the start to `config.training.steps`; `observer` sees the state after every step.
///
/// # Errors
/// When the configuration is out of range, the data set has images of another shape, or the observer says so.
pub fn train(
    config: &Config,
    dataset: &Dataset,
    observer: impl FnMut(&Trainer) -> Result<()>,
) -> Result<Trainer> {
    let mut trainer = Trainer::new(config)?;
    trainer.run(dataset, observer)?;
    Ok(trainer)
}

impl Trainer {
    /// A run before its first step.
    ///
    /// # Errors
    /// When the configuration is out of range, or has a second stage but no first one.
    pub fn new(config: &Config) -> Result<Self> {
        ensure!(config.network.refiner == 0, "a refiner needs a run to refine: start with `trainer refine`");
        Self::untrained(config)
    }

    fn untrained(config: &Config) -> Result<Self> {
        config.check()?;
        let device = training_device();
        let seed = |network| noise::seed_of(config.seed, Stream::Weights, network);
        let generator = Generator::new(&config.network, seed(0), &device);
        let discriminator = Discriminator::new(&config.network, seed(1), &device);
        let average = Parameters::read(&generator);
        Ok(Self {
            optimizer_g: Optimizer::new(Moments::zeros(&average), &config.training),
            optimizer_d: Optimizer::new(Moments::zeros(&Parameters::read(&discriminator)), &config.training),
            config: config.clone(),
            device,
            generator,
            discriminator,
            average: Mirror::new(average),
            losses: vec![],
            unread: vec![],
            order: None,
            read_every: 1,
            replica: Replica::alone(),
            others: None,
        })
    }

    /// The run that `checkpoint` was taken from.
    ///
    /// # Errors
    /// When its tensors do not fit its configuration.
    pub fn resume(checkpoint: &Checkpoint) -> Result<Self> {
        let mut trainer = Self::untrained(&checkpoint.config)?;
        trainer.generator = checkpoint.generator.write(trainer.generator)?;
        trainer.discriminator = checkpoint.discriminator.write(trainer.discriminator)?;
        trainer.optimizer_g = Optimizer::new(checkpoint.moments_g.clone(), &checkpoint.config.training);
        trainer.optimizer_d = Optimizer::new(checkpoint.moments_d.clone(), &checkpoint.config.training);
        trainer.average = Mirror::new(checkpoint.average.clone());
        trainer.losses = checkpoint.losses.clone();
        Ok(trainer)
    }

    /// The same run, computed on other devices, which are without gradients; of several, each computes a part of every batch.
    /// It goes on from the same numbers; sums that are added in another order make its future another.
    ///
    /// # Errors
    /// When there is no device, one lacks the precision asked for, a batch cannot be cut into so many parts, or there are no threads.
    pub fn on(self, devices: &[Device]) -> Result<Self> {
        let Some((first, rest)) = devices.split_first() else { bail!("a run needs a device") };
        let (count, batch_size) = (devices.len(), self.config.training.batch_size);
        ensure!(
            self.config.training.precision == Precision::F32
                || devices.iter().all(|device| device.supports_dtype(FloatDType::BF16)),
            "the device does not compute in bf16: training.precision is to be \"f32\""
        );
        let packs = batch_size / self.config.network.pack;
        ensure!(
            packs.is_multiple_of(count) && batch_size / count >= 2,
            "a batch of {packs} cannot be cut into {count} parts of more than one"
        );
        let placed = |run: Self, device: &Device| {
            if is_processor(device) { run } else { run.resident(device.clone().autodiff()) }
        };
        if rest.is_empty() {
            return Ok(placed(self, first));
        }
        let checkpoint = self.checkpoint();
        let mut trainers = vec![placed(self, first)];
        for device in rest {
            trainers.push(placed(Self::resume(&checkpoint)?, device));
        }
        for (trainer, replica) in trainers.iter_mut().zip(Replica::all(devices)) {
            trainer.optimizer_g.share(replica.clone());
            trainer.optimizer_d.share(replica.clone());
            trainer.replica = replica;
        }
        let pool = rayon::ThreadPoolBuilder::new().num_threads(count).build()?;
        let mut run = trainers.remove(0);
        run.others = Some(Others { pool, trainers });
        Ok(run)
    }

    /// The same run with everything that it remembers on a device that computes while the processor goes on.
    fn resident(mut self, device: Device) -> Self {
        self.device = device;
        self.generator = self.generator.fork(&self.device);
        self.discriminator = self.discriminator.fork(&self.device);
        self.optimizer_g = self.optimizer_g.on(&self.device);
        self.optimizer_d = self.optimizer_d.on(&self.device);
        self.average = self.average.on(&self.device);
        self.read_every = READ_EVERY;
        self
    }

    /// Everything needed to go on later, but for what a watch remembers.
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint {
            config: self.config.clone(),
            generator: Parameters::read(&self.generator),
            discriminator: Parameters::read(&self.discriminator),
            average: self.average.read(),
            moments_g: self.optimizer_g.moments(),
            moments_d: self.optimizer_d.moments(),
            losses: self.losses.iter().copied().chain(read(&self.unread)).collect(),
            history: watch::History::default(),
        }
    }

    /// The configuration of the run.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Number of steps done.
    pub fn step_count(&self) -> usize {
        self.losses.len() + self.unread.len()
    }

    /// Losses of all steps so far; on a GPU, which computes while others wait for nothing, but for the last few. They are
    /// complete after the last step.
    pub fn losses(&self) -> &[Losses] {
        &self.losses
    }

    /// The averaged generator with re-estimated standing statistics, for inference.
    ///
    /// # Errors
    /// Never for a run that has not been tampered with.
    pub fn ema_generator(&self) -> Result<Generator> {
        averaged(&self.config, &self.average.read(), self.step_count(), &self.device)
    }

    /// Trains until `config.training.steps`; `observer` sees the state after every step.
    ///
    /// # Errors
    /// When the data set has images of another shape, a loss is no longer finite, or the observer says so.
    pub fn run(&mut self, dataset: &Dataset, mut observer: impl FnMut(&Self) -> Result<()>) -> Result<()> {
        while self.step_count() < self.config.training.steps {
            self.step(dataset)?;
            observer(self)?;
        }
        Ok(())
    }

    /// Reads the losses that are still on the device.
    pub(crate) fn read_losses(&mut self) -> Result<()> {
        for losses in read(&core::mem::take(&mut self.unread)) {
            let step = self.losses.len();
            self.losses.push(losses);
            ensure!(
                losses.discriminator.is_finite() && losses.generator.is_finite(),
                "step {step} diverged: losses {} and {}; lower learning rates or a regularizer may help",
                losses.discriminator,
                losses.generator
            );
        }
        Ok(())
    }

    fn order(&mut self, epoch: u64, len: usize) -> &[u32] {
        let seed = noise::seed_of(self.config.seed, Stream::Order, epoch);
        if self.order.as_ref().is_none_or(|(e, order)| *e != epoch || order.len() != len) {
            self.order = None;
        }
        &self.order.get_or_insert_with(|| (epoch, noise::permutation(seed, len))).1
    }
}

/// Losses of as many steps, in one copy from the device.
fn read(unread: &[Tensor<1>]) -> Vec<Losses> {
    if unread.is_empty() {
        return vec![];
    }
    let values = crate::network::values(Tensor::cat(unread.to_vec(), 0));
    values.chunks_exact(2).map(|pair| Losses { discriminator: pair[0], generator: pair[1] }).collect()
}

/// Draws what an averaged generator makes of latents that only the seed of the run decides: `columns` x `columns` images like those
/// of `dataset`, or ten times as many points.
///
/// # Errors
/// When the file cannot be written.
pub fn write_samples(
    generator: &Generator,
    seed: u64,
    dataset: &Dataset,
    columns: usize,
    path: &Path,
) -> Result<()> {
    let count = columns * columns * if dataset.is_of_points() { 10 } else { 1 };
    let samples = generate(generator, count, noise::seed_of(seed, Stream::Samples, 0));
    grid::draw(path, &samples, dataset, columns)
}

/// `count` images `[count, C, H, W]` of a generator for inference, from latents drawn with `seed`; with classes, one of each
/// in turn.
pub fn generate(generator: &Generator, count: usize, seed: u64) -> Vec<f32> {
    // Small enough for the cache, large enough for the matrix product.
    const BATCH: usize = 64;
    let latent_dim = generator.latent_dim();
    let mut latents = vec![0.0; count * latent_dim];
    noise::fill_normal(seed, &mut latents);
    let device = Device::flex();
    latents
        .chunks(BATCH * latent_dim)
        .enumerate()
        .flat_map(|(i, chunk)| {
            let len = chunk.len() / latent_dim;
            let data = TensorData::new(chunk.to_vec(), [len, latent_dim]);
            let condition = Condition::in_turn(i * BATCH, len, generator.classes(), &device);
            crate::network::values(generator.forward_in(Tensor::from_data(data, &device), &condition))
        })
        .collect()
}

/// The device that computes gradients.
pub(crate) fn training_device() -> Device {
    Device::flex().autodiff()
}

pub(crate) fn normal(rows: usize, columns: usize, seed: u64, device: &Device) -> Tensor<2> {
    let mut values = vec![0.0; rows * columns];
    noise::fill_normal(seed, &mut values);
    Tensor::from_data(TensorData::new(values, [rows, columns]), device)
}
