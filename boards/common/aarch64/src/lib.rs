//! What the boards with a 64-bit ARM CPU and a framebuffer share: the program that draws, a map of memory, the counter, the
//! serial port, and pixels in memory.
//!
//! The crate `aarch64-rt` starts the CPU, at whatever exception level, and switches the MMU and the caches on before Rust runs:
//! without them all memory is a device, where a vector may not lie across its alignment and nothing is fast.

#![no_std]

mod counter;
mod draw;
mod frame;
mod map;
mod stack;
mod uart;

pub use counter::Counter;
pub use draw::{draw, fail};
pub use frame::Frame;
pub use map::identity;
pub use uart::Uart;
