//! Loop nests in runs of up to [`RUN`] values, which lie on the stack between reading and writing.
//!
//! Every result has the bits that [`reference`](crate::reference) defines: runs go along an axis that is kept, or along
//! the innermost reduced one, and never change the order in which the values of one result are combined. Uses less than
//! 5 KB of stack.
//!
//! An [`Engine`] has the innermost loops, so that an instruction set can have them compiled for it.

mod loops;
mod matrix;
mod values;

use loops::start;
pub(crate) use loops::{Loops, Place, advance, for_each, for_each_part};
pub(crate) use values::{Reader, apply_inline, combine_inline, fold, identity, multiply_add};
use values::{apply, combine, store};

use crate::function::entry;
use crate::{Activation, Axis, Combine, Function, MAX_AXES, Nest, Operand, f16_to_f32};

/// The implementation for every target.
pub(crate) fn nest(nest: &Nest<'_>, arena: &mut [f32]) {
    run(Plain, nest, arena);
}

/// The innermost loops, over runs of at most [`RUN`] values.
pub(crate) trait Engine: Copy {
    /// `out = function(a, b)`, value by value.
    fn apply(self, function: Function, a: &[f32], b: &[f32], out: &mut [f32]);
    /// `sums = combine(sums, values)`, value by value.
    fn combine(self, combine: Combine, sums: &mut [f32], values: &[f32]);
    /// Applies an activation to every value.
    fn activate(self, activation: Activation, values: &mut [f32]);
    /// `sums += a * b`, value by value, each product rounded.
    fn multiply_add(self, sums: &mut [f32], a: &[f32], b: &[f32]);
    /// Computes a nest of a form for which there is a loop of its own; false, and nothing done, for any other.
    fn form(self, nest: &Nest<'_>, loops: &Loops, arena: &mut [f32]) -> bool;
}

/// For the instructions that every CPU of the target has.
#[derive(Clone, Copy)]
struct Plain;

impl Engine for Plain {
    fn apply(self, function: Function, a: &[f32], b: &[f32], out: &mut [f32]) {
        apply(function, a, b, out);
    }

    fn combine(self, joins: Combine, sums: &mut [f32], values: &[f32]) {
        combine(joins, sums, values);
    }

    fn activate(self, activation: Activation, values: &mut [f32]) {
        activation.apply_all(values);
    }

    #[inline(always)]
    fn multiply_add(self, sums: &mut [f32], a: &[f32], b: &[f32]) {
        multiply_add(sums, a, b);
    }

    fn form(self, nest: &Nest<'_>, loops: &Loops, arena: &mut [f32]) -> bool {
        matrix::product(nest, loops, arena)
    }
}

/// Runs a nest with the loops of `engine`.
#[inline(always)]
pub(crate) fn run<E: Engine>(engine: E, nest: &Nest<'_>, arena: &mut [f32]) {
    nest.check(arena.len());
    let loops = Loops::new(nest);
    if engine.form(nest, &loops, arena) {
        return;
    }
    let mut runs = Runs {
        engine,
        nest,
        a: Reader::new(nest.a),
        b: Reader::new(nest.b),
        shift: nest.shift.map(Reader::new),
        result: [0.0; RUN],
    };
    if loops.reduced().is_empty() {
        match nest.function {
            Function::Take => runs.take(&loops, arena),
            Function::Select => runs.select(&loops, arena),
            Function::Identity if is_copy(nest, &loops) => runs.copy(&loops, arena),
            _ => runs.map(&loops, arena),
        }
    } else if loops.inner().extent as usize >= SHORT {
        runs.reduce_across(&loops, arena);
    } else {
        runs.reduce_along(&loops, arena);
    }
}

/// Whether the nest moves contiguous values as they are.
fn is_copy(nest: &Nest<'_>, loops: &Loops) -> bool {
    let contiguous = loops.inner().a == 1 && loops.inner().out == 1 && !nest.out_f16;
    contiguous && nest.is_plain() && !matches!(nest.a, Operand::Scalar(_) | Operand::ArenaF16(_))
}

/// A nest, and what lies on the stack meanwhile.
struct Runs<'a, E> {
    engine: E,
    nest: &'a Nest<'a>,
    a: Reader<'a>,
    b: Reader<'a>,
    shift: Option<Reader<'a>>,
    result: [f32; RUN],
}

