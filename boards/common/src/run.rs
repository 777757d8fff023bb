//! The loop: generate, show; and whether this device computes what every other does, in the memory that the file promises.

use core::fmt;
use core::ops::Range;

use pocketgan_runtime::{Generator, Kernels, Latent, LoadError, Model, Role, StartError, Verdict, dispatch};

use crate::{Clock, Display, Storage};

/// The fastest kernels, and those that give the same bits on every board; with loop nests only where the model has `NESTS`, as
/// its build script says: they are most of the code.
#[inline(always)]
pub fn kernels<const NESTS: bool>() -> (Kernels, Kernels) {
    // Not to be put apart: a compiler that keeps kernels in memory before it takes nests away links them.
    match NESTS {
        true => (dispatch::best(), dispatch::exact()),
        false => (dispatch::best().without_nests(), dispatch::exact().without_nests()),
    }
}

/// What a run used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Bytes of the model.
    pub flash_bytes: usize,
    /// Bytes of the arena that were written, up to the last, which are as many as the file says.
    pub arena_bytes: usize,
    /// CRC-32 of what exact arithmetic draws of each of [`SEEDS`], see [`Image::crc32`](pocketgan_runtime::Image::crc32).
    pub pictures: [u32; IMAGES],
    /// Time in the generator alone, all pictures together, drawn as fast as the kernels can.
    pub generate_us: u64,
    /// What exact arithmetic draws, beside what the file says.
    pub exact: Verdict,
}

/// Why a run ended early.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum RunError<E> {
    /// The storage holds no usable model.
    Load(LoadError),
    /// The model wants more than latent vectors and labels, which a board has not.
    Inputs,
    /// The model needs more memory than the board has set aside, or operations that it has not linked.
    Start(StartError),
    /// The display failed.
    Display(E),
    /// Another part of the arena was used than the file says.
    Arena {
        /// What was written, up to the last value.
        used_bytes: usize,
        /// What the file says.
        stated_bytes: usize,
    },
}

/// Loads the model, draws the pictures of [`SEEDS`] with `exact` kernels for their checksums, and again with `fast` ones
/// to show them.
///
/// # Errors
/// The first error of the model, the arena or the display.
pub fn run<D: Display>(
    storage: &(impl Storage + ?Sized),
    clock: &mut impl Clock,
    display: &mut D,
    arena: &mut [f32],
    fast: Kernels,
    exact: Kernels,
) -> Result<Report, RunError<D::Error>> {
    let model = Model::load(storage.model()).map_err(RunError::Load)?;
    if !draws_from_seeds(&model) {
        return Err(RunError::Inputs);
    }
    arena.fill(UNUSED);
    let mut generator = Generator::with_kernels(&model, arena, exact).map_err(RunError::Start)?;
    let verdict = generator.check();
    let pictures = core::array::from_fn(|image| generator.conformance(SEEDS.start + image as u64).crc32);

    let mut generate_us = 0;
    let mut generator = Generator::with_kernels(&model, arena, fast).map_err(RunError::Start)?;
    for seed in SEEDS {
        let start_us = clock.now_us();
        set_inputs(&mut generator, Latent::from_seed(seed), 0);
        let image = generator.run();
        generate_us += clock.now_us() - start_us;
        display.show(&image).map_err(RunError::Display)?;
    }

    let is_used = |value: &f32| value.to_bits() != UNUSED.to_bits();
    let used_bytes = arena.iter().rposition(is_used).map_or(0, |last| last + 1) * size_of::<f32>();
    let stated_bytes = model.file().arena_bytes();
    if used_bytes != stated_bytes {
        return Err(RunError::Arena { used_bytes, stated_bytes });
    }
    let flash_bytes = storage.model().len();
    Ok(Report { flash_bytes, arena_bytes: used_bytes, pictures, generate_us, exact: verdict })
}

/// Whether latent vectors and labels are all that the model wants.
pub(crate) fn draws_from_seeds(model: &Model<'_>) -> bool {
    model.inputs().all(|input| matches!(input.role, Role::Latent | Role::Label))
}

/// Sets what a picture is drawn of.
pub(crate) fn set_inputs(generator: &mut Generator<'_, '_>, latent: Latent<'_>, label: u32) {
    let model = *generator.model();
    for (index, input) in model.inputs().enumerate() {
        match input.role {
            Role::Label => generator.input(index).fill(label as f32),
            _ => latent.fill(generator.input(index)),
        }
    }
}

impl fmt::Display for Report {
    /// Some lines, of which only `time` may differ from board to board.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { flash_bytes, arena_bytes, pictures, generate_us, exact } = self;
        for (row, pictures) in pictures.chunks(PER_LINE).enumerate() {
            write!(f, "pictures from {} on:", SEEDS.start + (row * PER_LINE) as u64)?;
            pictures.iter().try_for_each(|picture| write!(f, " {picture:08x}"))?;
            writeln!(f)?;
        }
        writeln!(f, "{IMAGES} images, {flash_bytes} bytes of flash, {arena_bytes} bytes of arena")?;
        writeln!(f, "exact: {exact}")?;
        write!(f, "time: {} us per image", generate_us / IMAGES as u64)
    }
}

impl<E: fmt::Display> fmt::Display for RunError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Load(error) => write!(f, "loading the model: {error}"),
            Self::Inputs => f.write_str("the model wants more than a latent vector and a label"),
            Self::Start(error) => write!(f, "starting the generator: {error}"),
            Self::Display(error) => write!(f, "showing a picture: {error}"),
            Self::Arena { used_bytes, stated_bytes } => {
                write!(f, "{used_bytes} bytes of arena were used, the file says {stated_bytes}")
            }
        }
    }
}

impl<E: fmt::Debug + fmt::Display> core::error::Error for RunError<E> {}

/// What every board shows, so that its output can be compared with that of the others.
pub const SEEDS: Range<u64> = 0..IMAGES as u64;

const IMAGES: usize = 16;

/// Checksums on a line.
const PER_LINE: usize = 8;

/// In both halves a NaN that no arithmetic gives, in single precision and in half.
const UNUSED: f32 = f32::from_bits(u32::MAX);
