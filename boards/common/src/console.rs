//! A board that learns, and whom one talks to over a serial line.
//!
//! What was learned is a delta of the model in flash. At the start the stored delta is checked and used; a command learns on
//! from there, another saves. What follows a save is what follows a cut of power: a new learner, on what is stored.

mod session;

use core::fmt;

use embedded_io::{Read, Write};
use embedded_storage::nor_flash::NorFlash;
use pocketgan_finetune::store::Store;
use pocketgan_finetune::{Arena, ByteImages, Examples, Learner, TaskError};
use pocketgan_format::DeltaSummary;
use pocketgan_runtime::{Delta, DeltaError, Generator, Kernels, Model, StartError, dispatch};

use self::session::Session;
use crate::Plan;
use crate::command::Command;
use crate::plan::{Memory, Parts, line_bytes};
use crate::terminal::{Closed, Terminal};

/// What a board gives for a conversation.
pub struct Device<'a, P, F> {
    /// A `.pgan` file with a learning section.
    pub model: &'a [u8],
    /// Where commands come from and answers go.
    pub port: P,
    /// Where deltas are kept.
    pub store: Store<F>,
    /// Pictures to learn from, `[height, width, channels]` bytes each, one after the other.
    pub examples: &'a [u8],
    /// Reads the first bytes of a file of such pictures, and says how many there are; `None` where there is no file.
    pub file: &'a mut dyn FnMut(&mut [u8]) -> Option<usize>,
    /// At least [`Plan::arena_len`], at an address that is a multiple of 16.
    pub arena: &'a mut [f32],
    /// The fastest kernels that the board has, see [`dispatch::best`].
    pub fast: Kernels,
    /// Those that give the same bits as every other board's, see [`dispatch::exact`].
    pub exact: Kernels,
    /// How it learns, until it is told otherwise.
    pub plan: Plan,
    /// RAM that is in use.
    pub usage: fn() -> Usage,
}

/// RAM in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of statics, the arena among them.
    pub static_bytes: usize,
    /// Most bytes of stack so far.
    pub stack_bytes: usize,
}

/// How a conversation ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By `exit`, or because the line was closed.
    Exit,
    /// By `reset`.
    Reset,
    /// The model cannot be used; the reason was said.
    Failed,
}

/// How to compute, and how much to learn.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Mode {
    exact: bool,
    plan: Plan,
    /// Whether what is stored is used.
    stored: bool,
}

/// Why a session ends.
enum Next {
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

impl<P: Read + Write, F: NorFlash> Device<'_, P, F> {
    /// Talks until told to end.
    pub fn run(self) -> End {
        let Self { model, port, store, examples, file, arena, fast, exact, plan, usage } = self;
        let mut terminal = Terminal::new(port);
        let model = match Model::load(model) {
            Ok(model) => model,
            Err(error) => {
                // Whether that is heard or not, it is the end.
                let _ = terminal.say(format_args!("error: loading the model: {error}"));
                return End::Failed;
            }
        };
        let mode = Mode { exact: false, plan, stored: true };
        let mut talk = Talk { terminal, store, examples, file, fast, exact, usage, received: 0 };
        talk.run(&model, arena, mode).unwrap_or(End::Exit)
    }
}

/// What lasts from session to session.
struct Talk<'a, P, F> {
    terminal: Terminal<P>,
    store: Store<F>,
    examples: &'a [u8],
    file: &'a mut dyn FnMut(&mut [u8]) -> Option<usize>,
    fast: Kernels,
    exact: Kernels,
    usage: fn() -> Usage,
    /// Pictures that came over the line or from a file, if any are in use.
    received: usize,
}

impl<P: Read + Write, F: NorFlash> Talk<'_, P, F> {
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
                    self.terminal.say(format_args!("error: {error}"))?;
                    return Ok(End::Failed);
                }
                (Err(Stop::Task(error)), Some(last)) if last.plan != mode.plan => {
                    self.terminal.say(format_args!("not here: {error}"))?;
                    mode = last;
                }
                (Err(Stop::Task(error)), _) if mode.stored => {
                    self.terminal.say(format_args!("what is stored is ignored: {error}"))?;
                    mode.stored = false;
                }
                (Err(Stop::Task(error)), _) => {
                    self.terminal.say(format_args!("error: {error}"))?;
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
                self.terminal.say(format_args!("drawing as the file says"))?;
                *model
            }
        };
        // By reference: it has 3 KB, and a copy would be as much stack again.
        let task = mode.plan.task(&base);
        let task = task.as_ref().map_err(|error| *error)?;
        let options = mode.plan.options();
        let Parts { fresh, work, memory } = Parts::new(task, &options, &mut memory)?;
        let (kernels, gradients) = match mode.exact {
            true => (self.exact, dispatch::gradients_exact()),
            false => (self.fast, dispatch::gradients()),
        };
        Generator::with_kernels(&base, work, kernels).map_err(Stop::Start)?;
        let engine = Arena::with_kernels(task, work, kernels, gradients)?;
        let learner = Learner::new(task, engine, memory, &options)?;
        let mut session = Session { talk: self, base, learner, mode, received, frame, fresh };
        loop {
            let line = session.talk.terminal.line()?;
            session.talk.terminal.say(format_args!("> {}", line.text()))?;
            match Command::parse(line.text()) {
                Ok(Some(command)) => {
                    if let Some(next) = session.obey(command)? {
                        return Ok(next);
                    }
                }
                Ok(None) => {}
                Err(mistake) => session.talk.terminal.say(format_args!("{mistake}"))?,
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
        let terminal = &mut self.terminal;
        terminal
            .say(format_args!("drawing as learned in {steps} steps from {examples} examples, {len} bytes"))?;
        Ok(with_delta(model, delta).ok())
    }

    /// Says why the stored delta is not used.
    fn ignore<T>(&mut self, reason: impl fmt::Display) -> Result<Option<T>, Stop> {
        self.terminal.say(format_args!("what is stored is ignored: {reason}"))?;
        Ok(None)
    }
}

impl<P, F> Talk<'_, P, F> {
    fn example_count(&self, model: &Model<'_>) -> u32 {
        let image_len = model.output_shape().iter().product();
        let built_in = ByteImages::new(self.examples, image_len, model.range()).len();
        (if self.received > 0 { self.received } else { built_in }) as u32
    }
}

/// The model with a delta that is no farther from the file than the file allows.
fn with_delta<'m>(model: &Model<'m>, delta: Delta<'m>) -> Result<Model<'m>, DeltaError> {
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
