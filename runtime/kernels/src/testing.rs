//! The suite that every kernel passes.
//!
//! In: an implementation, if this CPU has it. It compares with [`mod@crate::reference`] on generated operations, and breaks
//! every promise of an operation in turn. `POCKETGAN_SEED` repeats a failure.

pub mod nest;
pub mod tap_gemm;

use core::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::{env, println};

use crate::Kernels;

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
        fn random_nests_give_the_bits_of_the_reference() {
            $crate::testing::nest::random($kernels);
        }

        #[test]
        fn nests_of_every_form_give_the_bits_of_the_reference() {
            $crate::testing::nest::forms($kernels);
        }

        #[test]
        fn broken_promises_of_nests_panic() {
            $crate::testing::nest::broken_promises($kernels, $crate::testing::panics);
        }
    };
}

/// Runs something and says whether it panicked. [`panics`], unless a panic ends the program.
pub type Panics = fn(&dyn Fn()) -> bool;

/// Catches a panic.
pub fn panics(run: &dyn Fn()) -> bool {
    catch_unwind(AssertUnwindSafe(run)).is_err()
}

fn or_skip(kernels: Option<Kernels>) -> Option<Kernels> {
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

    /// In [-1, 1).
    pub(crate) fn value(&mut self) -> f32 {
        self.next() as i32 as f32 / 2f32.powi(31)
    }
}
