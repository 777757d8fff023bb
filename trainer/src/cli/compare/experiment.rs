//! What is compared, how, and all that can be said of it.

use core::cell::Cell;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use pocketgan_compiler::file;
use pocketgan_compiler::onnx::split_spec;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::Args;
use super::progress::Progress;
use crate::benchmark::{
    self, Benchmark, Figures, Job, Meter, Outcome, PICTURES, Plan, Results, Summary, table, work_off,
};
use crate::cli::note::note;
use crate::dataset::{Dataset, Split};
use crate::method::Method;
use crate::report::{Comparison, Curve, MOST_CURVES, Picture, grouped, line_chart};

/// Runs of one benchmark.
pub(super) struct Experiment {
    pub(super) benchmark: &'static Benchmark,
    pub(super) steps: usize,
    pub(super) samples: usize,
    /// One seed of all methods after the other, so that a table soon has all of its rows.
    pub(super) jobs: Vec<Job>,
}

impl Experiment {
    pub(super) fn new(args: &Args, benchmark: &'static Benchmark, judge: &str) -> Result<Self> {
        let methods =
            args.methods.iter().map(|name| Method::named(name)).collect::<Result<Vec<&Method>>>()?;
        for (i, name) in args.methods.iter().enumerate() {
            ensure!(!args.methods[..i].contains(name), "method {name} is named twice");
        }
        for (i, seed) in args.seeds.iter().enumerate() {
            ensure!(!args.seeds[..i].contains(seed), "seed {seed} is named twice");
        }
        let given = |number: Option<u32>, otherwise| number.map_or(otherwise, |number| number as usize);
        let steps = given(args.iterations, benchmark.base_config().training.steps);
        let often = steps.div_ceil(LEAST_MEASUREMENTS).clamp(1, benchmark.eval_every);
        let (eval_every, samples) = (given(args.eval_every, often), given(args.samples, benchmark.samples));
        let plan = Plan { steps, eval_every, samples, judge, settings: &args.set };
        let mut jobs = vec![];
        for &seed in &args.seeds {
            for method in methods.iter().copied() {
                jobs.push(Job::new(benchmark, method, seed, plan)?);
            }
        }
        Ok(Self { benchmark, steps, samples, jobs })
    }

    pub(super) fn work(&self, args: &Args, meter: &Meter, results: &Results) -> Result<()> {
        let pending = self.jobs.iter().filter(|job| results.outcome(&job.id).is_none()).count();
        if pending < self.jobs.len() {
            note!("{} of {} runs are done already", self.jobs.len() - pending, self.jobs.len());
        }
        if pending == 0 {
            return Ok(());
        }
        let base = self.benchmark.base_config();
        let (size, channels) = (base.network.size, base.network.channels);
        let dataset = Dataset::load(base.dataset, args.data_dir.as_deref(), Split::Train, size, channels)?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let chosen = args.device.open()?;
        note!("{chosen}");
        let progress = Progress::new(pending * self.steps);
        work_off(&self.jobs, results, args.threads.unwrap_or(cores).max(1), |job, measured| {
            let steps = Cell::new(0);
            let stepped = |count: usize| {
                steps.set(steps.get() + count);
                progress.bar.inc(count as u64);
            };
            let measure = |samples: &[f32]| meter.measure(samples);
            let mut measured = |step, figures: Figures| {
                progress.measured(job, step, &figures);
                measured(step, figures)
            };
            let outcome =
                benchmark::train(job, &chosen.devices, &dataset, measure, &args.out, stepped, &mut measured)?;
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

    pub(super) fn report(&self, args: &Args, meter: &Meter, summary: &Summary) -> Result<Comparison> {
        let benchmark = self.benchmark;
        let mut paragraphs = vec![
            benchmark.description.to_owned(),
            format!("Protocol: {}", benchmark.source),
            format!(
                "{} steps and {} samples for each run; means and standard errors over seeds {}. Real data: {}.",
                grouped(self.steps as u64),
                grouped(self.samples as u64),
                args.seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(", "),
                meter.note()
            ),
        ];
        if !args.set.is_empty() {
            paragraphs.push(format!("All methods with {}.", args.set.join(", ")));
        }
        let protocol_steps = benchmark.base_config().training.steps;
        if self.steps != protocol_steps && !benchmark.published.is_empty() {
            paragraphs.push(format!("The protocol has {} steps.", grouped(protocol_steps as u64)));
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
        let settings: String = args.set.iter().map(|setting| format!(" --set {setting}")).collect();
        format!(
            "trainer compare --benchmark {} --methods {} --seeds {} --iterations {} --eval-every {eval_every} --samples {}{settings}{}",
            self.benchmark.name,
            args.methods.join(","),
            seeds.join(","),
            self.steps,
            self.samples,
            args.device.to_text(),
        )
    }

    pub(super) fn json(&self, meter: &Meter, summary: &Summary) -> Value {
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

/// What tells one judge from another: the classifier whatever its name, the tensor that is read, and what it is shown.
///
/// # Errors
/// When the file cannot be read.
pub(super) fn judge(features: &str, args: &Args) -> Result<String> {
    let (path, tensor) = split_spec(features);
    let digest = Sha256::digest(file::read(path, file::MAX_ONNX_BYTES)?);
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let tensor = tensor.unwrap_or_default();
    Ok(format!("{digest} {tensor} {} {}", args.features_mean, args.features_std))
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
            let heading = format!("{} over steps, mean of the runs", capitalized(figure.name));
            charts.push((heading, line_chart(&capitalized(figure.name), &figure.heading(), some)?));
        }
    }
    Ok(charts)
}

fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// In a run that is shorter than the paper's, so that there are curves.
const LEAST_MEASUREMENTS: usize = 10;
