//! `trainer delta`: what devices learned, looked at, compared, averaged, and made part of a file.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Subcommand;
use pocketgan_compiler::export;
use pocketgan_format::{AlignedBytes, Change, Delta, File, Network, Tensor};
use serde_json::json;

use super::note::note;
use crate::checkpoint::write_atomically;
use crate::report::grouped;

/// Options of `trainer delta`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show what a delta changes, and how it was learned
    Inspect {
        /// The delta
        delta: PathBuf,
        /// The .pgan file that it was learned from, to see how far it leads
        #[arg(long, value_name = "FILE")]
        base: Option<PathBuf>,
        /// Print one JSON object instead
        #[arg(long)]
        json: bool,
    },
    /// Make a delta part of its file
    Apply {
        /// The .pgan file that it was learned from
        base: PathBuf,
        /// The delta
        delta: PathBuf,
        /// The .pgan file to write
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
    },
    /// Average what several devices learned from one base
    Merge {
        /// The deltas
        #[arg(required = true, num_args = 1..)]
        deltas: Vec<PathBuf>,
        /// The delta to write
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
    },
    /// Show how far two deltas of one base are apart
    Diff {
        /// One
        a: PathBuf,
        /// The other
        b: PathBuf,
        /// Print one JSON object instead
        #[arg(long)]
        json: bool,
    },
}

/// Runs `trainer delta`.
///
/// # Errors
/// When a file cannot be read or written, or a delta does not belong where it is used.
pub fn run(args: Args) -> Result<()> {
    match args.command {
        Command::Inspect { delta, base, json } => inspect(&delta, base.as_deref(), json),
        Command::Apply { base, delta, output } => apply(&base, &delta, &output),
        Command::Merge { deltas, output } => merge(&deltas, &output),
        Command::Diff { a, b, json } => diff(&a, &b, json),
    }
}

fn inspect(path: &Path, base: Option<&Path>, as_json: bool) -> Result<()> {
    let bytes = super::open(path)?;
    let delta = parse(&bytes, path)?;
    let summary = delta.summary();
    let base_bytes = base.map(super::open).transpose()?;
    let distance = match (&base_bytes, base) {
        (Some(bytes), Some(base)) => {
            let file = File::parse(bytes).with_context(|| format!("loading {}", base.display()))?;
            delta.check(&file, None, f32::INFINITY)?;
            Some(delta.distance(&file))
        }
        _ => None,
    };
    let name: String = summary.base.iter().map(|byte| format!("{byte:02x}")).collect();
    if as_json {
        let tensors: Vec<_> = delta
            .changes()
            .map(|(target, values)| {
                json!({
                    "network": format!("{:?}", target.network).to_lowercase(), "tensor": target.tensor,
                    "change": format!("{:?}", target.change).to_lowercase(), "rows": values.rows(),
                    "bytes": values.bytes(), "norm": norm(values),
                })
            })
            .collect();
        let object = json!({
            "base": name, "preset": summary.preset.name(), "seed": summary.seed, "steps": summary.steps,
            "examples": summary.examples, "merged": summary.merged, "signed": delta.is_signed(),
            "delta_bytes": delta.bytes().len(), "distance": distance,
            "first_loss_d": summary.first.discriminator, "first_loss_g": summary.first.generator,
            "loss_d": summary.last.discriminator, "loss_g": summary.last.generator, "tensors": tensors,
        });
        println!("{object}");
        return Ok(());
    }
    println!("{}", path.display());
    println!("  base: {name}");
    println!("  preset: {}", summary.preset.name());
    println!("  seed: {}", summary.seed);
    println!("  steps: {}, from {} examples", summary.steps, summary.examples);
    println!("  loss D: {:.4} -> {:.4}", summary.first.discriminator, summary.last.discriminator);
    println!("  loss G: {:.4} -> {:.4}", summary.first.generator, summary.last.generator);
    if summary.merged > 1 {
        println!("  mean of {} deltas", summary.merged);
    }
    println!("  signed: {}", if delta.is_signed() { "yes" } else { "no" });
    if let Some(distance) = distance {
        println!("  distance from the base: {distance:.4}");
    }
    println!(
        "\n{:<14} {:>7} {:<8} {:>8} {:>10} {:>12}",
        "network", "tensor", "change", "rows", "bytes", "norm"
    );
    for (target, values) in delta.changes() {
        println!(
            "{:<14} {:>7} {:<8} {:>8} {:>10} {:>12.4}",
            network(target.network),
            target.tensor,
            if target.change == Change::Factor { "factor" } else { "values" },
            values.rows(),
            grouped(values.bytes() as u64),
            norm(values)
        );
    }
    println!("\ndelta bytes  {:>14}", grouped(delta.bytes().len() as u64));
    Ok(())
}

