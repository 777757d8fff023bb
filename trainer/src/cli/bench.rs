//! `trainer bench`: how fast the runtime draws, against what this core can do at most.

use core::time::Duration;
use std::path::PathBuf;
use std::sync::Barrier;
use std::time::Instant;

use anyhow::{Context, Result};
use pocketgan_kernels::peak;
use pocketgan_runtime::{Generator, Model, dispatch, latent};
use serde_json::json;

use super::open;

/// Options of `trainer bench`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The .pgan file
    file: PathBuf,
    /// Pictures drawn by each thread in one timed call
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    batch: u32,
    /// Threads that draw at the same time, each with its own arena
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    threads: u32,
    /// Seconds of measuring
    #[arg(long, value_name = "S", default_value_t = 2.0)]
    seconds: f64,
    /// Print one JSON object instead
    #[arg(long)]
    json: bool,
}

/// Fastest and median time of one call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    pub(crate) fastest: Duration,
    pub(crate) median: Duration,
}

/// Runs `trainer bench`.
///
/// # Errors
/// When the file cannot be read or is not a model.
pub fn run(args: Args) -> Result<()> {
    let bytes = open(&args.file)?;
    let model = Model::load(&bytes).with_context(|| format!("loading {}", args.file.display()))?;
    let budget = Duration::try_from_secs_f64(args.seconds).context("--seconds is not a duration")?;
    let timing = measure(&model, args.batch, args.threads, budget)?;
    let images = f64::from(args.batch) * f64::from(args.threads);
    let ms = timing.fastest.as_secs_f64() * 1e3;
    let gflops = 2.0 * model.file().macs() as f64 * images / timing.fastest.as_secs_f64() / 1e9;
    let peak_gflops = peak::fma_gflops().map(|one_core| one_core * f64::from(args.threads));
    let share = peak_gflops.map(|peak| gflops / peak);
    let kernels = dispatch::best().name;
    if args.json {
        let json = json!({
            "ms": ms, "ms_median": timing.median.as_secs_f64() * 1e3, "ms_per_image": ms / images, "gflops": gflops,
            "peak_gflops": peak_gflops, "share_of_peak": share, "batch": args.batch, "threads": args.threads,
            "kernels": kernels,
        });
        println!("{json}");
        return Ok(());
    }
    println!("kernels            {kernels}");
    println!("batch x threads    {} x {}", args.batch, args.threads);
    println!("ms                 {ms:.3} fastest, {:.3} median", timing.median.as_secs_f64() * 1e3);
    println!("images/s           {:.0}", images * 1e3 / ms);
    println!("GFLOP/s            {gflops:.1}");
    match (peak_gflops, share) {
        (Some(peak), Some(share)) => {
            println!("peak GFLOP/s       {peak:.1} (fused multiply-add, measured now)");
            println!("share of peak      {:.1} %", share * 100.0);
        }
        _ => println!("peak GFLOP/s       unknown: this CPU has no kernel of its own"),
    }
    Ok(())
}

/// Times calls that draw `batch` pictures on each of `threads` threads, for about `budget`.
///
/// # Errors
/// Never with arenas as large as the model says; these are.
pub(crate) fn measure(model: &Model<'_>, batch: u32, threads: u32, budget: Duration) -> Result<Timing> {
    let barrier = Barrier::new(threads as usize);
    let workers: Vec<Vec<Duration>> = std::thread::scope(|scope| {
        let spawn = |_| scope.spawn(|| time_calls(model, batch, budget, &barrier));
        let handles: Vec<_> = (0..threads).map(spawn).collect();
        handles
            .into_iter()
            .map(|handle| handle.join().expect("a worker does not panic"))
            .collect::<Result<_>>()
    })?;
    // Threads run side by side, so that a call takes as long as its slowest thread; the threads' fastest calls are
    // about as fast as each other, and the slowest of those is the honest one.
    let timings = workers.into_iter().map(|mut times| {
        times.sort_unstable();
        Timing { fastest: times[0], median: times[times.len() / 2] }
    });
    timings.max_by_key(|t| t.fastest).context("no thread to measure on")
}

fn time_calls(model: &Model<'_>, batch: u32, budget: Duration, start: &Barrier) -> Result<Vec<Duration>> {
    let mut arena = vec![0.0; model.arena_len()];
    let mut generator = Generator::new(model, &mut arena)?;
    let mut draw = || {
        let begin = Instant::now();
        for seed in 0..batch {
            for input in 0..model.inputs().len() {
                latent::fill_normal(seed.into(), generator.input(input));
            }
            core::hint::black_box(generator.run());
        }
        begin.elapsed()
    };
    draw();
    start.wait();
    let begin = Instant::now();
    let mut times = vec![draw()];
    while begin.elapsed() < budget {
        times.push(draw());
    }
    Ok(times)
}
