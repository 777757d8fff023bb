//! A model, an arena and kernels: inputs in, picture out.

use pocketgan_kernels::{Kernels, dispatch};

use crate::{ArenaTooSmall, Image, Latent, Model};

/// Draws pictures. Nothing allocates, and nothing can fail.
#[derive(Debug)]
pub struct Generator<'m, 'a> {
    model: Model<'m>,
    arena: &'a mut [f32],
    kernels: Kernels,
}

impl<'m, 'a> Generator<'m, 'a> {
    /// A generator with the fastest kernels that this CPU has.
    ///
    /// # Errors
    /// When the arena has fewer than [`Model::arena_len`] values.
    pub fn new(model: &Model<'m>, arena: &'a mut [f32]) -> Result<Self, ArenaTooSmall> {
        Self::with_kernels(model, arena, dispatch::best())
    }

    /// A generator whose pictures are the same bytes on every target, a NaN's own bits apart; slower where [`new`](Self::new)
    /// fuses multiply-adds.
    ///
    /// # Errors
    /// When the arena has fewer than [`Model::arena_len`] values.
    pub fn exact(model: &Model<'m>, arena: &'a mut [f32]) -> Result<Self, ArenaTooSmall> {
        Self::with_kernels(model, arena, dispatch::exact())
    }

    /// A generator with kernels of the caller's choice.
    ///
    /// # Errors
    /// When the arena has fewer than [`Model::arena_len`] values.
    pub fn with_kernels(
        model: &Model<'m>,
        arena: &'a mut [f32],
        kernels: Kernels,
    ) -> Result<Self, ArenaTooSmall> {
        let have_bytes = size_of_val(arena);
        match arena.get_mut(..model.arena_len()) {
            Some(arena) => Ok(Self { model: *model, arena, kernels }),
            None => Err(ArenaTooSmall { need_bytes: model.file().arena_bytes(), have_bytes }),
        }
    }

    /// The model.
    pub fn model(&self) -> &Model<'m> {
        &self.model
    }

    /// The kernels in use.
    pub fn kernels(&self) -> Kernels {
        self.kernels
    }

    /// The values of an input, channels last, in the arena. The picture is drawn over them, so that they are to be set
    /// before every [`run`](Self::run).
    ///
    /// # Panics
    /// When `index` is not less than the number of [`Model::inputs`].
    pub fn input(&mut self, index: usize) -> &mut [f32] {
        let range = self.model.input(index).expect("the index is less than the number of inputs");
        &mut self.arena[range]
    }

    /// Draws the picture of the inputs that were set. It lies in the arena until the next call.
    pub fn run(&mut self) -> Image<'_> {
        for operation in self.model.operations() {
            operation.run(&self.kernels, self.arena);
        }
        let [height, width, channels] = self.model.output_shape();
        let values = &self.arena[self.model.output()];
        Image { height, width, channels, range: self.model.range(), values }
    }

    /// Draws the picture of `latent`, for a model whose only input is a latent vector. It lies in the arena until the next
    /// call.
    ///
    /// # Panics
    /// When the model has other inputs, or the latent vector has not [`Model::latent_dim`] values.
    pub fn generate(&mut self, latent: Latent<'_>) -> Image<'_> {
        assert!(self.model.needs_latent_only(), "the model has inputs besides a latent vector");
        latent.fill(self.input(0));
        self.run()
    }
}
