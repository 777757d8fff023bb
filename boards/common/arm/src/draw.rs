//! The program of a board that draws.

use boards_common::{Clock, Device};
use embedded_io::{Read, Write};
use pocketgan_runtime::dispatch;

use crate::stack;

/// Draws over `port`, with loop nests only where the model has some: they are most of the code.
pub fn draw<const NESTS: bool>(
    port: impl Read + Write,
    model: &[u8],
    arena: &mut [f32],
    clock: impl Clock,
) -> ! {
    let (fast, exact) = match NESTS {
        true => (dispatch::best(), dispatch::exact()),
        false => (dispatch::best().without_nests(), dispatch::exact().without_nests()),
    };
    crate::finish(Device { model, port, clock, arena, fast, exact, usage: stack::usage }.draw())
}
