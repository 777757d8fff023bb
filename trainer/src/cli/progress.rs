//! Progress on stderr: a bar on a terminal, else a line every few seconds.

use core::time::Duration;
use std::io::IsTerminal;
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};

use crate::training::Trainer;

/// A bar for something that is counted, with a message.
pub fn bar(what: &'static str, len: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix} {wide_bar} {pos}/{len} {msg} {eta} left")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(len as u64).with_style(style).with_prefix(what)
}

/// Shows losses, a measurement if there is one, images per second and the time left.
pub struct Progress {
    bar: Option<ProgressBar>,
    steps: usize,
    batch_size: usize,
    started: Instant,
    first_step: usize,
    last_line: Instant,
    metric: Option<String>,
}

const LINE_EVERY: Duration = Duration::from_secs(5);
/// Losses shown are means over this many steps.
const WINDOW: usize = 50;

impl Progress {
    /// Starts the clock of `trainer`.
    pub fn new(trainer: &Trainer) -> Self {
        let training = &trainer.config().training;
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} steps, {msg}, {eta} left");
            let bar = ProgressBar::new(training.steps as u64);
            bar.set_style(style.expect("the template is valid"));
            bar.set_position(trainer.step_count() as u64);
            bar.reset_eta();
            bar
        });
        Self {
            bar,
            steps: training.steps,
            batch_size: training.batch_size,
            started: Instant::now(),
            first_step: trainer.step_count(),
            last_line: Instant::now(),
            metric: None,
        }
    }

    /// Shows the state after a step.
    pub fn update(&mut self, trainer: &Trainer) {
        let step = trainer.step_count();
        if let Some(bar) = &self.bar {
            bar.set_message(self.message(trainer));
            bar.set_position(step as u64);
        } else if self.last_line.elapsed() >= LINE_EVERY || step == self.steps {
            self.last_line = Instant::now();
            let per_step = self.started.elapsed().as_secs_f64() / (step - self.first_step) as f64;
            let left = per_step * (self.steps - step) as f64;
            eprintln!("step {step}/{}, {}, {left:.0} s left", self.steps, self.message(trainer));
        }
    }

    /// Shows this measurement from now on.
    pub fn set_metric(&mut self, metric: String) {
        self.metric = Some(metric);
    }

    /// Says something beside the progress.
    pub fn note(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{text}")),
            None => eprintln!("{text}"),
        }
    }

    /// Leaves the terminal as it was.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish();
        }
    }

    /// Images per second since the start.
    pub fn images_per_second(&self, trainer: &Trainer) -> f64 {
        let images = (trainer.step_count() - self.first_step) * self.batch_size;
        images as f64 / self.started.elapsed().as_secs_f64()
    }

    fn message(&self, trainer: &Trainer) -> String {
        let recent = &trainer.losses()[trainer.losses().len().saturating_sub(WINDOW)..];
        let mean = |sum: f32| sum / recent.len() as f32;
        let metric = self.metric.as_ref().map_or_else(String::new, |metric| format!(", {metric}"));
        format!(
            "loss D {:.3} G {:.3}{metric}, {:.0} images/s",
            mean(recent.iter().map(|l| l.discriminator).sum()),
            mean(recent.iter().map(|l| l.generator).sum()),
            self.images_per_second(trainer),
        )
    }
}
