//! `trainer train`: a configuration and a data set to a folder with a checkpoint.

use core::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use super::progress::Progress;
use crate::checkpoint::{self, write_atomically};
use crate::config::Config;
use crate::dataset::{Dataset, Source, Split};
use crate::device::DeviceName;
use crate::network::DiscriminatorNorm;
use crate::objective::{LeastSquares, Objective};
use crate::training::{self, Trainer};

/// Options of `trainer train`. What is not given comes from `--config`, else from the defaults.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder for checkpoint, configuration, losses and samples
    #[arg(long, value_name = "DIR", default_value = "run")]
    out: PathBuf,
    /// Go on from the checkpoint in the folder; without one, start
    #[arg(long)]
    resume: bool,
    /// Configuration file
    #[arg(long, value_name = "FILE", conflicts_with = "resume")]
    config: Option<PathBuf>,
    /// Data set
    #[arg(long, value_enum)]
    dataset: Option<Source>,
    /// Folder with the files of the data set; without it the user's cache, filled by a download
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Length of the whole run, resumed parts included
    #[arg(long, value_name = "N")]
    steps: Option<usize>,
    /// Images per step
    #[arg(long, value_name = "N")]
    batch_size: Option<usize>,
    /// Height and width of the images: 28, 32 or 64
    #[arg(long, value_name = "N")]
    size: Option<usize>,
    /// 1 for grey, 3 for colour
    #[arg(long, value_name = "N")]
    channels: Option<usize>,
    /// Channels of the widest picture inside the networks
    #[arg(long, value_name = "N")]
    width: Option<usize>,
    /// Length of the latent vector
    #[arg(long, value_name = "N")]
    latent_dim: Option<usize>,
    /// Channels from which a last convolution makes the image; 0 for none
    #[arg(long, value_name = "N")]
    generator_tail: Option<usize>,
    /// Normalization in the discriminator
    #[arg(long, value_enum)]
    discriminator_norm: Option<DiscriminatorNorm>,
    /// Convolutions in the discriminator at each size of the picture
    #[arg(long, value_name = "N")]
    discriminator_depth: Option<usize>,
    /// Channels of the widest picture inside the discriminator; 0 for as many as in the generator
    #[arg(long, value_name = "N")]
    discriminator_width: Option<usize>,
    /// Seed of every random number
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Learning rate of the generator
    #[arg(long, value_name = "X")]
    lr_g: Option<f64>,
    /// Learning rate of the discriminator
    #[arg(long, value_name = "X")]
    lr_d: Option<f64>,
    /// Step from which the learning rates fall linearly
    #[arg(long, value_name = "STEP")]
    decay_start: Option<usize>,
    /// Step at which they arrive at zero; 0 for never
    #[arg(long, value_name = "STEP")]
    decay_end: Option<usize>,
    /// Share of the old value in the moving average of the generator
    #[arg(long, value_name = "X")]
    ema_decay: Option<f64>,
    /// Target codes of the objective: generated, real, and what the generator aims at
    #[arg(long, value_name = "A,B,C", value_delimiter = ',', num_args = 3, allow_negative_numbers = true)]
    codes: Option<Vec<f64>>,
    /// Steps between checkpoints
    #[arg(long, value_name = "N")]
    checkpoint_every: Option<usize>,
    /// Steps between sample grids
    #[arg(long, value_name = "N")]
    sample_every: Option<usize>,
    /// Where to compute
    #[arg(long, value_enum, default_value_t)]
    device: DeviceName,
    /// Print a summary as JSON, as the last line of stdout
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Summary {
    checkpoint: PathBuf,
    steps: usize,
    loss_d: f32,
    loss_g: f32,
    images_per_second: f64,
    seconds: f64,
}

/// Columns and rows of a sample grid.
const GRID: usize = 10;

