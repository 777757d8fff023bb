//! What a board does that learns: what was learned is a delta of the model in flash.
//!
//! At the start the stored delta is checked and used; a command learns on from there, another saves. What follows a save is
//! what follows a cut of power: a new learner, on what is stored.

use core::fmt;

use embedded_io::{Read, Write};
use embedded_storage::nor_flash::NorFlash;
use pocketgan_finetune::store::Store;
use pocketgan_finetune::{Arena, ByteImages, Examples, Learner, TaskError};
use pocketgan_format::DeltaSummary;
use pocketgan_runtime::{Delta, DeltaError, Generator, Model, StartError, dispatch};

use super::session::Session;
use super::{Console, Device, End};
use crate::plan::{Memory, Parts, line_bytes};
use crate::terminal::{Closed, Terminal};
use crate::{Clock, Plan};

/// What a board gives besides to learn.
pub struct Learning<'a, F> {
    /// Where deltas are kept.
    pub store: Store<F>,
    /// Pictures to learn from, `[height, width, channels]` bytes each, one after the other.
    pub examples: &'a [u8],
    /// Reads the first bytes of a file of such pictures, and says how many there are; `None` where there is no file.
    pub file: &'a mut dyn FnMut(&mut [u8]) -> Option<usize>,
    /// How it learns, until it is told otherwise.
    pub plan: Plan,
}

/// How to compute, and how much to learn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Mode {
    pub(super) exact: bool,
    pub(super) plan: Plan,
    /// Whether what is stored is used.
    pub(super) stored: bool,
}

/// Why a session ends.
pub(super) enum Next {
    /// Something else is stored.
    Again,
    Switch(Mode),
    End(End),
}

/// Why a session does not start, or ends early.
enum Stop {
    Closed,
    Task(TaskError),
    Start(StartError),
}

impl<P: Read + Write, C: Clock> Device<'_, P, C> {
    /// Draws and learns what it is told until told to end.
    pub fn learn<F: NorFlash>(self, learning: Learning<'_, F>) -> End {
        let Self { model, port, clock, arena, fast, exact, usage } = self;
        let Learning { store, examples, file, plan } = learning;
        let mode = Mode { exact: false, plan, stored: true };
        let console = Console { terminal: Terminal::new(port), clock, fast, exact, usage, label: 0 };
        let mut lessons = Lessons { console, store, examples, file, received: 0 };
        // Whether the reason for an end is heard or not, it is the end.
        match lessons.console.load(model) {
            Ok(Some(model)) => lessons.run(&model, arena, mode).unwrap_or(End::Exit),
            Ok(None) | Err(Closed) => End::Failed,
        }
    }
}

/// What lasts from session to session.
pub(super) struct Lessons<'a, P, C, F> {
    pub(super) console: Console<P, C>,
    pub(super) store: Store<F>,
    pub(super) examples: &'a [u8],
    pub(super) file: &'a mut dyn FnMut(&mut [u8]) -> Option<usize>,
    /// Pictures that came over the line or from a file, if any are in use.
    pub(super) received: usize,
}

