//! `trainer compare`: methods and seeds on a published benchmark, beside the figures of the papers.

use core::cell::Cell;
use core::time::Duration;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use clap::builder::PossibleValuesParser;
use indicatif::{ProgressBar, ProgressDrawTarget};
use serde_json::{Map, Value, json};

use super::eval::default_features;
use super::progress;
use crate::benchmark::{
    self, BENCHMARKS, Benchmark, Figures, Job, Measure, Meter, MeterOptions, Outcome, Plan, Results, Summary,
    table, work_off,
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
    let Outcomes { experiment, meter, summary } = work(&args)?;
    println!("{}", table::measured(experiment.benchmark, &summary, meter.floor()).to_markdown());
    eprintln!("wrote {} and {}", args.out.join(TABLE).display(), args.out.join(PAGE).display());
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
    let features = match (benchmark.measure, &args.features) {
        (Measure::Points, _) => String::new(),
        (_, Some(features)) => features.clone(),
        (_, None) => default_features(args.data_dir.as_deref())?,
    };
    let experiment = Experiment::new(args, benchmark, &features)?;
    let meter = Meter::new(
        benchmark,
        MeterOptions {
            data_dir: args.data_dir.as_deref(),
            features: &features,
            normalization: Normalization { mean: args.features_mean, std: args.features_std },
            samples: experiment.samples,
        },
    )?;
    let pictures = args.out.join(PICTURES);
    std::fs::create_dir_all(&pictures).with_context(|| format!("creating {}", pictures.display()))?;
    let results = Results::open(&args.out.join(RESULTS))?;
    experiment.work(args, &meter, &results)?;
    let summary = Summary::of(&experiment.jobs, &results);
    let report = experiment.report(args, &meter, &summary)?;
    write_atomically(&args.out.join(TABLE), report.to_markdown().as_bytes())?;
    write_atomically(&args.out.join(PAGE), report.to_html().as_bytes())?;
    Ok(Outcomes { experiment, meter, summary })
}

/// What is compared, and how.
struct Experiment {
    benchmark: &'static Benchmark,
    steps: usize,
    samples: usize,
    /// One seed of all methods after the other, so that a table soon has all of its rows.
    jobs: Vec<Job>,
}

