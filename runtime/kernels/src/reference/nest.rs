//! The definition of the loop nest.

use crate::function::entry;
use crate::{Axis, Function, MAX_AXES, Nest, Operand, f16_to_f32};

/// The loop nest in its defined order: the positions of the axes that are kept in row-major order, each written before
/// the next is read; for each, the reduced axes in row-major order, starting from the first value, every value and every
/// combination rounded to `f32`.
///
/// # Panics
/// See [`Nest::check`].
pub fn nest(nest: &Nest<'_>, arena: &mut [f32]) {
    nest.check(arena.len());
    let axes = nest.iterated();
    let kept = axes.len() - nest.reduced;
    let mut position = [0; MAX_AXES];
    let position = &mut position[..axes.len()];
    loop {
        let mut value = term(nest, position, arena);
        while advance(&axes[kept..], &mut position[kept..]) {
            value = nest.combine.apply(value, term(nest, position, arena));
        }
        let out = index(nest.out, axes, position, |axis| axis.out);
        if nest.function != Function::Select || read(nest, &nest.a, position, |axis| axis.a, arena) != 0.0 {
            arena[out] = value;
        }
        if !advance(&axes[..kept], &mut position[..kept]) {
            return;
        }
    }
}

/// The function's value at one position of all axes.
fn term(nest: &Nest<'_>, position: &[u32], arena: &[f32]) -> f32 {
    let b = read(nest, &nest.b, position, |axis| axis.b, arena);
    let a = match (nest.function, nest.axes.last()) {
        (Function::Take, Some(table)) => {
            let skip = entry(b, table.extent) as i64 * i64::from(table.a);
            let to_entry = |start: usize| (start as i64 + skip) as usize;
            let a = match nest.a {
                Operand::Arena(start) => Operand::Arena(to_entry(start)),
                Operand::F32(values, start) => Operand::F32(values, to_entry(start)),
                Operand::F16(values, start) => Operand::F16(values, to_entry(start)),
                Operand::Scalar(value) => Operand::Scalar(value),
            };
            read(nest, &a, position, |axis| axis.a, arena)
        }
        _ => read(nest, &nest.a, position, |axis| axis.a, arena),
    };
    nest.function.apply(a, b)
}

fn read(
    nest: &Nest<'_>,
    operand: &Operand<'_>,
    position: &[u32],
    stride: fn(&Axis) -> i32,
    arena: &[f32],
) -> f32 {
    let at = |start| index(start, nest.iterated(), position, stride);
    match *operand {
        Operand::Arena(start) => arena[at(start)],
        Operand::F32(values, start) => values[at(start)],
        Operand::F16(values, start) => f16_to_f32(values[at(start)]),
        Operand::Scalar(value) => value,
    }
}

fn index(start: usize, axes: &[Axis], position: &[u32], stride: fn(&Axis) -> i32) -> usize {
    let steps = axes.iter().zip(position).map(|(axis, &p)| i64::from(p) * i64::from(stride(axis)));
    (start as i64 + steps.sum::<i64>()) as usize
}

/// Moves to the next position in row-major order; false, and back at the first, after the last.
fn advance(axes: &[Axis], position: &mut [u32]) -> bool {
    for (axis, p) in axes.iter().zip(position).rev() {
        *p += 1;
        if *p < axis.extent {
            return true;
        }
        *p = 0;
    }
    false
}
