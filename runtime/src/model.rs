//! The verified view of a file in flash or RAM, and of a delta beside it.

use core::ops::Range;

use pocketgan_format::{Delta, DeltaError, File, Function, Role, Step, TapGemmStep};
use pocketgan_kernels::{Kernels, TapGemm};

use crate::LoadError;
use crate::expansion::Expansion;
use crate::learned::Learned;
use crate::operation::{self, Operation};

/// A generator, ready to run. Borrows the file and the delta; copies nothing.
#[derive(Clone, Copy, Debug)]
pub struct Model<'a> {
    file: File<'a>,
    learned: Option<Learned<'a>>,
}

impl<'a> From<File<'a>> for Model<'a> {
    fn from(file: File<'a>) -> Self {
        Self { file, learned: None }
    }
}

/// What a model is given before every picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Input<'a> {
    /// What the values are.
    pub role: Role,
    /// Height, width and channels; the values lie channels last.
    pub shape: [usize; 3],
    /// What whoever made the model called it; empty where that is not known.
    pub name: &'a str,
}

impl Input<'_> {
    /// Number of values.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it has no value; none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<'a> Model<'a> {
    /// Verifies the file in one pass. `bytes` start at a multiple of 16 (see [`include_model!`](crate::include_model)).
    ///
    /// # Errors
    /// Says what is wrong with the file. Nothing can fail because of it afterwards.
    pub fn load(bytes: &'a [u8]) -> Result<Self, LoadError> {
        File::parse(bytes).map(|file| Self { file, learned: None })
    }

    /// The same model with what was learned, in place of what an earlier delta brought. The delta is used in place, as the
    /// file is.
    ///
    /// `max_distance` bounds how far the delta may lead from the file, see [`Delta::distance`]; an infinite bound allows
    /// everything.
    ///
    /// # Errors
    /// What [`Delta::check`] says of a delta that does not belong to this file.
    pub fn with_delta(self, delta: Delta<'a>, max_distance: f32) -> Result<Self, DeltaError> {
        delta.check(&self.file, None, max_distance)?;
        Ok(Self { learned: Some(Learned::new(delta)), ..self })
    }

    /// The delta in use.
    pub fn delta(&self) -> Option<&Delta<'a>> {
        self.learned.as_ref().map(Learned::delta)
    }

    /// The file behind the model, for its tables and metadata.
    pub fn file(&self) -> &File<'a> {
        &self.file
    }

    /// Arena that one picture needs, in `f32` values; never 0. A batch needs as many times that.
    pub fn arena_len(&self) -> usize {
        self.file.arena_bytes() / size_of::<f32>()
    }

    /// What is to be set before every picture.
    pub fn inputs(&self) -> impl ExactSizeIterator<Item = Input<'a>> + use<'a> {
        let file = self.file;
        file.inputs().enumerate().map(move |(index, input)| Input {
            role: input.role,
            shape: input.shape.map(|extent| extent as usize),
            name: file.input_name(index).unwrap_or(""),
        })
    }

    /// Whether a latent vector is the only input, as [`Generator::generate`](crate::Generator::generate) wants it.
    pub fn needs_latent_only(&self) -> bool {
        let mut roles = self.file.inputs().map(|input| input.role);
        (roles.next(), roles.next()) == (Some(Role::Latent), None)
    }

    /// Length of the first latent vector; 0 for a model that has none.
    pub fn latent_dim(&self) -> usize {
        self.file.latent_dim()
    }

    /// Height, width and channels of the picture.
    pub fn output_shape(&self) -> [usize; 3] {
        self.file.output_shape()
    }

    /// The values that are black and white.
    pub fn range(&self) -> [f32; 2] {
        self.file.range()
    }

    /// Index and function of the first step that is a loop nest.
    pub(crate) fn first_nest(&self) -> Option<(usize, Function)> {
        self.file.steps().enumerate().find_map(|(index, step)| match step {
            Step::Nest(nest) => Some((index, nest.function)),
            Step::TapGemm(_) => None,
        })
    }

    /// Index of the first tap GEMM with values in half precision.
    pub(crate) fn first_half(&self) -> Option<usize> {
        let half =
            |step| matches!(step, Step::TapGemm(gemm) if gemm.values == pocketgan_format::ValueType::F16);
        self.file.steps().position(half)
    }

    /// Where an input lies in the arena, in values.
    pub(crate) fn input(&self, index: usize) -> Option<Range<usize>> {
        let input = self.file.inputs().nth(index)?;
        let start = input.offset as usize / size_of::<f32>();
        Some(start..start + input.len() as usize)
    }

    /// Where the picture lies in the arena, in values.
    pub(crate) fn output(&self) -> Range<usize> {
        let start = self.file.output_offset() / size_of::<f32>();
        start..start + self.output_shape().iter().product::<usize>()
    }

    /// The tap GEMM that one of the file's steps is, with what the file holds as weights and bias; `None` for a step
    /// of another file.
    pub fn tap_gemm(&self, step: &TapGemmStep) -> Option<TapGemm<'a>> {
        operation::gemm(&self.file, step)
    }

    /// Runs one of the file's steps for each of some samples, whose arenas of [`arena_len`](Self::arena_len) values follow
    /// each other.
    pub(crate) fn run(
        &self,
        step: &Step,
        kernels: &Kernels,
        expansion: &mut Option<Expansion<'_>>,
        arenas: &mut [f32],
    ) {
        if let Some(learned) = &self.learned {
            learned.run(&self.file, step, kernels, arenas);
        } else if let Some(operation) = Operation::new(&self.file, step) {
            let expanded = expansion.as_mut().and_then(|expansion| expansion.next(&operation));
            operation.run(kernels, expanded, arenas, self.arena_len());
        }
    }

    /// [`run`](Self::run) on the threads of a pool.
    #[cfg(feature = "rayon")]
    pub(crate) fn run_in(
        &self,
        pool: &rayon::ThreadPool,
        step: &Step,
        kernels: &Kernels,
        expansion: &mut Option<Expansion<'_>>,
        arenas: &mut [f32],
    ) {
        if let Some(learned) = &self.learned {
            learned.run_in(pool, &self.file, step, kernels, arenas);
        } else if let Some(operation) = Operation::new(&self.file, step) {
            let expanded = expansion.as_mut().and_then(|expansion| expansion.next(&operation));
            operation.run_in(pool, kernels, expanded, arenas, self.arena_len());
        }
    }

    /// The operations of the file in order.
    pub(crate) fn operations(&self) -> impl Iterator<Item = Operation<'a>> + use<'a> {
        let file = self.file;
        file.steps().filter_map(move |step| Operation::new(&file, &step))
    }
}
