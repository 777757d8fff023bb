//! Runs as jobs: independent of each other, one per core, each done once.

use core::sync::atomic::{AtomicUsize, Ordering};
use std::path::Path;

use anyhow::{Context as _, Result};
use burn::tensor::Device;
use sha2::{Digest as _, Sha256};

use super::{Benchmark, Figures, Measure, Outcome, Record, Results};
use crate::checkpoint;
use crate::config::Config;
use crate::dataset::Dataset;
use crate::grid;
use crate::method::Method;
use crate::training::noise::{self, Stream};
use crate::training::{Trainer, generate};

/// One run of a method.
#[derive(Clone, Debug)]
pub struct Job {
    /// Name of the benchmark.
    pub benchmark: &'static str,
    /// Name of the method.
    pub method: &'static str,
    /// What is trained, seed and length included.
    pub config: Config,
    /// Steps between two measurements; there is always one at the end.
    pub eval_every: usize,
    /// Samples in a measurement.
    pub samples: usize,
    /// Digest of all of the above, of the judge, and of the version of this program.
    pub id: String,
}

impl Job {
    /// A run of `method` with `seed`.
    ///
    /// # Errors
    /// When the method makes no valid configuration of this benchmark's.
    pub fn new(benchmark: &'static Benchmark, method: &Method, seed: u64, plan: Plan<'_>) -> Result<Self> {
        let mut config = benchmark.base_config();
        config.seed = seed;
        // First, because methods may plan by it.
        config.training.steps = plan.steps;
        method.apply(&mut config);
        if let (Measure::Points, Some(penalty)) =
            (benchmark.measure, &mut config.regularizer.gradient_penalty)
        {
            // A hundredth of what images take, as in the reference code of WGAN-GP for points.
            penalty.weight /= 100.0;
        }
        plan.settings.iter().try_for_each(|setting| config.set(setting))?;
        // The papers count packs.
        config.training.batch_size *= config.network.pack;
        config.check().with_context(|| format!("method {} on benchmark {}", method.name, benchmark.name))?;
        let mut job = Self {
            benchmark: benchmark.name,
            method: method.name,
            config,
            eval_every: plan.eval_every,
            samples: plan.samples,
            id: String::new(),
        };
        job.id = job.digest(plan.judge);
        Ok(job)
    }

    /// The same numbers come of the same text.
    fn digest(&self, judge: &str) -> String {
        let Self { benchmark, method, config, eval_every, samples, id: _ } = self;
        let config = config.to_toml();
        let version = env!("CARGO_PKG_VERSION");
        let text = format!("{version}\n{benchmark}\n{method}\n{eval_every}\n{samples}\n{judge}\n{config}");
        Sha256::digest(text).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    /// Name of the picture of its last samples.
    pub fn picture(&self) -> String {
        format!("{}-{}-{}.png", self.method, self.config.seed, self.id)
    }
}

/// Length and measurements of every run.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    /// Steps of a run.
    pub steps: usize,
    /// Steps between two measurements.
    pub eval_every: usize,
    /// Samples in a measurement.
    pub samples: usize,
    /// What measures them, where there is a choice.
    pub judge: &'a str,
    /// What is set after the method, as [`Config::set`] reads it.
    pub settings: &'a [String],
}

/// Does the jobs that have no outcome yet, `threads` at a time, and writes what they measure to `results`.
///
/// `work` does one: it says what it measured after how many steps, and how it ended. It computes on one thread, so that
/// many small runs use all cores.
///
/// # Errors
/// The first error of `work`, after the other runs that were under way; and when results cannot be written. A training that
/// diverged is no error but an [`Outcome`].
pub fn work_off(
    jobs: &[Job],
    results: &Results,
    threads: usize,
    work: impl Fn(&Job, &mut dyn FnMut(usize, Figures) -> Result<()>) -> Result<Outcome> + Sync,
) -> Result<()> {
    let pending: Vec<&Job> = jobs.iter().filter(|job| results.outcome(&job.id).is_none()).collect();
    let next = AtomicUsize::new(0);
    let worker = || -> Result<()> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
        while let Some(job) = pending.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(error) = pool.install(|| run_one(job, results, &work)) {
                next.store(pending.len(), Ordering::Relaxed);
                return Err(error);
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.min(pending.len())).map(|_| scope.spawn(worker)).collect();
        let ends = workers.into_iter().map(|worker| match worker.join() {
            Ok(end) => end,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        // All are joined before the first error is returned.
        ends.collect::<Vec<_>>().into_iter().collect()
    })
}

