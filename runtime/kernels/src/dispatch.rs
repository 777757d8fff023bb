//! Which implementation runs: the only file that chooses.
//!
//! In: the CPU. Out: function pointers. Firmware that names one implementation links no other.

use crate::{
    ExpansionKernels, GradientKernels, NestFn, TapGemm, TapGemmF16Fn, TapGemmFn, arch, portable, reference,
};

/// One implementation of every operation.
#[derive(Clone, Copy, Debug)]
pub struct Kernels {
    /// The instruction set, e.g. `avx2`.
    pub name: &'static str,
    /// Dense, convolution, and each phase of a transposed convolution.
    pub tap_gemm: TapGemmFn,
    /// The same with activations in half precision; none in firmware that is to be small.
    pub tap_gemm_f16: Option<TapGemmF16Fn>,
    /// Everything else; none in firmware that is to be small, see [`without_nests`](Self::without_nests).
    pub nest: Option<NestFn>,
    /// Which way `tap_gemm` takes for an operation on some samples, and why, in a few words.
    pub path: fn(op: &TapGemm<'_>, samples: usize) -> &'static str,
    /// Largest error of a product of `tap_gemm`, relative to its size, that is not the rounding of `f32`. Where there is any, an
    /// infinite activation may give NaN for what the reference makes infinite.
    pub product_error: f32,
}

impl Kernels {
    /// Without loop nests, which then are not linked: 60 KB of code on a Cortex-M4F. Enough for dense layers and convolutions with
    /// the activations of [`Activation`](crate::Activation). Values in half precision are left out as well, 4 KB: inputs and
    /// pictures have single precision, and only nests convert between the two.
    #[must_use]
    pub const fn without_nests(self) -> Self {
        Self { tap_gemm_f16: None, nest: None, ..self }
    }
}

/// The fastest implementation that this CPU has.
///
/// Without the feature `std`, the fastest that the compiler's target promises.
pub fn best() -> Kernels {
    last(arch::available()).unwrap_or(portable::KERNELS)
}

/// The fastest implementation that gives the bits of [`mod@reference`] on every CPU, a NaN's own bits apart: what one seed
/// draws is the same everywhere.
pub fn exact() -> Kernels {
    last(arch::available_exact()).unwrap_or(portable::KERNELS)
}

/// The fastest gradients that this CPU has; of use to firmware that learns, and not linked by any other.
pub fn gradients() -> GradientKernels {
    last(arch::gradients()).unwrap_or(portable::GRADIENTS)
}

/// The fastest gradients that give the bits of [`mod@reference`] on every CPU, a NaN's own bits apart.
pub fn gradients_exact() -> GradientKernels {
    last(arch::gradients_exact()).unwrap_or(portable::GRADIENTS)
}

/// The expanded operations that go with some kernels: those of the same name, if there are any.
pub fn expansion(kernels: &Kernels) -> Option<ExpansionKernels> {
    arch::expansions().into_iter().flatten().find(|expansion| expansion.name == kernels.name)
}

/// Every implementation that this CPU has: the reference first, the fastest last.
pub fn available() -> [Option<Kernels>; 2 + arch::COUNT] {
    all(reference::KERNELS, portable::KERNELS, arch::available())
}

/// Every implementation that this CPU has of what [`exact`] promises: the reference first, the fastest last.
pub fn available_exact() -> [Option<Kernels>; 2 + arch::COUNT] {
    all(reference::KERNELS, portable::KERNELS, arch::available_exact())
}

/// Every implementation of gradients that this CPU has: the reference first, the fastest last.
pub fn available_gradients() -> [Option<GradientKernels>; 2 + arch::COUNT] {
    all(reference::GRADIENTS, portable::GRADIENTS, arch::gradients())
}

/// Inlined, and a plain loop for firmware: the compiler then knows what is chosen, and links nothing of the rest. In
/// WebAssembly the loop makes a module a third larger, and the iterator does not.
#[inline(always)]
fn last<T>(of_arch: [Option<T>; arch::COUNT]) -> Option<T> {
    if cfg!(target_arch = "wasm32") {
        return of_arch.into_iter().rev().flatten().next();
    }
    let mut last = None;
    for next in of_arch {
        if next.is_some() {
            last = next;
        }
    }
    last
}

fn all<T: Copy>(
    reference: T,
    portable: T,
    of_arch: [Option<T>; arch::COUNT],
) -> [Option<T>; 2 + arch::COUNT] {
    let mut all = [None; 2 + arch::COUNT];
    all[0] = Some(reference);
    all[1] = Some(portable);
    all[2..].copy_from_slice(&of_arch);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn best_is_the_last_available() {
        let last = available().into_iter().flatten().last().expect("the reference is always there");
        assert_eq!(best().name, last.name);
        std::println!("best: {}", last.name);
    }
}
