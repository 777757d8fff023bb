//! As little as a firmware can be: loads a model, draws a picture, and says whether its values are in their range. What it
//! links is what the runtime costs in flash.
#![no_std]
#![no_main]

use core::panic::PanicInfo;

use cortex_m::singleton;
use cortex_m_rt::entry;
use cortex_m_semihosting::debug;
use pocketgan_runtime::{Generator, Latent, Model, dispatch, include_model};

include!(concat!(env!("OUT_DIR"), "/arena.rs"));

static MODEL: &[u8] = include_model!(concat!(env!("OUT_DIR"), "/model.pgan"));

#[entry]
fn main() -> ! {
    let arena = singleton!(: [f32; ARENA_LEN] = [0.0; ARENA_LEN]);
    exit(arena.is_some_and(|arena| draw(arena)))
}

/// Draws a picture; false if there is none.
fn draw(arena: &mut [f32]) -> bool {
    let Ok(model) = Model::load(MODEL) else { return false };
    let kernels = if NESTS { dispatch::best() } else { dispatch::best().without_nests() };
    let Ok(mut generator) = Generator::with_kernels(&model, arena, kernels) else { return false };
    let image = generator.generate(Latent::from_seed(7));
    image.values.iter().all(|value| value.abs() <= 1.0)
}

/// Ends the machine.
fn exit(success: bool) -> ! {
    debug::exit(if success { debug::EXIT_SUCCESS } else { debug::EXIT_FAILURE });
    loop {
        cortex_m::asm::wfi();
    }
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    exit(false)
}
