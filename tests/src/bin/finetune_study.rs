//! How much a generator of digits learns from a few images of another kind: a table for `models/mnist-dcgan28/CARD.md`.
//!
//! For each shift, number of images, part that learns and seed: the Frechet distance and the kernel distance to target images
//! that were not learned from, before and after. Rows go to standard output as JSON as they come, the table at the end.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use pocketgan_finetune::augment::Policy;
use pocketgan_format::{AlignedBytes, Delta, Preset};
use pocketgan_runtime::Model;
use pocketgan_tests::shifts::Shift;
use pocketgan_trainer::cli::eval::draw;
use pocketgan_trainer::config::Config;
use pocketgan_trainer::dataset::{Dataset, Source, Split};
use pocketgan_trainer::finetune::{self, JudgeOptions, LearnOptions, learn, to_pixels};
use pocketgan_trainer::metrics::{DEFAULT_FEATURES, FeatureExtractor, Features, Normalization, compare};
use pocketgan_trainer::network::DiscriminatorNorm;
use pocketgan_trainer::training;
use pocketgan_trainer::training::Trainer;
use rayon::prelude::*;
use serde_json::json;

#[derive(Debug, Parser)]
#[command(about = "Measures what a generator learns from a few images")]
struct Args {
    /// Generator of digits
    #[arg(long, default_value = "models/mnist-dcgan28/mnist-dcgan28.pgan")]
    model: PathBuf,
    /// Folder with mnist, fashion-mnist and classifiers
    #[arg(long, default_value = "../shared/data")]
    data: PathBuf,
    /// Shifts
    #[arg(long, value_delimiter = ',', value_enum, default_value = "inverted,thick,noisy,fashion")]
    shifts: Vec<Shift>,
    /// Numbers of images
    #[arg(long, value_delimiter = ',', default_value = "10,100,1000")]
    counts: Vec<usize>,
    /// Parts that learn, a tail with its number of layers; `scratch` trains a whole network from nothing
    #[arg(long, value_delimiter = ',', default_value = "tail1,tail2,affine,head,all")]
    parts: Vec<String>,
    /// Seeds of each row
    #[arg(long, default_value_t = 3)]
    seeds: u64,
    /// Steps
    #[arg(long, default_value_t = 2000)]
    steps: usize,
    /// Images in a step
    #[arg(long, default_value_t = 8)]
    batch_size: usize,
    /// Factor of the learning rates
    #[arg(long, default_value_t = 1.0)]
    rate: f32,
    /// Channels after the judge's first convolution
    #[arg(long, default_value_t = 8)]
    judge_width: usize,
    /// Steps for which the judge is trained
    #[arg(long, default_value_t = 500)]
    judge_steps: usize,
    /// Share of the past in the average
    #[arg(long, default_value_t = 0.99)]
    ema_decay: f32,
    /// Without differentiable augmentation
    #[arg(long)]
    no_augment: bool,
    /// Farthest move of differentiable augmentation
    #[arg(long, default_value_t = Policy::GEOMETRY.translation)]
    translation: f32,
    /// Side of its cutout
    #[arg(long, default_value_t = Policy::GEOMETRY.cutout)]
    cutout: f32,
    /// Strength with which the generator is drawn back to what the file holds
    #[arg(long, default_value_t = 0.0)]
    pull: f32,
    /// Learning rate of the discriminator, relative to the generator's
    #[arg(long, default_value_t = 2.0)]
    lr_ratio: f32,
    /// Without guards
    #[arg(long)]
    no_guards: bool,
    /// Images of each kind that are compared
    #[arg(long, default_value_t = 5000)]
    samples: usize,
}

/// One line of the study.
#[derive(Clone, Debug)]
struct Job {
    shift: Shift,
    count: usize,
    part: String,
    seed: u64,
}

/// Frechet distance, kernel distance, and why it ended early.
type Figures = (f64, f64, Option<String>);