fn apply(base: &Path, path: &Path, output: &Path) -> Result<()> {
    let bytes = super::open(base)?;
    let file = File::parse(&bytes).with_context(|| format!("loading {}", base.display()))?;
    let delta = super::open(path)?;
    let applied = file.with_delta(&parse(&delta, path)?)?;
    write_atomically(output, &export::stamp(&applied)?)?;
    note!("wrote {}", output.display());
    Ok(())
}

fn merge(paths: &[PathBuf], output: &Path) -> Result<()> {
    let files = paths.iter().map(|path| super::open(path)).collect::<Result<Vec<_>>>()?;
    let deltas = files.iter().zip(paths).map(|(file, path)| parse(file, path)).collect::<Result<Vec<_>>>()?;
    let longest = files.iter().map(|file| file.len()).max().unwrap_or(0);
    let mut merged = vec![0; longest];
    let len = Delta::merge(&deltas, &mut merged)?;
    write_atomically(output, &merged[..len])?;
    note!("wrote {}, the mean of {} deltas", output.display(), paths.len());
    Ok(())
}

fn diff(path_a: &Path, path_b: &Path, as_json: bool) -> Result<()> {
    let (bytes_a, bytes_b) = (super::open(path_a)?, super::open(path_b)?);
    let (a, b) = (parse(&bytes_a, path_a)?, parse(&bytes_b, path_b)?);
    ensure!(a.summary().base == b.summary().base, "the two were learned from different models");
    let mut rows = vec![];
    for (target, values) in a.changes() {
        let Some((_, other)) = b.changes().find(|(other, _)| *other == target) else {
            rows.push((target, None));
            continue;
        };
        let (x, y) = (floats(values), floats(other));
        ensure!(x.len() == y.len(), "tensor {} has other rows in the two", target.tensor);
        let distance = x.iter().zip(&y).map(|(x, y)| f64::from(x - y).powi(2)).sum::<f64>().sqrt();
        rows.push((target, Some(distance / norm(values).max(f64::MIN_POSITIVE))));
    }
    let only_b = b.changes().filter(|(target, _)| !a.changes().any(|(other, _)| other == *target));
    rows.extend(only_b.map(|(target, _)| (target, None)));
    if as_json {
        let tensors: Vec<_> = rows
            .iter()
            .map(|(target, distance)| {
                json!({ "network": network(target.network), "tensor": target.tensor, "distance": distance })
            })
            .collect();
        println!("{}", json!({ "tensors": tensors }));
        return Ok(());
    }
    println!("{:<14} {:>7} {:>10}", "network", "tensor", "distance");
    for (target, distance) in rows {
        let shown = distance.map_or_else(|| "in one".to_owned(), |distance| format!("{distance:.4}"));
        println!("{:<14} {:>7} {shown:>10}", network(target.network), target.tensor);
    }
    Ok(())
}

fn parse<'a>(bytes: &'a AlignedBytes, path: &Path) -> Result<Delta<'a>> {
    Delta::parse(bytes).with_context(|| format!("loading {}", path.display()))
}

fn network(network: Network) -> &'static str {
    match network {
        Network::Generator => "generator",
        Network::Discriminator => "discriminator",
    }
}

fn floats(tensor: Tensor<'_>) -> Vec<f32> {
    match tensor {
        Tensor::F16(rows) => rows.as_flattened().iter().map(|value| value.to_f32()).collect(),
        Tensor::F32(rows) => rows.as_flattened().to_vec(),
    }
}

fn norm(tensor: Tensor<'_>) -> f64 {
    floats(tensor).iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt()
}
