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
    #[inline(never)]
    pub fn task<'m>(self, model: &Model<'m>) -> Result<Task<'m>, TaskError> {
        let learning = model.file().learning().map_err(TaskError::Learning)?.ok_or(TaskError::CannotLearn)?;
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
        let task = self.task(model)?;
        let delta = values(task.delta_bytes());
        let received = line_bytes(model).into_iter().map(values).sum::<usize>();
        Ok(received + delta + Parts::lengths(&task, &self.options()).iter().sum::<usize>())
    }
}

/// What is left of an arena.
pub(crate) struct Memory<'a> {
    rest: &'a mut [f32],
    taken: usize,
}

impl<'a> Memory<'a> {
    pub(crate) fn new(arena: &'a mut [f32]) -> Self {
        Self { rest: arena, taken: 0 }
    }

    /// All of it, as bytes.
    pub(crate) fn bytes(&mut self) -> &mut [u8] {
        bytemuck::cast_slice_mut(self.rest)
    }

    /// Takes so many parts off it, or none.
    fn take<const N: usize>(&mut self, lens: [usize; N]) -> Result<[&'a mut [f32]; N], TaskError> {
        let len: usize = lens.iter().sum();
        if len > self.rest.len() {
            let bytes = |values: usize| values * size_of::<f32>();
            let (need_bytes, have_bytes) = (bytes(self.taken + len), bytes(self.taken + self.rest.len()));
            return Err(TaskError::MemoryTooSmall { need_bytes, have_bytes });
        }
        self.taken += len;
        Ok(lens.map(|len| {
            let (part, behind) = core::mem::take(&mut self.rest).split_at_mut(len);
            self.rest = behind;
            part
        }))
    }

    /// Takes so many bytes off it, which start at a multiple of 16 if the arena does.
    pub(crate) fn take_bytes<const N: usize>(
        &mut self,
        lens: [usize; N],
    ) -> Result<[&'a mut [u8]; N], TaskError> {
        let parts = self.take(lens.map(values))?;
        let mut lens = lens.into_iter();
        Ok(parts.map(|part| &mut bytemuck::cast_slice_mut(part)[..lens.next().unwrap_or(0)]))
    }
}

/// What a learner and its engine use of an arena.
pub(crate) struct Parts<'a> {
    /// The delta of what is being learned.
    pub(crate) fresh: &'a mut [u8],
    /// What the engine works in, and the generator between steps.
    pub(crate) work: &'a mut [f32],
    /// What the learner keeps.
    pub(crate) memory: &'a mut [f32],
}

impl<'a> Parts<'a> {
    fn lengths(task: &Task<'_>, options: &Options) -> [usize; 3] {
        let memory = Learner::<Arena<'_>>::memory_len(task, options);
        [values(task.delta_bytes()), Arena::work_len(task).next_multiple_of(4), memory]
    }

    /// Takes them off what is left.
    ///
    /// # Errors
    /// When that is too short.
    pub(crate) fn new(
        task: &Task<'_>,
        options: &Options,
        memory: &mut Memory<'a>,
    ) -> Result<Self, TaskError> {
        let [fresh, work, memory] = memory.take(Self::lengths(task, options))?;
        Ok(Self { fresh: bytemuck::cast_slice_mut(fresh), work, memory })
    }
}

/// Bytes of the pictures that come over the line, and of the frame that is coming.
pub(crate) fn line_bytes(model: &Model<'_>) -> [usize; 2] {
    let image_bytes = model.output_shape().iter().product::<usize>();
    [RECEIVED * image_bytes, image_bytes + frame::OVERHEAD_BYTES]
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
