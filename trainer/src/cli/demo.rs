//! `trainer demo`: the main job, from a data set to a page of pictures, in one command.

use core::time::Duration;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use burn::tensor::{Device, Tensor, TensorData};
use pocketgan_compiler::export::{self, Export, Options, Parity};
use pocketgan_compiler::graph::Graph;
use pocketgan_compiler::graph::evaluate::evaluate_latents;
use pocketgan_compiler::onnx;
use pocketgan_runtime::{Model, dispatch};
use serde_json::json;

use super::bench::measure;
use super::export::metadata;
use super::lock::Lock;
use super::progress::Progress;
use crate::checkpoint::{self, write_atomically};
use crate::config::Config;
use crate::dataset::{Dataset, Split};
use crate::grid;
use crate::network::Generator;
use crate::report::{Picture, Report, Row, grouped, loss_curves};
use crate::training::Trainer;

/// Options of `trainer demo`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder for the pictures, the page and the models
    #[arg(long, value_name = "DIR", default_value = "demo")]
    out: PathBuf,
    /// Steps of training; more give better pictures
    #[arg(long, value_name = "N", default_value_t = STEPS, value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    steps: u32,
    /// Seed of every random number
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Print the figures as one JSON object, the last line of standard output
    #[arg(long)]
    json: bool,
}

/// About a minute and a half of training on two cores.
const STEPS: u32 = 1000;
/// Rows and columns of a grid.
const GRID: usize = 10;
/// Pictures compared with the networks.
const COMPARED: u64 = 64;

/// What was measured.
struct Figures {
    parameters: usize,
    macs: u64,
    flash_bytes: usize,
    arena_bytes: usize,
    time_per_image: Duration,
    /// The runtime against the graph of the file, evaluated in double precision.
    rounded: Parity,
    /// The runtime against tract running the ONNX file of the rounded weights.
    tract: Parity,
    /// The runtime on the rounded weights against burn on the trained ones.
    trained: Parity,
}

/// Runs `trainer demo`.
///
/// # Errors
/// When training, exporting or writing fails, another run has the folder, or when the pictures differ beyond the bounds.
pub fn run(args: Args) -> Result<()> {
    let started = Instant::now();
    let _lock = Lock::take(&args.out)?;
    if let Some(path) = checkpoint::existing(&args.out) {
        bail!("{} is of a run: choose another --out", path.display());
    }
    let trainer = train(&args)?;

    let generator = trainer.ema_generator()?;
    let graph = generator.graph();
    let options =
        Options { metadata: metadata(&trainer.checkpoint(), "glyphs".into()), ..Options::default() };
    let export = export::export(&graph, &options)?;
    let onnx = onnx::write(&export.rounded)?;
    let figures = figures(&generator, &graph, &export, &onnx)?;

    let paths = write(&args, &trainer, &export, &onnx, &figures)?;
    let seconds = started.elapsed().as_secs_f64();
    for row in rows(&figures) {
        println!("{:<34} {}", row.name, row.value);
    }
    println!("wrote {} in {seconds:.0} s; open {}", args.out.display(), args.out.join(PAGE).display());
    if args.json {
        println!("{}", to_json(&figures, seconds, &paths));
    }
    Ok(())
}

fn train(args: &Args) -> Result<Trainer> {
    let mut config = Config { seed: args.seed, ..Config::default() };
    let steps = args.steps as usize;
    (config.training.steps, config.training.decay_end) = (steps, steps);
    config.training.decay_start = steps / 2;
    let network = &config.network;
    let dataset = Dataset::load(
        config.dataset,
        config.data_dir.as_deref(),
        Split::Train,
        network.size,
        network.channels,
    )?;
    let shape = dataset.shape();
    let reals: Vec<usize> = (0..GRID * GRID).collect();
    grid::write(&args.out.join(REAL), &dataset.images(&reals), shape, GRID)?;
    let mut trainer = Trainer::new(&config)?;
    let mut progress = Progress::new(&trainer);
    trainer.run(&dataset, |trainer| progress.update(trainer))?;
    progress.finish(&trainer);
    Ok(trainer)
}

fn figures(generator: &Generator, graph: &Graph, export: &Export, onnx: &[u8]) -> Result<Figures> {
    let model = Model::load(&export.file).context("loading the file just written")?;
    let latents = export::latents(&model, COMPARED);
    let drawn = export::draw(&model, dispatch::best(), &latents)?;
    let reference = onnx::Reference::load(onnx, None)?;
    let by_tract = reference.run(&latents, &[COMPARED as usize, model.latent_dim()])?;
    let z = TensorData::new(latents.clone(), [COMPARED as usize, model.latent_dim()]);
    let by_burn: Vec<f32> =
        generator.forward(Tensor::from_data(z, &Device::flex())).into_data().try_to_vec()?;
    let compare = |expected: &[f32]| export::compare(expected, &drawn, model.range());
    Ok(Figures {
        parameters: graph.parameters(),
        macs: model.file().macs(),
        flash_bytes: model.file().flash_bytes(),
        arena_bytes: model.file().arena_bytes(),
        time_per_image: measure(&model, [1, 1], false, Duration::from_millis(500))?.median,
        rounded: compare(&evaluate_latents(&export.rounded, &latents)?),
        tract: compare(&by_tract),
        trained: compare(&by_burn),
    })
}

