//! `trainer export`: a checkpoint becomes a `.pgan` file, an ONNX file, or both.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use burn::tensor::Device;
use pocketgan_format::File;
use serde_json::json;

use crate::checkpoint::{self, Checkpoint, write_atomically};
use crate::export::{Export, Options, Rounding, ValueType, WeightType, export};
use crate::graph::Graph;
use crate::onnx;
use crate::report::grouped;

/// Options of `trainer export`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Checkpoint, or the folder of a run
    checkpoint: PathBuf,
    /// The .pgan file to write
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Store weights in half precision: half the flash
    #[arg(long)]
    fp16: bool,
    /// Keep activations in half precision: half the arena; inputs and picture stay as they are
    #[arg(long, value_name = "TYPE", value_enum, default_value_t = ActivationType::Fp32)]
    activations: ActivationType,
    /// Also write the network as ONNX, in single precision, batch normalization kept
    #[arg(long, value_name = "FILE")]
    onnx: Option<PathBuf>,
    /// Print the report as one JSON object, the last line of standard output
    #[arg(long)]
    json: bool,
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
    let checkpoint = checkpoint::load(&args.checkpoint)?;
    let graph = checkpoint.ema_generator(&Device::flex())?.graph();
    if let Some(path) = &args.onnx {
        write_atomically(path, &onnx::write(&graph)?)?;
        eprintln!("wrote {}", path.display());
    }
    let Some(path) = &args.output else { return Ok(()) };
    let weights = if args.fp16 { WeightType::F16 } else { WeightType::F32 };
    let activations = args.activations.into();
    let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let export = export(
        &graph,
        &Options { weights, activations, metadata: metadata(&checkpoint, name), ..Options::default() },
    )?;
    write_atomically(path, &export.file)?;
    print_report(&graph, &export)?;
    eprintln!("wrote {}", path.display());
    if args.json {
        println!("{}", to_json(&graph, &export)?);
    }
    Ok(())
}

/// What the file says of its origin.
pub(crate) fn metadata(checkpoint: &Checkpoint, name: String) -> Vec<(String, String)> {
    let config = &checkpoint.config;
    let pairs = [
        ("name", name),
        ("dataset", config.dataset.to_string()),
        ("objective", "least-squares".to_owned()),
        ("seed", config.seed.to_string()),
        ("steps", checkpoint.step_count().to_string()),
    ];
    pairs.map(|(key, value)| (key.to_owned(), value)).into()
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
    let file = File::parse(&export.file).context("the file just written")?;
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
    let file = File::parse(&export.file).context("the file just written")?;
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
        "parameters": graph.parameters(), "max_abs_diff_f16_weights": export.parity.max_abs_diff, "tensors": tensors,
    }))
}
