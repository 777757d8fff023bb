//! `trainer train`: a configuration and a data set to a folder with a checkpoint.

mod args;
mod events;
mod page;

use core::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;

pub use args::Args;
use events::Events;

use super::interrupt::{Interrupted, Listener};
use super::lock::Lock;
use super::note::note;
use super::progress::{Progress, ensure_screen};
use crate::checkpoint::{self, newest, write_atomically};
use crate::config::Config;
use crate::dataset::{Dataset, Split};
use crate::method::{METHODS, Method};
use crate::training::watch::{History, Seen, Stop, Watch};
use crate::training::{self, Trainer};

#[derive(Serialize)]
struct Summary {
    checkpoint: PathBuf,
    steps: usize,
    loss_d: f32,
    loss_g: f32,
    images_per_second: f64,
    seconds: f64,
    /// Of the best evaluation; null without one.
    best_step: Option<usize>,
    best_metric: Option<f32>,
    metric: Option<String>,
    /// Why the run ended before its last step: `patience`, `collapse` or `interrupt`; null when it did not.
    stopped: Option<&'static str>,
}

/// Columns and rows of a sample grid.
const GRID: usize = 10;

/// Name of the folder with sample grids in that of a run.
const SAMPLES: &str = "samples";

/// Name of the configuration in the folder of a run.
const CONFIG_NAME: &str = "train.toml";

/// Trains.
///
/// # Errors
/// When options, files or the training fail, another run has the folder, or the images collapsed and that was to be an end;
/// [`Interrupted`] after a signal.
pub fn run(args: Args) -> Result<()> {
    if args.method.list_methods {
        print!("{}", method_table());
        return Ok(());
    }
    if args.tui {
        ensure_screen()?;
    }
    let started = std::time::Instant::now();
    let _lock = Lock::take(&args.out)?;
    let (trainer, history) = start(&args)?;
    let chosen = args.device.open()?;
    note!("{chosen}");
    let mut trainer = trainer.on(&chosen.devices)?;
    let config = trainer.config().clone();
    let out = &args.out;
    let samples = out.join(SAMPLES);
    std::fs::create_dir_all(&samples).with_context(|| format!("creating {}", samples.display()))?;
    newest::remove_unfinished(out)?;
    let of_run = out.join(CONFIG_NAME);
    // What says the same may say it with notes.
    if !states(&of_run, &config) {
        write_atomically(&of_run, config.to_toml().as_bytes())?;
    }

    let dataset = load(&config, Split::Train)?;
    note!("{}: {} images of {:?}", dataset.name(), dataset.len(), dataset.shape());
    let held_out = (config.watch.eval_every > 0).then(|| load(&config, Split::Test)).transpose()?;
    let mut watch = Watch::new(&trainer, history, &dataset, held_out.as_ref())?;
    if let Some(metric) = watch.metric() {
        let every = config.watch.eval_every;
        let kind = config.dataset.test_kind();
        note!("every {every} steps: {metric}, between as many generated as {kind} images");
    }
    let first_step = trainer.step_count();
    if first_step >= config.training.steps {
        note!("already at step {first_step}; --steps is the length of the whole run");
    }
    let mut events = args.tensorboard.then(|| Events::create(out, &trainer)).transpose()?;
    let listener = Listener::start()?;
    let mut progress = if args.tui { Progress::on_screen(&trainer)? } else { Progress::new(&trainer) };
    progress.evaluated(watch.history());
    let end = watch.run(&mut trainer, &dataset, |trainer, watch, seen| {
        let step = trainer.step_count();
        let is_last = step == config.training.steps || watch.stop().is_some();
        let due = |every: usize| every > 0 && step.is_multiple_of(every) || is_last;
        let signal = listener.signal().filter(|_| !is_last);
        let grid = due(config.training.sample_every).then(|| samples.join(format!("step-{step:06}.png")));
        if let Some(path) = &grid {
            training::write_samples(&trainer.ema_generator()?, config.seed, &dataset, GRID, path)?;
        }
        if seen.is_best {
            watch.checkpoint(trainer).save(&out.join(checkpoint::BEST_NAME))?;
        }
        if seen.evaluation.is_some() {
            save_history(watch.history(), out)?;
        }
        if due(config.training.checkpoint_every) || signal.is_some() {
            save(trainer, watch, out)?;
        }
        if let Some(events) = &mut events {
            events.write(trainer, watch.history(), seen, grid.as_deref())?;
        }
        // Last: Ctrl-C also ends whoever reads the other end of a pipe, and then printing ends this program.
        report(trainer, watch, seen, grid.as_deref(), &mut progress)?;
        signal.map_or(Ok(()), |signal| Err(interrupted(signal, step, &args).into()))
    });
    drop(listener);
    progress.finish(&trainer);
    let best = watch.history().best();
    if let Some(best) = best {
        let path = out.join(checkpoint::BEST_NAME);
        let metric = &watch.history().metric;
        note!("best: step {}, {metric} {:.4}, in {}", best.step, best.value, path.display());
    }
    let (stop, interrupted) = match end {
        Ok(stop) => (stop, None),
        Err(error) => (None, Some(error.downcast::<Interrupted>()?)),
    };
    if let Some(stop) = &stop {
        let when = if trainer.step_count() == first_step { "had stopped" } else { "stopped" };
        note!("{when} at step {}: {stop}", trainer.step_count());
    }
    if args.json {
        let last = trainer.losses().last();
        let summary = Summary {
            checkpoint: out.join(checkpoint::FILE_NAME),
            steps: trainer.step_count(),
            loss_d: last.map_or(f32::NAN, |l| l.discriminator),
            loss_g: last.map_or(f32::NAN, |l| l.generator),
            images_per_second: progress.images_per_second(&trainer),
            seconds: started.elapsed().as_secs_f64(),
            best_step: best.map(|best| best.step),
            best_metric: best.map(|best| best.value),
            metric: best.map(|_| watch.history().metric.clone()),
            stopped: stop.as_ref().map(Stop::reason).or(interrupted.as_ref().map(|_| "interrupt")),
        };
        println!("{}", serde_json::to_string(&summary)?);
    }
    if let Some(Stop::Collapse(_)) = stop {
        bail!("the generator has collapsed; --on-collapse warn goes on nevertheless");
    }
    interrupted.map_or(Ok(()), |interrupted| Err(interrupted.into()))
}

