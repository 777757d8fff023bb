//! One model in the peers' benchmark: loads an ONNX file, draws its pictures, and says how long each call took.
//!
//! A worker of that benchmark is a program that reads `DIR/b1.onnx` and the first `--batch` arrays of `--x`, writes the
//! output as raw `f32` to `--out`, and prints one line of JSON. The model is imported with weights in half precision.

use core::time::Duration;
use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use cpu_time::ProcessTime;
use pocketgan_compiler::export::{self, Options, channels_last};
use pocketgan_compiler::onnx::{self, ImportOptions};
use pocketgan_runtime::{Generator, Model};
use pocketgan_tests::npy;
use rayon::ThreadPoolBuilder;
use serde_json::json;

#[derive(Parser)]
struct Args {
    /// Folder with b1.onnx
    #[arg(long)]
    dir: PathBuf,
    /// Inputs, a .npy file whose first extent counts them
    #[arg(long)]
    x: PathBuf,
    /// File to write
    #[arg(long)]
    out: PathBuf,
    /// Inputs of one call
    #[arg(long)]
    batch: usize,
    /// Threads of one call
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Must be f32: the precision of arithmetic
    #[arg(long, default_value = "f32")]
    variant: String,
    /// cold: one call; bench: calls for some seconds
    #[arg(long, default_value = "cold")]
    mode: String,
    /// Seconds of measuring
    #[arg(long, default_value_t = 0.5)]
    secs: f64,
}

fn main() -> Result<()> {
    let args = Args::parse();
    ensure!(
        args.variant == "f32",
        "no variant {}: weights are in half precision, arithmetic is f32",
        args.variant
    );
    let (shape, x) = npy::read(&args.x)?;
    let rows = *shape.first().context("no inputs")?;
    ensure!((1..=rows).contains(&args.batch), "{} of {rows} inputs", args.batch);
    let x: Vec<Vec<f32>> =
        x.chunks_exact(x.len() / rows).map(|row| row.iter().map(|&v| v as f32).collect()).collect();

    let pool = ThreadPoolBuilder::new().num_threads(args.threads).build()?;
    let pool = (args.threads > 1).then_some(pool);
    let start = Instant::now();
    let path = args.dir.join("b1.onnx");
    let bytes = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
    let graph = onnx::import(&bytes, &ImportOptions::default())?.graph;
    let export = export::export(&graph, &Options::default())?;
    let model = Model::load(&export.file)?;
    let mut arena = vec![0.0; args.batch * model.arena_len()];
    // As its peers lay weights out when they load a model.
    let mut expansion = vec![0.0; Generator::new(&model, &mut arena)?.expansion_len()];
    let mut generator = Generator::new(&model, &mut arena)?;
    generator.expand(&mut expansion);
    let load = start.elapsed();

    let (input, output) = (graph.inputs()[0].shape.clone(), graph.shape(graph.output()).to_vec());
    let mut pictures = vec![0.0; args.batch * output.iter().product::<usize>()];
    let mut call = || {
        for (picture, values) in x[..args.batch].iter().enumerate() {
            let stored = generator.input_of(picture, 0);
            channels_last(&input, |row_major, place| stored[place] = values[row_major]);
        }
        match &pool {
            Some(pool) => generator.run_batch_in(pool, args.batch),
            None => generator.run_batch(args.batch),
        }
        for (picture, values) in pictures.chunks_exact_mut(output.iter().product()).enumerate() {
            let stored = generator.image(picture).values;
            channels_last(&output, |row_major, place| values[row_major] = stored[place]);
        }
    };
    let start = Instant::now();
    call();
    let first = start.elapsed();

    let mut times = vec![];
    if args.mode == "bench" {
        let (start, warm) = (Instant::now(), args.secs / 4.0);
        while start.elapsed().as_secs_f64() < args.secs + warm || times.len() < 5 {
            let warmed = start.elapsed().as_secs_f64() >= warm;
            let (wall, cpu) = (Instant::now(), ProcessTime::now());
            call();
            let time = (wall.elapsed(), cpu.elapsed());
            if warmed {
                times.push(time);
            }
        }
    }
    fs::write(&args.out, pictures.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>())?;
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let mut report = json!({ "load_ms": ms(load), "first_ms": ms(first), "hwm_mb": peak_memory_mib() });
    times.sort_unstable();
    if let (Some(&(fastest, _)), Some(cpu)) = (times.first(), times.iter().map(|time| time.1).min()) {
        report["n"] = times.len().into();
        report["min_ms"] = ms(fastest).into();
        report["med_ms"] = ms(times[times.len() / 2].0).into();
        report["cpu_min_ms"] = ms(cpu).into();
    }
    println!("{report}");
    Ok(())
}

/// Most memory that this process held, in MiB; 0 where the system does not say.
fn peak_memory_mib() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or(0.0) / 1024.0
}
