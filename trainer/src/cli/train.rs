//! `trainer train`: a configuration and a data set to a folder with a checkpoint.

use core::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;

use super::progress::Progress;
use crate::checkpoint::{self, write_atomically};
use crate::config::Config;
use crate::dataset::{Dataset, Source, Split};
use crate::device::DeviceName;
use crate::method::{METHODS, Method};
use crate::network::DiscriminatorNorm;
use crate::objective::{LeastSquares, Objective};
use crate::training::watch::{Evaluation, History, Metric, OnCollapse, Seen, Stop, Watch};
use crate::training::{self, Trainer};

/// Options of `trainer train`. What is not given comes from `--config`, else from the defaults.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder for checkpoints, configuration, losses and samples
    #[arg(long, value_name = "DIR", default_value = "run")]
    out: PathBuf,
    /// Go on from the checkpoint in the folder; without one, start
    #[arg(long)]
    resume: bool,
    /// Configuration file
    #[arg(long, value_name = "FILE", conflicts_with = "resume")]
    config: Option<PathBuf>,
    /// Set any key of the configuration file, e.g. regularizer.weight_clip=0.01; repeatable, comes last
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Seed of every random number
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Where to compute
    #[arg(long, value_enum, default_value_t)]
    device: DeviceName,
    /// Print a summary as JSON, as the last line of stdout
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    method: MethodArgs,
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
struct MethodArgs {
    /// Method of the literature: objective, regularizers and optimizers of its authors, before all other options
    #[arg(long, value_name = "NAME", value_parser = Method::named, conflicts_with = "resume")]
    method: Option<&'static Method>,
    /// Show all methods, and do nothing else
    #[arg(long)]
    list_methods: bool,
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

#[derive(Serialize)]
struct Summary {
    checkpoint: PathBuf,
    steps: usize,
    loss_d: f32,
    loss_g: f32,
    images_per_second: f64,
    seconds: f64,
    /// Of the best evaluation; null without one.
    best_step: Option<usize>,
    best_metric: Option<f32>,
    metric: Option<String>,
    /// Why the run ended before its last step: `patience` or `collapse`; null when it did not.
    stopped: Option<&'static str>,
}

/// Columns and rows of a sample grid.
const GRID: usize = 10;

/// Trains.
///
/// # Errors
/// When options, files or the training fail, or the images collapsed and that was to be an end.
pub fn run(args: Args) -> Result<()> {
    if args.method.list_methods {
        print!("{}", method_table());
        return Ok(());
    }
    let started = std::time::Instant::now();
    let (trainer, history) = args.start()?;
    let mut trainer = trainer.on(args.device);
    let config = trainer.config().clone();
    let out = &args.out;
    let samples = out.join("samples");
    std::fs::create_dir_all(&samples).with_context(|| format!("creating {}", samples.display()))?;
    write_atomically(&out.join("train.toml"), config.to_toml().as_bytes())?;

    let dataset = load(&config, Split::Train)?;
    eprintln!("{}: {} images of {:?}", dataset.name(), dataset.len(), dataset.shape());
    let held_out = (config.watch.eval_every > 0).then(|| load(&config, Split::Test)).transpose()?;
    let mut watch = Watch::new(&trainer, history, &dataset, held_out.as_ref())?;
    if let (Some(metric), Some(samples)) = (watch.metric(), watch.eval_samples()) {
        let every = config.watch.eval_every;
        // A folder has no test part.
        let kind = if config.dataset == Source::Folder { "training" } else { "test" };
        eprintln!("every {every} steps: {metric} of {samples} generated and as many {kind} images");
    }
    let first_step = trainer.step_count();
    if first_step >= config.training.steps {
        eprintln!("already at step {first_step}; --steps is the length of the whole run");
    }
    let mut progress = Progress::new(&trainer);
    let stop = watch.run(&mut trainer, &dataset, |trainer, watch, seen| {
        report(seen, watch, &mut progress);
        progress.update(trainer);
        let step = trainer.step_count();
        let is_last = step == config.training.steps || watch.stop().is_some();
        let due = |every: usize| every > 0 && step.is_multiple_of(every) || is_last;
        if due(config.training.sample_every) {
            let path = samples.join(format!("step-{step:06}.png"));
            training::write_samples(&trainer.ema_generator()?, &config, GRID, &path)?;
        }
        if seen.is_best {
            watch.checkpoint(trainer).save(&out.join(checkpoint::BEST_NAME))?;
        }
        if seen.evaluation.is_some() {
            save_history(watch.history(), out)?;
        }
        if due(config.training.checkpoint_every) {
            save(trainer, watch, out)?;
        }
        Ok(())
    });
    progress.finish();
    let best = watch.history().best();
    if let Some(best) = best {
        let path = out.join(checkpoint::BEST_NAME);
        let metric = &watch.history().metric;
        eprintln!("best: step {}, {metric} {:.4}, in {}", best.step, best.value, path.display());
    }
    let stop = stop?;
    if let Some(stop) = &stop {
        let when = if trainer.step_count() == first_step { "had stopped" } else { "stopped" };
        eprintln!("{when} at step {}: {stop}", trainer.step_count());
    }
    if args.json {
        let last = trainer.losses().last();
        let summary = Summary {
            checkpoint: out.join(checkpoint::FILE_NAME),
            steps: trainer.step_count(),
            loss_d: last.map_or(f32::NAN, |l| l.discriminator),
            loss_g: last.map_or(f32::NAN, |l| l.generator),
            images_per_second: progress.images_per_second(&trainer),
            seconds: started.elapsed().as_secs_f64(),
            best_step: best.map(|best| best.step),
            best_metric: best.map(|best| best.value),
            metric: best.map(|_| watch.history().metric.clone()),
            stopped: stop.as_ref().map(Stop::reason),
        };
        println!("{}", serde_json::to_string(&summary)?);
    }
    if let Some(Stop::Collapse(_)) = stop {
        bail!("the generator has collapsed; --on-collapse warn goes on nevertheless");
    }
    Ok(())
}

fn load(config: &Config, split: Split) -> Result<Dataset> {
    let network = &config.network;
    Dataset::load(config.dataset, config.data_dir.as_deref(), split, network.size, network.channels)
}

/// Says what a step brought.
fn report(seen: &Seen, watch: &Watch, progress: &mut Progress) {
    for finding in &seen.findings {
        progress.note(&format!("warning: {finding}"));
    }
    if let (Some(Evaluation { value, .. }), Some(best)) = (seen.evaluation, watch.history().best()) {
        let metric = watch.history().metric.split(' ').next().unwrap_or_default();
        progress.set_metric(format!("{metric} {value:.4}, best {:.4} at {}", best.value, best.step));
    }
}

fn save(trainer: &Trainer, watch: &Watch, out: &Path) -> Result<()> {
    watch.checkpoint(trainer).save(&out.join(checkpoint::FILE_NAME))?;
    let mut csv = String::from("step,discriminator,generator\n");
    for (i, losses) in trainer.losses().iter().enumerate() {
        writeln!(csv, "{},{},{}", i + 1, losses.discriminator, losses.generator)?;
    }
    write_atomically(&out.join("losses.csv"), csv.as_bytes())?;
    save_history(watch.history(), out)
}

fn save_history(history: &History, out: &Path) -> Result<()> {
    if !history.vitals.is_empty() {
        write_atomically(&out.join("vitals.csv"), history.vitals_csv().as_bytes())?;
    }
    if !history.evaluations.is_empty() {
        write_atomically(&out.join("evaluations.csv"), history.evaluations_csv().as_bytes())?;
    }
    Ok(())
}

/// Reads `a,b,c`.
fn codes(text: &str) -> Result<LeastSquares> {
    let codes = text.split(',').map(|code| Ok(code.trim().parse()?)).collect::<Result<Vec<f64>>>()?;
    let [a, b, c] = codes[..] else { bail!("{} numbers, not 3", codes.len()) };
    Ok(LeastSquares { a, b, c })
}

/// Names, descriptions and sources of all methods in columns.
fn method_table() -> String {
    let width = |column: fn(&Method) -> &str| METHODS.iter().map(|m| column(m).len()).max().unwrap_or(0);
    let (name, description) = (width(|m| m.name), width(|m| m.description));
    METHODS.iter().fold(String::new(), |mut table, method| {
        let _ =
            writeln!(table, "{:name$}  {:description$}  {}", method.name, method.description, method.source);
        table
    })
}

impl Args {
    /// The run before its first step, or as it was left.
    fn start(&self) -> Result<(Trainer, History)> {
        let path = self.out.join(checkpoint::FILE_NAME);
        if self.resume && path.exists() {
            let mut checkpoint = checkpoint::load(&path)?;
            let network = checkpoint.config.network.clone();
            self.apply(&mut checkpoint.config)?;
            ensure!(checkpoint.config.network == network, "a resumed run keeps the shape of its networks");
            let trainer =
                Trainer::resume(&checkpoint).with_context(|| format!("resuming {}", path.display()))?;
            return Ok((trainer, checkpoint.history));
        }
        ensure!(!path.exists(), "{} exists; go on with --resume or choose another --out", path.display());
        let mut config = self.config.as_deref().map_or_else(|| Ok(Config::default()), Config::load)?;
        self.apply(&mut config)?;
        Ok((Trainer::new(&config)?, History::default()))
    }

    /// Changes `config` as asked for: the method first, single keys last.
    fn apply(&self, config: &mut Config) -> Result<()> {
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

#[cfg(test)]
mod tests;
