//! Event files of a run: what TensorBoard shows of it.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result};

use crate::report::EventWriter;
use crate::training::watch::{History, Seen};
use crate::training::{Losses, Trainer};

/// Writes losses, speed, evaluations and sample grids of a run.
pub(super) struct Events {
    writer: EventWriter,
    /// Steps whose losses are written.
    written: usize,
    /// When the speed was written, and the step then.
    clock: (Instant, usize),
}

/// Name of the folder inside that of a run.
pub(super) const FOLDER: &str = "tensorboard";
/// Losses are means over this many steps: single ones say little, and would make 90 MB of a million steps.
const WINDOW: usize = 10;

impl Events {
    /// A new file for the steps that follow, in the folder of the run.
    pub(super) fn create(out: &Path, trainer: &Trainer) -> Result<Self> {
        let step = trainer.step_count();
        let writer = EventWriter::create(&out.join(FOLDER), step + 1)?;
        Ok(Self { writer, written: step - step % WINDOW, clock: (Instant::now(), step) })
    }

    /// Writes what there is to say after a step; `samples` is the grid if there is a new one.
    pub(super) fn write(
        &mut self,
        trainer: &Trainer,
        history: &History,
        seen: &Seen,
        samples: Option<&Path>,
    ) -> Result<()> {
        let step = trainer.step_count();
        // Losses may come late, and several windows at once.
        let losses = trainer.losses().get(self.written..).unwrap_or_default().chunks_exact(WINDOW);
        let is_due = losses.len() > 0;
        for window in losses {
            self.written += WINDOW;
            let mean = |of: fn(&Losses) -> f32| window.iter().map(of).sum::<f32>() / WINDOW as f32;
            let discriminator = ("loss/discriminator", mean(|losses| losses.discriminator));
            let generator = ("loss/generator", mean(|losses| losses.generator));
            self.writer.scalars(self.written, &[discriminator, generator])?;
        }
        if is_due {
            let (since, before) = core::mem::replace(&mut self.clock, (Instant::now(), step));
            let images = (step - before) * trainer.config().training.batch_size;
            let speed = images as f64 / since.elapsed().as_secs_f64();
            self.writer.scalars(step, &[("images_per_second", speed as f32)])?;
        }
        if let Some(evaluation) = seen.evaluation {
            let metric = history.metric.split(' ').next().unwrap_or_default();
            self.writer.scalars(step, &[(&format!("evaluation/{metric}"), evaluation.value)])?;
        }
        if let Some(path) = samples {
            let png = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
            self.writer.image(step, "samples", png)?;
        }
        Ok(())
    }
}
