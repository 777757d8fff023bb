//! Runs a `.pgan` generator on anything: no `std`, no heap, no copy of the weights, and an arena whose size is known
//! before the device is flashed.
//!
//! ```
//! # fn draw(file: &[u8]) -> Result<u8, Box<dyn core::error::Error>> {
//! use pocketgan_runtime::{Generator, Latent, Model};
//!
//! let model = Model::load(file)?;
//! let mut arena = vec![0.0; model.arena_len()];
//! let mut generator = Generator::new(&model, &mut arena)?;
//! let image = generator.generate(Latent::from_seed(7));
//! let mut pixels = vec![0; image.height * image.width];
//! image.to_gray8(&mut pixels);
//! # Ok(pixels[0])
//! # }
//! ```
#![no_std]
#![forbid(unsafe_code)]

#[cfg(any(test, feature = "rayon"))]
extern crate std;

mod conformance;
#[cfg(feature = "graphics")]
pub mod display;
mod error;
mod expansion;
mod generator;
mod image;
pub mod latent;
mod learned;
mod model;
mod operation;
#[cfg(feature = "rayon")]
mod parallel;

pub use conformance::{Conformance, Verdict};
pub use error::{LoadError, StartError};
pub use generator::Generator;
pub use image::Image;
pub use latent::Latent;
pub use model::{Input, Model};
pub use pocketgan_format::{Delta, DeltaError, Function, Role};
pub use pocketgan_kernels::{Kernels, dispatch};

/// Bytes of a file, compiled into the program at an address that [`Model::load`] accepts.
///
/// ```ignore
/// static DIGITS: &[u8] = pocketgan_runtime::include_model!("mnist-dcgan28.pgan");
/// ```
#[macro_export]
macro_rules! include_model {
    ($path:expr) => {{
        #[repr(C, align(16))]
        struct Aligned<T: ?Sized>(T);
        static FILE: &Aligned<[u8]> = &Aligned(*include_bytes!($path));
        &FILE.0
    }};
}
