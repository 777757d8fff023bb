//! `trainer inspect`: every step of a `.pgan` file, before anything is flashed.

use std::path::PathBuf;

use anyhow::{Context, Result};
use pocketgan_format::{Activation, Buffer, File, Step};
use pocketgan_runtime::Model;
use serde_json::json;

use super::open;
use crate::report::grouped;

/// Options of `trainer inspect`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The .pgan file
    file: PathBuf,
    /// Print one JSON object instead
    #[arg(long)]
    json: bool,
}

/// Runs `trainer inspect`.
///
/// # Errors
/// When the file cannot be read or is not a model.
pub fn run(args: Args) -> Result<()> {
    let bytes = open(&args.file)?;
    let model = Model::load(&bytes).with_context(|| format!("loading {}", args.file.display()))?;
    let file = model.file();
    let layers: Vec<&str> = file.get("layers").map(|names| names.split(',').collect()).unwrap_or_default();
    if args.json {
        println!("{}", to_json(file, &layers));
        return Ok(());
    }
    let [height, width, channels] = file.output_shape();
    println!("{}", args.file.display());
    for line in file.metadata().lines().filter(|line| !line.starts_with("layers=")) {
        println!("  {}", line.replacen('=', ": ", 1));
    }
    println!(
        "  sha256: {}{}",
        hex(&file.sha256()),
        if file.verify_sha256() { "" } else { "  DOES NOT MATCH" }
    );
    println!("  latent vector: {} values; picture: {height}x{width}x{channels}\n", file.latent_dim());
    println!(
        "{:>4}  {:<20} {:>14} {:>14} {:>5} {:<10} {:>13} {:>10} {:>9} {:>9}",
        "step",
        "layer",
        "reads HxWxC",
        "writes HxWxC",
        "taps",
        "then",
        "MACs",
        "bytes",
        "arena in",
        "arena out"
    );
    for (index, step) in file.steps().enumerate() {
        println!(
            "{index:>4}  {:<20} {:>14} {:>14} {:>5} {:<10} {:>13} {:>10} {:>9} {:>9}",
            layers.get(usize::from(step.layer)).unwrap_or(&""),
            shape(&step.input),
            written(&step),
            step.tap_count,
            activation(step.activation),
            grouped(step.macs()),
            grouped(bytes_of(file, &step) as u64),
            step.input.offset,
            step.output.offset,
        );
    }
    let peak =
        file.steps().max_by_key(alive_bytes).map(|step| layers.get(usize::from(step.layer)).unwrap_or(&""));
    println!("\nMACs         {:>14}", grouped(file.macs()));
    println!("flash bytes  {:>14}", grouped(file.flash_bytes() as u64));
    println!("arena bytes  {:>14}  (peak in {})", grouped(file.arena_bytes() as u64), peak.unwrap_or(&""));
    Ok(())
}

fn to_json(file: &File<'_>, layers: &[&str]) -> serde_json::Value {
    let steps: Vec<_> = file
        .steps()
        .map(|step| {
            json!({
                "layer": layers.get(usize::from(step.layer)), "reads": shape(&step.input), "writes": written(&step),
                "taps": file.taps(&step), "activation": activation(step.activation), "macs": step.macs(),
                "bytes": bytes_of(file, &step), "arena_in": step.input.offset, "arena_out": step.output.offset,
            })
        })
        .collect();
    json!({
        "sha256": hex(&file.sha256()), "latent_dim": file.latent_dim(), "output_shape": file.output_shape(),
        "range": file.range(), "macs": file.macs(), "flash_bytes": file.flash_bytes(),
        "arena_bytes": file.arena_bytes(), "metadata": file.metadata(), "steps": steps,
    })
}

/// Weights and biases.
fn bytes_of(file: &File<'_>, step: &Step) -> usize {
    [step.weights, step.bias].iter().filter_map(|&i| file.tensor(i as usize)).map(|t| t.bytes()).sum()
}

fn alive_bytes(step: &Step) -> usize {
    step.input.len() + step.output.len()
}

fn shape(buffer: &Buffer) -> String {
    format!("{}x{}x{}", buffer.height, buffer.width, buffer.channels)
}

fn written(step: &Step) -> String {
    format!("{}x{}x{}", step.rows, step.cols, step.output.channels)
}

fn activation(activation: Activation) -> &'static str {
    match activation {
        Activation::Identity => "-",
        Activation::Relu => "relu",
        Activation::LeakyRelu(_) => "leaky relu",
        Activation::Tanh => "tanh",
        Activation::Sigmoid => "sigmoid",
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
