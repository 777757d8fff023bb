//! `trainer bench`: how fast the runtime draws, as a whole and step by step, against what this core can do at most.

use core::time::Duration;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};
use pocketgan_format::Step;
use pocketgan_kernels::peak;
use pocketgan_runtime::{Generator, Model, dispatch, latent};
use rayon::{ThreadPool, ThreadPoolBuilder};
use serde_json::json;

use super::open;
use crate::report::grouped;

/// Options of `trainer bench`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The .pgan file
    file: PathBuf,
    /// Pictures drawn at once
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    batch: u16,
    /// Threads that draw them together
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: u16,
    /// Expand weights first, where that is faster; takes some times their memory
    #[arg(long)]
    expand: bool,
    /// Seconds of measuring
    #[arg(long, value_name = "S", default_value_t = 2.0)]
    seconds: f64,
    /// Print one JSON object instead
    #[arg(long)]
    json: bool,
}

/// Most values of expanded weights, whatever a file asks for: 1 GiB.
const MAX_EXPANSION_LEN: usize = 1 << 28;

/// Fastest and median time of one call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    pub(crate) fastest: Duration,
    pub(crate) median: Duration,
}

/// The fastest time of a step, alone on one thread.
struct StepTiming {
    /// The layer that it is a part of.
    layer: String,
    macs: u64,
    fastest: Duration,
    /// The kernel that ran it, and why that one.
    path: &'static str,
}

/// Runs `trainer bench`.
///
/// # Errors
/// When the file cannot be read or is not a model.
pub fn run(args: Args) -> Result<()> {
    let bytes = open(&args.file)?;
    let model = Model::load(&bytes).with_context(|| format!("loading {}", args.file.display()))?;
    let budget = Duration::try_from_secs_f64(args.seconds).context("--seconds is not a duration")?;
    let batch = usize::from(args.batch);
    let timing = measure(&model, [batch, args.threads.into()], args.expand, budget)?;
    let steps = measure_steps(&model, batch, args.expand, budget)?;
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let gflops = |macs: u64, time: Duration| 2.0 * macs as f64 * batch as f64 / time.as_secs_f64() / 1e9;
    let whole = gflops(model.file().macs(), timing.fastest);
    let core_gflops = peak::fma_gflops();
    let peak_gflops = core_gflops.map(|one_core| one_core * f64::from(args.threads));
    let share = peak_gflops.map(|peak| whole / peak);
    let kernels = dispatch::best().name;
    let per_image = ms(timing.fastest) / batch as f64;
    if args.json {
        let steps = steps.iter().map(|step| {
            let gflops = gflops(step.macs, step.fastest);
            json!({
                "layer": step.layer, "macs": step.macs, "ms": ms(step.fastest), "gflops": gflops,
                "share_of_peak": core_gflops.map(|peak| gflops / peak), "kernel": step.path,
            })
        });
        let json = json!({
            "ms": ms(timing.fastest), "ms_median": ms(timing.median), "ms_per_image": per_image, "gflops": whole,
            "peak_gflops": peak_gflops, "share_of_peak": share, "batch": batch, "threads": args.threads, "expand": args.expand,
            "kernels": kernels, "steps": steps.collect::<Vec<_>>(),
        });
        println!("{json}");
        return Ok(());
    }
    println!("step  layer                         MACs         us  GFLOP/s  of peak  kernel");
    for (index, step) in steps.iter().enumerate() {
        let gflops = gflops(step.macs, step.fastest);
        let of_peak = core_gflops.map_or("-".into(), |peak| format!("{:.0} %", gflops / peak * 100.0));
        let (us, path) = (ms(step.fastest) * 1e3, step.path);
        let (layer, macs) = (&step.layer, grouped(step.macs));
        println!("{index:>4}  {layer:<20} {macs:>13} {us:>10.1} {gflops:>8.1} {of_peak:>8}  {path}");
    }
    println!();
    println!("kernels            {kernels}");
    println!("batch, threads     {batch}, {}", args.threads);
    println!("ms                 {:.3} fastest, {:.3} median", ms(timing.fastest), ms(timing.median));
    println!("images/s           {:.0}", 1e3 / per_image);
    println!("GFLOP/s            {whole:.1}");
    match (peak_gflops, share) {
        (Some(peak), Some(share)) => {
            println!("peak GFLOP/s       {peak:.1} (fused multiply-add in f32, measured now)");
            println!("share of peak      {:.1} %", share * 100.0);
        }
        _ => println!("peak GFLOP/s       unknown: this CPU has no kernel of its own"),
    }
    Ok(())
}

