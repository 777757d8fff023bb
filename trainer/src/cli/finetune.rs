//! `trainer finetune`: what a device would learn from some images, learned here.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use pocketgan_compiler::export;
use pocketgan_finetune::augment::Policy;
use pocketgan_finetune::{Guards, Losses, Optimizer, Options};
use pocketgan_format::{Delta, Preset};
use pocketgan_runtime::{Model, dispatch};
use serde_json::json;

use super::export::preset_parser;
use super::note::note;
use super::progress;
use crate::checkpoint::write_atomically;
use crate::dataset::{Dataset, Source, Split};
use crate::finetune::{EngineName, LearnOptions, Learned, learn, to_pixels};
use crate::grid;
use crate::report::{Picture, Report, Row, grouped, loss_curves};

/// Options of `trainer finetune`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A .pgan file made with `export --finetune`
    model: PathBuf,
    /// Folder of PNG, JPEG or WebP images to learn from
    #[arg(long, value_name = "DIR")]
    images: PathBuf,
    /// The delta to write
    #[arg(short, long, value_name = "FILE", default_value = "learned.delta")]
    output: PathBuf,
    /// Go on from this delta
    #[arg(long, value_name = "FILE")]
    delta: Option<PathBuf>,
    /// What learns, if not what the file says
    #[arg(long, value_name = "PART", value_parser = preset_parser())]
    preset: Option<Preset>,
    /// Layers of `--preset tail`
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    layers: u16,
    /// Who computes gradients
    #[arg(long, value_enum, default_value_t = EngineName::Arena)]
    engine: EngineName,
    /// Steps
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u32).range(..=100_000_000))]
    steps: u32,
    /// Pairs of a real and a generated picture in a step
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u8).range(1..=64))]
    batch_size: u8,
    /// Factor of the file's learning rates
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    rate: f32,
    /// SGD with momentum in place of Adam
    #[arg(long)]
    momentum: bool,
    /// Strength with which the generator is drawn back to what the file holds
    #[arg(long, value_name = "X", default_value_t = 0.0)]
    pull: f32,
    /// Share of the past in the average that is written
    #[arg(long, value_name = "X", default_value_t = 0.99)]
    ema_decay: f32,
    /// No differentiable augmentation
    #[arg(long)]
    no_augment: bool,
    /// Learn on even when a guard would stop
    #[arg(long)]
    no_guards: bool,
    /// Hold out one image in eight, and stop when the discriminator knows the others by heart to this degree, 0 to 1
    #[arg(long, value_name = "X")]
    stop_overfitting: Option<f32>,
    /// Seed of every random draw
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Print the figures as one JSON object, the last line of standard output
    #[arg(long)]
    json: bool,
}

/// Columns and rows of a grid.
const GRID: usize = 8;

/// Runs `trainer finetune`.
///
/// # Errors
/// When a file cannot be read or written, or the model cannot learn.
pub fn run(args: Args) -> Result<()> {
    super::ensure_folder_of(&args.output)?;
    let bytes = super::open(&args.model)?;
    let mut model = Model::load(&bytes).with_context(|| format!("loading {}", args.model.display()))?;
    let before = args.delta.as_deref().map(super::open).transpose()?;
    if let (Some(before), Some(path)) = (&before, &args.delta) {
        model = super::with_delta(model, before).with_context(|| format!("loading {}", path.display()))?;
    }
    let shape = model.output_shape();
    let [height, _, channels] = shape;
    let dataset = Dataset::load(Source::Folder, Some(&args.images), Split::Train, height, channels)?;
    note!("{}: {} images", args.images.display(), dataset.len());
    let examples: Vec<f32> = (0..dataset.len())
        .flat_map(|index| to_pixels(&dataset.images(&[index]), shape, model.range()))
        .collect();
    let bar = progress::bar("learning", args.steps as usize);
    let learned = learn(&model, &examples, &args.options(channels), |step, losses| {
        bar.set_message(format!("loss D {:.3} G {:.3}", losses.discriminator, losses.generator));
        bar.set_position(step as u64);
    })?;
    bar.finish_and_clear();
    if let Some(reason) = &learned.stopped {
        eprintln!("stopped after {} steps: {reason}", learned.losses.len());
    }
    write_atomically(&args.output, &learned.delta)?;
    write_report(&args, &model, &learned, &dataset)?;
    let last = last_losses(&learned.losses);
    let steps = learned.losses.len();
    let per_second = steps as f64 / learned.seconds;
    println!(
        "{steps} steps, {per_second:.0} a second, loss D {:.3} G {:.3}, {} bytes of delta",
        last.discriminator,
        last.generator,
        grouped(learned.delta.len() as u64)
    );
    println!("wrote {}; open {}", args.output.display(), beside(&args.output, "html").display());
    if args.json {
        let object = json!({
            "loss_d": last.discriminator, "loss_g": last.generator, "steps": steps,
            "steps_per_second": per_second, "arena_bytes": learned.arena_bytes,
            "delta_bytes": learned.delta.len(), "stopped": learned.stopped.map(|reason| reason.to_string()),
        });
        println!("{object}");
    }
    Ok(())
}