fn main() -> Result<()> {
    let args = Args::parse();
    let bytes = AlignedBytes::copy(&std::fs::read(&args.model).context("reading the model")?);
    let digits = load(&args, Source::Mnist, Split::Train)?;
    let judge = JudgeOptions { width: args.judge_width, steps: args.judge_steps, ..JudgeOptions::default() };
    let lr_g = finetune::Options::default().lr_g;
    let options = finetune::Options { judge, lr_d: args.lr_ratio * lr_g, ..finetune::Options::default() };
    let base = finetune::prepare(&bytes, &digits, &options, |_, _| {})?;
    let model = Model::load(&base)?;
    let spec = args.data.join(DEFAULT_FEATURES).display().to_string();
    let extractor = FeatureExtractor::open(&spec, Normalization::MNIST)?;
    let features = |images: &[f32]| extractor.extract(images, digits.shape(), |_| {});

    let before = features(&draw(&model, 1, args.samples, 1, |_| {})?)?;
    let mut targets = BTreeMap::new();
    let mut lines = BTreeMap::new();
    for &shift in &args.shifts {
        let target = features(&images(&args, shift, Split::Test, args.samples, 0)?)?;
        let floor = features(&images(&args, shift, Split::Train, args.samples, 1)?)?;
        let [distance, least] = [&before, &floor].map(|other| compare(&target, other));
        let (distance, least) = (distance?, least?);
        println!(
            "{}",
            json!({
                "shift": shift.to_string(), "part": "none", "frechet": distance.frechet,
                "kid": distance.kid.mean, "floor": least.frechet, "kid_floor": least.kid.mean,
            })
        );
        lines.insert(shift.to_string(), (distance.frechet, least.frechet));
        targets.insert(shift.to_string(), target);
    }
    let mut jobs = vec![];
    for &shift in &args.shifts {
        for &count in &args.counts {
            for part in &args.parts {
                jobs.extend((0..args.seeds).map(|seed| Job { shift, count, part: part.clone(), seed }));
            }
        }
    }
    let results: Mutex<BTreeMap<(String, usize, String), Vec<f64>>> = Mutex::default();
    jobs.par_iter().try_for_each(|job| {
        let drawn = run(&args, &model, job).with_context(|| format!("{job:?}"))?;
        let target: &Features = &targets[&job.shift.to_string()];
        let (images, stopped) = drawn;
        let found = compare(target, &features(&images)?)?;
        let figures: Figures = (found.frechet, found.kid.mean, stopped);
        println!(
            "{}",
            json!({
                "shift": job.shift.to_string(), "images": job.count, "part": job.part, "seed": job.seed,
                "frechet": figures.0, "kid": figures.1, "stopped": figures.2,
            })
        );
        let key = (job.shift.to_string(), job.count, job.part.clone());
        results.lock().expect("nobody panicked").entry(key).or_default().push(figures.0);
        anyhow::Ok(())
    })?;
    let results = results.into_inner().expect("nobody panicked");
    print!("\n| shift | images | before | real |");
    args.parts.iter().for_each(|part| print!(" {part} |"));
    println!("\n|---|---:|---:|---:|{}", "---:|".repeat(args.parts.len()));
    for (shift, (distance, floor)) in &lines {
        for &count in &args.counts {
            print!("| {shift} | {count} | {distance:.0} | {floor:.1} |");
            for part in &args.parts {
                let found = &results[&(shift.clone(), count, part.clone())];
                let mean = found.iter().sum::<f64>() / found.len() as f64;
                let spread = found.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / found.len() as f64;
                print!(" {mean:.0} ± {:.0} |", spread.sqrt());
            }
            println!();
        }
    }
    Ok(())
}

/// Learns, and draws pictures `[C, H, W]` in [-1, 1].
fn run(args: &Args, model: &Model<'_>, job: &Job) -> Result<(Vec<f32>, Option<String>)> {
    let examples = images(args, job.shift, Split::Train, job.count, 100 + job.seed)?;
    if job.part == "scratch" {
        return Ok((scratch(args, &examples, job)?, None));
    }
    let (preset, layers) = part(&job.part)?;
    let shape = model.output_shape();
    let len = shape.iter().product();
    let examples: Vec<f32> =
        examples.chunks_exact(len).flat_map(|image| to_pixels(image, shape, model.range())).collect();
    let mut options = LearnOptions {
        preset: Some((preset, layers)),
        steps: args.steps,
        bank: 256,
        ..LearnOptions::default()
    };
    let step = &mut options.step;
    (step.seed, step.batch, step.rate, step.ema_decay) =
        (job.seed, args.batch_size, args.rate, args.ema_decay);
    step.policy = Policy { translation: args.translation, cutout: args.cutout, color: false };
    if args.no_augment {
        step.policy = Policy::NONE;
    }
    step.pull = args.pull;
    if args.no_guards {
        step.guards = None;
    }
    let learned = learn(model, &examples, &options, |_, _| {})?;
    let adapted = model.with_delta(Delta::parse(&learned.delta)?, f32::INFINITY)?;
    Ok((
        draw(&adapted, 2 + job.seed, args.samples, 1, |_| {})?,
        learned.stopped.map(|reason| reason.to_string()),
    ))
}

/// A network of the same shape that has seen nothing but the examples, trained for as many steps.
fn scratch(args: &Args, examples: &[f32], job: &Job) -> Result<Vec<f32>> {
    let mut config = Config { seed: job.seed, ..Config::default() };
    config.network.latent_dim = 16;
    config.network.generator_tail = 16;
    config.network.discriminator_norm = DiscriminatorNorm::Spectral;
    config.training.steps = args.steps;
    config.training.batch_size = args.batch_size;
    config.training.ema_decay = args.ema_decay.into();
    (config.training.lr_g, config.training.lr_d) = (1e-3, 2e-3);
    let bytes = examples.iter().map(|value| ((value + 1.0) * 127.5).round() as u8).collect();
    let dataset = Dataset::new("examples", [1, 28, 28], bytes, None)?;
    let mut trainer = Trainer::new(&config)?;
    trainer.run(&dataset, |_| Ok(()))?;
    Ok(training::generate(&trainer.ema_generator()?, args.samples, 2 + job.seed))
}

fn part(name: &str) -> Result<(Preset, usize)> {
    let preset = Preset::ALL.into_iter().find(|preset| name.starts_with(preset.name()));
    let preset = preset.with_context(|| format!("{name} is no part"))?;
    let layers = name.strip_prefix(preset.name()).unwrap_or_default();
    Ok((preset, if layers.is_empty() { 2 } else { layers.parse()? }))
}

/// `count` shifted images, chosen by `seed`.
fn images(args: &Args, shift: Shift, split: Split, count: usize, seed: u64) -> Result<Vec<f32>> {
    let source = if shift == Shift::Fashion { Source::FashionMnist } else { Source::Mnist };
    let dataset = load(args, source, split)?;
    ensure!(count <= dataset.len(), "{count} images of {}", dataset.len());
    let order = training::noise::permutation(seed, dataset.len());
    let chosen: Vec<usize> = order[..count].iter().map(|&index| index as usize).collect();
    Ok(shift.apply(&dataset.images(&chosen), dataset.shape(), seed))
}

fn load(args: &Args, source: Source, split: Split) -> Result<Dataset> {
    let folder = args.data.join(source.to_string());
    Dataset::load(source, Some(&folder), split, 28, 1)
}
