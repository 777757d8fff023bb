//! Nests as normalizations and softmax have them: rows changed in place by one row, or joined to one.

use std::vec::Vec;

use super::super::Random;
use super::same;
use crate::{Activation, Axis, Combine, Function, Kernels, Nest, Operand};

/// Rows at 4096, the second operand at 0, joined rows at 64; lengths that fill runs, and some that do not.
pub(super) fn rows(kernels: Kernels, random: &mut Random) {
    use Function::*;
    let functions = [Relu, Exp, Sqrt, Add, Sub, Mul, Div, PRelu, ExpSub, Tanh, Pow, Identity];
    for row in [8, 15, 32, 64, 100, 511, 513] {
        for count in [1, 2, 37] {
            let arena: Vec<f32> = (0..4096 + 520 * 40).map(|_| 3.0 * random.value()).collect();
            let stored: Vec<f32> = (0..row).map(|_| random.value()).collect();
            let axis = |extent: usize, a: usize, b: usize, out: usize| Axis {
                extent: extent as u32,
                a: a as i32,
                b: b as i32,
                out: out as i32,
            };
            for function in functions {
                let second =
                    random.one_of(&[Operand::Arena(0), Operand::F32(&stored, 0), Operand::Scalar(0.7)]);
                let shift = random.one_of(&[
                    None,
                    None,
                    Some(Operand::Scalar(0.2)),
                    Some(Operand::Arena(1024)),
                    Some(Operand::F32(&stored, 0)),
                ]);
                let activation =
                    random.one_of(&[Activation::Identity, Activation::Relu, Activation::Sigmoid]);
                let nest = Nest {
                    function,
                    shift,
                    activation,
                    combine: Combine::Sum,
                    axes: &[axis(count, row, 0, row), axis(row, 1, 1, 1)],
                    reduced: 0,
                    a: Operand::Arena(4096),
                    b: if function.is_unary() { Operand::Scalar(0.0) } else { second },
                    out: 4096,
                    out_f16: false,
                };
                same(kernels, &nest, arena.clone(), "rows in place");
            }
            for combine in [Combine::Sum, Combine::Product, Combine::Max, Combine::Min] {
                let distance = row + random.below(3);
                let nest = Nest {
                    function: Identity,
                    combine,
                    axes: &[axis(row, 1, 0, 1), axis(count, distance, 0, 0)],
                    reduced: 1,
                    a: Operand::Arena(4096),
                    b: Operand::Scalar(0.0),
                    shift: None,
                    activation: Activation::Identity,
                    out: 64,
                    out_f16: false,
                };
                same(kernels, &nest, arena.clone(), "rows joined");
            }
        }
    }
}