impl<E: Engine> Runs<'_, E> {
    /// The function's values of a run along `axis`.
    #[inline]
    fn values(&mut self, axis: &Axis, at: Place, len: usize, arena: &[f32]) -> &[f32] {
        let a = self.a.read(arena, at.a, axis.a, len);
        let b = self.b.read(arena, at.b, axis.b, len);
        let result = &mut self.result[..len];
        self.engine.apply(self.nest.function, a, b, result);
        result
    }

    /// One value of the function for each of the result.
    fn map(&mut self, loops: &Loops, arena: &mut [f32]) {
        let inner = loops.inner();
        // How far the shift is from the second operand, whose strides it has.
        let apart = start(&self.nest.shift.unwrap_or(self.nest.b)).wrapping_sub(loops.start().b);
        loops.for_each_run(|at, len| {
            self.values(inner, at, len, arena);
            let result = &mut self.result[..len];
            if let Some(shift) = &mut self.shift {
                let shift = shift.read(arena, at.b.wrapping_add(apart), inner.b, len);
                self.engine.combine(Combine::Sum, result, shift);
            }
            self.engine.activate(self.nest.activation, result);
            store(self.nest, result, arena, at.out, inner.out);
        });
    }

    /// Contiguous values from one place to another.
    fn copy(&mut self, loops: &Loops, arena: &mut [f32]) {
        let len = loops.inner().extent as usize;
        loops.for_each_outer(|at| match self.nest.a {
            Operand::Arena(_) => arena.copy_within(at.a..at.a + len, at.out),
            Operand::F32(values, _) => arena[at.out..][..len].copy_from_slice(&values[at.a..][..len]),
            Operand::F16(values, _) => {
                for (out, &value) in arena[at.out..][..len].iter_mut().zip(&values[at.a..]) {
                    *out = f16_to_f32(value);
                }
            }
            // A scalar has no stride, and halves are spread.
            Operand::Scalar(_) | Operand::ArenaF16(_) => {}
        });
    }

    fn select(&mut self, loops: &Loops, arena: &mut [f32]) {
        let inner = loops.inner();
        loops.for_each_run(|at, len| {
            let a = self.a.read(arena, at.a, inner.a, len);
            let chosen = a.iter().rev().fold(0_u64, |bits, &a| bits << 1 | u64::from(a != 0.0));
            self.result[..len].copy_from_slice(self.b.read(arena, at.b, inner.b, len));
            let mut out = at.out;
            for (i, &value) in self.result[..len].iter().enumerate() {
                if chosen >> i & 1 == 1 {
                    store(self.nest, &[value], arena, out, 0);
                }
                out = out.wrapping_add_signed(inner.out as isize);
            }
        });
    }

    fn take(&mut self, loops: &Loops, arena: &mut [f32]) {
        let inner = loops.inner();
        let table = self.nest.axes[self.nest.axes.len() - 1];
        let skip = |b: f32| (entry(b, table.extent) as isize).wrapping_mul(table.a as isize);
        loops.for_each_run(|at, len| {
            let b = self.b.read(arena, at.b, inner.b, len);
            if inner.b == 0 {
                let a = self.a.read(arena, at.a.wrapping_add_signed(skip(b[0])), inner.a, len);
                self.result[..len].copy_from_slice(a);
            } else {
                let mut start = at.a;
                for (result, &b) in self.result.iter_mut().zip(b) {
                    *result = self.a.read(arena, start.wrapping_add_signed(skip(b)), 0, 1)[0];
                    start = start.wrapping_add_signed(inner.a as isize);
                }
            }
            store(self.nest, &self.result[..len], arena, at.out, inner.out);
        });
    }

    /// Reduces for a run of results at a time.
    fn reduce_across(&mut self, loops: &Loops, arena: &mut [f32]) {
        let (inner, reduced) = (loops.inner(), loops.reduced());
        let joins = self.nest.combine;
        loops.for_each_run(|start, len| {
            let mut sums = [identity(joins); RUN];
            let sums = &mut sums[..len];
            let (mut at, mut position) = (start, [0; MAX_AXES]);
            loop {
                if (self.nest.function, joins) == (Function::Mul, Combine::Sum) {
                    let a = self.a.read(arena, at.a, inner.a, len);
                    let b = self.b.read(arena, at.b, inner.b, len);
                    self.engine.multiply_add(sums, a, b);
                } else {
                    let engine = self.engine;
                    engine.combine(joins, sums, self.values(inner, at, len, arena));
                }
                if !advance(reduced, &mut position, &mut at) {
                    break;
                }
            }
            store(self.nest, sums, arena, start.out, inner.out);
        });
    }

    /// Reduces for one result after the other.
    fn reduce_along(&mut self, loops: &Loops, arena: &mut [f32]) {
        let Some((along, outer)) = loops.reduced().split_last() else { return };
        loops.for_each_value(|start| {
            let mut sum = identity(self.nest.combine);
            let (mut at, mut position) = (start, [0; MAX_AXES]);
            loop {
                for_each_part(along, at, |at, len| {
                    sum = fold(self.nest.combine, sum, self.values(along, at, len, arena));
                });
                if !advance(outer, &mut position, &mut at) {
                    break;
                }
            }
            store(self.nest, &[sum], arena, start.out, 0);
        });
    }
}

/// Values in the longest run: one for each bit of a `u64`.
pub(crate) const RUN: usize = 64;

/// Runs that are shorter do not pay.
pub(crate) const SHORT: usize = 8;
