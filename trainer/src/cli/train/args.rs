//! Options of `trainer train`, and what each changes in a configuration.

use std::path::PathBuf;

use anyhow::{Result, bail, ensure};

use crate::config::Config;
use crate::dataset::Source;
use crate::device::DeviceArgs;
use crate::method::Method;
use crate::network::{DiscriminatorNorm, Precision};
use crate::objective::{LeastSquares, Objective};
use crate::training::watch::{Metric, OnCollapse};

/// Options of `trainer train`. What is not given comes from `--config`, else from the defaults.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder for checkpoints, configuration, losses and samples
    #[arg(long, value_name = "DIR", default_value = "run")]
    pub(super) out: PathBuf,
    /// Go on from the checkpoint in the folder; without one, start
    #[arg(long)]
    pub(super) resume: bool,
    /// Configuration file
    #[arg(long, value_name = "FILE", conflicts_with = "resume")]
    pub(super) config: Option<PathBuf>,
    /// Set any key of the configuration file, e.g. regularizer.weight_clip=0.01; repeatable, comes last
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Seed of every random number
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    #[command(flatten)]
    pub(super) device: DeviceArgs,
    /// Also write losses, speed, evaluations and sample grids for TensorBoard, to the folder tensorboard of the run
    #[arg(long)]
    pub(super) tensorboard: bool,
    /// Show curves, samples and warnings on the whole terminal
    #[arg(long)]
    pub(super) tui: bool,
    /// Print a summary as JSON, as the last line of stdout
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    pub(super) method: MethodArgs,
    #[command(flatten)]
    network: NetworkArgs,
    #[command(flatten)]
    training: TrainingArgs,
    #[command(flatten)]
    watch: WatchArgs,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Data")]
