//! All arithmetic of pocketgan, and all of its `unsafe`.
//!
//! Two operations: the tap GEMM carries the work, the loop nest does all else. In: slices of activations and weights. Out:
//! slices of activations. Nothing here allocates, and nothing here knows the file or the network.
//!
//! On hosts a tap GEMM may have a second form, for which its weights are expanded into a buffer of the caller's: see
//! [`ExpansionKernels`].
#![no_std]
#![deny(unsafe_code)]

#[cfg(any(test, feature = "std"))]
extern crate std;

#[cfg(any(test, feature = "testing"))]
extern crate alloc;

pub mod activation;
mod arch;
#[allow(dead_code, reason = "a target may have no implementation in `arch`")]
mod blocks;
pub mod dispatch;
#[allow(dead_code, reason = "a target may have no implementation in `arch`")]
mod dots;
#[allow(dead_code, reason = "a target may have no implementation in `arch`")]
mod exact;
mod expansion;
mod function;
mod gradient;
mod half_float;
mod nest;
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
#[allow(dead_code, reason = "a target may have no implementation in `arch`")]
mod vector_nest;
#[allow(dead_code, reason = "a target may have no implementation in `arch`")]
mod widened;
#[allow(dead_code, reason = "a target may have no implementation in `arch`")]
mod winograd;

pub use dispatch::Kernels;
pub use expansion::{ExpandedFn, ExpansionKernels, Form, Storage};
pub use function::Function;
pub use gradient::{GradientKernels, InputGradientFn, WeightGradientFn, activation_gradient};
pub use half_float::{f16_to_f32, f32_to_f16};
pub use nest::{Axis, Combine, MAX_AXES, Nest, NestFn, Operand};
pub use tap_gemm::{Activation, PANEL, Panels, Pixels, Sample, Tap, TapGemm, TapGemmF16Fn, TapGemmFn};
