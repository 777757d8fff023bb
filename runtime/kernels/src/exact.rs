//! Vectors that add as [`reference`](crate::reference) does: every product and every sum is rounded, in order.
//!
//! In: the vectors of an instruction set. Out: the same, for a driver that leaves the order alone. What comes out has the
//! same bits on every CPU; only a NaN may be another.

use half::f16;

use crate::half_float::f32_to_f16;
use crate::simd::{InnerLoop, Simd};

/// `S` without fused multiply-adds and without what changes the order of a sum.
#[derive(Clone, Copy)]
pub(crate) struct Exact<S>(pub(crate) S);

impl<S: Simd<L>, const L: usize> Simd<L> for Exact<S> {
    type V = S::V;

    const IN_ORDER: bool = true;

    #[inline(always)]
    fn splat(self, x: f32) -> S::V {
        self.0.splat(x)
    }

    #[inline(always)]
    fn load(self, values: &[f32; L]) -> S::V {
        self.0.load(values)
    }

    #[inline(always)]
    fn load_f16(self, values: &[f16; L]) -> S::V {
        self.0.load_f16(values)
    }

    #[inline(always)]
    fn store(self, v: S::V, values: &mut [f32; L]) {
        self.0.store(v, values);
    }

    #[inline(always)]
    fn store_f16(self, v: S::V, values: &mut [f16; L]) {
        let mut wide = [0.0; L];
        self.0.store(v, &mut wide);
        *values = wide.map(f32_to_f16);
    }

    /// Rounded twice.
    #[inline(always)]
    fn mul_add(self, a: S::V, b: S::V, c: S::V) -> S::V {
        self.0.add(c, self.0.mul(a, b))
    }

    #[inline(always)]
    fn mul(self, a: S::V, b: S::V) -> S::V {
        self.0.mul(a, b)
    }

    #[inline(always)]
    fn add(self, a: S::V, b: S::V) -> S::V {
        self.0.add(a, b)
    }

    #[inline(always)]
    fn sum(self, v: S::V) -> f32 {
        self.0.sum(v)
    }

    #[inline(always)]
    fn prefetch<T>(self, values: &[T]) {
        self.0.prefetch(values);
    }

    #[inline(always)]
    fn outline<T: InnerLoop<Self, L>>(self, inner: T) -> T::Output {
        self.0.outline(InOrder(inner))
    }
}

/// An inner loop for `Exact<S>`, entered through `S`.
struct InOrder<T>(T);

impl<S: Simd<L>, T: InnerLoop<Exact<S>, L>, const L: usize> InnerLoop<S, L> for InOrder<T> {
    type Output = T::Output;

    #[inline(always)]
    fn run(self, simd: S) -> T::Output {
        self.0.run(Exact(simd))
    }
}
