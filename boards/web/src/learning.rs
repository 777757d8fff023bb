//! Learning in a page: deltas, a learner, and pictures of what it has learned so far.

use core::fmt;
use core::ptr;

use pocketgan_finetune::{Arena, ByteImages, Learner, Losses, Options, StepError, Task, TaskError};
use pocketgan_format::{Preset, Rule};
use pocketgan_runtime::{Delta, DeltaError, Model, StartError};

use crate::PAGE;
use crate::memory::{self, Mark};
use crate::session::Session;

/// What a page must know of learning. Every field is an `f64`, which holds addresses and counts alike.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    /// Since the start.
    pub steps: f64,
    /// Of the last step.
    pub discriminator: f64,
    /// Of the last step.
    pub generator: f64,
    /// Mean score of real pictures in the last step.
    pub real: f64,
    /// Mean score of generated ones.
    pub fake: f64,
    /// Address of the delta that [`finish`] writes.
    pub delta: f64,
    /// Of what is learned in and from.
    pub memory_bytes: f64,
}

/// Deltas and a learner.
pub(crate) struct Learning {
    /// Where memory ends that a delta in use has.
    mark: Option<Mark>,
    /// Room for a delta that is not in use yet.
    room: Option<(*mut u8, usize)>,
    /// Pictures to learn from, `[height, width, channels]` bytes each, one after the other, and how many.
    examples: Option<(*mut u8, usize)>,
    learner: Option<Learner<'static, 'static, Arena<'static>>>,
    /// The delta of what is being learned.
    fresh: Option<&'static mut [u8]>,
    progress: Progress,
}

impl Learning {
    pub(crate) const NONE: Self = Self {
        mark: None,
        room: None,
        examples: None,
        learner: None,
        fresh: None,
        progress: Progress {
            steps: 0.0,
            discriminator: 0.0,
            generator: 0.0,
            real: 0.0,
            fake: 0.0,
            delta: 0.0,
            memory_bytes: 0.0,
        },
    };

    /// Ends all that uses memory.
    pub(crate) fn forget(&mut self) {
        *self = Self::NONE;
    }

    /// Ends the learner, and gives back the memory that is not a delta's in use.
    ///
    /// # Safety
    /// No other function of the module runs.
    unsafe fn rest(&mut self, session: &Session) {
        let mark = self.mark;
        *self = Self { mark, ..Self::NONE };
        // SAFETY: what used that memory is gone.
        unsafe { memory::release(mark.unwrap_or(session.mark)) };
    }

    /// Starts a learner.
    ///
    /// # Safety
    /// No other function of the module runs.
    unsafe fn start(&mut self, session: &Session, preset: Preset, options: &Options) -> Result<(), Refusal> {
        let Some((_, count)) = self.examples else { return Err(Refusal::Step(StepError::NoExamples)) };
        let model = &session.shown;
        let learning = model.file().learning().map_err(TaskError::Learning)?.ok_or(TaskError::CannotLearn)?;
        let rule = rule_of(model, learning.rule, preset).ok_or(Refusal::Preset(preset))?;
        let task = Task::with_rule(model, &learning, rule)?;
        let lens = [
            Arena::work_len(&task),
            Learner::<Arena<'_>>::memory_len(&task, options),
            MAX_BANK_LEN.min(BANK * (task.features_len() + 1)),
        ];
        // SAFETY: promised by the caller; a learner before is gone.
        let (place, fresh, [work, memory, bank]) = unsafe {
            (
                memory::take(size_of::<Task<'_>>()).ok_or(Refusal::Memory)?,
                memory::take(task.delta_bytes()).ok_or(Refusal::Memory)?,
                lens.map(|len| memory::take_values(len)),
            )
        };
        let place = place.as_mut_ptr().cast::<Task<'static>>();
        // SAFETY: the place is as long as a task, its address a multiple of 16, and nothing else knows it.
        let task: &'static Task<'static> = unsafe {
            place.write(task);
            &*place
        };
        let engine = Arena::new(task, work.ok_or(Refusal::Memory)?)?;
        let learner = Learner::new(task, engine, memory.ok_or(Refusal::Memory)?, options)?;
        // Without memory for it, the frozen steps run each time.
        self.learner = Some(learner.with_bank(bank.unwrap_or_default()));
        let pictures = count * task.image_len();
        let bytes = size_of::<f32>() * lens.iter().sum::<usize>() + fresh.len() + pictures;
        self.progress = Progress {
            delta: fresh.as_ptr().expose_provenance() as f64,
            memory_bytes: bytes as f64,
            ..Progress::default()
        };
        self.fresh = Some(fresh);
        Ok(())
    }

    /// Writes the delta of what was learned, and checks it as any other. Returns the model with it, and its length.
    fn write<'s>(&'s mut self, model: &Model<'s>) -> Result<(Model<'s>, usize), Refusal> {
        let (Some(learner), Some((_, count)), Some(fresh)) = (&self.learner, self.examples, &mut self.fresh)
        else {
            return Err(Refusal::Step(StepError::NoExamples));
        };
        let len = learner.write_delta(count as u32, fresh)?;
        let bytes = &fresh[..len];
        Ok((with_delta(model, Delta::parse(bytes)?)?, len))
    }
}