/// The end of a run that goes on later.
fn interrupted(signal: u8, step: usize, args: &Args) -> Interrupted {
    let out = args.out.display();
    let device = args.device.to_text();
    let tensorboard = if args.tensorboard { " --tensorboard" } else { "" };
    let tui = if args.tui { " --tui" } else { "" };
    Interrupted {
        signal,
        message: format!(
            "interrupted after step {step}, which is saved\ngo on with: trainer train --resume --out {out}{device}{tensorboard}{tui}"
        ),
    }
}

fn load(config: &Config, split: Split) -> Result<Dataset> {
    let network = &config.network;
    Dataset::load(config.dataset, config.data_dir.as_deref(), split, network.size, network.channels)
}

/// Shows what a step brought.
fn report(
    trainer: &Trainer,
    watch: &Watch,
    seen: &Seen,
    grid: Option<&Path>,
    progress: &mut Progress,
) -> Result<()> {
    seen.findings.iter().for_each(|finding| progress.warn(finding));
    if seen.evaluation.is_some() {
        progress.evaluated(watch.history());
    }
    if let Some(path) = grid {
        progress.sampled(path, trainer.step_count())?;
    }
    progress.update(trainer)
}

fn save(trainer: &Trainer, watch: &Watch, out: &Path) -> Result<()> {
    newest::replace(out, &watch.checkpoint(trainer))?;
    let mut csv = String::from("step,discriminator,generator\n");
    for (i, losses) in trainer.losses().iter().enumerate() {
        writeln!(csv, "{},{},{}", i + 1, losses.discriminator, losses.generator)?;
    }
    write_atomically(&out.join("losses.csv"), csv.as_bytes())?;
    page::write(out, &out.join(SAMPLES), trainer, watch.history())?;
    save_history(watch.history(), out)
}

fn save_history(history: &History, out: &Path) -> Result<()> {
    if !history.vitals.is_empty() {
        write_atomically(&out.join("vitals.csv"), history.vitals_csv().as_bytes())?;
    }
    if !history.evaluations.is_empty() {
        write_atomically(&out.join("evaluations.csv"), history.evaluations_csv().as_bytes())?;
    }
    Ok(())
}

/// Names, descriptions and sources of all methods in columns.
fn method_table() -> String {
    let width = |column: fn(&Method) -> &str| METHODS.iter().map(|m| column(m).len()).max().unwrap_or(0);
    let (name, description) = (width(|m| m.name), width(|m| m.description));
    METHODS.iter().fold(String::new(), |mut table, method| {
        let _ =
            writeln!(table, "{:name$}  {:description$}  {}", method.name, method.description, method.source);
        table
    })
}

/// The run before its first step, or as it was left.
fn start(args: &Args) -> Result<(Trainer, History)> {
    let of_run = args.out.join(CONFIG_NAME);
    let mut config = match &args.config {
        _ if args.resume => match newest::find(&args.out)? {
            Some(found) => return resume(found, args),
            // Left before its first checkpoint.
            None if of_run.exists() => Config::load(&of_run)?,
            None => Config::default(),
        },
        Some(path) => Config::load(path)?,
        None => Config::default(),
    };
    if !args.resume
        && let Some(path) = checkpoint::existing(&args.out)
    {
        bail!("{} exists; go on with --resume or choose another --out", path.display());
    }
    args.apply(&mut config)?;
    ensure!(
        args.resume || !of_run.exists() || states(&of_run, &config),
        "{} says otherwise than this run: start from it with --config {0}, go on with --resume, or choose another --out",
        of_run.display()
    );
    Ok((Trainer::new(&config)?, History::default()))
}

/// Whether a file holds this configuration.
fn states(path: &Path, config: &Config) -> bool {
    Config::load(path).is_ok_and(|stated| stated == *config)
}

fn resume(found: newest::Found, args: &Args) -> Result<(Trainer, History)> {
    let newest::Found { mut checkpoint, path, lost } = found;
    if let Some(lost) = lost {
        let step = checkpoint.step_count();
        eprintln!("{lost:#}\ngoing on from the checkpoint before, {}, step {step}", path.display());
    }
    let network = checkpoint.config.network.clone();
    args.apply(&mut checkpoint.config)?;
    ensure!(checkpoint.config.network == network, "a resumed run keeps the shape of its networks");
    let trainer = Trainer::resume(&checkpoint).with_context(|| format!("resuming {}", path.display()))?;
    Ok((trainer, checkpoint.history))
}

#[cfg(test)]
mod tests;
