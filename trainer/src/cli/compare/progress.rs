//! Progress of many runs at once.

use core::time::Duration;
use std::io::IsTerminal as _;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use indicatif::{ProgressBar, ProgressDrawTarget};

use crate::benchmark::{Figures, Job};
use crate::cli::note::note;
use crate::cli::progress::bar;

/// A bar over the steps of all runs, or a line now and then where there is no terminal.
pub(super) struct Progress {
    pub(super) bar: ProgressBar,
    last_line: Mutex<Instant>,
}

impl Progress {
    pub(super) fn new(steps: usize) -> Self {
        let bar = bar("steps", steps);
        if !std::io::stderr().is_terminal() {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        Self { bar, last_line: Mutex::new(Instant::now()) }
    }

    pub(super) fn measured(&self, job: &Job, step: usize, figures: &Figures) {
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
            note!("step {done}/{all}, {} s left; {} {seed} at {step}: {figures}", left.as_secs(), job.method);
        }
    }

    pub(super) fn say(&self, line: &str) {
        if self.bar.is_hidden() {
            note!("{line}");
        } else {
            self.bar.println(line);
        }
    }
}

const LINE_EVERY: Duration = Duration::from_secs(5);
