//! `trainer compare`: methods and seeds on a published benchmark, beside the figures of the papers.

mod experiment;
mod progress;

use std::path::PathBuf;

use anyhow::Result;
use clap::builder::PossibleValuesParser;

use super::eval::default_features;
use super::lock::Lock;
use super::note::note;
use crate::benchmark::{BENCHMARKS, Benchmark, Meter, MeterOptions, Results, Summary, table};
use crate::checkpoint::write_atomically;
use crate::device::DeviceArgs;
use crate::method::METHODS;
use crate::metrics::Normalization;
use experiment::Experiment;

/// Trains with several methods and seeds, and writes tables of means and standard errors.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which experiment
    #[arg(
        long,
        value_name = "NAME",
        value_parser = PossibleValuesParser::new(BENCHMARKS.map(|benchmark| benchmark.name)),
        required_unless_present = "list"
    )]
    benchmark: Option<String>,
    /// Methods to compare
    #[arg(long, value_name = "A,B", value_delimiter = ',', required_unless_present = "list")]
    methods: Vec<String>,
    /// One run of each method for each
    #[arg(long, value_name = "N,N", value_delimiter = ',', default_value = "1,2,3")]
    seeds: Vec<u64>,
    /// Steps of every run; without it as many as the paper's
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    iterations: Option<u32>,
    /// Steps between two measurements; without it as many as the paper's, and at least ten measurements
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    eval_every: Option<u32>,
    /// Samples in a measurement; without it as many as the paper's
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=1_000_000))]
    samples: Option<u32>,
    /// Another value in every run, after what the method sets, e.g. `training.ema_decay=0.999`; may be given more than once
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Folder for results, tables and pictures; what it already holds of the same runs is not done again, and a run that was
    /// interrupted goes on from where it was measured last
    #[arg(long, value_name = "DIR", default_value = "compare")]
    out: PathBuf,
    /// Runs at a time; without it one for each core
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    #[command(flatten)]
    device: DeviceArgs,
    /// Folder with the files of the data set; without it the user's cache
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Classifier that measures images, by default one of digits that lies beside the data
    #[arg(long, value_name = "FILE.ONNX[:TENSOR]")]
    features: Option<String>,
    /// The classifier reads (pixel / 255 - mean) / std
    #[arg(long, value_name = "X", default_value_t = Normalization::MNIST.mean)]
    features_mean: f32,
    /// The classifier reads (pixel / 255 - mean) / std
    #[arg(long, value_name = "X", default_value_t = Normalization::MNIST.std)]
    features_std: f32,
    /// Show all benchmarks and methods, and do nothing
    #[arg(long)]
    list: bool,
    /// Print rows and summary as one JSON object, the last line of standard output
    #[arg(long)]
    json: bool,
}

/// File names in the folder of a comparison.
const RESULTS: &str = "results.jsonl";
const TABLE: &str = "table.md";
const PAGE: &str = "index.html";

/// Runs the command.
///
/// # Errors
/// When options or files fail, or another comparison has the folder; a training that diverges is a row of the table.
pub fn run(args: Args) -> Result<()> {
    if args.list {
        list();
        return Ok(());
    }
    let Outcomes { experiment, meter, summary } = work(&args)?;
    println!("{}", table::measured(experiment.benchmark, &summary, meter.floor()).to_markdown());
    note!("wrote {} and {}", args.out.join(TABLE).display(), args.out.join(PAGE).display());
    if args.json {
        println!("{}", experiment.json(&meter, &summary));
    }
    Ok(())
}

/// Everything that can be said of a comparison.
struct Outcomes {
    experiment: Experiment,
    meter: Meter,
    summary: Summary,
}

/// Does what is not done yet, and writes the files.
fn work(args: &Args) -> Result<Outcomes> {
    let benchmark = Benchmark::named(args.benchmark.as_deref().unwrap_or_default())?;
    let features = match &args.features {
        _ if !benchmark.measure.needs_classifier() => String::new(),
        Some(features) => features.clone(),
        None => default_features(args.data_dir.as_deref())?,
    };
    let judge = if features.is_empty() { String::new() } else { experiment::judge(&features, args)? };
    let experiment = Experiment::new(args, benchmark, &judge)?;
    let _lock = Lock::take(&args.out)?;
    note!("measuring {} real samples", experiment.samples);
    let meter = Meter::new(
        benchmark,
        MeterOptions {
            data_dir: args.data_dir.as_deref(),
            features: &features,
            normalization: Normalization { mean: args.features_mean, std: args.features_std },
            samples: experiment.samples,
        },
    )?;
    let results = Results::open(&args.out.join(RESULTS))?;
    experiment.work(args, &meter, &results)?;
    let summary = Summary::of(&experiment.jobs, &results);
    let report = experiment.report(args, &meter, &summary)?;
    write_atomically(&args.out.join(TABLE), report.to_markdown().as_bytes())?;
    write_atomically(&args.out.join(PAGE), report.to_html().as_bytes())?;
    Ok(Outcomes { experiment, meter, summary })
}

