//! The loop: generate, show; and whether this device computes what every other does.

use core::fmt;
use core::ops::Range;

use pocketgan_runtime::{Generator, Kernels, Latent, LoadError, Model, StartError, Verdict, dispatch};

use crate::{Clock, Display, Storage};

/// What a run used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Bytes of the model.
    pub flash_bytes: usize,
    /// Bytes of the arena that the model needs.
    pub arena_bytes: usize,
    /// Pictures generated and shown.
    pub images: u64,
    /// Time in the generator alone, all pictures together.
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
    /// The model wants more than a latent vector, which a board has not.
    Inputs,
    /// The model needs more memory than the board has set aside, or operations that it has not linked.
    Start(StartError),
    /// The display failed.
    Display(E),
}

/// Loads the model, checks exact arithmetic, and shows one picture for each seed.
///
/// # Errors
/// The first error of the model, the arena or the display.
pub fn run<D: Display>(
    storage: &(impl Storage + ?Sized),
    clock: &mut impl Clock,
    display: &mut D,
    arena: &mut [f32],
    kernels: Kernels,
    seeds: Range<u64>,
) -> Result<Report, RunError<D::Error>> {
    let model = Model::load(storage.model()).map_err(RunError::Load)?;
    if !model.needs_latent_only() {
        return Err(RunError::Inputs);
    }
    let exact = match kernels.nest {
        Some(_) => dispatch::exact(),
        None => dispatch::exact().without_nests(),
    };
    let exact = Generator::with_kernels(&model, arena, exact).map_err(RunError::Start)?.check();
    let arena_bytes = model.arena_len() * size_of::<f32>();
    let mut report =
        Report { flash_bytes: storage.model().len(), arena_bytes, images: 0, generate_us: 0, exact };
    let mut generator = Generator::with_kernels(&model, arena, kernels).map_err(RunError::Start)?;
    for seed in seeds {
        let start_us = clock.now_us();
        let image = generator.generate(Latent::from_seed(seed));
        report.generate_us += clock.now_us() - start_us;
        report.images += 1;
        display.show(&image).map_err(RunError::Display)?;
    }
    Ok(report)
}

impl fmt::Display for Report {
    /// Three lines, of which only `time` may differ from board to board.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { flash_bytes, arena_bytes, images, generate_us, exact } = self;
        writeln!(f, "{images} images, {flash_bytes} bytes of flash, {arena_bytes} bytes of arena")?;
        writeln!(f, "exact: {exact}")?;
        write!(f, "time: {} us per image", generate_us / (*images).max(1))
    }
}

impl<E: fmt::Display> fmt::Display for RunError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Load(error) => write!(f, "loading the model: {error}"),
            Self::Inputs => f.write_str("the model wants more than a latent vector"),
            Self::Start(error) => write!(f, "starting the generator: {error}"),
            Self::Display(error) => write!(f, "showing a picture: {error}"),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> core::error::Error for RunError<E> {}

/// What every board shows, so that its output can be compared with that of the others.
pub const SEEDS: Range<u64> = 0..3;
