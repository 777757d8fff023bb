//! What an instruction set must offer to run the driver of [`tiled`](crate::tiled): a handful of vector operations.

use half::f16;

use crate::{PANEL, f16_to_f32};

/// Vectors of `L` values of `f32`. A value of an implementing type is the proof that the CPU has the instructions, so
/// that methods are safe: it is made only where that was established.
///
/// Every method is `#[inline(always)]`, and the driver is entered through a `#[target_feature]` function, so that each
/// becomes one instruction.
pub(crate) trait Simd<const L: usize>: Copy {
    /// A vector.
    type V: Copy;

    /// `x` in every lane.
    fn splat(self, x: f32) -> Self::V;
    /// The values in order.
    fn load(self, values: &[f32; L]) -> Self::V;
    /// The values in order, as `f32`.
    fn load_f16(self, values: &[f16; L]) -> Self::V;
    /// Writes the lanes in order.
    fn store(self, v: Self::V, values: &mut [f32; L]);
    /// `a * b + c`, rounded once.
    fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// Lane by lane.
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    /// Sum of all lanes, pairwise.
    fn sum(self, v: Self::V) -> f32;
    /// Asks for the values' cache lines, which a loop will read soon.
    fn prefetch<T>(self, values: &[T]);

    /// Runs an inner loop in a function of its own, where it has all registers to itself.
    fn outline<T: InnerLoop<Self, L>>(self, inner: T) -> T::Output;
}

/// What [`Simd::outline`] runs.
pub(crate) trait InnerLoop<S: Simd<L>, const L: usize> {
    /// What is left in registers at its end.
    type Output;

    /// Runs it. `#[inline(always)]`, as all that it calls.
    fn run(self, simd: S) -> Self::Output;
}

/// How weights are stored.
pub(crate) trait Weight: Copy {
    /// One row of a panel as `f32`.
    fn load<P: Simd<PANEL>>(simd: P, row: &[Self; PANEL]) -> P::V;
    /// One weight as `f32`.
    fn to_f32(self) -> f32;
}

impl Weight for f16 {
    #[inline(always)]
    fn load<P: Simd<PANEL>>(simd: P, row: &[Self; PANEL]) -> P::V {
        simd.load_f16(row)
    }

    #[inline(always)]
    fn to_f32(self) -> f32 {
        f16_to_f32(self)
    }
}

impl Weight for f32 {
    #[inline(always)]
    fn load<P: Simd<PANEL>>(simd: P, row: &[Self; PANEL]) -> P::V {
        simd.load(row)
    }

    #[inline(always)]
    fn to_f32(self) -> f32 {
        self
    }
}
