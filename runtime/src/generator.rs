//! A model, an arena and kernels: inputs in, pictures out.

use pocketgan_kernels::{Kernels, dispatch};

use crate::expansion::{Expansion, Plan};
use crate::operation::Operation;
use crate::{Image, Latent, Model, StartError};

/// Draws pictures. Nothing allocates, and nothing can fail.
///
/// An arena of some times [`Model::arena_len`] draws as many pictures at once, for which weights are read only once.
#[derive(Debug)]
pub struct Generator<'m, 'a> {
    model: Model<'m>,
    /// As long as [`Self::capacity`] arenas.
    arenas: &'a mut [f32],
    arena_len: usize,
    kernels: Kernels,
    /// From the first step on.
    expansion: Option<Expansion<'a>>,
}

impl<'m, 'a> Generator<'m, 'a> {
    /// A generator with the fastest kernels that this CPU has.
    ///
    /// # Errors
    /// When the arena has fewer than [`Model::arena_len`] values.
    pub fn new(model: &Model<'m>, arena: &'a mut [f32]) -> Result<Self, StartError> {
        Self::with_kernels(model, arena, dispatch::best())
    }

    /// A generator whose pictures are the same bytes on every target, a NaN's own bits apart; slower where [`new`](Self::new)
    /// fuses multiply-adds.
    ///
    /// # Errors
    /// When the arena has fewer than [`Model::arena_len`] values.
    pub fn exact(model: &Model<'m>, arena: &'a mut [f32]) -> Result<Self, StartError> {
        Self::with_kernels(model, arena, dispatch::exact())
    }

    /// A generator with kernels of the caller's choice.
    ///
    /// # Errors
    /// When the arena has fewer than [`Model::arena_len`] values, or the model has loop nests, or activations in half
    /// precision, and `kernels` have none.
    pub fn with_kernels(
        model: &Model<'m>,
        arena: &'a mut [f32],
        kernels: Kernels,
    ) -> Result<Self, StartError> {
        if let (None, Some((step, function))) = (kernels.nest, model.first_nest()) {
            return Err(StartError::NoNests { step, function });
        }
        if let (None, Some(step)) = (kernels.tap_gemm_f16, model.first_half()) {
            return Err(StartError::NoHalves { step });
        }
        let have_bytes = size_of_val(arena);
        let arena_len = model.arena_len();
        match arena.len().checked_div(arena_len) {
            None | Some(0) => {
                Err(StartError::ArenaTooSmall { need_bytes: model.file().arena_bytes(), have_bytes })
            }
            Some(capacity) => {
                let arenas = &mut arena[..capacity * arena_len];
                Ok(Self { model: *model, arenas, arena_len, kernels, expansion: None })
            }
        }
    }

    /// Values of the buffer in which [`expand`](Self::expand) finds room for every step that is faster so, with as many
    /// pictures at once as the arena has room for; 0 where none is.
    ///
    /// Some 8 to 12 times the bytes of these steps' weights. A file from strangers may have many that share their weights, so
    /// that a program with a limit passes it as the length of a shorter buffer.
    pub fn expansion_len(&self) -> usize {
        self.expansion_plan().map_or(0, |plan| plan.buffer_len(&self.model))
    }

    /// Expands weights into a buffer, for steps that are faster so with as many pictures at once as the arena has room for.
    /// Pictures are drawn sooner from then on, and within the same distance of what double precision gives.
    /// Steps for which a shorter buffer than [`expansion_len`](Self::expansion_len) has no room stay as they are.
    ///
    /// For hosts with RAM: a program that does not call it links nothing of it. A model with a delta stays as it is.
    ///
    /// ```
    /// # fn draw(file: &[u8]) -> Result<(), Box<dyn core::error::Error>> {
    /// use pocketgan_runtime::{Generator, Model};
    ///
    /// let model = Model::load(file)?;
    /// let mut arena = vec![0.0; model.arena_len()];
    /// let mut generator = Generator::new(&model, &mut arena)?;
    /// let mut expanded = vec![0.0; generator.expansion_len()];
    /// generator.expand(&mut expanded);
    /// # Ok(())
    /// # }
    /// ```
    pub fn expand(&mut self, buffer: &'a mut [f32]) {
        self.expansion = self.expansion_plan().and_then(|plan| Expansion::new(plan, &self.model, buffer));
    }

    /// None with a delta, whose tensors are few and are read in place.
    fn expansion_plan(&self) -> Option<Plan> {
        if self.model.delta().is_some() {
            return None;
        }
        let kernels = dispatch::expansion(&self.kernels)?;
        Some(Plan::new(kernels, &self.model, self.capacity()))
    }

