//! The suite that every kernel passes.
//!
//! In: an implementation, if this CPU has it. It compares with [`mod@crate::reference`] on generated operations, and breaks
//! every promise of an operation in turn. `POCKETGAN_SEED` repeats a failure. Firmware, which has no `std`, runs the part
//! [`on_device`].

#[cfg(any(test, feature = "std"))]
pub mod expansion;
pub mod gradient;
pub mod nest;
pub mod tap_gemm;

#[cfg(any(test, feature = "std"))]
use core::panic::AssertUnwindSafe;
#[cfg(any(test, feature = "std"))]
use std::panic::catch_unwind;
#[cfg(any(test, feature = "std"))]
use std::{env, println};

use crate::{GradientKernels, Kernels, Pixels};

/// The part of the suite that needs only an allocator: the edges, and some of the generated operations.
///
/// # Panics
/// When the implementation is wrong.
pub fn on_device(kernels: Kernels, seed: u64) {
    let mut random = Random { state: seed };
    tap_gemm::compare_ragged(kernels, tap_gemm::Bound::Rounding, &mut random, 60);
    tap_gemm::compare_edges(kernels, tap_gemm::Bound::Rounding, &mut random, 1);
    if kernels.nest.is_some() {
        nest::compare_random(kernels, &mut random, 80);
    }
}

/// [`on_device`] for gradients.
///
/// # Panics
/// When the implementation is wrong.
pub fn gradients_on_device(kernels: GradientKernels, bound: tap_gemm::Bound, seed: u64) {
    let mut random = Random { state: seed };
    gradient::compare_ragged(kernels, bound, &mut random, 60);
    gradient::compare_edges(kernels, bound, &mut random, 1);
}

/// Stamps the suite on an implementation: an expression of type `Option<Kernels>`, none where the CPU lacks it.
#[macro_export]
macro_rules! kernel_tests {
    ($kernels:expr) => {
        #[test]
        fn ragged_operations_match_the_reference() {
            $crate::testing::tap_gemm::ragged($kernels);
        }

        #[test]
        fn edge_shapes_match_the_reference() {
            $crate::testing::tap_gemm::edges($kernels);
        }

        #[test]
        fn halves_convert_exactly_and_results_round_to_the_nearest() {
            $crate::testing::tap_gemm::halves($kernels);
        }

        #[test]
        fn broken_promises_panic() {
            $crate::testing::tap_gemm::broken_promises($kernels, $crate::testing::panics);
        }

        #[test]
        fn random_nests_match_the_reference() {
            $crate::testing::nest::random($kernels);
        }

        #[test]
        fn nests_of_every_form_match_the_reference() {
            $crate::testing::nest::forms($kernels);
        }

        #[test]
        fn broken_promises_of_nests_panic() {
            $crate::testing::nest::broken_promises($kernels, $crate::testing::panics);
        }
    };
}

/// Stamps the suite on an implementation that is also to give the bits of the reference.
#[macro_export]
macro_rules! exact_kernel_tests {
    ($kernels:expr) => {
        $crate::kernel_tests!($kernels);

        #[test]
        fn ragged_operations_give_the_bits_of_the_reference() {
            $crate::testing::tap_gemm::ragged_exact($kernels);
        }

        #[test]
        fn edge_shapes_give_the_bits_of_the_reference() {
            $crate::testing::tap_gemm::edges_exact($kernels);
        }
    };
}

/// Stamps the suite on an implementation of gradients: an expression of type `Option<GradientKernels>`.
#[macro_export]
macro_rules! gradient_tests {
    ($kernels:expr) => {
        $crate::gradient_tests!($kernels, Rounding);
    };
    ($kernels:expr, $bound:ident) => {
        #[test]
        fn ragged_gradients_match_the_reference() {
            $crate::testing::gradient::ragged($kernels, $crate::testing::tap_gemm::Bound::$bound);
        }

        #[test]
        fn gradients_of_edge_shapes_match_the_reference() {
            $crate::testing::gradient::edges($kernels, $crate::testing::tap_gemm::Bound::$bound);
        }

        #[test]
        fn gradients_are_derivatives() {
            $crate::testing::gradient::derivatives($kernels);
        }

        #[test]
        fn broken_promises_of_gradients_panic() {
            $crate::testing::gradient::broken_promises($kernels, $crate::testing::panics);
        }
    };
}

/// Stamps the suite on an implementation of expanded operations: an expression of type `Option<ExpansionKernels>`.
#[macro_export]
macro_rules! expansion_tests {
    ($expansion:expr) => {
        #[test]
        fn ragged_expanded_operations_match_the_reference() {
            $crate::testing::expansion::ragged($expansion);
        }

        #[test]
        fn expanded_edge_shapes_match_the_reference() {
            $crate::testing::expansion::edges($expansion);
        }

        #[test]
        fn broken_promises_of_expanded_operations_panic() {
            $crate::testing::expansion::broken_promises($expansion, $crate::testing::panics);
        }
    };
}

/// Runs something and says whether it panicked. [`panics`], unless a panic ends the program.
pub type Panics = fn(&dyn Fn()) -> bool;

/// Catches a panic.
#[cfg(any(test, feature = "std"))]
pub fn panics(run: &dyn Fn()) -> bool {
    catch_unwind(AssertUnwindSafe(run)).is_err()
}

#[cfg(any(test, feature = "std"))]
fn or_skip<T>(kernels: Option<T>) -> Option<T> {
    if kernels.is_none() {
        println!("skipped: this CPU has not the instructions");
    }
    kernels
}

/// Marks values that no operation may write: a NaN with a payload of its own.
const UNTOUCHED: f32 = f32::from_bits(0x7fc5_eed5);

/// Marks halves that no operation may write.
const UNTOUCHED_F16: half::f16 = half::f16::from_bits(0x7ead);

/// A linear congruential generator: enough for tests, and no dependency.
///
/// # Source
/// Knuth, "The Art of Computer Programming", volume 2, section 3.3.4: the constants of MMIX.
pub(crate) struct Random {
    state: u64,
}

impl Random {
    /// Seeded by `POCKETGAN_SEED`; says with what.
    #[cfg(any(test, feature = "std"))]
    pub(crate) fn from_env() -> Self {
        let state = env::var("POCKETGAN_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_140_610);
        println!("POCKETGAN_SEED={state}");
        Self { state }
    }

    pub(crate) fn next(&mut self) -> u32 {
        self.state =
            self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.state >> 32) as u32
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.next() as usize % end
    }

    pub(crate) fn one_of<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.below(values.len())]
    }

    /// In `-reach..=reach`.
    pub(crate) fn offset(&mut self, reach: i16) -> i16 {
        self.below(2 * reach as usize + 1) as i16 - reach
    }

    /// A buffer whose pixels often lie side by side.
    pub(crate) fn pixels(&mut self, height: usize, width: usize, channels: usize) -> Pixels {
        Pixels { height, width, channels, pixel_stride: channels + self.one_of(&[0, 0, 1, 5]) }
    }

    /// In [-1, 1).
    pub(crate) fn value(&mut self) -> f32 {
        self.next() as i32 as f32 / 2_147_483_648.0
    }
}
