//! Implementations for one instruction set each, and all `unsafe` of the crate.
//!
//! Each architecture has a module with `available`, which asks the CPU on behalf of `dispatch.rs`, and each
//! implementation is tested by the suite of `testing.rs`. An instruction set is added here, and nowhere else.
#![allow(unsafe_code)]

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(arm_fpu)]
mod arm;
#[cfg(not(any(target_arch = "aarch64", target_arch = "wasm32", target_arch = "x86_64", arm_fpu)))]
mod other;
#[cfg(target_arch = "wasm32")]
mod wasm32;
#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(target_arch = "aarch64")]
use aarch64 as target;
#[cfg(arm_fpu)]
use arm as target;
#[cfg(not(any(target_arch = "aarch64", target_arch = "wasm32", target_arch = "x86_64", arm_fpu)))]
use other as target;
#[cfg(target_arch = "wasm32")]
use wasm32 as target;
#[cfg(target_arch = "x86_64")]
use x86_64 as target;

#[cfg(any(test, feature = "std"))]
pub(crate) use target::fma_loops;
pub(crate) use target::{COUNT, available, available_exact, gradients, gradients_exact};