impl<P: Read + Write, C: Clock, F: NorFlash> Lessons<'_, P, C, F> {
    /// A session after the other.
    fn run(&mut self, model: &Model<'_>, arena: &mut [f32], mut mode: Mode) -> Result<End, Closed> {
        let mut before = None;
        loop {
            match (self.session(model, arena, mode), before) {
                (Ok(Next::Again), _) => {
                    mode.stored = true;
                    before = Some(mode);
                }
                (Ok(Next::Switch(other)), _) => {
                    before = Some(mode);
                    mode = other;
                }
                (Ok(Next::End(end)), _) => return Ok(end),
                (Err(Stop::Closed), _) => return Err(Closed),
                (Err(Stop::Start(error)), _) => {
                    self.console.say(format_args!("error: {error}"))?;
                    return Ok(End::Failed);
                }
                (Err(Stop::Task(error)), Some(last)) if last.plan != mode.plan => {
                    self.console.say(format_args!("not here: {error}"))?;
                    mode = last;
                }
                (Err(Stop::Task(error)), _) if mode.stored => {
                    self.console.say(format_args!("what is stored is ignored: {error}"))?;
                    mode.stored = false;
                }
                (Err(Stop::Task(error)), _) => {
                    self.console.say(format_args!("error: {error}"))?;
                    return Ok(End::Failed);
                }
            }
        }
    }

    /// Loads what is stored, and does what it is told until something else is stored.
    fn session(&mut self, model: &Model<'_>, arena: &mut [f32], mode: Mode) -> Result<Next, Stop> {
        let mut memory = Memory::new(arena);
        // First of all, so that pictures stay where they are from session to session.
        let [received, frame] = memory.take_bytes(line_bytes(model))?;
        let base = match mode.stored {
            true => self.stored(model, &mut memory)?,
            false => None,
        };
        let base = match base {
            Some(learned) => learned,
            None => {
                self.console.say(format_args!("drawing as the file says"))?;
                *model
            }
        };
        // By reference: it has 3 KB, and a copy would be as much stack again.
        let task = mode.plan.task(&base);
        let task = task.as_ref().map_err(|error| *error)?;
        let options = mode.plan.options();
        let Parts { fresh, work, memory } = Parts::new(task, &options, &mut memory)?;
        let (kernels, gradients) = match mode.exact {
            true => (self.console.exact, dispatch::gradients_exact()),
            false => (self.console.fast, dispatch::gradients()),
        };
        Generator::with_kernels(&base, work, kernels).map_err(Stop::Start)?;
        let engine = Arena::with_kernels(task, work, kernels, gradients)?;
        let learner = Learner::new(task, engine, memory, &options)?;
        let mut session = Session { lessons: self, base, learner, mode, received, frame, fresh };
        loop {
            let command = session.lessons.console.command()?;
            if let Some(next) = session.obey(command)? {
                return Ok(next);
            }
        }
    }

    /// The model with the stored delta, if there is one that is of use; only such a one takes memory.
    fn stored<'m>(&mut self, model: &Model<'m>, memory: &mut Memory<'m>) -> Result<Option<Model<'m>>, Stop> {
        let len = match self.store.load(memory.bytes()) {
            Ok(None) => return Ok(None),
            Ok(Some(bytes)) => match Delta::parse(bytes).and_then(|delta| with_delta(model, delta)) {
                Ok(_) => bytes.len(),
                Err(error) => return self.ignore(error),
            },
            Err(error) => return self.ignore(error),
        };
        let [bytes] = memory.take_bytes([len])?;
        let delta = match Delta::parse(bytes) {
            Ok(delta) => delta,
            Err(error) => return self.ignore(error),
        };
        let DeltaSummary { steps, examples, .. } = delta.summary();
        self.console
            .say(format_args!("drawing as learned in {steps} steps from {examples} examples, {len} bytes"))?;
        Ok(with_delta(model, delta).ok())
    }

    /// Says why the stored delta is not used.
    fn ignore<T>(&mut self, reason: impl fmt::Display) -> Result<Option<T>, Stop> {
        self.console.say(format_args!("what is stored is ignored: {reason}"))?;
        Ok(None)
    }
}

impl<P, C, F> Lessons<'_, P, C, F> {
    pub(super) fn example_count(&self, model: &Model<'_>) -> u32 {
        let image_len = model.output_shape().iter().product();
        let built_in = ByteImages::new(self.examples, image_len, model.range()).len();
        (if self.received > 0 { self.received } else { built_in }) as u32
    }
}

/// The model with a delta that is no farther from the file than the file allows.
pub(super) fn with_delta<'m>(model: &Model<'m>, delta: Delta<'m>) -> Result<Model<'m>, DeltaError> {
    let bound = model.file().learning().ok().flatten().map_or(0.0, |learning| learning.rule.bound);
    model.with_delta(delta, bound)
}

impl From<Closed> for Stop {
    fn from(_: Closed) -> Self {
        Self::Closed
    }
}

impl From<TaskError> for Stop {
    fn from(error: TaskError) -> Self {
        Self::Task(error)
    }
}
