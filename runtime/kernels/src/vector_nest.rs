//! Loop nests for SIMD implementations: the loops of [`portable`](crate::portable), compiled for one instruction set,
//! and products of matrices on register tiles.
//!
//! All but those products give the bits that [`reference`](mod@crate::reference) defines: nothing is contracted or
//! reordered. Uses less than 32 KB of stack.

mod product;
mod rows;

use crate::portable::nest::{
    Engine, Loops, apply_inline, combine_inline, multiply_add as multiply_add_inline, run,
};
use crate::simd::{InnerLoop, Simd};
use crate::{Activation, Combine, Function, Nest};

/// Runs a nest; products of matrices in tiles of `R` rows. To be called in a function that enables the instruction set.
#[inline(always)]
pub(crate) fn nest<S: Simd<L>, const L: usize, const R: usize>(simd: S, nest: &Nest<'_>, arena: &mut [f32]) {
    run(Vectors::<S, L, R>(simd), nest, arena);
}

/// Loops in functions that have the instruction set.
#[derive(Clone, Copy)]
struct Vectors<S, const L: usize, const R: usize>(S);

impl<S: Simd<L>, const L: usize, const R: usize> Engine for Vectors<S, L, R> {
    #[inline(always)]
    fn apply(self, function: Function, a: &[f32], b: &[f32], out: &mut [f32]) {
        self.0.outline(Apply { function, a, b, out });
    }

    #[inline(always)]
    fn combine(self, combine: Combine, sums: &mut [f32], values: &[f32]) {
        self.0.outline(Join { combine, sums, values });
    }

    #[inline(always)]
    fn activate(self, activation: Activation, values: &mut [f32]) {
        self.0.outline(Activate { activation, values });
    }

    #[inline(always)]
    fn multiply_add(self, sums: &mut [f32], a: &[f32], b: &[f32]) {
        self.0.outline(MultiplyAdd { sums, a, b });
    }

    #[inline(always)]
    fn form(self, nest: &Nest<'_>, loops: &Loops, arena: &mut [f32]) -> bool {
        match loops.reduced() {
            [] => rows::in_place(self.0, nest, loops, arena),
            _ => {
                product::product::<S, L, R>(self.0, nest, loops, arena)
                    || rows::joined(self.0, nest, loops, arena)
            }
        }
    }
}

struct Apply<'a> {
    function: Function,
    a: &'a [f32],
    b: &'a [f32],
    out: &'a mut [f32],
}

impl<S: Simd<L>, const L: usize> InnerLoop<S, L> for Apply<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self, _: S) {
        apply_inline(self.function, self.a, self.b, self.out);
    }
}

struct Join<'a> {
    combine: Combine,
    sums: &'a mut [f32],
    values: &'a [f32],
}

impl<S: Simd<L>, const L: usize> InnerLoop<S, L> for Join<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self, _: S) {
        combine_inline(self.combine, self.sums, self.values);
    }
}

struct Activate<'a> {
    activation: Activation,
    values: &'a mut [f32],
}

impl<S: Simd<L>, const L: usize> InnerLoop<S, L> for Activate<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self, _: S) {
        self.activation.apply_all(self.values);
    }
}

struct MultiplyAdd<'a> {
    sums: &'a mut [f32],
    a: &'a [f32],
    b: &'a [f32],
}

impl<S: Simd<L>, const L: usize> InnerLoop<S, L> for MultiplyAdd<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self, _: S) {
        multiply_add_inline(self.sums, self.a, self.b);
    }
}
