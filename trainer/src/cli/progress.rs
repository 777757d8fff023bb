//! Progress on stderr: a bar on a terminal, else a line every few seconds; a full screen where one is asked for, and
//! nothing where quiet is.

mod dashboard;
mod screen;

use core::time::Duration;
use std::io::IsTerminal;
use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

pub use screen::ensure_possible as ensure_screen;

use super::note::is_quiet;
use crate::training::watch::{Finding, History};
use crate::training::{Losses, Trainer};
use screen::Screen;

/// A bar for something that is counted, with a message.
pub fn bar(what: &'static str, len: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix} {wide_bar} {pos}/{len} {msg} {eta} left")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    let target = if is_quiet() { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    ProgressBar::with_draw_target(Some(len as u64), target).with_style(style).with_prefix(what)
}

/// Shows losses, evaluations if there are any, images per second and the time left.
pub struct Progress {
    view: View,
    steps: usize,
    batch_size: usize,
    started: Instant,
    first_step: usize,
    metric: Option<String>,
}

/// What shows progress.
enum View {
    Nothing,
    Lines { last: Instant },
    Bar(ProgressBar),
    Screen(Box<Screen>),
}

const LINE_EVERY: Duration = Duration::from_secs(5);
/// Losses shown are means over this many steps.
const WINDOW: usize = 50;

impl Progress {
    /// Starts the clock of `trainer`.
    pub fn new(trainer: &Trainer) -> Self {
        let view = if is_quiet() {
            View::Nothing
        } else if std::io::stderr().is_terminal() {
            let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} steps, {msg}, {eta} left");
            let bar = ProgressBar::new(trainer.config().training.steps as u64);
            bar.set_style(style.expect("the template is valid"));
            bar.set_position(trainer.step_count() as u64);
            bar.reset_eta();
            View::Bar(bar)
        } else {
            View::Lines { last: Instant::now() }
        };
        Self::in_view(view, trainer)
    }

    /// The same on the whole screen, until [`finish`](Self::finish). A key there is a Ctrl-C, for which there must be a
    /// [`Listener`](super::interrupt::Listener).
    ///
    /// # Errors
    /// When the terminal is none.
    pub fn on_screen(trainer: &Trainer) -> Result<Self> {
        let screen = Screen::open(trainer.config())?;
        Ok(Self::in_view(View::Screen(Box::new(screen)), trainer))
    }

    fn in_view(view: View, trainer: &Trainer) -> Self {
        let training = &trainer.config().training;
        Self {
            view,
            steps: training.steps,
            batch_size: training.batch_size,
            started: Instant::now(),
            first_step: trainer.step_count(),
            metric: None,
        }
    }

    /// Shows the state after a step.
    ///
    /// # Errors
    /// When the terminal is lost.
    pub fn update(&mut self, trainer: &Trainer) -> Result<()> {
        let step = trainer.step_count();
        let message = self.message(trainer);
        let (speed, left) = (self.images_per_second(trainer), self.seconds_left(step));
        match &mut self.view {
            View::Nothing => {}
            View::Lines { last } if last.elapsed() >= LINE_EVERY || step == self.steps => {
                eprintln!("step {step}/{}, {message}, {left:.0} s left", self.steps);
                *last = Instant::now();
            }
            View::Lines { .. } => {}
            View::Bar(bar) => {
                bar.set_message(message);
                bar.set_position(step as u64);
            }
            View::Screen(screen) => screen.update(trainer, speed, left)?,
        }
        Ok(())
    }

    /// Shows the last evaluation from now on.
    pub fn evaluated(&mut self, history: &History) {
        let (Some(last), Some(best)) = (history.evaluations.last(), history.best()) else { return };
        let metric = history.metric.split(' ').next().unwrap_or_default();
        self.metric = Some(format!("{metric} {:.4}, best {:.4} at {}", last.value, best.value, best.step));
        if let View::Screen(screen) = &mut self.view {
            screen.evaluated(history);
        }
    }

    /// Shows a sample grid, where there is room for one.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn sampled(&mut self, path: &Path, step: usize) -> Result<()> {
        match &mut self.view {
            View::Screen(screen) => screen.sampled(path, step),
            _ => Ok(()),
        }
    }

    /// Says what is wrong, quiet or not.
    pub fn warn(&mut self, finding: &Finding) {
        let text = format!("warning: {finding}");
        match &mut self.view {
            View::Nothing | View::Lines { .. } => eprintln!("{text}"),
            View::Bar(bar) => bar.suspend(|| eprintln!("{text}")),
            View::Screen(screen) => screen.warn(text),
        }
    }

    /// Leaves the terminal as it was, and what a screen showed there as text.
    pub fn finish(&mut self, trainer: &Trainer) {
        match core::mem::replace(&mut self.view, View::Nothing) {
            View::Nothing | View::Lines { .. } => {}
            View::Bar(bar) => bar.finish(),
            View::Screen(screen) => {
                let warnings = screen.close();
                warnings.iter().for_each(|warning| eprintln!("{warning}"));
                eprintln!("step {}/{}, {}", trainer.step_count(), self.steps, self.message(trainer));
            }
        }
    }

    /// Images per second since the start.
    pub fn images_per_second(&self, trainer: &Trainer) -> f64 {
        let images = (trainer.step_count() - self.first_step) * self.batch_size;
        images as f64 / self.started.elapsed().as_secs_f64()
    }

    fn seconds_left(&self, step: usize) -> f64 {
        let done = (step - self.first_step).max(1) as f64;
        self.started.elapsed().as_secs_f64() * self.steps.saturating_sub(step) as f64 / done
    }

    fn message(&self, trainer: &Trainer) -> String {
        let recent = &trainer.losses()[trainer.losses().len().saturating_sub(WINDOW)..];
        let metric = self.metric.as_ref().map_or_else(String::new, |metric| format!(", {metric}"));
        let speed = format!("{:.0} images/s", self.images_per_second(trainer));
        if recent.is_empty() {
            // A GPU has not been asked yet.
            return speed;
        }
        let mean = |loss: fn(&Losses) -> f32| recent.iter().map(loss).sum::<f32>() / recent.len() as f32;
        let (loss_d, loss_g) = (mean(|losses| losses.discriminator), mean(|losses| losses.generator));
        format!("loss D {loss_d:.3} G {loss_g:.3}{metric}, {speed}")
    }
}