fn list() {
    println!("Benchmarks:");
    for benchmark in BENCHMARKS {
        println!("  {:22} {}", benchmark.name, benchmark.description);
        println!("  {:22} {}", "", benchmark.source);
    }
    println!("Methods:");
    for method in METHODS {
        println!("  {:22} {} ({})", method.name, method.description, method.source);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use anyhow::Context as _;
    use clap::Parser as _;

    use super::*;
    use crate::benchmark::PICTURES;

    #[derive(clap::Parser)]
    struct Command {
        #[command(flatten)]
        args: Args,
    }

    fn parse(line: &str) -> Result<Args, clap::Error> {
        Command::try_parse_from(core::iter::once("compare").chain(line.split_whitespace())).map(|c| c.args)
    }

    #[test]
    fn typos_are_refused_before_anything_is_done() {
        assert!(parse("--benchmark rings --methods least-squares").is_err());
        assert!(parse("--benchmark ring").is_err() && parse("--methods least-squares").is_err());
        assert!(parse("--list").is_ok());
        for number in ["--iterations 0", "--eval-every 0", "--samples 1", "--samples 99999999999"] {
            let error = parse(&format!("--benchmark ring --methods gan {number}")).unwrap_err().to_string();
            assert!(error.contains(number.split(' ').next().unwrap()), "{error}");
        }
        let benchmark = Benchmark::named("mnist").unwrap();
        for line in [
            "--benchmark mnist --methods least-square",
            "--benchmark mnist --methods least-squares,least-squares",
            "--benchmark mnist --methods least-squares --seeds 1,2,1",
            "--benchmark mnist --methods least-squares --set training.ema_decai=0.9",
        ] {
            assert!(Experiment::new(&parse(line).unwrap(), benchmark, "").is_err(), "{line}");
        }
    }

    #[test]
    fn a_folder_in_use_is_left_alone() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let _lock = Lock::take(dir.path())?;
        let mut args = parse("--benchmark ring --methods gan --iterations 1")?;
        args.out = dir.path().to_owned();
        let error = run(args).err().context("compared all the same")?.to_string();
        assert!(error.contains("in use by another run"), "{error}");
        assert_eq!(std::fs::read_dir(dir.path())?.count(), 1, "nothing but the lock");
        Ok(())
    }

    #[test]
    fn lengths_are_those_of_the_paper_unless_said_otherwise() {
        let benchmark = Benchmark::named("stacked-mnist").unwrap();
        let plan = |options: &str| {
            let args =
                parse(&format!("--benchmark stacked-mnist --methods least-squares {options}")).unwrap();
            let experiment = Experiment::new(&args, benchmark, "").unwrap();
            (experiment.steps, experiment.jobs[0].eval_every, experiment.samples, experiment.jobs.len())
        };
        assert_eq!(plan(""), (500_000, 2000, 25_600, 3));
        assert_eq!(plan("--iterations 300 --seeds 7"), (300, 30, 25_600, 1));
        assert_eq!(plan("--iterations 3 --samples 64 --eval-every 2"), (3, 2, 64, 3));
    }

    /// Figures of another judge are no figures of this one.
    #[test]
    fn judges_are_told_apart_by_what_they_are() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let args = parse("--benchmark mnist --methods gan")?;
        let write = |name: &str, bytes: &[u8]| -> Result<String> {
            let path = dir.path().join(name);
            std::fs::write(&path, bytes)?;
            Ok(path.display().to_string())
        };
        let (file, other) = (write("a.onnx", b"one")?, write("b.onnx", b"other")?);
        let renamed = write("c.onnx", b"one")?;
        let judge =
            |file: &str, tensor: &str| experiment::judge(&format!("{file}:/layer{tensor}/Relu"), &args);
        assert_eq!(judge(&file, "1")?, judge(&renamed, "1")?);
        assert_ne!(judge(&file, "1")?, judge(&other, "1")?);
        assert_ne!(judge(&file, "1")?, judge(&file, "2")?);
        Ok(())
    }

    /// The whole command.
    #[test]
    fn a_comparison_writes_its_files_and_goes_on_where_it_was() {
        let out = tempfile::tempdir().unwrap();
        let compare = |methods: &str| {
            let mut args = parse("--benchmark ring --methods least-squares --seeds 1,2").unwrap();
            args.methods = methods.split(',').map(str::to_owned).collect();
            (args.iterations, args.eval_every, args.samples) = (Some(1), Some(1), Some(40));
            args.out = out.path().to_owned();
            let Outcomes { experiment, meter, summary } = work(&args).unwrap();
            experiment.json(&meter, &summary)
        };
        let lines = || std::fs::read_to_string(out.path().join(RESULTS)).unwrap().lines().count();
        let one = compare("least-squares");
        // A measurement and the end of two runs.
        assert_eq!(lines(), 4);
        let two = compare("least-squares,least-squares-symmetric");
        assert_eq!(lines(), 8, "only the new method's runs are done");
        assert_eq!(one["rows"][0], two["rows"][0]);
        assert_eq!((one["benchmark"].as_str(), one["iterations"].as_u64()), (Some("ring"), Some(1)));
        assert_eq!(two["rows"].as_array().map(Vec::len), Some(4));
        for row in two["rows"].as_array().unwrap() {
            let modes = row["modes"].as_f64().unwrap();
            assert!((0.0..=8.0).contains(&modes), "{row}");
        }
        let figures = &two["summary"][0]["figures"]["modes"];
        let mean = (0..2).map(|i| two["rows"][i]["modes"].as_f64().unwrap()).sum::<f64>() / 2.0;
        assert_eq!(figures["mean"].as_f64(), Some(mean));

        let page = std::fs::read_to_string(out.path().join(PAGE)).unwrap();
        assert_eq!((page.matches("<svg").count(), page.matches("<img").count()), (2, 2));
        let markdown = std::fs::read_to_string(out.path().join(TABLE)).unwrap();
        assert!(markdown.contains("least-squares-symmetric") && markdown.contains("PacGAN2"), "{markdown}");
        assert_eq!(std::fs::read_dir(out.path().join(PICTURES)).unwrap().count(), 4);
        if let Some(folder) = std::env::var_os("POCKETGAN_REPORT_OUT") {
            std::fs::write(Path::new(&folder).join("comparison.html"), page).unwrap();
        }
    }
}
