//! The page of a run: where it stands, what it draws, and how its losses went. One file that asks for nothing from anywhere.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::ValueEnum;

use super::CONFIG_NAME;
use crate::checkpoint::write_atomically;
use crate::report::{Curve, Picture, Report, Row, grouped, line_chart, loss_curves};
use crate::training::watch::History;
use crate::training::{Losses, Trainer};

/// Name of the page in the folder of a run.
pub(super) const FILE_NAME: &str = "index.html";

/// Steps over which the losses of the table are means.
const RECENT: usize = 100;

/// Writes the page of a run that is as far as `trainer`, over what it was before.
///
/// # Errors
/// When the folder of samples cannot be read, or the page not written.
pub(super) fn write(out: &Path, samples: &Path, trainer: &Trainer, history: &History) -> Result<()> {
    let (config, step) = (trainer.config(), trainer.step_count());
    let name =
        out.file_name().map_or_else(|| out.display().to_string(), |name| name.to_string_lossy().into_owned());
    let report = Report {
        title: format!("{name}: step {} of {}", grouped(step as u64), grouped(config.training.steps as u64)),
        summary: format!(
            "A GAN of the family {} with the objective {} on {}, batches of {}, seed {}. The averaged generator drew the pictures.",
            name_of(config.network.architecture),
            config.objective.name(),
            name_of(config.dataset),
            config.training.batch_size,
            config.seed
        ),
        pictures: pictures(samples)?,
        rows: rows(trainer, history),
        charts: charts(trainer.losses(), history),
        command: Some(format!("trainer train --config {} --out again", out.join(CONFIG_NAME).display())),
    };
    write_atomically(&out.join(FILE_NAME), report.to_html().as_bytes())
}

/// As on the command line.
fn name_of(value: impl ValueEnum) -> String {
    value.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

/// The first sample grid and the last one, as far as they can be read: a run does not end for a picture that somebody took.
fn pictures(samples: &Path) -> Result<Vec<Picture>> {
    let entries = std::fs::read_dir(samples).with_context(|| format!("reading {}", samples.display()))?;
    let mut grids: Vec<(usize, PathBuf)> = entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let step =
                path.file_name()?.to_str()?.strip_prefix("step-")?.strip_suffix(".png")?.parse().ok()?;
            Some((step, path))
        })
        .collect();
    grids.sort();
    let last = grids.pop();
    grids.truncate(1);
    grids.extend(last);
    let picture = |(step, path): (usize, PathBuf)| {
        let png = std::fs::read(path).ok()?;
        let caption = format!("Step {}", grouped(step as u64));
        Some(Picture { png, caption, alt: format!("A grid of images drawn after step {step}") })
    };
    Ok(grids.into_iter().filter_map(picture).collect())
}

fn rows(trainer: &Trainer, history: &History) -> Vec<Row> {
    let losses = trainer.losses();
    let recent = &losses[losses.len().saturating_sub(RECENT)..];
    let mean = |of: fn(&Losses) -> f32| recent.iter().map(of).sum::<f32>() / recent.len().max(1) as f32;
    let loss = |name: &str, of| {
        Row::new(name, format!("{:.3}", mean(of)), format!("mean of the last {} steps", recent.len()))
    };
    let mut rows = vec![
        loss("Loss of the discriminator", |losses| losses.discriminator),
        loss("Loss of the generator", |losses| losses.generator),
    ];
    if let (Some(last), Some(best)) = (history.evaluations.last(), history.best()) {
        let row = |name, value: f32, step: usize| {
            Row::new(
                name,
                format!("{value:.4}"),
                format!("{}, at step {}", history.metric, grouped(step as u64)),
            )
        };
        rows.push(row("Last evaluation", last.value, last.step));
        rows.push(row("Best evaluation", best.value, best.step));
    }
    rows
}

/// None of what has no finite value yet.
fn charts(losses: &[Losses], history: &History) -> Vec<(String, String)> {
    let losses = loss_curves(losses.iter().map(|losses| [losses.discriminator, losses.generator]));
    let points =
        history.evaluations.iter().map(|evaluation| (evaluation.step as f64, f64::from(evaluation.value)));
    let curve = Curve { name: history.metric.clone(), points: points.collect() };
    let evaluations = line_chart("Evaluations", "distance", &[curve]);
    let charts = [("Losses", losses), ("Evaluations", evaluations)];
    charts.into_iter().filter_map(|(heading, svg)| Some((heading.into(), svg.ok()?))).collect()
}
