//! The program of a board that has a display, and nobody who talks to it.

use pocketgan_runtime::{Generator, Kernels, Latent, Model};

use crate::run::{draws_from_seeds, set_inputs};
use crate::{Display, RunError, Storage};

/// Shows the picture of one seed after the other, and `pause`s after each.
///
/// # Errors
/// The first error of the model, the arena or the display.
pub fn exhibit<D: Display>(
    storage: &(impl Storage + ?Sized),
    display: &mut D,
    arena: &mut [f32],
    kernels: Kernels,
    seeds: impl IntoIterator<Item = u64>,
    mut pause: impl FnMut(),
) -> Result<(), RunError<D::Error>> {
    let model = Model::load(storage.model()).map_err(RunError::Load)?;
    if !draws_from_seeds(&model) {
        return Err(RunError::Inputs);
    }
    let mut generator = Generator::with_kernels(&model, arena, kernels).map_err(RunError::Start)?;
    seeds.into_iter().try_for_each(|seed| {
        set_inputs(&mut generator, Latent::from_seed(seed), 0);
        display.show(&generator.run()).map_err(RunError::Display)?;
        pause();
        Ok(())
    })
}
