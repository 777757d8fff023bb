//! The program of a board with a framebuffer.

use core::arch::asm;
use core::convert::Infallible;
use core::fmt::{self, Write};

use aarch64_rt::{ExceptionHandlers, exception_handlers};
use boards_common::{Report, RunError, SEEDS, Screen, TextDisplay, exhibit, kernels, run};
use pocketgan_runtime::Kernels;

use crate::{Counter, Frame, Uart, stack};

/// Fills the screen with pictures, and then says on the serial port what every board says. The screen stays.
///
/// Pictures on the screen are computed exactly, so that every pixel is that of any other board; the time is that of the fastest
/// kernels. Loop nests are there only where the model has some: they are most of the code.
pub fn draw<const NESTS: bool>(model: &[u8], arena: &mut [f32], frame: Frame, mut uart: Uart) -> ! {
    stack::paint();
    let (fast, exact) = kernels::<NESTS>();
    if let Err(error) = fill(model, arena, frame, exact) {
        fail(uart, error);
    }
    match say(model, arena, uart, fast, exact) {
        Ok(report) => {
            // Nobody is left to be told.
            let _ = writeln!(uart, "{}\n{report}", stack::usage());
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

fn fill(model: &[u8], arena: &mut [f32], frame: Frame, exact: Kernels) -> Result<(), RunError<Infallible>> {
    let Ok(mut screen) = Screen::new(frame, SEEDS.count() as u32);
    exhibit(model, &mut screen, arena, exact, SEEDS, || ())
}

fn say(
    model: &[u8],
    arena: &mut [f32],
    uart: Uart,
    fast: Kernels,
    exact: Kernels,
) -> Result<Report, RunError<fmt::Error>> {
    run(model, &mut Counter, &mut TextDisplay::with_limit(uart, SAID), arena, fast, exact)
}

/// The CPU sleeps.
fn rest() -> ! {
    loop {
        // SAFETY: waits for an event.
        unsafe { asm!("wfe", options(nomem, nostack)) };
    }
}

/// Pictures that the serial port shows.
const SAID: u64 = 3;

exception_handlers!(Panic);

/// Handlers that panic, as the trait has them.
struct Panic;

impl ExceptionHandlers for Panic {}
