//! The forms of which normalizations and softmax are made, each as one loop: a function of every value in place, its
//! second operand the same for all rows; and rows joined to one. In the defined order, so with the defined bits.

use crate::portable::nest::{Loops, RUN, apply_inline, combine_inline, for_each_part, identity};
use crate::simd::{InnerLoop, Simd};
use crate::{Activation, Axis, Combine, Function, Nest, Operand};

/// Computes the nest if it changes contiguous values in place, with a second operand that is one row or one value; false,
/// and nothing done, otherwise.
#[inline(always)]
pub(super) fn in_place<S: Simd<L>, const L: usize>(
    simd: S,
    nest: &Nest<'_>,
    loops: &Loops,
    arena: &mut [f32],
) -> bool {
    let inner = loops.inner();
    let contiguous = |axis: &Axis| axis.a == axis.out;
    let rows = match loops.outer() {
        [] => 1,
        [rows] if rows.out as i64 == i64::from(inner.extent) && rows.b == 0 && contiguous(rows) => {
            rows.extent
        }
        _ => return false,
    };
    let row = inner.extent as usize;
    let copies = matches!(nest.function, Function::Select | Function::Take);
    if copies || nest.out_f16 || inner.out != 1 || !contiguous(inner) || !is_at(nest.a, nest.out) {
        return false;
    }
    // One value for all makes rows of any length.
    let is_scalar = |operand: Operand<'_>| matches!(operand, Operand::Scalar(_));
    let scalars = is_scalar(nest.b) && nest.shift.is_none_or(is_scalar);
    let len = if scalars { LONGEST_ROW } else { row };
    if len > LONGEST_ROW {
        return false;
    }
    let mut buffers = [[0.0; LONGEST_ROW]; 2];
    let [second, shift] = &mut buffers;
    let Some(second) = read_row(nest.b, inner.b, arena, &mut second[..len]) else { return false };
    let shift = match nest.shift {
        Some(operand) => match read_row(operand, inner.b, arena, &mut shift[..len]) {
            Some(shift) => Some(shift),
            None => return false,
        },
        None => None,
    };
    let values = &mut arena[loops.start().out..][..row * rows as usize];
    if nest.is_plain() {
        simd.outline(InPlace { function: nest.function, values, second });
    } else {
        let (function, activation) = (nest.function, nest.activation);
        simd.outline(InPlaceThen { function, values, second, shift, activation });
    }
    true
}

/// The row that an operand is, itself or copied; none where it is none.
#[inline(always)]
fn read_row<'s>(
    operand: Operand<'s>,
    stride: i32,
    arena: &[f32],
    buffer: &'s mut [f32],
) -> Option<&'s [f32]> {
    match (operand, stride) {
        (Operand::Scalar(value), _) => buffer.fill(value),
        (Operand::Arena(start), 1) => buffer.copy_from_slice(&arena[start..][..buffer.len()]),
        (Operand::F32(values, start), 1) => return Some(&values[start..][..buffer.len()]),
        _ => return None,
    }
    Some(buffer)
}

fn is_at(operand: Operand<'_>, at: usize) -> bool {
    matches!(operand, Operand::Arena(start) if start == at)
}

/// `value = function(value, second)` in rows as long as `second`.
struct InPlace<'a> {
    function: Function,
    values: &'a mut [f32],
    second: &'a [f32],
}

impl<S: Simd<L>, const L: usize> InnerLoop<S, L> for InPlace<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self, _: S) {
        macro_rules! each {
            ($($name:ident)*) => {
                match self.function {
                    $(Function::$name => {
                        for row in self.values.chunks_mut(self.second.len()) {
                            for (value, &second) in row.iter_mut().zip(self.second) {
                                *value = Function::$name.apply(*value, second);
                            }
                        }
                    })*
                    // As long to compute as to copy.
                    function => {
                        let mut first = [0.0; RUN];
                        for row in self.values.chunks_mut(self.second.len()) {
                            for (values, second) in row.chunks_mut(RUN).zip(self.second.chunks(RUN)) {
                                let first = &mut first[..values.len()];
                                first.copy_from_slice(values);
                                apply_inline(function, first, second, values);
                            }
                        }
                    }
                }
            };
        }
        each!(Relu Exp Sqrt Add Sub Mul Div PRelu ExpSub)
    }
}

/// `value = activation(function(value, second) + shift)` in rows as long as `second`.
struct InPlaceThen<'a> {
    function: Function,
    values: &'a mut [f32],
    second: &'a [f32],
    shift: Option<&'a [f32]>,
    activation: Activation,
}

impl<S: Simd<L>, const L: usize> InnerLoop<S, L> for InPlaceThen<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self, _: S) {
        let Self { function, values, second, shift, activation } = self;
        let mut first = [0.0; RUN];
        for row in values.chunks_mut(second.len()) {
            for (i, values) in row.chunks_mut(RUN).enumerate() {
                let first = &mut first[..values.len()];
                first.copy_from_slice(values);
                apply_inline(function, first, &second[i * RUN..], values);
                if let Some(shift) = shift {
                    combine_inline(Combine::Sum, values, &shift[i * RUN..]);
                }
                activation.apply_all(values);
            }
        }
    }
}

/// Joins contiguous rows that lie any distance apart, if that is what the nest does; false, and nothing done, otherwise.
#[inline(always)]
pub(super) fn joined<S: Simd<L>, const L: usize>(
    simd: S,
    nest: &Nest<'_>,
    loops: &Loops,
    arena: &mut [f32],
) -> bool {
    let (inner, [reduced]) = (loops.inner(), loops.reduced()) else { return false };
    let forwards = reduced.a > 0 && inner.a == 1 && inner.out == 1;
    let plain = nest.function == Function::Identity && !nest.out_f16;
    if !plain || !forwards || inner.extent < 8 || !matches!(nest.a, Operand::Arena(_)) {
        return false;
    }
    loops.for_each_outer(|start| {
        for_each_part(inner, start, |at, len| {
            let mut joined = [identity(nest.combine); RUN];
            let rows = Rows { values: &arena[at.a..], distance: reduced.a as usize, count: reduced.extent };
            simd.outline(Joined { combine: nest.combine, rows, joined: &mut joined[..len] });
            arena[at.out..][..len].copy_from_slice(&joined[..len]);
        });
    });
    true
}

#[derive(Clone, Copy)]
struct Rows<'a> {
    values: &'a [f32],
    distance: usize,
    count: u32,
}

struct Joined<'a> {
    combine: Combine,
    rows: Rows<'a>,
    joined: &'a mut [f32],
}

impl<S: Simd<L>, const L: usize> InnerLoop<S, L> for Joined<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self, _: S) {
        let Rows { values, distance, count } = self.rows;
        // Of a length that the compiler knows, the whole run stays in registers.
        if let Ok(joined) = <&mut [f32; RUN]>::try_from(&mut *self.joined) {
            macro_rules! each {
                ($($name:ident)*) => {
                    match self.combine {
                        $(Combine::$name => {
                            let mut run = *joined;
                            for row in 0..count as usize {
                                let values = &values[row * distance..][..RUN];
                                for i in 0..RUN {
                                    run[i] = Combine::$name.apply(run[i], values[i]);
                                }
                            }
                            *joined = run;
                        })*
                    }
                };
            }
            each!(Sum Product Max Min);
            return;
        }
        for row in 0..count as usize {
            combine_inline(self.combine, self.joined, &values[row * distance..][..self.joined.len()]);
        }
    }
}

/// The longest row that is copied to the stack.
const LONGEST_ROW: usize = 512;
