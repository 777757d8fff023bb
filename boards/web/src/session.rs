//! A loaded model with its memory: inputs in, pictures out.

use core::fmt;

use pocketgan_runtime::latent::fill_normal;
use pocketgan_runtime::{Generator, Kernels, LoadError, Model, Role, StartError, Verdict, dispatch};

use crate::memory;
#[cfg(feature = "full")]
use crate::memory::Mark;

/// What a page must know of a model. Every field is an `f64`, which holds addresses and counts alike.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// Of the picture.
    pub height: f64,
    /// Of the picture.
    pub width: f64,
    /// Of the picture.
    pub channels: f64,
    /// Values of the latent vectors that a picture is drawn from.
    pub latent_len: f64,
    /// Labels that a picture is drawn from.
    pub label_len: f64,
    /// Pictures that are drawn at once, at most.
    pub capacity: f64,
    /// Address of the inputs: for each picture latent values, then labels, `f32`.
    pub inputs: f64,
    /// Address of the pictures as four bytes a pixel, one after the other.
    pub pixels: f64,
    /// Values from one picture to the next, where `draw` leaves them; the arena of one picture.
    pub arena_len: f64,
    /// Of the file.
    pub flash_bytes: f64,
    /// Multiply-accumulates of a picture.
    pub macs: f64,
    /// Memory in which a board learns; 0 where the model cannot.
    pub learning_bytes: f64,
    /// Address and bytes of the file's metadata.
    pub metadata: [f64; 2],
}

/// Why a model cannot be drawn from.
pub(crate) enum Refusal {
    Load(LoadError),
    Start(StartError),
    /// It reads what a page does not give.
    Input(Role),
    Memory,
}

/// How pictures are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    Fast,
    Exact,
}

/// A loaded model and its memory.
pub(crate) struct Session {
    /// As the file has it.
    pub(crate) model: Model<'static>,
    /// With what was learned, if anything.
    pub(crate) shown: Model<'static>,
    /// Draws what the file has; its weights may be expanded.
    generator: Generator<'static, 'static>,
    /// As many arenas again, for generators that come and go.
    spare: &'static mut [f32],
    inputs: &'static mut [f32],
    pixels: &'static mut [u8],
    pub(crate) facts: Facts,
    /// Behind all that is the session's.
    #[cfg(feature = "full")]
    pub(crate) mark: Mark,
}

impl Session {
    /// # Safety
    /// No other function of the module runs.
    pub(crate) unsafe fn new(file: &'static [u8]) -> Result<Self, Refusal> {
        let model = Model::load(file).map_err(Refusal::Load)?;
        let others = |role| !matches!(role, Role::Latent | Role::Label);
        if let Some(input) = model.inputs().find(|input| others(input.role)) {
            return Err(Refusal::Input(input.role));
        }
        let len_of = |role| {
            let mut lens = model.inputs().filter(|input| input.role == role).map(|input| input.len());
            lens.try_fold(0, usize::checked_add).ok_or(Refusal::Memory)
        };
        let (latent_len, label_len) = (len_of(Role::Latent)?, len_of(Role::Label)?);
        let [height, width, channels] = model.output_shape();
        let arena_len = model.arena_len();
        let capacity = (MAX_ARENAS_LEN / arena_len).clamp(1, BATCH);
        let all = |len: usize| capacity.checked_mul(len).ok_or(Refusal::Memory);
        let values = |len: usize| {
            // SAFETY: promised by the caller.
            unsafe { memory::take_values(len) }.ok_or(Refusal::Memory)
        };
        let (arenas, spare) = (values(all(arena_len)?)?, values(all(arena_len)?)?);
        let inputs = values(all(latent_len.saturating_add(label_len))?)?;
        let pixel_bytes = height.checked_mul(width).and_then(|pixels| pixels.checked_mul(4));
        let pixel_bytes = all(pixel_bytes.ok_or(Refusal::Memory)?)?;
        // SAFETY: promised by the caller.
        let pixels = unsafe { memory::take(pixel_bytes) }.ok_or(Refusal::Memory)?;
        let generator = Generator::with_kernels(&model, arenas, fast()).map_err(Refusal::Start)?;
        #[cfg(feature = "full")]
        let generator = {
            let mut generator = generator;
            // Without memory for it, weights stay as they are.
            if let Ok(expanded) = values(generator.expansion_len().min(MAX_EXPANSION_LEN)) {
                generator.expand(expanded);
            }
            generator
        };
        let metadata = model.file().metadata();
        let facts = Facts {
            height: height as f64,
            width: width as f64,
            channels: channels as f64,
            latent_len: latent_len as f64,
            label_len: label_len as f64,
            capacity: capacity as f64,
            inputs: inputs.as_ptr().expose_provenance() as f64,
            pixels: pixels.as_ptr().expose_provenance() as f64,
            arena_len: arena_len as f64,
            flash_bytes: model.file().flash_bytes() as f64,
            macs: model.file().macs() as f64,
            learning_bytes: match model.file().learning() {
                Ok(Some(_)) => model.file().finetune_arena_bytes() as f64,
                _ => 0.0,
            },
            metadata: [metadata.as_ptr().expose_provenance() as f64, metadata.len() as f64],
        };
        Ok(Self {
            model,
            shown: model,
            generator,
            spare,
            inputs,
            pixels,
            facts,
            // SAFETY: promised by the caller.
            #[cfg(feature = "full")]
            mark: unsafe { memory::mark() },
        })
    }

