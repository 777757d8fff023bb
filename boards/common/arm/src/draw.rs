//! The program of a board that draws.

use boards_common::{Clock, Device, kernels};
use embedded_io::{Read, Write};

use crate::stack;

/// Draws over `port`, with loop nests only where the model has some: they are most of the code.
pub fn draw<const NESTS: bool>(
    port: impl Read + Write,
    model: &[u8],
    arena: &mut [f32],
    clock: impl Clock,
) -> ! {
    let (fast, exact) = kernels::<NESTS>();
    crate::finish(Device { model, port, clock, arena, fast, exact, usage: stack::usage }.draw())
}