/// Trains.
///
/// # Errors
/// When options, files or the training fail.
pub fn run(args: Args) -> Result<()> {
    let started = std::time::Instant::now();
    let checkpoint_path = args.out.join(checkpoint::FILE_NAME);
    let mut trainer = if args.resume && checkpoint_path.exists() {
        let mut checkpoint = checkpoint::load(&checkpoint_path)?;
        let network = checkpoint.config.network.clone();
        args.apply(&mut checkpoint.config);
        ensure!(checkpoint.config.network == network, "a resumed run keeps the shape of its networks");
        checkpoint.config.check()?;
        Trainer::resume(&checkpoint).with_context(|| format!("resuming {}", checkpoint_path.display()))?
    } else {
        ensure!(
            !checkpoint_path.exists(),
            "{} exists; go on with --resume or choose another --out",
            checkpoint_path.display()
        );
        let mut config = args.config.as_deref().map_or_else(|| Ok(Config::default()), Config::load)?;
        args.apply(&mut config);
        Trainer::new(&config)?
    }
    .on(args.device);
    let config = trainer.config().clone();
    let samples = args.out.join("samples");
    std::fs::create_dir_all(&samples).with_context(|| format!("creating {}", samples.display()))?;
    write_atomically(&args.out.join("train.toml"), config.to_toml().as_bytes())?;

    let (size, channels) = (config.network.size, config.network.channels);
    let dataset = Dataset::load(config.dataset, config.data_dir.as_deref(), Split::Train, size, channels)?;
    eprintln!("{}: {} images of {:?}", dataset.name(), dataset.len(), dataset.shape());
    if trainer.step_count() >= config.training.steps {
        eprintln!("already at step {}; --steps is the length of the whole run", trainer.step_count());
    }
    let mut progress = Progress::new(&trainer);
    trainer.run(&dataset, |trainer| {
        progress.update(trainer);
        let step = trainer.step_count();
        let due = |every: usize| every > 0 && step.is_multiple_of(every) || step == config.training.steps;
        if due(config.training.sample_every) {
            let path = samples.join(format!("step-{step:06}.png"));
            training::write_samples(&trainer.ema_generator()?, &config, GRID, &path)?;
        }
        if due(config.training.checkpoint_every) {
            save(trainer, &args.out)?;
        }
        Ok(())
    })?;
    progress.finish();
    if args.json {
        let last = trainer.losses().last();
        let summary = Summary {
            checkpoint: checkpoint_path,
            steps: trainer.step_count(),
            loss_d: last.map_or(f32::NAN, |l| l.discriminator),
            loss_g: last.map_or(f32::NAN, |l| l.generator),
            images_per_second: progress.images_per_second(&trainer),
            seconds: started.elapsed().as_secs_f64(),
        };
        println!("{}", serde_json::to_string(&summary)?);
    }
    Ok(())
}

fn save(trainer: &Trainer, out: &Path) -> Result<()> {
    trainer.checkpoint().save(&out.join(checkpoint::FILE_NAME))?;
    let mut csv = String::from("step,discriminator,generator\n");
    for (i, losses) in trainer.losses().iter().enumerate() {
        writeln!(csv, "{},{},{}", i + 1, losses.discriminator, losses.generator)?;
    }
    write_atomically(&out.join("losses.csv"), csv.as_bytes())
}

impl Args {
    fn apply(&self, config: &mut Config) {
        fn set<T: Clone>(target: &mut T, given: &Option<T>) {
            if let Some(value) = given {
                *target = value.clone();
            }
        }
        set(&mut config.dataset, &self.dataset);
        if self.data_dir.is_some() {
            config.data_dir.clone_from(&self.data_dir);
        }
        set(&mut config.seed, &self.seed);
        let network = &mut config.network;
        set(&mut network.size, &self.size);
        set(&mut network.channels, &self.channels);
        set(&mut network.width, &self.width);
        set(&mut network.latent_dim, &self.latent_dim);
        set(&mut network.generator_tail, &self.generator_tail);
        set(&mut network.discriminator_norm, &self.discriminator_norm);
        set(&mut network.discriminator_depth, &self.discriminator_depth);
        set(&mut network.discriminator_width, &self.discriminator_width);
        if let Some(&[a, b, c]) = self.codes.as_deref() {
            config.objective = Objective::LeastSquares(LeastSquares { a, b, c });
        }
        let training = &mut config.training;
        set(&mut training.steps, &self.steps);
        set(&mut training.batch_size, &self.batch_size);
        set(&mut training.lr_g, &self.lr_g);
        set(&mut training.lr_d, &self.lr_d);
        set(&mut training.decay_start, &self.decay_start);
        set(&mut training.decay_end, &self.decay_end);
        set(&mut training.ema_decay, &self.ema_decay);
        set(&mut training.checkpoint_every, &self.checkpoint_every);
        set(&mut training.sample_every, &self.sample_every);
    }
}