/// Makes room for a delta of so many bytes, for [`use_delta`], and goes back to what the file holds; null when there is no
/// memory, and for 0 bytes.
///
/// # Safety
/// That of the module.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn delta_room(bytes: usize) -> *mut u8 {
    // SAFETY: promised by the caller.
    let page = unsafe { PAGE.get() };
    let Some(session) = &mut page.session else { return ptr::null_mut() };
    session.shown = session.model;
    page.learning.mark = None;
    // SAFETY: promised by the caller; the delta before is in use no longer.
    unsafe { page.learning.rest(session) };
    if bytes == 0 {
        return ptr::null_mut();
    }
    // SAFETY: promised by the caller.
    let Some(room) = (unsafe { memory::take(bytes) }) else {
        page.error.set(Refusal::Memory);
        return ptr::null_mut();
    };
    page.learning.room = Some((room.as_mut_ptr(), bytes));
    room.as_mut_ptr()
}

/// Draws from now on with the delta that was copied to where [`delta_room`] said. Returns 0 when it is refused, see
/// [`error`](crate::error).
///
/// # Safety
/// That of the module; and the delta does not change any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn use_delta() -> u32 {
    // SAFETY: promised by the caller.
    let page = unsafe { PAGE.get() };
    let (Some(session), Some((start, len))) = (&mut page.session, page.learning.room.take()) else {
        return 0;
    };
    // SAFETY: `delta_room` took this memory, which is given back only after the delta is in use no longer.
    let bytes: &'static [u8] = unsafe { core::slice::from_raw_parts(start, len) };
    let model = session.model;
    match Delta::parse(bytes).and_then(|delta| with_delta(&model, delta)) {
        Ok(shown) => {
            session.shown = shown;
            // SAFETY: promised by the caller.
            page.learning.mark = Some(unsafe { memory::mark() });
            1
        }
        Err(error) => {
            page.error.set(error);
            0
        }
    }
}

/// Ends the learner before, and makes room for so many pictures to learn from, `[height, width, channels]` bytes each, one
/// after the other; null when there is no memory.
///
/// # Safety
/// That of the module.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn examples(count: usize) -> *mut u8 {
    // SAFETY: promised by the caller.
    let page = unsafe { PAGE.get() };
    let Some(session) = &page.session else { return ptr::null_mut() };
    // SAFETY: promised by the caller.
    unsafe { page.learning.rest(session) };
    let image_len: usize = session.model.output_shape().iter().product();
    let bytes = image_len.checked_mul(count).filter(|&bytes| bytes <= MAX_EXAMPLES_BYTES);
    // SAFETY: promised by the caller.
    let Some(room) = bytes.and_then(|bytes| unsafe { memory::take(bytes) }) else {
        page.error.set(Refusal::Memory);
        return ptr::null_mut();
    };
    page.learning.examples = Some((room.as_mut_ptr(), count));
    room.as_mut_ptr()
}

/// Starts a learner on these pictures, on from the delta in use: presets have the numbers of [`Preset::ALL`], `batch` is
/// pairs of pictures in a step, `rate` a factor of the file's learning rates. Returns the address of its [`Progress`]; null
/// when it cannot learn so, see [`error`](crate::error).
///
/// # Safety
/// That of the module.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn start(preset: usize, batch: usize, rate: f32, seed: u64) -> *const Progress {
    // SAFETY: promised by the caller.
    let page = unsafe { PAGE.get() };
    let Some(session) = &page.session else { return ptr::null() };
    let preset = Preset::ALL.get(preset).copied().unwrap_or(Preset::Tail);
    let options = Options { seed, batch, rate, ..Options::default() };
    // SAFETY: promised by the caller.
    match unsafe { page.learning.start(session, preset, &options) } {
        Ok(()) => &raw const page.learning.progress,
        Err(refusal) => {
            page.error.set(refusal);
            ptr::null()
        }
    }
}