const REAL: &str = "real.png";
const GENERATED: &str = "generated.png";
const LOSSES: &str = "losses.svg";
const PAGE: &str = "index.html";

/// Writes everything but the real images; returns the paths of all pictures and the page.
fn write(
    args: &Args,
    trainer: &Trainer,
    export: &Export,
    onnx: &[u8],
    figures: &Figures,
) -> Result<Vec<PathBuf>> {
    let path = |name: &str| args.out.join(name);
    let model = Model::load(&export.file).context("loading the file just written")?;
    let [height, width, channels] = model.output_shape();
    let latents = export::latents(&model, (GRID * GRID) as u64);
    let drawn = export::draw(&model, dispatch::best(), &latents)?;
    grid::write(&path(GENERATED), &drawn, [channels, height, width], GRID)?;
    write_atomically(&path("glyphs.pgan"), &export.file)?;
    write_atomically(&path("glyphs.onnx"), onnx)?;
    write_atomically(&path("train.toml"), trainer.config().to_toml().as_bytes())?;
    let svg = loss_curves(trainer.losses().iter().map(|l| [l.discriminator, l.generator]))?;
    write_atomically(&path(LOSSES), svg.as_bytes())?;
    let page = Report {
        title: "pocketgan demo".into(),
        summary: format!(
            "A least-squares GAN learned to draw letters and digits in {} steps. Its generator is one file of {} bytes, \
             and the pictures below were drawn from that file by the runtime that also runs on microcontrollers.",
            trainer.step_count(),
            grouped(figures.flash_bytes as u64)
        ),
        pictures: vec![
            picture(&path(GENERATED), "Generated", "letters and digits drawn by the generator")?,
            picture(&path(REAL), "Real", "letters and digits of the data set glyphs")?,
        ],
        rows: rows(figures),
        charts: vec![("Losses".into(), svg)],
        command: Some(format!(
            "cargo run --release -- demo --steps {} --seed {} --out {}",
            args.steps,
            args.seed,
            args.out.display()
        )),
    };
    write_atomically(&path(PAGE), page.to_html().as_bytes())?;
    Ok([REAL, GENERATED, LOSSES, PAGE].map(path).into())
}

fn picture(path: &Path, caption: &str, alt: &str) -> Result<Picture> {
    let png = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    Ok(Picture { png, caption: caption.into(), alt: format!("A grid of {GRID} by {GRID} {alt}") })
}

fn rows(figures: &Figures) -> Vec<Row> {
    let Figures { rounded, tract, trained, .. } = figures;
    let number = |n: usize| grouped(n as u64);
    vec![
        Row::new("Parameters", number(figures.parameters), "weights and biases of the trained generator"),
        Row::new(
            "MACs per image",
            grouped(figures.macs),
            "multiply-accumulates, each two floating-point operations",
        ),
        Row::new("Flash", format!("{} bytes", number(figures.flash_bytes)), "the .pgan file, used in place"),
        Row::new("Arena", format!("{} bytes", number(figures.arena_bytes)), "all the RAM one picture needs"),
        Row::new(
            "Time per image",
            format!("{:.3} ms", figures.time_per_image.as_secs_f64() * 1e3),
            "one thread, median",
        ),
        Row::new(
            "Largest difference",
            format!("{:.1e}", rounded.max_abs_diff),
            "runtime against double precision, both on fp16 weights; values lie in -1..1",
        ),
        Row::new(
            "Largest difference, tract",
            format!("{:.1e}", tract.max_abs_diff),
            "the same against the ONNX file",
        ),
        Row::new(
            "Mean difference",
            format!("{:.1e}", trained.mean_abs_diff),
            "runtime on fp16 weights against the trained network in burn",
        ),
        Row::new(
            "Largest difference of a pixel",
            format!("{} of 255", trained.max_u8_diff),
            "runtime on fp16 weights against the trained network in burn",
        ),
        Row::new(
            "Pixels that differ",
            format!("{:.2} %", trained.share_u8_changed * 100.0),
            "by at least one of 255 levels",
        ),
    ]
}

fn to_json(figures: &Figures, seconds: f64, images: &[PathBuf]) -> serde_json::Value {
    json!({
        "parameters": figures.parameters,
        "macs": figures.macs,
        "flash_bytes": figures.flash_bytes,
        "arena_bytes": figures.arena_bytes,
        "ms_per_image": figures.time_per_image.as_secs_f64() * 1e3,
        "max_abs_diff_f16_weights": figures.rounded.max_abs_diff,
        "max_abs_diff_tract": figures.tract.max_abs_diff,
        "mean_abs_diff": figures.trained.mean_abs_diff,
        "max_u8_diff": figures.trained.max_u8_diff,
        "share_u8_changed": figures.trained.share_u8_changed,
        "seconds": seconds,
        "images": images,
    })
}
