//! What every board shares: the traits that a board implements, the loop that uses them, and pictures as text.
//!
//! A board gives a display, a storage and a clock; the rest is here, in `no_std` without an allocator.

#![no_std]
#![forbid(unsafe_code)]

mod run;
mod text;

pub use run::{Report, RunError, SEEDS, run};
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
