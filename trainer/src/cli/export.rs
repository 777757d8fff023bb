//! `trainer export`: a checkpoint becomes a `.pgan` file, an ONNX file, or both.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use burn::tensor::Device;
use clap::ValueEnum as _;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use pocketgan_compiler::export::{Export, Options, Rounding, ValueType, WeightType, export};
use pocketgan_compiler::graph::Graph;
use pocketgan_compiler::onnx;
use pocketgan_format::{self as pgan, AlignedBytes, Preset};
use serde_json::json;

use super::note::note;
use crate::checkpoint::{self, Checkpoint, write_atomically};
use crate::dataset::{Dataset, Source, Split};
use crate::finetune;
use crate::report::grouped;

/// Options of `trainer export`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Checkpoint, the folder of a run, or, to add --finetune to it, a .pgan file
    checkpoint: PathBuf,
    /// The .pgan file to write
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Store weights in half precision: half the flash
    #[arg(long, requires = "output")]
    fp16: bool,
    /// Keep activations in half precision: half the arena; inputs and picture stay as they are
    #[arg(long, value_name = "TYPE", value_enum, default_value_t = ActivationType::Fp32, requires = "output")]
    activations: ActivationType,
    /// Also write the network as ONNX, in single precision, batch normalization kept
    #[arg(long, value_name = "FILE")]
    onnx: Option<PathBuf>,
    #[command(flatten)]
    learning: LearningArgs,
    /// Print the report as one JSON object, the last line of standard output
    #[arg(long)]
    json: bool,
}

/// Options of learning on the device.
#[derive(Debug, clap::Args)]
struct LearningArgs {
    /// Let devices train a part: the last layers, a factor and a bias for each channel, the first layer, or all
    #[arg(long, value_name = "PART", value_parser = preset_parser(), requires = "output")]
    finetune: Option<Preset>,
    /// Layers of `--finetune tail`
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    finetune_layers: u16,
    /// Data set of the model, for the discriminator that goes along; by default the one it was trained on
    #[arg(long, value_enum)]
    dataset: Option<Source>,
    /// Folder with the files of the data set; without it the user's cache
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Channels after the discriminator's first convolution
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=512))]
    judge_width: u16,
    /// Steps for which the discriminator is trained
    #[arg(long, value_name = "N", default_value_t = 500)]
    judge_steps: usize,
    /// Seed of the discriminator
    #[arg(long, value_name = "N", default_value_t = 0)]
    judge_seed: u64,
    /// Learning rate of the generator on the device; that of the discriminator is twice as large
    #[arg(long, value_name = "X", default_value_t = 1e-3)]
    finetune_lr: f32,
}

/// Reads a preset by the name that the format gives it.
pub(crate) fn preset_parser() -> impl TypedValueParser<Value = Preset> {
    let by_name =
        |name: String| Preset::ALL.into_iter().find(|preset| preset.name() == name).ok_or("no such part");
    PossibleValuesParser::new(Preset::ALL.map(Preset::name)).try_map(by_name)
}

/// How activations are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ActivationType {
    /// Single precision
    Fp32,
    /// Half precision
    Fp16,
}

impl From<ActivationType> for ValueType {
    fn from(activations: ActivationType) -> Self {
        match activations {
            ActivationType::Fp32 => Self::F32,
            ActivationType::Fp16 => Self::F16,
        }
    }
}

/// Runs `trainer export`.
///
/// # Errors
/// When the checkpoint cannot be read, the network cannot be expressed, or a file cannot be written.
pub fn run(args: Args) -> Result<()> {
    ensure!(args.output.is_some() || args.onnx.is_some(), "nothing to do: name a file with -o or --onnx");
    for path in args.output.iter().chain(&args.onnx) {
        super::ensure_folder_of(path)?;
    }
    if is_pgan(&args.checkpoint) {
        return add_learning(&args);
    }
    let checkpoint = checkpoint::load(&args.checkpoint)?;
    let graph = checkpoint.ema_generator(&Device::flex())?.graph();
    if let Some(path) = &args.onnx {
        write_atomically(path, &onnx::write(&graph)?)?;
        note!("wrote {}", path.display());
    }
    let Some(path) = &args.output else {
        if args.json {
            println!("{}", json!({ "parameters": graph.parameters() }));
        }
        return Ok(());
    };
    let weights = if args.fp16 { WeightType::F16 } else { WeightType::F32 };
    let activations = args.activations.into();
    let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let export = export(
        &graph,
        &Options { weights, activations, metadata: metadata(&checkpoint, name), ..Options::default() },
    )?;
    let mut export = export;
    let config = &checkpoint.config;
    if let Some(file) = args.learning.apply(&export.file, Some(config.dataset), config.data_dir.as_deref())? {
        export.file = file;
    }
    write_atomically(path, &export.file)?;
    print_report(&graph, &export)?;
    note!("wrote {}", path.display());
    if args.json {
        println!("{}", to_json(&graph, &export)?);
    }
    Ok(())
}

/// Whether a file starts as `.pgan` files do.
fn is_pgan(path: &Path) -> bool {
    let mut start = [0; 4];
    File::open(path).and_then(|mut file| file.read_exact(&mut start)).is_ok() && &start == b"PGAN"
}