impl Args {
    fn options(&self, channels: usize) -> LearnOptions {
        let policy =
            if self.no_augment { Policy::NONE } else { Policy { color: channels == 3, ..Policy::GEOMETRY } };
        let adam = Options::default().optimizer;
        LearnOptions {
            engine: self.engine,
            preset: self.preset.map(|preset| (preset, self.layers.into())),
            steps: self.steps as usize,
            overfitting: self.stop_overfitting,
            step: Options {
                seed: self.seed,
                batch: self.batch_size.into(),
                optimizer: if self.momentum { Optimizer::Momentum { momentum: 0.5 } } else { adam },
                rate: self.rate,
                policy,
                ema_decay: self.ema_decay,
                pull: self.pull,
                guards: (!self.no_guards).then(Guards::default),
                ..Options::default()
            },
            ..LearnOptions::default()
        }
    }
}

/// Grids before and after, and a page about them, beside the delta.
fn write_report(args: &Args, model: &Model<'_>, learned: &Learned, dataset: &Dataset) -> Result<()> {
    let adapted = super::with_delta(*model, &learned.delta)?;
    let [height, width, channels] = model.output_shape();
    let latents = export::latents(model, (GRID * GRID) as u64);
    let mut pictures = vec![];
    for (model, name, caption) in [(model, "before.png", "Before"), (&adapted, "after.png", "After")] {
        let path = beside(&args.output, name);
        let drawn = export::draw(model, dispatch::best(), &latents)?;
        let drawn = in_unit_range(drawn, model.range());
        grid::write(&path, &drawn, [channels, height, width], GRID)?;
        pictures.push(picture(&path, caption, "pictures of the same latent vectors")?);
    }
    let path = beside(&args.output, "examples.png");
    let shown: Vec<usize> = (0..dataset.len().min(GRID * GRID)).collect();
    grid::write(&path, &dataset.images(&shown), dataset.shape(), GRID)?;
    pictures.push(picture(&path, "Examples", "images that were learned from")?);
    let delta = Delta::parse(&learned.delta)?;
    let steps = learned.losses.len();
    let mut charts = vec![];
    if steps > 0 {
        let svg = loss_curves(learned.losses.iter().map(|l| [l.discriminator, l.generator]))?;
        charts.push(("Losses".into(), svg));
    }
    let page = Report {
        title: format!("{} learned", args.model.file_stem().unwrap_or_default().to_string_lossy()),
        summary: format!(
            "The generator followed {} images for {steps} steps. What it learned is a delta of {} bytes, which a device \
             draws with in place of the tensors that moved.",
            dataset.len(),
            grouped(learned.delta.len() as u64)
        ),
        pictures,
        rows: vec![
            Row::new(
                "Steps",
                grouped(steps as u64),
                "of the discriminator and of the generator, one after the other",
            ),
            Row::new("Steps per second", format!("{:.0}", steps as f64 / learned.seconds), "on one thread"),
            Row::new(
                "Memory",
                format!("{} bytes", grouped(learned.arena_bytes as u64)),
                "all that learning needs",
            ),
            Row::new("Delta", format!("{} bytes", grouped(learned.delta.len() as u64)), "what is kept"),
            Row::new(
                "Distance",
                format!("{:.3}", delta.distance(model.file())),
                "of the tensors that moved from the file's, relative to their norm",
            ),
        ],
        charts,
        command: Some(format!(
            "cargo run --release -- finetune {} --images {} --steps {} --seed {} -o {}",
            args.model.display(),
            args.images.display(),
            args.steps,
            args.seed,
            args.output.display()
        )),
    };
    write_atomically(&beside(&args.output, "html"), page.to_html().as_bytes())
}

/// The output's path with another ending.
fn beside(output: &Path, ending: &str) -> PathBuf {
    output.with_extension(ending)
}

fn picture(path: &Path, caption: &str, alt: &str) -> Result<Picture> {
    let png = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    Ok(Picture { png, caption: caption.into(), alt: format!("A grid of {alt}") })
}

fn in_unit_range(mut values: Vec<f32>, [low, high]: [f32; 2]) -> Vec<f32> {
    values.iter_mut().for_each(|value| *value = (*value - low) / (high - low) * 2.0 - 1.0);
    values
}

/// Means over the last steps.
fn last_losses(losses: &[Losses]) -> Losses {
    let recent = &losses[losses.len().saturating_sub(50)..];
    let mean = |of: fn(&Losses) -> f32| recent.iter().map(of).sum::<f32>() / recent.len().max(1) as f32;
    Losses {
        discriminator: mean(|l| l.discriminator),
        generator: mean(|l| l.generator),
        real: mean(|l| l.real),
        fake: mean(|l| l.fake),
    }
}
