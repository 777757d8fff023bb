//! A model, an arena and kernels: latent vector in, picture out.

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

    /// Draws the picture of `latent`. It lies in the arena until the next call.
    ///
    /// # Panics
    /// When the latent vector has not [`Model::latent_dim`] values.
    pub fn generate(&mut self, latent: Latent<'_>) -> Image<'_> {
        latent.fill(&mut self.arena[self.model.input()]);
        for operation in self.model.operations() {
            let (input, output) = borrow(self.arena, operation.input, operation.output);
            (self.kernels.tap_gemm)(&operation.gemm, input, output);
        }
        let [height, width, channels] = self.model.output_shape();
        let values = &self.arena[self.model.output()];
        Image { height, width, channels, range: self.model.range(), values }
    }
}

/// The arena from `input` on and from `output` on, the earlier one ending where the later starts. The file's reader has
/// checked that the two buffers do not overlap.
fn borrow(arena: &mut [f32], input: usize, output: usize) -> (&[f32], &mut [f32]) {
    if input < output {
        let (before, after) = arena.split_at_mut(output);
        (&before[input..], after)
    } else {
        let (before, after) = arena.split_at_mut(input);
        (after, &mut before[output..])
    }
}