/// A finished file with a learning section.
fn add_learning(args: &Args) -> Result<()> {
    let (Some(path), None) = (&args.output, &args.onnx) else {
        bail!("a .pgan file becomes another with -o FILE and --finetune PART, and nothing else")
    };
    let file = super::open(&args.checkpoint)?;
    let stated =
        pgan::File::parse(&file).with_context(|| format!("loading {}", args.checkpoint.display()))?;
    let dataset = stated.get("dataset").and_then(|name| Source::from_str(name, true).ok());
    let file = args
        .learning
        .apply(&file, dataset, None)?
        .context("nothing to do: --finetune says what is to learn")?;
    write_atomically(path, &file)?;
    note!("wrote {}", path.display());
    let file = pgan::File::parse(&file)?;
    println!("flash bytes           {:>14}", grouped(file.flash_bytes() as u64));
    println!("arena bytes           {:>14}", grouped(file.arena_bytes() as u64));
    println!("finetune arena bytes  {:>14}", grouped(file.finetune_arena_bytes() as u64));
    if args.json {
        let json = json!({
            "flash_bytes": file.flash_bytes(), "arena_bytes": file.arena_bytes(),
            "finetune_arena_bytes": file.finetune_arena_bytes(),
        });
        println!("{json}");
    }
    Ok(())
}

impl LearningArgs {
    /// The file with a learning section, if one is asked for.
    fn apply(
        &self,
        file: &[u8],
        dataset: Option<Source>,
        data_dir: Option<&Path>,
    ) -> Result<Option<AlignedBytes>> {
        let Some(preset) = self.finetune else { return Ok(None) };
        let source = self.dataset.or(dataset);
        let source = source.context("name the data set that the model draws with --dataset")?;
        let [height, _, channels] = pgan::File::parse(file)?.output_shape();
        let data_dir = self.data_dir.as_deref().or(data_dir);
        let dataset = Dataset::load(source, data_dir, Split::Train, height, channels)?;
        ensure!(self.finetune_lr > 0.0 && self.finetune_lr.is_finite(), "--finetune-lr is not positive");
        let options = finetune::Options {
            preset,
            layers: self.finetune_layers.into(),
            lr_g: self.finetune_lr,
            lr_d: 2.0 * self.finetune_lr,
            judge: finetune::JudgeOptions {
                width: self.judge_width.into(),
                steps: self.judge_steps,
                seed: self.judge_seed,
                ..finetune::JudgeOptions::default()
            },
            ..finetune::Options::default()
        };
        let bar = super::progress::bar("discriminator", self.judge_steps);
        let prepared = finetune::prepare(file, &dataset, &options, |step, [real, fake]| {
            bar.set_message(format!("scores real {real:.2} generated {fake:.2}"));
            bar.set_position(step as u64);
        });
        bar.finish_and_clear();
        prepared.map(Some)
    }
}

/// What the file says of its origin.
pub(crate) fn metadata(checkpoint: &Checkpoint, name: String) -> Vec<(String, String)> {
    checkpoint.config.metadata(name, checkpoint.step_count())
}

fn print_report(graph: &Graph, export: &Export) -> Result<()> {
    println!(
        "{:<28} {:>10} {:>10} {:>12} {:>12} {:>8}",
        "tensor", "weights", "largest", "max error", "rel. error", "to zero"
    );
    for Rounding { name, weights, largest, max_abs_error, relative_rms_error, flushed } in &export.rounding {
        println!(
            "{name:<28} {weights:>10} {largest:>10.4} {max_abs_error:>12.3e} {relative_rms_error:>12.3e} {flushed:>8}"
        );
    }
    let file = pgan::File::parse(&export.file).context("the file just written")?;
    println!();
    println!("parameters   {:>14}", grouped(graph.parameters() as u64));
    println!("MACs         {:>14}", grouped(file.macs()));
    println!("flash bytes  {:>14}", grouped(file.flash_bytes() as u64));
    println!("arena bytes  {:>14}", grouped(file.arena_bytes() as u64));
    println!(
        "verified: the runtime draws the rounded network's pictures within {:.1e}",
        export.parity.max_abs_diff
    );
    Ok(())
}

fn to_json(graph: &Graph, export: &Export) -> Result<serde_json::Value> {
    let file = pgan::File::parse(&export.file).context("the file just written")?;
    let tensors: Vec<_> = export
        .rounding
        .iter()
        .map(|r| {
            json!({
                "name": r.name, "weights": r.weights, "largest": r.largest, "max_abs_error": r.max_abs_error,
                "relative_rms_error": r.relative_rms_error, "flushed": r.flushed,
            })
        })
        .collect();
    Ok(json!({
        "flash_bytes": file.flash_bytes(), "arena_bytes": file.arena_bytes(), "macs": file.macs(),
        "finetune_arena_bytes": file.finetune_arena_bytes(),
        "parameters": graph.parameters(), "max_abs_diff_f16_weights": export.parity.max_abs_diff, "tensors": tensors,
    }))
}