    /// Sets the latent vectors of a picture to what a seed draws: of the first one as
    /// [`Latent::from_seed`](pocketgan_runtime::Latent::from_seed), of each further one as a
    /// [`Conformance`](pocketgan_runtime::Conformance) says.
    pub(crate) fn seed(&mut self, picture: usize, seed: u64) {
        let row = self.inputs.len() / self.generator.capacity();
        let Some(mut rest) = self.inputs.chunks_exact_mut(row).nth(picture) else { return };
        for (index, input) in self.model.inputs().enumerate().filter(|(_, input)| input.role == Role::Latent)
        {
            let (values, behind) = core::mem::take(&mut rest).split_at_mut(input.len());
            fill_normal(seed.wrapping_add((index as u64) << 32), values);
            rest = behind;
        }
    }

    /// Draws the first `count` pictures of their inputs, as many as there is room for. Returns where the values of the first
    /// lie.
    pub(crate) fn draw(&mut self, count: usize, arithmetic: Arithmetic) -> Result<*const f32, StartError> {
        let Self { shown, generator, spare, inputs, pixels, .. } = self;
        match (arithmetic, shown.delta()) {
            (Arithmetic::Fast, None) => Ok(draw(generator, count, inputs, pixels)),
            (Arithmetic::Fast, Some(_)) => Generator::with_kernels(shown, spare, fast())
                .map(|mut generator| draw(&mut generator, count, inputs, pixels)),
            (Arithmetic::Exact, _) => Generator::with_kernels(shown, spare, exact())
                .map(|mut generator| draw(&mut generator, count, inputs, pixels)),
        }
    }

    /// As [`draw`](Self::draw), in fast arithmetic, with another delta.
    #[cfg(feature = "full")]
    pub(crate) fn draw_with(&mut self, model: &Model<'_>, count: usize) -> Result<*const f32, StartError> {
        let Self { spare, inputs, pixels, .. } = self;
        Generator::with_kernels(model, spare, fast())
            .map(|mut generator| draw(&mut generator, count, inputs, pixels))
    }

    /// What exact arithmetic draws, beside what the file says.
    pub(crate) fn check(&mut self) -> Result<Verdict, StartError> {
        Generator::with_kernels(&self.shown, self.spare, exact()).map(|mut generator| generator.check())
    }
}

/// The fastest kernels.
fn fast() -> Kernels {
    small(dispatch::best())
}

/// Those that give the same bytes everywhere.
fn exact() -> Kernels {
    small(dispatch::exact())
}

/// Without loop nests, which would be a third of the small module.
fn small(kernels: Kernels) -> Kernels {
    if cfg!(feature = "full") { kernels } else { kernels.without_nests() }
}

/// Draws pictures of their inputs, and makes pixels of them.
fn draw(generator: &mut Generator<'_, '_>, count: usize, inputs: &[f32], pixels: &mut [u8]) -> *const f32 {
    let capacity = generator.capacity();
    let count = count.min(capacity);
    let model = *generator.model();
    for (picture, row) in inputs.chunks_exact(inputs.len() / capacity).take(count).enumerate() {
        let mut rest = row;
        for role in [Role::Latent, Role::Label] {
            for (index, input) in model.inputs().enumerate().filter(|(_, input)| input.role == role) {
                let (values, behind) = rest.split_at(input.len());
                generator.input_of(picture, index).copy_from_slice(values);
                rest = behind;
            }
        }
    }
    generator.run_batch(count);
    for (picture, pixels) in pixels.chunks_exact_mut(pixels.len() / capacity).take(count).enumerate() {
        generator.image(picture).to_rgba8888(pixels);
    }
    generator.image(0).values.as_ptr()
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Load(error) => error.fmt(f),
            Self::Start(error) => error.fmt(f),
            Self::Input(Role::Image) => f.write_str(
                "the model makes pictures of other pictures; here it gets numbers and labels only",
            ),
            Self::Input(_) => f.write_str("the model reads values of which nothing is known"),
            Self::Memory => f.write_str("there is no memory for what the model needs"),
        }
    }
}

/// Pictures for which weights are read once.
const BATCH: usize = 16;

/// Most values of the arenas of a batch: 64 MiB.
const MAX_ARENAS_LEN: usize = 16 << 20;

/// Most values of expanded weights: 256 MiB. A file of a few bytes may share weights among steps.
#[cfg(feature = "full")]
const MAX_EXPANSION_LEN: usize = 64 << 20;