    /// The model.
    pub fn model(&self) -> &Model<'m> {
        &self.model
    }

    /// The kernels in use.
    pub fn kernels(&self) -> Kernels {
        self.kernels
    }

    /// How many pictures the arena has room for; at least 1.
    pub fn capacity(&self) -> usize {
        self.arenas.len() / self.arena_len
    }

    /// The values of an input of the first picture, see [`input_of`](Self::input_of).
    ///
    /// # Panics
    /// When `index` is not less than the number of [`Model::inputs`].
    pub fn input(&mut self, index: usize) -> &mut [f32] {
        self.input_of(0, index)
    }

    /// The values of an input of one picture, channels last, in the arena. The picture is drawn over them, so that they
    /// are to be set before every run.
    ///
    /// # Panics
    /// When `picture` is not less than [`capacity`](Self::capacity), or `index` not less than the number of
    /// [`Model::inputs`].
    pub fn input_of(&mut self, picture: usize, index: usize) -> &mut [f32] {
        let range = self.model.input(index).expect("the index is less than the number of inputs");
        &mut self.arenas[picture * self.arena_len..][..self.arena_len][range]
    }

    /// Draws the picture of the inputs that were set. It lies in the arena until the next call.
    pub fn run(&mut self) -> Image<'_> {
        self.run_batch(1);
        self.image(0)
    }

    /// Draws the first `count` pictures, each of its inputs, for [`image`](Self::image) to look at.
    ///
    /// # Panics
    /// When `count` is more than [`capacity`](Self::capacity).
    pub fn run_batch(&mut self, count: usize) {
        self.run_steps(count, |_| {});
    }

    /// [`run_batch`](Self::run_batch) on the threads of a pool of the caller's: several pictures side by side, or the
    /// large operations of a single one in parts.
    ///
    /// # Panics
    /// When `count` is more than [`capacity`](Self::capacity).
    #[cfg(feature = "rayon")]
    pub fn run_batch_in(&mut self, pool: &rayon::ThreadPool, count: usize) {
        if count == 0 {
            return;
        }
        let arenas = &mut self.arenas[..count * self.arena_len];
        let mut expansion = self.expansion;
        for step in self.model.file().steps() {
            self.model.run_in(pool, &step, &self.kernels, &mut expansion, arenas);
        }
    }

    /// [`run_batch`](Self::run_batch) that calls `after` with the number of each of the file's steps once it has run.
    ///
    /// # Panics
    /// When `count` is more than [`capacity`](Self::capacity).
    pub fn run_steps(&mut self, count: usize, mut after: impl FnMut(usize)) {
        let arenas = &mut self.arenas[..count * self.arena_len];
        let mut expansion = self.expansion;
        for (index, step) in self.model.file().steps().enumerate() {
            self.model.run(&step, &self.kernels, &mut expansion, arenas);
            after(index);
        }
    }

    /// Runs the first `steps` of the file's steps for the first picture: what lies before a part that learns.
    ///
    /// # Panics
    /// When the model has fewer steps.
    pub fn run_first(&mut self, steps: usize) {
        assert!(steps <= self.model.file().step_count(), "the model has fewer steps");
        let mut expansion = self.expansion;
        for step in self.model.file().steps().take(steps) {
            self.model.run(&step, &self.kernels, &mut expansion, &mut self.arenas[..self.arena_len]);
        }
    }

    /// Which way the kernels take for a step on `count` pictures, and why.
    ///
    /// # Panics
    /// When there is no such step.
    pub fn path(&self, step: usize, count: usize) -> &'static str {
        let mut expansion = self.expansion;
        let mut steps = self.model.operations().map(|operation| {
            let expanded = expansion.as_mut().and_then(|expansion| expansion.next(&operation));
            (operation, expanded)
        });
        match steps.nth(step).expect("the step is one of the model's") {
            (_, Some(expanded)) => expanded.form.path(),
            (Operation::TapGemm { gemm, .. }, None) => (self.kernels.path)(&gemm, count),
            (Operation::Nest { .. }, None) => "loop nest",
        }
    }

    /// A picture that was drawn.
    ///
    /// # Panics
    /// When `picture` is not less than [`capacity`](Self::capacity).
    pub fn image(&self, picture: usize) -> Image<'_> {
        let [height, width, channels] = self.model.output_shape();
        let values = &self.arenas[picture * self.arena_len..][..self.arena_len][self.model.output()];
        Image { height, width, channels, range: self.model.range(), values }
    }

    /// Draws the picture of `latent`, for a model whose only input is a latent vector. It lies in the arena until the next
    /// call.
    ///
    /// # Panics
    /// When the model has other inputs, or the latent vector has not [`Model::latent_dim`] values.
    pub fn generate(&mut self, latent: Latent<'_>) -> Image<'_> {
        self.set_latent(latent);
        self.run()
    }

    /// Sets the latent vector of the first picture, for a model whose only input it is.
    ///
    /// # Panics
    /// When the model has other inputs, or the latent vector has not [`Model::latent_dim`] values.
    pub fn set_latent(&mut self, latent: Latent<'_>) {
        assert!(self.model.needs_latent_only(), "the model has inputs besides a latent vector");
        latent.fill(self.input(0));
    }
}
