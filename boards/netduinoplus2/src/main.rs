//! Firmware for the Netduino Plus 2: a model in flash, a static arena, pictures on the debugger's console.

#![no_std]
#![no_main]

mod timer;

use core::fmt::Write;
use core::panic::PanicInfo;

use boards_common::{SEEDS, TextDisplay, run};
use cortex_m::singleton;
use cortex_m_rt::entry;
use cortex_m_semihosting::{debug, hio, hprintln};
use pocketgan_runtime::{dispatch, include_model};

include!(concat!(env!("OUT_DIR"), "/arena.rs"));

static MODEL: &[u8] = include_model!(concat!(env!("OUT_DIR"), "/model.pgan"));

#[entry]
fn main() -> ! {
    debug::exit(match show() {
        Ok(()) => debug::EXIT_SUCCESS,
        Err(()) => debug::EXIT_FAILURE,
    });
    // Without a debugger nothing ends the program.
    loop {
        cortex_m::asm::wfi();
    }
}

/// Shows the pictures and what they cost.
fn show() -> Result<(), ()> {
    let arena = singleton!(: [f32; ARENA_LEN] = [0.0; ARENA_LEN]).ok_or(())?;
    let mut out = hio::hstdout()?;
    let mut display = TextDisplay::new(hio::hstdout()?);
    // The model is a DCGAN.
    let kernels = dispatch::best().without_nests();
    match run(MODEL, &mut timer::Timer::start(), &mut display, arena, kernels, SEEDS) {
        Ok(report) => writeln!(out, "{report}").map_err(drop),
        Err(error) => {
            writeln!(out, "error: {error}").map_err(drop)?;
            Err(())
        }
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    hprintln!("{}", info);
    debug::exit(debug::EXIT_FAILURE);
    loop {
        cortex_m::asm::wfi();
    }
}
