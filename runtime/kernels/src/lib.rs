//! All arithmetic of pocketgan, and all of its `unsafe`.
//!
//! In: slices of activations and panels of weights. Out: slices of activations. Nothing here allocates, and nothing
//! here knows the file, the arena or the network.
#![no_std]
#![deny(unsafe_code)]

#[cfg(any(test, feature = "std"))]
extern crate std;

pub mod activation;
mod arch;
pub mod dispatch;
mod dots;
mod half_float;
mod portable;
pub mod reference;
mod simd;
mod single;
mod tap_gemm;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod tiled;

pub use dispatch::Kernels;
pub use half_float::f16_to_f32;
pub use tap_gemm::{Activation, PANEL, Panels, Pixels, Tap, TapGemm, TapGemmFn};
