//! Implementations for one instruction set each, and all `unsafe` of the crate.
//!
//! Each file exposes one function returning `Option<Kernels>`, which asks the CPU on behalf of `dispatch.rs`, and is
//! tested by the suite of `testing.rs`. An instruction set is added here, and nowhere else.
#![allow(unsafe_code)]

use crate::Kernels;

#[cfg(target_arch = "wasm32")]
mod wasm32;
#[cfg(target_arch = "x86_64")]
mod x86_64;

/// Length of [`available`].
#[cfg(any(target_arch = "wasm32", target_arch = "x86_64"))]
pub(crate) const COUNT: usize = 2;
/// Length of [`available`].
#[cfg(not(any(target_arch = "wasm32", target_arch = "x86_64")))]
pub(crate) const COUNT: usize = 0;

/// What this CPU has of this architecture's implementations, the fastest last.
pub(crate) fn available() -> [Option<Kernels>; COUNT] {
    #[cfg(target_arch = "wasm32")]
    return [wasm32::simd128(), wasm32::relaxed_simd()];
    #[cfg(target_arch = "x86_64")]
    return [x86_64::avx2(), x86_64::avx512()];
    #[cfg(not(any(target_arch = "wasm32", target_arch = "x86_64")))]
    []
}

/// The widest multiply-adds of the implementations in [`available`].
#[cfg(any(test, feature = "std"))]
pub(crate) fn fma_loops() -> [Option<crate::peak::FmaLoop>; COUNT] {
    #[cfg(target_arch = "wasm32")]
    return [wasm32::simd128_fma_loop(), wasm32::relaxed_simd_fma_loop()];
    #[cfg(target_arch = "x86_64")]
    return [x86_64::avx2_fma_loop(), x86_64::avx512_fma_loop()];
    #[cfg(not(any(target_arch = "wasm32", target_arch = "x86_64")))]
    []
}
