//! What every board shares: the traits that a board implements, the loop that uses them, pictures as text, and the console of
//! a board with a serial line, which draws what it is told and may learn.
//!
//! A board gives a storage, a clock, and a display or a serial line; to learn, flash as well. The rest is here, in `no_std`
//! without an allocator.

#![no_std]
#![forbid(unsafe_code)]

mod command;
mod console;
mod exhibit;
pub mod flash;
pub mod frame;
mod plan;
mod run;
#[cfg(feature = "graphics")]
mod screen;
mod terminal;
mod text;

pub use console::{Device, End, Learning, Usage};
pub use exhibit::exhibit;
pub use plan::{Plan, RECEIVED};
pub use run::{Report, RunError, SEEDS, kernels, run};
#[cfg(feature = "graphics")]
pub use screen::Screen;
pub use text::TextDisplay;

use pocketgan_runtime::Image;

/// Where pictures go.
pub trait Display {
    /// What can go wrong while showing one.
    type Error;

    /// Shows one picture, scaled to whatever there is.
    ///
    /// # Errors
    /// Whatever the device reports.
    fn show(&mut self, image: &Image<'_>) -> Result<(), Self::Error>;
}

/// Where the model lies.
///
/// Bytes are storage themselves: firmware uses `pocketgan_runtime::include_model!`.
pub trait Storage {
    /// The bytes of a `.pgan` file, 16-byte aligned, in place.
    fn model(&self) -> &[u8];
}

impl Storage for [u8] {
    fn model(&self) -> &[u8] {
        self
    }
}

/// A clock that never goes back.
pub trait Clock {
    /// Microseconds since some moment.
    fn now_us(&mut self) -> u64;
}
