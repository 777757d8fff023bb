//! The program of a board with a framebuffer.

use core::arch::asm;
use core::convert::Infallible;
use core::fmt::{self, Write};
use core::ops::Range;

use aarch64_rt::{ExceptionHandlers, exception_handlers};
use boards_common::{Report, RunError, SEEDS, TextDisplay, run};
use boards_screen::Screen;
use pocketgan_runtime::dispatch;

use crate::{Counter, Frame, Uart};

/// Fills the screen with pictures, and then says on the serial port what every board says. The screen stays.
///
/// Pictures on the screen are computed exactly, so that every pixel is that of any other board; the time is that of the fastest
/// kernels.
pub fn draw(model: &[u8], arena: &mut [f32], frame: Frame, mut uart: Uart) -> ! {
    if let Err(error) = fill(model, arena, frame) {
        fail(uart, error);
    }
    match say(model, arena, uart) {
        Ok(report) => {
            // Nobody is left to be told.
            let _ = writeln!(uart, "{report}");
            rest()
        }
        Err(error) => fail(uart, error),
    }
}

/// Says what is wrong on the serial port, and ends.
pub fn fail(mut uart: Uart, error: impl fmt::Display) -> ! {
    let _ = writeln!(uart, "error: {error}");
    rest()
}

fn fill(model: &[u8], arena: &mut [f32], frame: Frame) -> Result<(), RunError<Infallible>> {
    let Ok(mut screen) = Screen::new(frame, SCREEN_SEEDS.count() as u32);
    let kernels = dispatch::exact().without_nests();
    run(model, &mut Counter, &mut screen, arena, kernels, SCREEN_SEEDS).map(drop)
}

fn say(model: &[u8], arena: &mut [f32], uart: Uart) -> Result<Report, RunError<fmt::Error>> {
    let kernels = dispatch::best().without_nests();
    run(model, &mut Counter, &mut TextDisplay::new(uart), arena, kernels, SEEDS)
}

/// The CPU sleeps.
fn rest() -> ! {
    loop {
        // SAFETY: waits for an event.
        unsafe { asm!("wfe", options(nomem, nostack)) };
    }
}

/// What the screen shows.
const SCREEN_SEEDS: Range<u64> = 0..16;

exception_handlers!(Panic);

/// Handlers that panic, as the trait has them.
struct Panic;

impl ExceptionHandlers for Panic {}