fn run_one(
    job: &Job,
    results: &Results,
    work: impl Fn(&Job, &mut dyn FnMut(usize, Figures) -> Result<()>) -> Result<Outcome>,
) -> Result<()> {
    let record = |step, figures, outcome| Record {
        benchmark: job.benchmark.to_owned(),
        method: job.method.to_owned(),
        seed: job.config.seed,
        id: job.id.clone(),
        step,
        figures,
        outcome,
    };
    let (mut step, mut last) = (0, Figures::new());
    let outcome = work(job, &mut |at, figures| {
        (step, last) = (at, figures.clone());
        results.append(record(at, figures, None))
    })?;
    // What a failed run measured before is no result of it.
    let last = if outcome == Outcome::Finished { last } else { Figures::new() };
    results.append(record(step, last, Some(outcome)))
}

/// Folder of the last samples of every run, in that of a comparison.
pub const PICTURES: &str = "samples";

/// Folder of the runs that are not done, each as it was when it was last measured.
const CHECKPOINTS: &str = "checkpoints";

/// Trains on `devices` as a job says: from where it was measured last, if it was interrupted, and draws its last samples, all
/// in the folder `out`. `measure` makes figures of samples `[N, C, H, W]`; `stepped` hears how many steps were done.
///
/// # Errors
/// When a measurement, a picture or a checkpoint cannot be written, or a checkpoint not be read.
pub fn train(
    job: &Job,
    devices: &[Device],
    dataset: &Dataset,
    measure: impl Fn(&[f32]) -> Result<Figures>,
    out: &Path,
    stepped: impl Fn(usize),
    measured: &mut dyn FnMut(usize, Figures) -> Result<()>,
) -> Result<Outcome> {
    let [pictures, checkpoints] = [PICTURES, CHECKPOINTS].map(|name| out.join(name));
    for folder in [&pictures, &checkpoints] {
        std::fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    }
    let kept = checkpoints.join(format!("{}.bin", job.id));
    let trainer = if kept.is_file() {
        Trainer::resume(&checkpoint::load(&kept)?).with_context(|| format!("resuming {}", kept.display()))?
    } else {
        Trainer::new(&job.config)?
    };
    let mut trainer = trainer.on(devices)?;
    let (done, steps) = (trainer.step_count(), job.config.training.steps);
    stepped(done);
    let outcome = 'run: {
        for step in done + 1..=steps {
            if let Err(reason) = trainer.step(dataset) {
                break 'run Outcome::Failed(format!("{reason:#}"));
            }
            stepped(1);
            if step.is_multiple_of(job.eval_every) || step == steps {
                let samples = samples(&trainer, job)?;
                match measure(&samples) {
                    Ok(figures) => measured(step, figures)?,
                    Err(reason) => break 'run Outcome::Failed(format!("after step {step}: {reason:#}")),
                }
                if step < steps {
                    trainer.checkpoint().save(&kept)?;
                } else {
                    draw(&samples, dataset, &pictures.join(job.picture()))?;
                }
            }
        }
        Outcome::Finished
    };
    if kept.is_file() {
        std::fs::remove_file(&kept).with_context(|| format!("removing {}", kept.display()))?;
    }
    Ok(outcome)
}

/// Samples for inference, at every measurement of the same latents.
fn samples(trainer: &Trainer, job: &Job) -> Result<Vec<f32>> {
    // Number 0 are those of sample grids.
    let seed = noise::seed_of(job.config.seed, Stream::Samples, 1);
    Ok(generate(&trainer.ema_generator()?, job.samples, seed))
}

/// All points, and a square grid of images.
fn draw(samples: &[f32], dataset: &Dataset, path: &Path) -> Result<()> {
    const COLUMNS: usize = 10;
    let most = if dataset.is_of_points() { usize::MAX } else { COLUMNS * COLUMNS };
    let shown = samples.len().min(most.saturating_mul(dataset.shape().iter().product()));
    grid::draw(path, &samples[..shown], dataset, COLUMNS)
}

#[cfg(test)]
mod tests {
    use core::cell::Cell;
    use std::sync::Mutex;

    use anyhow::{anyhow, bail, ensure};

