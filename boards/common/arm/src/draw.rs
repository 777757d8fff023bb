//! The program of a board that draws.

use boards_common::{Clock, Device};
use embedded_io::{Read, Write};
use pocketgan_runtime::dispatch;

use crate::stack;

/// Draws over `port`.
pub fn draw(port: impl Read + Write, model: &[u8], arena: &mut [f32], clock: impl Clock) -> ! {
    // Dense layers and convolutions are all that the digits need, and a third of the code.
    let (fast, exact) = (dispatch::best().without_nests(), dispatch::exact().without_nests());
    crate::finish(Device { model, port, clock, arena, fast, exact, usage: stack::usage }.draw())
}
