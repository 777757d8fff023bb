//! `trainer compare`: methods and seeds on a published benchmark, beside the figures of the papers.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use clap::builder::PossibleValuesParser;
use indicatif::{ProgressBar, ProgressDrawTarget};
use serde_json::{Map, Value, json};

use super::eval::default_features;
use super::progress;
use crate::benchmark::{
    self, BENCHMARKS, Benchmark, Job, Measure, Meter, MeterOptions, Outcome, Plan, Results, Summary, table,
    work_off,
};
use crate::checkpoint::write_atomically;
use crate::dataset::{Dataset, Split};
use crate::method::{METHODS, Method};
use crate::metrics::Normalization;
use crate::report::{Comparison, Curve, MOST_CURVES, Picture, line_chart};

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
    #[arg(long, value_name = "N")]
    iterations: Option<usize>,
    /// Steps between two measurements; without it as many as the paper's, and at least ten measurements
    #[arg(long, value_name = "N")]
    eval_every: Option<usize>,
    /// Samples in a measurement; without it as many as the paper's
    #[arg(long, value_name = "N")]
    samples: Option<usize>,
    /// Folder for results, tables and pictures; what it already holds of the same runs is not done again
    #[arg(long, value_name = "DIR", default_value = "compare")]
    out: PathBuf,
    /// Runs at a time; without it one for each core
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
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
const PICTURES: &str = "samples";

/// Runs the command.
///
/// # Errors
/// When options or files fail; a training that diverges is a row of the table.
pub fn run(args: Args) -> Result<()> {
    if args.list {
        list();
        return Ok(());
    }
    let benchmark = Benchmark::named(args.benchmark.as_deref().unwrap_or_default())?;
    let features = match (benchmark.measure, &args.features) {
        (Measure::Points, _) => String::new(),
        (_, Some(features)) => features.clone(),
        (_, None) => default_features(args.data_dir.as_deref())?,
    };
    let comparison = Plans::new(&args, benchmark, &features)?;
    let meter = Meter::new(
        benchmark,
        MeterOptions {
            data_dir: args.data_dir.as_deref(),
            features: &features,
            normalization: Normalization { mean: args.features_mean, std: args.features_std },
            samples: comparison.samples,
        },
    )?;
    let pictures = args.out.join(PICTURES);
    std::fs::create_dir_all(&pictures).with_context(|| format!("creating {}", pictures.display()))?;
    let results = Results::open(&args.out.join(RESULTS))?;
    comparison.work(&args, &meter, &results)?;

    let summary = Summary::of(&comparison.jobs, &results);
    let report = comparison.report(&args, &meter, &summary)?;
    write_atomically(&args.out.join(TABLE), report.to_markdown().as_bytes())?;
    write_atomically(&args.out.join(PAGE), report.to_html().as_bytes())?;
    println!("{}", table::measured(benchmark, &summary, meter.floor()).to_markdown());
    eprintln!("wrote {} and {}", args.out.join(TABLE).display(), args.out.join(PAGE).display());
    if args.json {
        println!("{}", comparison.json(&meter, &summary));
    }
    Ok(())
}

/// What is compared, and how.
struct Plans {
    benchmark: &'static Benchmark,
    steps: usize,
    samples: usize,
    /// One seed of all methods after the other, so that a table soon has all of its rows.
    jobs: Vec<Job>,
}

impl Plans {
    fn new(args: &Args, benchmark: &'static Benchmark, features: &str) -> Result<Self> {
        let methods = args.methods.iter().map(|name| Method::named(name)).collect::<Result<Vec<Method>>>()?;
        for (i, name) in args.methods.iter().enumerate() {
            ensure!(!args.methods[..i].contains(name), "method {name} is named twice");
        }
        for (i, seed) in args.seeds.iter().enumerate() {
            ensure!(!args.seeds[..i].contains(seed), "seed {seed} is named twice");
        }
        let steps = args.iterations.unwrap_or(benchmark.base_config().training.steps);
        let often = steps.div_ceil(LEAST_MEASUREMENTS).clamp(1, benchmark.eval_every);
        let (eval_every, samples) =
            (args.eval_every.unwrap_or(often), args.samples.unwrap_or(benchmark.samples));
        ensure!(
            steps > 0 && eval_every > 0 && samples > 1,
            "{steps} steps, {samples} samples every {eval_every}"
        );
        let judge = match benchmark.measure {
            Measure::Points => String::new(),
            _ => {
                let file = Path::new(features).file_name().unwrap_or_default().to_string_lossy();
                format!("{file} {} {}", args.features_mean, args.features_std)
            }
        };
        let plan = Plan { steps, eval_every, samples, judge: &judge };
        let mut jobs = vec![];
        for &seed in &args.seeds {
            for method in &methods {
                jobs.push(Job::new(benchmark, method, seed, plan)?);
            }
        }
        Ok(Self { benchmark, steps, samples, jobs })
    }

