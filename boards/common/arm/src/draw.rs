//! The program of a board that draws.

use core::fmt::Write;

use boards_common::{Clock, SEEDS, TextDisplay, run};
use cortex_m_semihosting::hio;
use pocketgan_runtime::dispatch;

use crate::end;

/// Shows the pictures and what they cost on the debugger's console.
pub fn draw(model: &[u8], clock: &mut impl Clock, arena: &mut [f32]) -> ! {
    end(show(model, clock, arena).is_ok())
}

fn show(model: &[u8], clock: &mut impl Clock, arena: &mut [f32]) -> Result<(), ()> {
    let mut out = hio::hstdout()?;
    let mut display = TextDisplay::new(hio::hstdout()?);
    // Dense layers and convolutions are all that the digits need, and a third of the code.
    let kernels = dispatch::best().without_nests();
    match run(model, clock, &mut display, arena, kernels, SEEDS) {
        Ok(report) => writeln!(out, "{report}").map_err(drop),
        Err(error) => {
            writeln!(out, "error: {error}").map_err(drop)?;
            Err(())
        }
    }
}
