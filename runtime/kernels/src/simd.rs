//! What an instruction set must offer to run the driver of [`tiled`](crate::tiled): a handful of vector operations.

use half::f16;

use crate::half_float::Element;
use crate::{Activation, PANEL};

/// Vectors of `L` values of `f32`. A value of an implementing type is the proof that the CPU has the instructions, so
/// that methods are safe: it is made only where that was established.
///
/// Every method is `#[inline(always)]`, and the driver is entered through a `#[target_feature]` function, so that each
/// becomes one instruction.
pub(crate) trait Simd<const L: usize>: Copy {
    /// A vector.
    type V: Copy;
    /// Whether inner loops do one step at a time, since the compiler behind would spill the registers of several.
    const ONE_STEP: bool = false;

    /// Whether the driver keeps the order of additions that [`reference`](crate::reference) defines.
    const IN_ORDER: bool = false;

    /// `x` in every lane.
    fn splat(self, x: f32) -> Self::V;
    /// The values in order.
    fn load(self, values: &[f32; L]) -> Self::V;
    /// The values in order, as `f32`.
    fn load_f16(self, values: &[f16; L]) -> Self::V;
    /// Writes the lanes in order.
    fn store(self, v: Self::V, values: &mut [f32; L]);
    /// Writes the lanes in order, each rounded to nearest.
    fn store_f16(self, v: Self::V, values: &mut [f16; L]);
    /// `a * b + c`, rounded once where the CPU can.
    fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// Lane by lane, rounded.
    #[inline(always)]
    fn mul(self, a: Self::V, b: Self::V) -> Self::V {
        // Adding a negative zero changes nothing, not even the sign of a zero.
        self.mul_add(a, b, self.splat(-0.0))
    }
    /// Lane by lane.
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    /// Sum of all lanes, pairwise.
    fn sum(self, v: Self::V) -> f32;
    /// Asks for the values' cache lines, which a loop will read soon.
    fn prefetch<T>(self, values: &[T]);

    /// Applies an activation to every value.
    #[inline(always)]
    fn activate(self, activation: Activation, values: &mut [f32]) {
        activation.apply_all(values);
    }

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

/// An [`Element`] that vectors load and store.
pub(crate) trait SimdElement: Element + 'static {
    /// Zeros, for what lies outside.
    const ZEROS: &'static [Self; 1024];

    /// Values in order as `f32`.
    fn load<S: Simd<L>, const L: usize>(simd: S, values: &[Self; L]) -> S::V;
    /// Writes the lanes in order.
    fn store<S: Simd<L>, const L: usize>(simd: S, v: S::V, values: &mut [Self; L]);
}

impl SimdElement for f16 {
    const ZEROS: &'static [Self; 1024] = &[Self::ZERO; 1024];

    #[inline(always)]
    fn load<S: Simd<L>, const L: usize>(simd: S, values: &[Self; L]) -> S::V {
        simd.load_f16(values)
    }

    #[inline(always)]
    fn store<S: Simd<L>, const L: usize>(simd: S, v: S::V, values: &mut [Self; L]) {
        simd.store_f16(v, values);
    }
}

impl SimdElement for f32 {
    const ZEROS: &'static [Self; 1024] = &[0.0; 1024];

    #[inline(always)]
    fn load<S: Simd<L>, const L: usize>(simd: S, values: &[Self; L]) -> S::V {
        simd.load(values)
    }

    #[inline(always)]
    fn store<S: Simd<L>, const L: usize>(simd: S, v: S::V, values: &mut [Self; L]) {
        simd.store(v, values);
    }
}

/// Writes `values`, rounded where they are stored in half precision.
#[inline(always)]
pub(crate) fn store_all<P: Simd<PANEL>, A: SimdElement>(simd: P, values: &[f32], out: &mut [A]) {
    let (rows, tail) = values.as_chunks::<PANEL>();
    let (out_rows, out_tail) = out.as_chunks_mut::<PANEL>();
    for (row, out) in rows.iter().zip(out_rows) {
        A::store(simd, simd.load(row), out);
    }
    tail.iter().zip(out_tail).for_each(|(&value, out)| *out = A::from_f32(value));
}
