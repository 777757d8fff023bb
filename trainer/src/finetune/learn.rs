//! Learning on this computer, by the same steps as on a device.

use std::time::Instant;

use anyhow::{Result, ensure};
use pocketgan_finetune::{Arena, Autodiff, Engine, Images, Learner, Losses, Options, StepError, Task};
use pocketgan_format::{AlignedBytes, Preset, Rule};
use pocketgan_runtime::Model;

/// How to learn here.
#[derive(Clone, Debug)]
pub struct LearnOptions {
    /// Who computes gradients.
    pub engine: EngineName,
    /// What moves, if it is not what the file says, and of preset `tail` how many layers.
    pub preset: Option<(Preset, usize)>,
    /// Steps.
    pub steps: usize,
    /// Latent vectors for which what the frozen layers make of them is kept.
    pub bank: usize,
    /// Learning stops when the discriminator knows the examples by heart to this degree, see [`Learner::overfitting`]: one in
    /// eight examples is held out for it. None learns from all, to the last step.
    pub overfitting: Option<f32>,
    /// As on a device.
    pub step: Options,
}

/// Who computes gradients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum EngineName {
    /// The engine for microcontrollers
    Arena,
    /// burn's gradients on burn-flex
    Flex,
    /// burn's gradients on burn-ndarray, which is slow
    Ndarray,
}

/// What was learned.
#[derive(Debug)]
pub struct Learned {
    /// The delta.
    pub delta: AlignedBytes,
    /// Losses of every step.
    pub losses: Vec<Losses>,
    /// Why learning ended before the last step.
    pub stopped: Option<Stopped>,
    /// Memory of the engine and the learner; of burn's engines that of the learner alone.
    pub arena_bytes: usize,
    /// Time of the steps alone.
    pub seconds: f64,
}

/// Why learning ended early.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stopped {
    /// The discriminator knew the examples by heart; what was learned until then is kept.
    Overfitting(f32),
    /// A guard undid everything; the delta is that of no step.
    Guard(StepError),
}

impl core::fmt::Display for Stopped {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Overfitting(degree) => {
                write!(f, "the discriminator knows the examples by heart (r_v = {degree:.2})")
            }
            Self::Guard(error) => write!(f, "{error}; everything was undone"),
        }
    }
}

impl Default for LearnOptions {
    fn default() -> Self {
        Self {
            engine: EngineName::Arena,
            preset: None,
            steps: 500,
            bank: 512,
            overfitting: None,
            step: Options::default(),
        }
    }
}

/// Learns from `examples`; `progress` sees every step.
///
/// # Shapes
/// `examples`: `[N, height, width, channels]` in the model's range.
///
/// # Errors
/// When the model cannot learn, or there is no example.
pub fn learn(
    model: &Model<'_>,
    examples: &[f32],
    options: &LearnOptions,
    progress: impl FnMut(usize, &Losses),
) -> Result<Learned> {
    let mut task = Task::new(model)?;
    if let (Some((preset, layers)), Some(learning)) = (options.preset, model.file().learning()?) {
        let generator = super::trained_steps(model.file(), preset, layers)?;
        task = Task::with_rule(model, &learning, Rule { preset, generator, ..learning.rule })?;
    }
    match options.engine {
        EngineName::Arena => {
            let mut work = vec![0.0; Arena::work_len(&task)];
            let work_bytes = size_of_val(&work[..]);
            let mut engine = Arena::new(&task, &mut work)?;
            learn_with(&task, &mut engine, work_bytes, examples, options, progress)
        }
        EngineName::Flex => learn_with(&task, &mut Autodiff::flex(), 0, examples, options, progress),
        EngineName::Ndarray => learn_with(&task, &mut Autodiff::ndarray(), 0, examples, options, progress),
    }
}

fn learn_with(
    task: &Task<'_>,
    engine: &mut dyn Engine,
    work_bytes: usize,
    examples: &[f32],
    options: &LearnOptions,
    mut progress: impl FnMut(usize, &Losses),
) -> Result<Learned> {
    let len = task.image_len();
    ensure!(examples.len() >= len, "there is no example to learn from");
    ensure!(examples.len().is_multiple_of(len), "examples are pictures of {len} values");
    // The last of every eight, if there are as many.
    let count = examples.len() / len;
    let hold_out = options.overfitting.filter(|_| count >= HELD_OUT);
    let (held_out, learned): (Vec<_>, Vec<_>) = examples
        .chunks_exact(len)
        .enumerate()
        .partition(|(index, _)| hold_out.is_some() && index % HELD_OUT == HELD_OUT - 1);
    let flat =
        |images: Vec<(usize, &[f32])>| images.into_iter().flat_map(|(_, image)| image).copied().collect();
    let (held_out, learned): (Vec<f32>, Vec<f32>) = (flat(held_out), flat(learned));
    let (held_out, examples) = (Images::new(&held_out, len), Images::new(&learned, len));

    let mut memory = vec![0.0; Learner::<&mut dyn Engine>::memory_len(task, &options.step)];
    let arena_bytes = work_bytes + size_of_val(&memory[..]);
    let mut bank = vec![0.0; options.bank * (task.features_len() + 1)];
    let mut learner = Learner::new(task, engine, &mut memory, &options.step)?.with_bank(&mut bank);
    let mut losses = vec![];
    let mut stopped = None;
    let started = Instant::now();
    for step in 0..options.steps {
        match learner.step(&examples) {
            Ok(loss) => {
                progress(step + 1, &loss);
                losses.push(loss);
            }
            Err(error) => {
                stopped = Some(Stopped::Guard(error));
                break;
            }
        }
        if let Some(limit) = hold_out
            && (step + 1) % CHECK_EVERY == 0
        {
            let degree = learner.overfitting(&examples, &held_out);
            if degree > limit {
                stopped = Some(Stopped::Overfitting(degree));
                break;
            }
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    let mut delta = AlignedBytes::copy(&vec![0; learner.delta_bytes()]);
    learner.write_delta(u32::try_from(count)?, delta.as_mut_slice())?;
    Ok(Learned { delta, losses, stopped, arena_bytes, seconds })
}

/// One of so many examples is held out.
const HELD_OUT: usize = 8;

/// Steps from one look at the held-out examples to the next.
const CHECK_EVERY: usize = 50;