    use super::*;
    use crate::method::METHODS;

    const PLAN: Plan = Plan { steps: 30, eval_every: 10, samples: 5, judge: "", settings: &[] };

    fn jobs() -> Vec<Job> {
        let benchmark = Benchmark::named("mnist").unwrap();
        (1..=6).map(|seed| Job::new(benchmark, &METHODS[0], seed, PLAN).unwrap()).collect()
    }

    /// What is set is what is trained with, after all that the benchmark and the method say.
    #[test]
    fn settings_come_last() {
        let ring = Benchmark::named("ring").unwrap();
        let weight = |settings: &[String]| {
            let plan = Plan { settings, ..PLAN };
            let config = Job::new(ring, Method::named("r1").unwrap(), 1, plan).unwrap().config;
            config.regularizer.gradient_penalty.unwrap().weight
        };
        assert_eq!(weight(&[]), 0.01);
        assert_eq!(weight(&["regularizer.gradient_penalty.weight=0.5".into()]), 0.5);
    }

    fn figures(value: f64) -> Figures {
        Figures::from([("frechet".to_owned(), value)])
    }

    /// Measures the step times the seed; notes which seeds it was asked for.
    fn fake<'a>(
        seen: &'a Mutex<Vec<u64>>,
    ) -> impl Fn(&Job, &mut dyn FnMut(usize, Figures) -> Result<()>) -> Result<Outcome> + Sync + 'a {
        |job, measured| {
            seen.lock().unwrap().push(job.config.seed);
            for step in [10, 20, 30] {
                measured(step, figures(step as f64 * job.config.seed as f64))?;
            }
            Ok(if job.config.seed == 4 { Outcome::Failed("too steep".into()) } else { Outcome::Finished })
        }
    }

    #[test]
    fn what_is_done_is_not_done_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("results.jsonl");
        let jobs = jobs();
        let seen = Mutex::new(vec![]);
        // The third job breaks, as a full disk would break it.
        let results = Results::open(&path).unwrap();
        let error = work_off(&jobs, &results, 1, |job, measured| {
            if job.config.seed == 3 {
                measured(10, figures(-1.0))?;
                bail!("no space");
            }
            fake(&seen)(job, measured)
        });
        assert_eq!(error.unwrap_err().to_string(), "no space");
        drop(results);
        assert_eq!(*seen.lock().unwrap(), [1, 2]);

        let results = Results::open(&path).unwrap();
        work_off(&jobs, &results, 3, fake(&seen)).unwrap();
        drop(results);
        let mut all = seen.lock().unwrap().clone();
        all.sort_unstable();
        assert_eq!(all, [1, 2, 3, 4, 5, 6]);

        let results = Results::open(&path).unwrap();
        work_off(&jobs, &results, 3, |_, _| Err(anyhow!("nothing is left to do"))).unwrap();
        for job in &jobs {
            let records = results.of(&job.id);
            let steps: Vec<usize> = records.iter().map(|record| record.step).collect();
            assert_eq!(steps, [10, 20, 30, 30], "seed {}", job.config.seed);
            let last = records.last().unwrap();
            if job.config.seed == 4 {
                assert_eq!(last.outcome, Some(Outcome::Failed("too steep".into())));
                assert!(last.figures.is_empty());
            } else {
                assert_eq!(last.figures, figures(30.0 * job.config.seed as f64));
            }
        }
    }

    #[test]
    fn whatever_decides_the_result_is_part_of_the_digest() {
        let benchmark = Benchmark::named("mnist").unwrap();
        let job = |method: &Method, seed, plan| Job::new(benchmark, method, seed, plan).unwrap().id;
        let id = job(&METHODS[0], 1, PLAN);
        assert_eq!(id, job(&METHODS[0], 1, PLAN));
        for other in [
            job(&METHODS[1], 1, PLAN),
            job(&METHODS[0], 2, PLAN),
            job(&METHODS[0], 1, Plan { steps: 31, ..PLAN }),
            job(&METHODS[0], 1, Plan { eval_every: 11, ..PLAN }),
            job(&METHODS[0], 1, Plan { samples: 6, ..PLAN }),
            job(&METHODS[0], 1, Plan { judge: "another", ..PLAN }),
            job(&METHODS[0], 1, Plan { settings: &["training.ema_decay=0.5".to_owned()], ..PLAN }),
        ] {
            assert_ne!(id, other);
        }
    }

    #[test]
    fn a_job_has_one_thread_whatever_the_number_of_jobs() {
        let dir = tempfile::tempdir().unwrap();
        let results = Results::open(&dir.path().join("results.jsonl")).unwrap();
        work_off(&jobs(), &results, 4, |_, _| {
            assert_eq!(rayon::current_num_threads(), 1);
            Ok(Outcome::Finished)
        })
        .unwrap();
    }

    /// A real training: the same records come of one worker and of three, and a training that diverges is a record too.
    #[test]
    fn runs_do_not_disturb_each_other() {
        let dir = tempfile::tempdir().unwrap();
        let pixels = (0..7 * 28 * 28).map(|i| (i * i % 251) as u8).collect();
        let dataset = Dataset::new("tiny", [1, 28, 28], pixels, None).unwrap();
        let mut jobs = jobs();
        jobs.truncate(3);
        for job in &mut jobs {
            job.config.network.width = 2;
            job.config.network.latent_dim = 4;
            job.config.training.batch_size = 4;
            job.config.training.steps = 4;
            job.eval_every = 2;
        }
        jobs[2].config.training.lr_g = 1e30;
        let run = |threads: usize| {
            let results = Results::open(&dir.path().join(format!("{threads}.jsonl"))).unwrap();
            let mean = |samples: &[f32]| {
                let mean = samples.iter().sum::<f32>() / samples.len() as f32;
                ensure!(mean.is_finite(), "samples are not finite");
                Ok(figures(mean.into()))
            };
            work_off(&jobs, &results, threads, |job, measured| {
                train(job, &[Device::flex()], &dataset, mean, dir.path(), |_| (), measured)
            })
            .unwrap();
            jobs.iter().map(|job| results.of(&job.id)).collect::<Vec<_>>()
        };
        let one = run(1);
        assert_eq!(one, run(3));
        assert_eq!(one[0].iter().map(|record| record.step).collect::<Vec<_>>(), [2, 4, 4]);
        assert_ne!(one[0][1].figures, one[1][1].figures);
        let Some(Outcome::Failed(reason)) = &one[2].last().unwrap().outcome else { panic!("{:?}", one[2]) };
        assert!(reason.contains("diverged") || reason.contains("not finite"), "{reason}");
        assert!(dir.path().join(PICTURES).join(jobs[0].picture()).is_file());
        assert_eq!(std::fs::read_dir(dir.path().join(CHECKPOINTS)).unwrap().count(), 0, "all are done");
    }

    /// The figures of a run that broke off are those of one that did not, and it measures again only what it lost.
    #[test]
    fn an_interrupted_run_goes_on_where_it_was_measured_last() {
        let dir = tempfile::tempdir().unwrap();
        let pixels = (0..7 * 28 * 28).map(|i| (i * i % 251) as u8).collect();
        let dataset = Dataset::new("tiny", [1, 28, 28], pixels, None).unwrap();
        let mut job = jobs().swap_remove(0);
        (job.config.network.width, job.config.network.latent_dim) = (2, 4);
        (job.config.training.batch_size, job.config.training.steps, job.eval_every) = (4, 7, 2);
        let sum = |samples: &[f32]| Ok(figures(samples.iter().map(|x| f64::from(*x)).sum()));
        // Until the measurement after step `end` cannot be written.
        let run = |out: &str, end: usize| {
            let mut seen = vec![];
            let (steps, out) = (Cell::new(0), dir.path().join(out));
            let stepped = |count| steps.set(steps.get() + count);
            let outcome =
                train(&job, &[Device::flex()], &dataset, sum, &out, stepped, &mut |step, figures| {
                    ensure!(step < end, "no space");
                    seen.push((step, figures));
                    Ok(())
                });
            (seen, steps.get(), outcome.is_ok())
        };
        let (whole, steps, _) = run("whole", 8);
        assert_eq!((whole.len(), steps), (4, 7));
        assert_eq!(run("cut", 6), (whole[..2].to_vec(), 6, false));
        assert_eq!(run("cut", 8), (whole[2..].to_vec(), 7, true));
        let broken = dir.path().join("whole").join(CHECKPOINTS).join(format!("{}.bin", job.id));
        std::fs::write(&broken, "nothing").unwrap();
        assert!(!run("whole", 8).2 && broken.is_file(), "what cannot be read is left to people");
    }
}
