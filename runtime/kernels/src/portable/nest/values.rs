//! Runs of values: read, computed, combined, written.

use super::RUN;
use crate::half_float::{half_at, set_half};
use crate::{Combine, Function, Nest, Operand, f16_to_f32};

/// An operand, and room for a run that does not lie in memory as such.
pub(crate) struct Reader<'a> {
    operand: Operand<'a>,
    buffer: [f32; RUN],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(operand: Operand<'a>) -> Self {
        // What a scalar reads, in runs of any length.
        let fill = if let Operand::Scalar(value) = operand { value } else { 0.0 };
        Self { operand, buffer: [fill; RUN] }
    }

    /// Where the values lie, if they lie there in single precision.
    #[inline(always)]
    pub(crate) fn values<'s>(&self, arena: &'s [f32]) -> Option<&'s [f32]>
    where
        'a: 's,
    {
        match self.operand {
            Operand::Arena(_) => Some(arena),
            Operand::F32(values, _) => Some(values),
            _ => None,
        }
    }

    /// A run of at most [`RUN`] values.
    #[inline(always)]
    pub(crate) fn read<'s>(
        &'s mut self,
        arena: &'s [f32],
        start: usize,
        stride: i32,
        len: usize,
    ) -> &'s [f32] {
        match self.operand {
            Operand::Arena(_) => gather(arena, start, stride, &mut self.buffer[..len]),
            Operand::ArenaF16(_) => {
                let mut at = start;
                for value in &mut self.buffer[..len] {
                    *value = half_at(arena, at);
                    at = at.wrapping_add_signed(stride as isize);
                }
                &self.buffer[..len]
            }
            Operand::F32(values, _) => gather(values, start, stride, &mut self.buffer[..len]),
            Operand::F16(values, _) => {
                spread(values, start, stride, &mut self.buffer[..len], f16_to_f32);
                &self.buffer[..len]
            }
            Operand::Scalar(_) => &self.buffer[..len],
        }
    }
}

/// The run itself where it is contiguous, else copied to `buffer`.
#[inline(always)]
fn gather<'s>(values: &'s [f32], start: usize, stride: i32, buffer: &'s mut [f32]) -> &'s [f32] {
    if stride == 1 {
        return &values[start..][..buffer.len()];
    }
    spread(values, start, stride, buffer, |value| value);
    buffer
}

/// Copies a run to `buffer`. Two instances for the whole of the nests: they are too long for more.
#[inline(never)]
fn spread<T: Copy>(values: &[T], start: usize, stride: i32, buffer: &mut [f32], to_f32: impl Fn(T) -> f32) {
    match stride {
        0 => buffer.fill(to_f32(values[start])),
        1 => buffer.iter_mut().zip(&values[start..]).for_each(|(slot, &value)| *slot = to_f32(value)),
        2.. => {
            let strided = values[start..].iter().step_by(stride as usize);
            buffer.iter_mut().zip(strided).for_each(|(slot, &value)| *slot = to_f32(value));
        }
        _ => {
            let backwards = values[..=start].iter().rev().step_by(stride.unsigned_abs() as usize);
            buffer.iter_mut().zip(backwards).for_each(|(slot, &value)| *slot = to_f32(value));
        }
    }
}

/// Writes a run of the nest's result.
#[inline(always)]
pub(super) fn store(nest: &Nest<'_>, run: &[f32], arena: &mut [f32], start: usize, stride: i32) {
    if nest.out_f16 {
        scatter_halves(run, arena, start, stride);
    } else if stride == 1 {
        arena[start..][..run.len()].copy_from_slice(run);
    } else {
        scatter(run, arena, start, stride);
    }
}

#[inline(never)]
fn scatter_halves(run: &[f32], arena: &mut [f32], start: usize, stride: i32) {
    let mut at = start;
    for &value in run {
        set_half(arena, at, value);
        at = at.wrapping_add_signed(stride as isize);
    }
}

#[inline(never)]
fn scatter(run: &[f32], arena: &mut [f32], start: usize, stride: i32) {
    match stride {
        // The last of those that are written to one place stays.
        0 => arena[start] = run[run.len() - 1],
        1.. => {
            let strided = arena[start..].iter_mut().step_by(stride as usize);
            strided.zip(run).for_each(|(slot, &value)| *slot = value);
        }
        _ => {
            let backwards = arena[..=start].iter_mut().rev().step_by(stride.unsigned_abs() as usize);
            backwards.zip(run).for_each(|(slot, &value)| *slot = value);
        }
    }
}

/// `out = function(a, b)`, value by value. Functions of a few instructions have a loop of their own, which vectorises; the
/// others share one, which keeps the code small.
#[inline(never)]
pub(super) fn apply(function: Function, a: &[f32], b: &[f32], out: &mut [f32]) {
    apply_inline(function, a, b, out);
}

/// [`apply`], compiled for whatever instructions the caller has.
#[inline(always)]
pub(crate) fn apply_inline(function: Function, a: &[f32], b: &[f32], out: &mut [f32]) {
    macro_rules! each {
        ($($name:ident)*) => {
            match function {
                $(Function::$name => {
                    for ((out, &a), &b) in out.iter_mut().zip(a).zip(b) {
                        *out = Function::$name.apply(a, b);
                    }
                })*
                _ => {
                    for ((out, &a), &b) in out.iter_mut().zip(a).zip(b) {
                        *out = function.apply(a, b);
                    }
                }
            }
        };
    }
    each!(Identity Relu Tanh Sigmoid Abs Exp Sqrt Sign Add Sub Mul Div Max Min Less LessEqual Equal PRelu ExpSub)
}

/// `sums = combine(sums, values)`, value by value.
#[inline(never)]
pub(super) fn combine(joins: Combine, sums: &mut [f32], values: &[f32]) {
    combine_inline(joins, sums, values);
}

/// `sums += a * b`, value by value, each product rounded.
#[inline(always)]
pub(crate) fn multiply_add(sums: &mut [f32], a: &[f32], b: &[f32]) {
    for ((sum, &a), &b) in sums.iter_mut().zip(a).zip(b) {
        *sum += a * b;
    }
}

/// [`combine`], compiled for whatever instructions the caller has.
#[inline(always)]
pub(crate) fn combine_inline(combine: Combine, sums: &mut [f32], values: &[f32]) {
    macro_rules! each {
        ($($name:ident)*) => {
            match combine {
                $(Combine::$name => {
                    for (sum, &value) in sums.iter_mut().zip(values) {
                        *sum = Combine::$name.apply(*sum, value);
                    }
                })*
            }
        };
    }
    each!(Sum Product Max Min)
}

/// `sum` combined with one value after the other.
#[inline(never)]
pub(crate) fn fold(combine: Combine, sum: f32, values: &[f32]) -> f32 {
    macro_rules! each {
        ($($name:ident)*) => {
            match combine {
                $(Combine::$name => values.iter().fold(sum, |sum, &value| Combine::$name.apply(sum, value)),)*
            }
        };
    }
    each!(Sum Product Max Min)
}

/// What changes no value that it is combined with: even a negative zero survives the sum with one.
pub(crate) fn identity(combine: Combine) -> f32 {
    match combine {
        Combine::Sum => -0.0,
        Combine::Product => 1.0,
        Combine::Max => f32::NEG_INFINITY,
        Combine::Min => f32::INFINITY,
    }
}
