//! How a board learns, and how its one arena is divided.

use pocketgan_finetune::{Arena, Learner, Optimizer, Options, Task, TaskError};
use pocketgan_format::Rule;
use pocketgan_runtime::Model;

use crate::frame;

/// How much of a model learns, by the memory that there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// As the file says, by Adam.
    Full,
    /// By momentum, and of the discriminator only the last layer: for 128 KB of RAM.
    Small,
}

impl Plan {
    /// Every plan.
    pub const ALL: [Self; 2] = [Self::Full, Self::Small];

    /// In lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Small => "small",
        }
    }

    /// How to learn.
    pub fn options(self) -> Options {
        let options = Options { batch: BATCH, ..Options::default() };
        match self {
            Self::Full => options,
            // Adam divides a gradient by its size; momentum needs a rate that stands in for it.
            Self::Small => {
                Options { optimizer: Optimizer::Momentum { momentum: 0.9 }, rate: SMALL_RATE, ..options }
            }
        }
    }

    /// What `model` learns.
    ///
    /// # Errors
    /// When the model cannot learn by this plan.
    pub fn task<'m>(self, model: &Model<'m>) -> Result<Task<'m>, TaskError> {
        let learning = model.file().learning().ok_or(TaskError::CannotLearn)?;
        let end = learning.rule.discriminator[1];
        let rule = match self {
            Self::Full => learning.rule,
            Self::Small => Rule { discriminator: [end.saturating_sub(1), end], ..learning.rule },
        };
        Task::with_rule(model, &learning, rule)
    }

    /// Values of the arena with which a board learns, in `f32`.
    ///
    /// # Errors
    /// When the model cannot learn by this plan.
    pub fn arena_len(self, model: &Model<'_>) -> Result<usize, TaskError> {
        Ok(Lengths::of(&self.task(model)?, &self.options()).total())
    }
}

/// The parts of an arena.
pub(crate) struct Parts<'a> {
    /// Pictures that came over the line.
    pub(crate) received: &'a mut [u8],
    /// The frame that is coming.
    pub(crate) frame: &'a mut [u8],
    /// The delta in use.
    pub(crate) stored: &'a mut [u8],
    /// The delta of what is being learned.
    pub(crate) fresh: &'a mut [u8],
    /// What the engine works in, and the generator between steps.
    pub(crate) work: &'a mut [f32],
    /// What the learner keeps.
    pub(crate) memory: &'a mut [f32],
}

/// Their lengths in `f32`, in that order. The first four are the same in every plan, so that pictures stay where they are.
struct Lengths([usize; 6]);

impl Lengths {
    fn of(task: &Task<'_>, options: &Options) -> Self {
        let image_bytes = task.image_len();
        let bytes = [RECEIVED * image_bytes, image_bytes + frame::OVERHEAD_BYTES];
        let [received, frame] = bytes.map(values);
        let delta = values(task.delta_bytes());
        let memory = Learner::<Arena<'_>>::memory_len(task, options);
        Self([received, frame, delta, delta, Arena::work_len(task).next_multiple_of(4), memory])
    }

    fn total(&self) -> usize {
        self.0.iter().sum()
    }
}

impl<'a> Parts<'a> {
    /// Divides an arena.
    ///
    /// # Errors
    /// When it is too short.
    pub(crate) fn new(task: &Task<'_>, options: &Options, arena: &'a mut [f32]) -> Result<Self, TaskError> {
        let lengths = Lengths::of(task, options);
        let bytes = |values: usize| values * size_of::<f32>();
        let (need_bytes, have_bytes) = (bytes(lengths.total()), bytes(arena.len()));
        if have_bytes < need_bytes {
            return Err(TaskError::MemoryTooSmall { need_bytes, have_bytes });
        }
        let mut rest = arena;
        let [received, frame, stored, fresh, work, memory] = lengths.0.map(|len| {
            let (part, behind) = core::mem::take(&mut rest).split_at_mut(len);
            rest = behind;
            part
        });
        let [received, frame, stored, fresh] = [received, frame, stored, fresh].map(bytemuck::cast_slice_mut);
        Ok(Self { received, frame, stored, fresh, work, memory })
    }
}

/// `f32` values that so many bytes take, in whole units of the 16 bytes to which deltas are aligned.
fn values(bytes: usize) -> usize {
    bytes.div_ceil(16) * 4
}

/// Most pictures that are kept of those that come over the line.
pub const RECEIVED: usize = 8;

/// Pairs of pictures in a step: it shows something soon.
const BATCH: usize = 2;

/// Of the file's learning rates.
const SMALL_RATE: f32 = 20.0;
