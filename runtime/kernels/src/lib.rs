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
#[allow(dead_code, reason = "a target may have no implementation in `arch`")]
mod dots;
mod half_float;
#[cfg(any(test, feature = "std"))]
pub mod peak;
mod portable;
pub mod reference;
#[allow(dead_code, reason = "a target may have no implementation in `arch`")]
mod simd;
#[allow(dead_code, reason = "a target may have no implementation in `arch`")]
mod single;
mod tap_gemm;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[allow(dead_code, reason = "a target may have no implementation in `arch`")]
mod tiled;

pub use dispatch::Kernels;
pub use half_float::f16_to_f32;
pub use tap_gemm::{Activation, PANEL, Panels, Pixels, Tap, TapGemm, TapGemmFn};