/// Learns one step. Returns 0 when a guard has undone everything, or there is no learner; see [`error`](crate::error).
///
/// # Safety
/// That of the module; and the pictures do not change while it learns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn learn() -> u32 {
    // SAFETY: promised by the caller.
    let page = unsafe { PAGE.get() };
    let learning = &mut page.learning;
    let (Some(session), Some(learner), Some((start, count))) =
        (&page.session, &mut learning.learner, learning.examples)
    else {
        return 0;
    };
    let image_len = learner.task().image_len();
    // SAFETY: `examples` took so much memory, which is given back only after the learner has ended.
    let bytes = unsafe { core::slice::from_raw_parts(start, count * image_len) };
    let result = learner.step(&ByteImages::new(bytes, image_len, session.model.range()));
    let Losses { discriminator, generator, real, fake } = result.unwrap_or_default();
    learning.progress = Progress {
        steps: f64::from(learner.steps()),
        discriminator: f64::from(discriminator),
        generator: f64::from(generator),
        real: f64::from(real),
        fake: f64::from(fake),
        ..learning.progress
    };
    match result {
        Ok(_) => 1,
        Err(error) => {
            page.error.set(error);
            0
        }
    }
}

/// As [`draw`](crate::draw), with what was learned so far.
///
/// # Safety
/// That of the module.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn preview(count: usize) -> *const f32 {
    // SAFETY: promised by the caller.
    let page = unsafe { PAGE.get() };
    let Some(session) = &mut page.session else { return ptr::null() };
    let model = session.model;
    let drawn = page.learning.write(&model).and_then(|(learned, _)| Ok(session.draw_with(&learned, count)?));
    drawn.unwrap_or_else(|refusal| {
        page.error.set(refusal);
        ptr::null()
    })
}

/// Writes the delta of what was learned so far to where [`Progress::delta`] says. Returns its bytes; 0 when there is none,
/// see [`error`](crate::error).
///
/// # Safety
/// That of the module.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn finish() -> usize {
    // SAFETY: promised by the caller.
    let page = unsafe { PAGE.get() };
    let Some(session) = &page.session else { return 0 };
    match page.learning.write(&session.model) {
        Ok((_, len)) => len,
        Err(refusal) => {
            page.error.set(refusal);
            0
        }
    }
}

/// The file's rule for a preset: for its own the steps that it names, else those that the preset means.
fn rule_of(model: &Model<'_>, rule: Rule, preset: Preset) -> Option<Rule> {
    let steps = model.file().step_count();
    let first_layer = model.file().steps().next()?.layer();
    let generator = match preset {
        _ if preset == rule.preset => return Some(rule),
        // How many layers a tail has only a file can say.
        Preset::Tail => return None,
        Preset::Head => model.file().steps().take_while(|step| step.layer() == first_layer).count(),
        Preset::Affine | Preset::All => steps,
    };
    Some(Rule { preset, generator: [0, u16::try_from(generator).ok()?], ..rule })
}

/// The model with a delta that is no farther from the file than the file allows.
fn with_delta<'m>(model: &Model<'m>, delta: Delta<'m>) -> Result<Model<'m>, DeltaError> {
    let bound = model.file().learning().ok().flatten().map_or(0.0, |learning| learning.rule.bound);
    model.with_delta(delta, bound)
}

/// Why nothing is learned.
enum Refusal {
    Task(TaskError),
    Step(StepError),
    Delta(DeltaError),
    Start(StartError),
    /// The file says nothing of it.
    Preset(Preset),
    Memory,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Task(error) => error.fmt(f),
            Self::Step(error) => error.fmt(f),
            Self::Delta(error) => error.fmt(f),
            Self::Start(error) => error.fmt(f),
            Self::Preset(preset) => write!(f, "the file was not exported for the preset {}", preset.name()),
            Self::Memory => f.write_str("there is no memory to learn in"),
        }
    }
}

impl From<TaskError> for Refusal {
    fn from(error: TaskError) -> Self {
        Self::Task(error)
    }
}

impl From<DeltaError> for Refusal {
    fn from(error: DeltaError) -> Self {
        Self::Delta(error)
    }
}

impl From<StartError> for Refusal {
    fn from(error: StartError) -> Self {
        Self::Start(error)
    }
}

/// Latent vectors for which what the frozen steps make of them is kept.
const BANK: usize = 256;

/// Most values of that: 64 MiB.
const MAX_BANK_LEN: usize = 16 << 20;

/// Most bytes to learn from: 64 MiB.
const MAX_EXAMPLES_BYTES: usize = 64 << 20;