/// Times calls that draw `batch` pictures on `threads` threads, for about `budget`.
///
/// # Errors
/// When the threads cannot be started.
pub(crate) fn measure(
    model: &Model<'_>,
    [batch, threads]: [usize; 2],
    expand: bool,
    budget: Duration,
) -> Result<Timing> {
    let pool = ThreadPoolBuilder::new().num_threads(threads).build().context("starting threads")?;
    let pool = (threads > 1).then_some(&pool);
    let mut arena = vec![0.0; batch * model.arena_len()];
    let expansion_len = if expand { Generator::new(model, &mut arena)?.expansion_len() } else { 0 };
    let mut expansion = vec![0.0; expansion_len.min(MAX_EXPANSION_LEN)];
    let mut generator = Generator::new(model, &mut arena)?;
    generator.expand(&mut expansion);
    let mut draw = || {
        let begin = Instant::now();
        set_inputs(&mut generator, batch);
        run_all(&mut generator, pool, batch);
        core::hint::black_box(generator.image(batch - 1));
        begin.elapsed()
    };
    draw();
    let begin = Instant::now();
    let mut times = vec![draw()];
    while begin.elapsed() < budget {
        times.push(draw());
    }
    times.sort_unstable();
    Ok(Timing { fastest: times[0], median: times[times.len() / 2] })
}

fn run_all(generator: &mut Generator<'_, '_>, pool: Option<&ThreadPool>, batch: usize) {
    match pool {
        Some(pool) => generator.run_batch_in(pool, batch),
        None => generator.run_batch(batch),
    }
}

/// Times every step, one call after the other.
fn measure_steps(model: &Model<'_>, batch: usize, expand: bool, budget: Duration) -> Result<Vec<StepTiming>> {
    let mut arena = vec![0.0; batch * model.arena_len()];
    let expansion_len = if expand { Generator::new(model, &mut arena)?.expansion_len() } else { 0 };
    let mut expansion = vec![0.0; expansion_len.min(MAX_EXPANSION_LEN)];
    let mut generator = Generator::new(model, &mut arena)?;
    generator.expand(&mut expansion);
    let file = model.file();
    let layers: Vec<&str> = file.get("layers").map(|names| names.split(',').collect()).unwrap_or_default();
    let steps = file.steps().enumerate().map(|(index, step)| StepTiming {
        layer: layers.get(usize::from(step.layer())).copied().unwrap_or("").to_owned(),
        macs: match &step {
            Step::TapGemm(step) => step.macs(),
            Step::Nest(step) => step.macs(&file.axes(step)),
        },
        fastest: Duration::MAX,
        path: generator.path(index, batch),
    });
    let mut steps: Vec<StepTiming> = steps.collect();
    let begin = Instant::now();
    loop {
        set_inputs(&mut generator, batch);
        let mut before = Instant::now();
        generator.run_steps(batch, |index| {
            let now = Instant::now();
            steps[index].fastest = steps[index].fastest.min(now - before);
            before = now;
        });
        if begin.elapsed() >= budget {
            return Ok(steps);
        }
    }
}

fn set_inputs(generator: &mut Generator<'_, '_>, batch: usize) {
    for picture in 0..batch {
        for input in 0..generator.model().inputs().len() {
            latent::fill_normal(picture as u64, generator.input_of(picture, input));
        }
    }
}
