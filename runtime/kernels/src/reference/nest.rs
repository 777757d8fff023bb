//! The definition of the loop nest.

use crate::function::entry;
use crate::half_float::{half_at, set_half};
use crate::{Axis, Function, MAX_AXES, Nest, Operand, f16_to_f32};

/// The loop nest in its defined order: the positions of the axes that are kept in row-major order, each written before
/// the next is read; for each, the reduced axes in row-major order, starting from the first value, every value and every
/// combination rounded to `f32`. The shift is added, and the activation applied, last.
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
        if let Some(shift) = &nest.shift {
            value += read(nest, shift, position, |axis| axis.b, arena);
        }
        value = nest.activation.apply(value);
        let out = index(nest.out, axes, position, |axis| axis.out);
        if nest.function != Function::Select || read(nest, &nest.a, position, |axis| axis.a, arena) != 0.0 {
            match nest.out_f16 {
                true => set_half(arena, out, value),
                false => arena[out] = value,
            }
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
                Operand::ArenaF16(start) => Operand::ArenaF16(to_entry(start)),
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
        Operand::ArenaF16(start) => half_at(arena, at(start)),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Activation, Combine};

    const NONE: Operand<'_> = Operand::Scalar(0.0);

    /// What the tests here leave out.
    const PLAIN: Nest<'_> = Nest {
        function: Function::Identity,
        combine: Combine::Sum,
        axes: &[],
        reduced: 0,
        a: NONE,
        b: NONE,
        shift: None,
        activation: Activation::Identity,
        out: 0,
        out_f16: false,
    };

    /// Runs a nest over `[extent, a, b, out]` on an arena.
    fn run<const N: usize, const R: usize>(
        (function, combine): (Function, Combine),
        axes: [[i32; 4]; R],
        reduced: usize,
        (a, b, out): (Operand<'_>, Operand<'_>, usize),
        mut arena: [f32; N],
    ) -> [f32; N] {
        let axes = axes.map(|[extent, a, b, out]| Axis { extent: extent as u32, a, b, out });
        nest(&Nest { function, combine, axes: &axes, reduced, a, b, out, ..PLAIN }, &mut arena);
        arena
    }

    #[test]
    fn strides_transpose_repeat_and_run_backwards() {
        let copy = (Function::Identity, Combine::Sum);
        let from = Operand::F32(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0], 0);
        let transposed = run(copy, [[3, 1, 0, 2], [2, 3, 0, 1]], 0, (from, NONE, 0), [9.0; 6]);
        assert_eq!(transposed, [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
        let repeated = run(copy, [[2, 3, 0, 4], [2, 0, 0, 2], [2, 1, 0, 1]], 0, (from, NONE, 0), [9.0; 8]);
        assert_eq!(repeated, [0.0, 1.0, 0.0, 1.0, 3.0, 4.0, 3.0, 4.0]);
        let last = Operand::F32(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0], 5);
        assert_eq!(run(copy, [[3, -2, 0, 1]], 0, (last, NONE, 1), [9.0; 5]), [9.0, 5.0, 3.0, 1.0, 9.0]);
        assert_eq!(run(copy, [], 0, (last, NONE, 1), [9.0; 3]), [9.0, 5.0, 9.0]);
    }

    #[test]
    fn every_combination_of_a_row() {
        let values = [2.0, -3.0, 4.0, 0.5];
        let of = |combine| {
            run((Function::Identity, combine), [[4, 1, 0, 0]], 1, (Operand::F32(&values, 0), NONE, 0), [9.0])
                [0]
        };
        let combinations = [Combine::Sum, Combine::Product, Combine::Max, Combine::Min];
        assert_eq!(combinations.map(of), [3.5, -12.0, 4.0, -3.0]);
        let nan = [1.0, f32::NAN, 2.0];
        for combine in combinations {
            let from = Operand::F32(&nan, 0);
            assert!(
                run((Function::Identity, combine), [[3, 1, 0, 0]], 1, (from, NONE, 0), [9.0])[0].is_nan()
            );
        }
        let zero = Operand::Scalar(-0.0);
        let sum = run((Function::Identity, Combine::Sum), [[3, 0, 0, 0]], 1, (zero, NONE, 0), [9.0]);
        assert_eq!(sum[0].to_bits(), (-0.0_f32).to_bits());
    }

    #[test]
    fn a_product_of_matrices() {
        // [[1, 2], [3, 4]] * [[5, 6], [7, 8]], the second behind the first.
        let arena = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 9.0, 9.0, 9.0];
        let axes = [[2, 2, 0, 2], [2, 0, 1, 1], [2, 1, 2, 0]];
        let views = (Operand::Arena(0), Operand::Arena(4), 8);
        let arena = run((Function::Mul, Combine::Sum), axes, 1, views, arena);
        assert_eq!(arena[8..], [19.0, 22.0, 43.0, 50.0]);
    }

    #[test]
    fn select_leaves_what_it_does_not_choose() {
        let chosen = Operand::F32(&[0.0, 1.0, -0.0, f32::NAN, -3.0], 0);
        let views = (chosen, Operand::Scalar(5.0), 0);
        let arena = run((Function::Select, Combine::Sum), [[5, 1, 0, 1]], 0, views, [9.0; 5]);
        assert_eq!(arena, [9.0, 5.0, 9.0, 5.0, 5.0]);
    }

    #[test]
    fn take_reads_entries_of_a_table() {
        // Three entries of two values, taken in another order.
        let table = Operand::F32(&[0.0, 1.0, 10.0, 11.0, 20.0, 21.0], 0);
        let views = (table, Operand::F32(&[2.0, -1.0, 0.7], 0), 0);
        let axes = [[3, 0, 1, 2], [2, 1, 0, 1], [3, 2, 0, 0]];
        let arena = run((Function::Take, Combine::Sum), axes, 0, views, [9.0; 6]);
        assert_eq!(arena, [20.0, 21.0, 0.0, 1.0, 10.0, 11.0]);
    }

    #[test]
    fn a_shift_has_the_strides_of_the_second_operand_and_an_activation_comes_last() {
        // Two pixels of two channels: relu(x * [2, -1] + [0.5, 3]).
        let nest = Nest {
            function: Function::Mul,
            axes: &[Axis { extent: 2, a: 2, b: 0, out: 2 }, Axis { extent: 2, a: 1, b: 1, out: 1 }],
            a: Operand::Arena(0),
            b: Operand::F32(&[2.0, -1.0], 0),
            shift: Some(Operand::F32(&[9.0, 0.5, 3.0], 1)),
            activation: Activation::Relu,
            ..PLAIN
        };
        let mut arena = [1.0, 2.0, -3.0, 4.0];
        super::nest(&nest, &mut arena);
        assert_eq!(arena, [2.5, 1.0, 0.0, 0.0]);
    }

    #[test]
    fn halves_are_widened() {
        let halves = [1.5, -2.0, 65504.0].map(half::f16::from_f32);
        let views = (Operand::F16(&halves, 0), Operand::Scalar(0.5), 0);
        let arena = run((Function::Mul, Combine::Sum), [[3, 1, 0, 1]], 0, views, [9.0; 3]);
        assert_eq!(arena, [0.75, -1.0, 32752.0]);
    }
}