struct DataArgs {
    /// Data set
    #[arg(long, value_enum)]
    dataset: Option<Source>,
    /// Folder with the files of the data set; without it the user's cache, filled by a download
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Height and width of the images: 28, 32 or 64
    #[arg(long, value_name = "N")]
    size: Option<usize>,
    /// 1 for grey, 3 for colour
    #[arg(long, value_name = "N")]
    channels: Option<usize>,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Method")]
pub(super) struct MethodArgs {
    /// Method of the literature: its objective and regularizers, and an optimizer where it has its own, before all other options
    #[arg(long, value_name = "NAME", value_parser = Method::named, conflicts_with = "resume")]
    method: Option<&'static Method>,
    /// Show all methods, and do nothing else
    #[arg(long)]
    pub(super) list_methods: bool,
    /// What the networks minimise, with its default numbers: e.g. least-squares, non-saturating, hinge or wasserstein
    #[arg(long, value_name = "NAME", value_parser = str::parse::<Objective>)]
    objective: Option<Objective>,
    /// Target codes of least-squares: generated, real, and what the generator aims at
    #[arg(long, value_name = "A,B,C", value_parser = codes, allow_hyphen_values = true)]
    codes: Option<LeastSquares>,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Networks")]
struct NetworkArgs {
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
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Training")]
struct TrainingArgs {
    /// Length of the whole run, resumed parts included
    #[arg(long, value_name = "N")]
    steps: Option<usize>,
    /// Images per step
    #[arg(long, value_name = "N")]
    batch_size: Option<usize>,
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
    /// What layers multiply in; all else is f32
    #[arg(long, value_enum)]
    precision: Option<Precision>,
    /// Steps between checkpoints
    #[arg(long, value_name = "N")]
    checkpoint_every: Option<usize>,
    /// Steps between sample grids
    #[arg(long, value_name = "N")]
    sample_every: Option<usize>,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "When to stop")]
struct WatchArgs {
    /// Steps between evaluations against test images, of which the best is kept as best.bin; 0 for none
    #[arg(long, value_name = "N")]
    eval_every: Option<usize>,
    /// Images of each kind in an evaluation
    #[arg(long, value_name = "N")]
    eval_samples: Option<usize>,
    /// What an evaluation measures
    #[arg(long, value_enum)]
    metric: Option<Metric>,
    /// Classifier whose tensor is compared; without one the pixels, averaged to at most 8x8
    #[arg(long, value_name = "FILE.ONNX[:TENSOR]")]
    features: Option<String>,
    /// Stop when that many evaluations in a row brought nothing better; 0 for never
    #[arg(long, value_name = "N")]
    patience: Option<usize>,
    /// What to do when generated images are all alike
    #[arg(long, value_enum)]
    on_collapse: Option<OnCollapse>,
    /// Steps between looks for collapse, oscillation and a discriminator that wins; 0 for none
    #[arg(long, value_name = "N")]
    watch_every: Option<usize>,
}

impl Args {
    /// Changes `config` as asked for: the method first, single keys last.
    pub(super) fn apply(&self, config: &mut Config) -> Result<()> {
        // A method may depend on the length of the run.
        set(&mut config.training.steps, &self.training.steps);
        if let Some(method) = self.method.method {
            method.apply(config);
        }
        set(&mut config.objective, &self.method.objective);
        if let Some(codes) = self.method.codes {
            let name = config.objective.name();
            ensure!(name == "least-squares", "--codes are numbers of least-squares, the objective is {name}");
            config.objective = Objective::LeastSquares(codes);
        }
        set(&mut config.seed, &self.seed);
        self.data.apply(config);
        self.network.apply(config);
        self.training.apply(config);
        self.watch.apply(config);
        self.set.iter().try_for_each(|assignment| config.set(assignment))?;
        config.check()
    }
}

fn set<T: Clone>(target: &mut T, given: &Option<T>) {
    if let Some(value) = given {
        target.clone_from(value);
    }
}

impl DataArgs {
    fn apply(&self, config: &mut Config) {
        set(&mut config.dataset, &self.dataset);
        if self.data_dir.is_some() {
            config.data_dir.clone_from(&self.data_dir);
        }
        set(&mut config.network.size, &self.size);
        set(&mut config.network.channels, &self.channels);
    }
}

impl NetworkArgs {
    fn apply(&self, config: &mut Config) {
        let network = &mut config.network;
        set(&mut network.width, &self.width);
        set(&mut network.latent_dim, &self.latent_dim);
        set(&mut network.generator_tail, &self.generator_tail);
        set(&mut network.discriminator_norm, &self.discriminator_norm);
        set(&mut network.discriminator_depth, &self.discriminator_depth);
        set(&mut network.discriminator_width, &self.discriminator_width);
    }
}

impl TrainingArgs {
    fn apply(&self, config: &mut Config) {
        let training = &mut config.training;
        set(&mut training.steps, &self.steps);
        set(&mut training.batch_size, &self.batch_size);
        set(&mut training.lr_g, &self.lr_g);
        set(&mut training.lr_d, &self.lr_d);
        set(&mut training.decay_start, &self.decay_start);
        set(&mut training.decay_end, &self.decay_end);
        set(&mut training.ema_decay, &self.ema_decay);
        set(&mut training.precision, &self.precision);
        set(&mut training.checkpoint_every, &self.checkpoint_every);
        set(&mut training.sample_every, &self.sample_every);
    }
}

impl WatchArgs {
    fn apply(&self, config: &mut Config) {
        let watch = &mut config.watch;
        set(&mut watch.every, &self.watch_every);
        set(&mut watch.on_collapse, &self.on_collapse);
        set(&mut watch.eval_every, &self.eval_every);
        set(&mut watch.eval_samples, &self.eval_samples);
        set(&mut watch.metric, &self.metric);
        if self.features.is_some() {
            watch.features.clone_from(&self.features);
        }
        set(&mut watch.patience, &self.patience);
    }
}

/// Reads `a,b,c`.
fn codes(text: &str) -> Result<LeastSquares> {
    let codes = text.split(',').map(|code| Ok(code.trim().parse()?)).collect::<Result<Vec<f64>>>()?;
    let [a, b, c] = codes[..] else { bail!("{} numbers, not 3", codes.len()) };
    Ok(LeastSquares { a, b, c })
}
