//! Firmware for QEMU's 32-bit RISC-V machine `virt`: a model in memory, a static arena, pictures on the serial port.

#![no_std]
#![no_main]

mod machine;
mod timer;

use core::fmt::Write;
use core::panic::PanicInfo;

use boards_common::{SEEDS, TextDisplay, run};
use machine::{Serial, exit};
use pocketgan_runtime::{dispatch, include_model};

include!(concat!(env!("OUT_DIR"), "/arena.rs"));

static MODEL: &[u8] = include_model!(concat!(env!("OUT_DIR"), "/model.pgan"));

static mut ARENA: [f32; ARENA_LEN] = [0.0; ARENA_LEN];

/// Called once by `start`.
extern "C" fn main() -> ! {
    let arena = &raw mut ARENA;
    // SAFETY: nothing else names the arena, and this function runs once.
    exit(show(unsafe { &mut *arena }).is_ok())
}

/// Shows the pictures and what they cost.
fn show(arena: &mut [f32]) -> Result<(), ()> {
    let mut out = Serial;
    let mut display = TextDisplay::new(Serial);
    // The model is a DCGAN.
    let kernels = dispatch::best().without_nests();
    match run(MODEL, &mut timer::Timer, &mut display, arena, kernels, SEEDS) {
        Ok(report) => writeln!(out, "{report}").map_err(drop),
        Err(error) => {
            writeln!(out, "error: {error}").map_err(drop)?;
            Err(())
        }
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    // The serial port takes everything, and there is nobody else to tell.
    let _ = writeln!(Serial, "{info}");
    exit(false)
}