    fn work(&self, args: &Args, meter: &Meter, results: &Results) -> Result<()> {
        let pending = self.jobs.iter().filter(|job| results.outcome(&job.id).is_none()).count();
        if pending < self.jobs.len() {
            eprintln!("{} of {} runs are done already", self.jobs.len() - pending, self.jobs.len());
        }
        if pending == 0 {
            return Ok(());
        }
        let base = self.benchmark.base_config();
        let (size, channels) = (base.network.size, base.network.channels);
        let dataset = Dataset::load(base.dataset, args.data_dir.as_deref(), Split::Train, size, channels)?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let bar = progress::bar("steps", pending * self.steps);
        if !std::io::stderr().is_terminal() {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        work_off(&self.jobs, results, args.threads.unwrap_or(cores).max(1), |job, measured| {
            let before = core::cell::Cell::new(0);
            let stepped = || {
                before.set(before.get() + 1);
                bar.inc(1);
            };
            let measure = |samples: &[f32]| meter.measure(samples);
            let outcome =
                benchmark::train(job, &dataset, measure, &args.out.join(PICTURES), stepped, measured)?;
            bar.inc((self.steps - before.get()) as u64);
            let end = match &outcome {
                Outcome::Finished => "finished".to_owned(),
                Outcome::Failed(reason) => format!("failed: {reason}"),
            };
            say(&bar, &format!("{}, seed {}: {end}", job.method, job.config.seed));
            Ok(outcome)
        })?;
        bar.finish_and_clear();
        Ok(())
    }

    fn report(&self, args: &Args, meter: &Meter, summary: &Summary) -> Result<Comparison> {
        let benchmark = self.benchmark;
        let mut paragraphs = vec![
            benchmark.description.to_owned(),
            format!("Protocol: {}", benchmark.source),
            format!(
                "{} steps and {} samples for each run; means and standard errors over seeds {}. Real data: {}.",
                self.steps,
                self.samples,
                args.seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(", "),
                meter.note()
            ),
        ];
        let published_steps = benchmark.base_config().training.steps;
        if self.steps != published_steps && !benchmark.published.is_empty() {
            paragraphs.push(format!("The published figures are those of {published_steps} steps."));
        }
        for method in &summary.methods {
            for (seed, reason) in &method.failures {
                paragraphs.push(format!("{}, seed {seed} failed: {reason}", method.name));
            }
        }
        Ok(Comparison {
            title: format!("Methods on {}", benchmark.name),
            summary: paragraphs,
            tables: vec![
                ("Measured".into(), table::measured(benchmark, summary, meter.floor())),
                ("Published".into(), table::published(benchmark)),
            ],
            charts: charts(benchmark, summary)?,
            pictures: self.pictures(&args.out.join(PICTURES))?,
            command: self.command(args),
        })
    }

    /// Of every method the last samples of the first run that has some.
    fn pictures(&self, folder: &Path) -> Result<Vec<Picture>> {
        let mut pictures: Vec<Picture> = vec![];
        let mut shown: Vec<&str> = vec![];
        for job in &self.jobs {
            let path = folder.join(job.picture());
            if shown.contains(&job.method) || !path.is_file() {
                continue;
            }
            shown.push(job.method);
            pictures.push(Picture {
                png: std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?,
                caption: format!("{}, seed {}", job.method, job.config.seed),
                alt: format!("samples of {} after {} steps", job.method, self.steps),
            });
        }
        Ok(pictures)
    }

    fn command(&self, args: &Args) -> String {
        let seeds: Vec<String> = args.seeds.iter().map(u64::to_string).collect();
        let eval_every = self.jobs.first().map_or(0, |job| job.eval_every);
        format!(
            "trainer compare --benchmark {} --methods {} --seeds {} --iterations {} --eval-every {eval_every} --samples {}",
            self.benchmark.name,
            args.methods.join(","),
            seeds.join(","),
            self.steps,
            self.samples,
        )
    }

    fn json(&self, meter: &Meter, summary: &Summary) -> Value {
        let rows = summary.runs.iter().map(|run| {
            let mut row = Map::new();
            row.insert("method".into(), run.method.clone().into());
            row.insert("seed".into(), run.seed.into());
            row.insert("steps".into(), run.step.into());
            // Figures that a run does not have are there as null.
            row.extend(
                self.benchmark.figures.iter().map(|f| (f.key.to_owned(), json!(run.figures.get(f.key)))),
            );
            if let Some(Outcome::Failed(reason)) = &run.outcome {
                row.insert("failure".into(), reason.clone().into());
            }
            Value::Object(row)
        });
        let methods = summary.methods.iter().map(|method| {
            json!({
                "method": method.name,
                "runs": method.run_count,
                "failures": method.failures.len(),
                "figures": method.figures,
            })
        });
        json!({
            "benchmark": self.benchmark.name,
            "iterations": self.steps,
            "samples": self.samples,
            "rows": rows.collect::<Vec<_>>(),
            "summary": methods.collect::<Vec<_>>(),
            "floor": meter.floor(),
            "note": meter.note(),
        })
    }
}

/// Every figure over the steps, of so many methods in one drawing as can be told apart.
fn charts(benchmark: &Benchmark, summary: &Summary) -> Result<Vec<(String, String)>> {
    let mut charts = vec![];
    for figure in benchmark.figures {
        let curves: Vec<Curve> = summary
            .methods
            .iter()
            .filter_map(|method| {
                let points = method.curves.get(figure.key)?;
                let points = points.iter().map(|&(step, value)| (step, value * figure.scale)).collect();
                Some(Curve { name: method.name.clone(), points })
            })
            .collect();
        for some in curves.chunks(MOST_CURVES) {
            let heading = format!("Mean of {} over steps", figure.heading);
            charts.push((heading, line_chart(figure.heading, figure.heading, some)?));
        }
    }
    Ok(charts)
}

/// A line above the bar, or alone where there is no terminal.
fn say(bar: &ProgressBar, line: &str) {
    if bar.is_hidden() {
        eprintln!("{line}");
    } else {
        bar.println(line);
    }
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

/// In a run that is shorter than the paper's, so that there are curves.
const LEAST_MEASUREMENTS: usize = 10;