impl Experiment {
    fn new(args: &Args, benchmark: &'static Benchmark, features: &str) -> Result<Self> {
        let methods = args.methods.iter().map(|name| Method::named(name)).collect::<Result<Vec<&Method>>>()?;
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
            for method in methods.iter().copied() {
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
        let progress = Progress::new(pending * self.steps);
        work_off(&self.jobs, results, args.threads.unwrap_or(cores).max(1), |job, measured| {
            let steps = Cell::new(0);
            let stepped = || {
                steps.set(steps.get() + 1);
                progress.bar.inc(1);
            };
            let measure = |samples: &[f32]| meter.measure(samples);
            let mut measured = |step, figures: Figures| {
                progress.measured(job, step, &figures);
                measured(step, figures)
            };
            let pictures = args.out.join(PICTURES);
            let outcome = benchmark::train(job, &dataset, measure, &pictures, stepped, &mut measured)?;
            progress.bar.inc((self.steps - steps.get()) as u64);
            let end = match &outcome {
                Outcome::Finished => "finished".to_owned(),
                Outcome::Failed(reason) => format!("failed: {reason}"),
            };
            progress.say(&format!("{}, seed {}: {end}", job.method, job.config.seed));
            Ok(outcome)
        })?;
        progress.bar.finish_and_clear();
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

/// A bar over the steps of all runs, or a line now and then where there is no terminal.
struct Progress {
    bar: ProgressBar,
    last_line: Mutex<Instant>,
}

impl Progress {
    fn new(steps: usize) -> Self {
        let bar = progress::bar("steps", steps);
        if !std::io::stderr().is_terminal() {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        Self { bar, last_line: Mutex::new(Instant::now()) }
    }

    fn measured(&self, job: &Job, step: usize, figures: &Figures) {
        let figures: Vec<String> = figures.iter().map(|(key, value)| format!("{key} {value:.4}")).collect();
        let (seed, figures) = (job.config.seed, figures.join(", "));
        if !self.bar.is_hidden() {
            self.bar.set_message(format!("{} {seed}: {figures}", job.method));
            return;
        }
        let mut last_line = self.last_line.lock().unwrap_or_else(PoisonError::into_inner);
        if last_line.elapsed() >= LINE_EVERY {
            *last_line = Instant::now();
            let (done, all, left) = (self.bar.position(), self.bar.length().unwrap_or(0), self.bar.eta());
            eprintln!(
                "step {done}/{all}, {} s left; {} {seed} at {step}: {figures}",
                left.as_secs(),
                job.method
            );
        }
    }

    fn say(&self, line: &str) {
        if self.bar.is_hidden() {
            eprintln!("{line}");
        } else {
            self.bar.println(line);
        }
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

const LINE_EVERY: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

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
        let benchmark = Benchmark::named("mnist").unwrap();
        for line in [
            "--benchmark mnist --methods least-square",
            "--benchmark mnist --methods least-squares,least-squares",
            "--benchmark mnist --methods least-squares --seeds 1,2,1",
            "--benchmark mnist --methods least-squares --iterations 0",
            "--benchmark mnist --methods least-squares --eval-every 0",
            "--benchmark mnist --methods least-squares --samples 1",
        ] {
            assert!(Experiment::new(&parse(line).unwrap(), benchmark, "").is_err(), "{line}");
        }
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

    /// The whole command, where its digits and their classifier are.
    #[test]
    fn a_comparison_writes_its_files_and_goes_on_where_it_was() {
        let data = std::env::var_os("POCKETGAN_DATA").unwrap_or_else(|| "../../shared/data".into());
        let data = Path::new(&data);
        let classifier = data.join("classifiers/burn-mnist/mnist.onnx");
        if !classifier.is_file() || !data.join("mnist").is_dir() {
            eprintln!("skipped: no digits and classifier in {}", data.display());
            return;
        }
        let out = tempfile::tempdir().unwrap();
        let compare = |methods: &str| {
            let mut args = parse("--benchmark stacked-mnist --methods least-squares --seeds 1,2").unwrap();
            args.methods = methods.split(',').map(str::to_owned).collect();
            (args.iterations, args.eval_every, args.samples) = (Some(3), Some(2), Some(40));
            (args.out, args.data_dir) = (out.path().to_owned(), Some(data.join("mnist")));
            args.features = Some(classifier.display().to_string());
            let Outcomes { experiment, meter, summary } = work(&args).unwrap();
            experiment.json(&meter, &summary)
        };
        let lines = || std::fs::read_to_string(out.path().join(RESULTS)).unwrap().lines().count();
        let one = compare("least-squares");
        // Measurements after steps 2 and 3, and the end, of two runs.
        assert_eq!(lines(), 6);
        let two = compare("least-squares,least-squares-symmetric");
        assert_eq!(lines(), 12, "only the new method's runs are done");
        assert_eq!(one["rows"][0], two["rows"][0]);
        assert_eq!((one["benchmark"].as_str(), one["iterations"].as_u64()), (Some("stacked-mnist"), Some(3)));
        assert_eq!(two["rows"].as_array().map(Vec::len), Some(4));
        for row in two["rows"].as_array().unwrap() {
            let modes = row["modes"].as_f64().unwrap();
            assert!((1.0..=40.0).contains(&modes) && row["reverse_kl"].as_f64().unwrap() > 0.0, "{row}");
        }
        let figures = &two["summary"][0]["figures"]["modes"];
        let mean = (0..2).map(|i| two["rows"][i]["modes"].as_f64().unwrap()).sum::<f64>() / 2.0;
        assert_eq!(figures["mean"].as_f64(), Some(mean));

        let page = std::fs::read_to_string(out.path().join(PAGE)).unwrap();
        assert_eq!((page.matches("<svg").count(), page.matches("<img").count()), (2, 2));
        let markdown = std::fs::read_to_string(out.path().join(TABLE)).unwrap();
        assert!(markdown.contains("least-squares-symmetric") && markdown.contains("PacDCGAN2"), "{markdown}");
        assert_eq!(std::fs::read_dir(out.path().join(PICTURES)).unwrap().count(), 4);
        if let Some(folder) = std::env::var_os("POCKETGAN_REPORT_OUT") {
            std::fs::write(Path::new(&folder).join("comparison.html"), page).unwrap();
        }
    }
}
