//! The program of a board that has a display, and nobody who talks to it.

use pocketgan_runtime::{Generator, Kernels, Latent, Model};

use crate::run::set_inputs;
use crate::{Display, RunError, SEEDS, Storage};

/// Shows the picture of one seed after the other, from the first that [`run`](crate::run) does not show, and `pause`s after
/// each. Ends only by an error.
pub fn exhibit<D: Display>(
    storage: &(impl Storage + ?Sized),
    display: &mut D,
    arena: &mut [f32],
    kernels: Kernels,
    mut pause: impl FnMut(),
) -> RunError<D::Error> {
    let model = match Model::load(storage.model()) {
        Ok(model) => model,
        Err(error) => return RunError::Load(error),
    };
    let mut generator = match Generator::with_kernels(&model, arena, kernels) {
        Ok(generator) => generator,
        Err(error) => return RunError::Start(error),
    };
    let mut seed = SEEDS.end;
    loop {
        set_inputs(&mut generator, Latent::from_seed(seed), 0);
        if let Err(error) = display.show(&generator.run()) {
            return RunError::Display(error);
        }
        pause();
        seed = seed.wrapping_add(1);
    }
}
