//! Implementations for one instruction set each, and all `unsafe` of the crate.
//!
//! Each file exposes one function returning `Option<Kernels>`, which asks the CPU on behalf of `dispatch.rs`, and is
//! tested by the suite of `testing.rs`. An instruction set is added here, and nowhere else.
#![allow(unsafe_code)]

use crate::Kernels;

#[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
mod aarch64;
#[cfg(target_arch = "x86_64")]
mod x86_64;

/// Length of [`available`].
#[cfg(target_arch = "x86_64")]
pub(crate) const COUNT: usize = 2;
/// Length of [`available`].
#[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
pub(crate) const COUNT: usize = 1;
/// Length of [`available`].
#[cfg(not(any(target_arch = "x86_64", all(target_arch = "aarch64", target_feature = "neon"))))]
pub(crate) const COUNT: usize = 0;

/// What this CPU has of this architecture's implementations, the fastest last.
pub(crate) fn available() -> [Option<Kernels>; COUNT] {
    #[cfg(target_arch = "x86_64")]
    return [x86_64::avx2(), x86_64::avx512()];
    #[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
    return [aarch64::neon()];
    #[cfg(not(any(target_arch = "x86_64", all(target_arch = "aarch64", target_feature = "neon"))))]
    []
}

/// What this CPU has of implementations that give the bits of the reference, the fastest last.
pub(crate) fn available_exact() -> [Option<Kernels>; COUNT] {
    #[cfg(target_arch = "x86_64")]
    return [x86_64::avx2_exact(), x86_64::avx512_exact()];
    #[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
    return [aarch64::neon_exact()];
    #[cfg(not(any(target_arch = "x86_64", all(target_arch = "aarch64", target_feature = "neon"))))]
    []
}

/// The widest multiply-adds of the implementations in [`available`].
#[cfg(any(test, feature = "std"))]
pub(crate) fn fma_loops() -> [Option<crate::peak::FmaLoop>; COUNT] {
    #[cfg(target_arch = "x86_64")]
    return [x86_64::avx2_fma_loop(), x86_64::avx512_fma_loop()];
    #[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
    return [aarch64::neon_fma_loop()];
    #[cfg(not(any(target_arch = "x86_64", all(target_arch = "aarch64", target_feature = "neon"))))]
    []
}
