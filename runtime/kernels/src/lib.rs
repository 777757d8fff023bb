//! All arithmetic of pocketgan, and all of its `unsafe`.
//!
//! In: slices of activations and panels of weights. Out: slices of activations. Nothing here allocates, and nothing
//! here knows the file, the arena or the network.
#![no_std]

#[cfg(any(test, feature = "std"))]
extern crate std;

mod tap_gemm;

pub use tap_gemm::{Activation, PANEL, Panels, Pixels, Tap, TapGemm, TapGemmFn};
