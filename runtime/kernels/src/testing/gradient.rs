//! The suite of the gradients of the tap GEMM: generated operations against the reference; and, which needs no reference,
//! that both are the derivatives of the forward pass.

use alloc::vec;
use alloc::vec::Vec;

use half::f16;

use super::tap_gemm::Bound;
#[cfg(any(test, feature = "std"))]
use std::println;

#[cfg(any(test, feature = "std"))]
use super::Panics;
use super::{Random, UNTOUCHED};
#[cfg(any(test, feature = "std"))]
use crate::Sample;
use crate::{Activation, GradientKernels, PANEL, Panels, Pixels, Tap, TapGemm, f16_to_f32, reference};

/// Three hundred operations of small random sizes.
///
/// # Panics
/// When the implementation is wrong.
#[cfg(any(test, feature = "std"))]
pub fn ragged(kernels: Option<GradientKernels>, bound: Bound) {
    let Some(kernels) = or_skip(kernels) else { return };
    compare_ragged(kernels, bound, &mut Random::from_env(), 300);
}

pub(super) fn compare_ragged(kernels: GradientKernels, bound: Bound, random: &mut Random, count: usize) {
    for _ in 0..count {
        let sizes = [
            random.one_of(&[1, 2, 3, 7, 8, 15, 16, 17, 33, 40]),
            random.one_of(&[1, 2, 3, 4, 5, 8, 9, 15, 16, 17, 24, 31, 33, 50]),
            random.below(8),
            random.below(8),
            random.below(6),
        ];
        compare(kernels, bound, &Case::new(sizes, random));
    }
}

/// The sizes that take a path of their own: one position, few channels, more channels than a chunk, more positions than
/// a block, and nothing at all.
///
/// # Panics
/// When the implementation is wrong.
#[cfg(any(test, feature = "std"))]
pub fn edges(kernels: Option<GradientKernels>, bound: Bound) {
    let Some(kernels) = or_skip(kernels) else { return };
    compare_edges(kernels, bound, &mut Random::from_env(), 4);
}

/// Each shape with so many geometries.
pub(super) fn compare_edges(kernels: GradientKernels, bound: Bound, random: &mut Random, geometries: usize) {
    for sizes in [
        [100, 264, 1, 1, 1],
        [3, 5, 1, 1, 9],
        [64, 3, 9, 13, 4],
        [70, 1, 5, 21, 4],
        [33, 2, 4, 70, 2],
        [16, 4, 7, 7, 16],
        [48, 35, 6, 5, 4],
        [300, 3, 3, 4, 4],
        [257, 20, 3, 3, 2],
        [1, 40, 17, 19, 4],
        [3, 140, 13, 31, 4],
        [24, 9, 1, 300, 1],
        [2, 12, 150, 2, 2],
        [8, 8, 0, 5, 1],
        [8, 8, 5, 0, 1],
        [8, 8, 2, 2, 0],
        [0, 8, 2, 2, 3],
        [8, 0, 2, 2, 3],
        [0, 3, 1, 1, 1],
    ] {
        for _ in 0..geometries {
            compare(kernels, bound, &Case::new(sizes, random));
        }
    }
}

/// Both gradients are the derivatives of `sum of grad_out * forward`.
///
/// With small integers every sum is exact. The forward pass without activation is linear in the input, in the weights and in
/// the bias, so that central differences are exact with a step of one, and so is `<g, J v> = <J^T g, v>`.
///
/// # Panics
/// When one is not.
#[cfg(any(test, feature = "std"))]
pub fn derivatives(kernels: Option<GradientKernels>) {
    let Some(kernels) = or_skip(kernels) else { return };
    let random = &mut Random::from_env();
    for _ in 0..60 {
        let sizes = [
            random.one_of(&[1, 2, 3, 8, 9, 17]),
            random.one_of(&[1, 3, 8, 10, 17]),
            1 + random.below(6),
            1 + random.below(6),
            1 + random.below(5),
        ];
        let mut case = Case::new(sizes, random);
        case.make_integers(random);
        check_derivatives(kernels, &case, random);
    }
}

#[cfg(any(test, feature = "std"))]
fn check_derivatives(kernels: GradientKernels, case: &Case, random: &mut Random) {
    let zeros: Vec<f32> = vec![0.0; case.bias.len()];
    let op = TapGemm { bias: &zeros, ..case.op() };
    // Only written positions have a gradient that is a number.
    let inner = |output: &[f32]| -> f32 {
        output.iter().zip(&case.grad_out).filter(|(_, g)| !g.is_nan()).map(|(y, g)| y * g).sum()
    };
    let forward = |op: &TapGemm<'_>, input: &[f32]| {
        let mut output = vec![0.0; case.grad_out.len()];
        (reference::KERNELS.tap_gemm)(op, &mut [Sample { input, output: &mut output }]);
        inner(&output)
    };
    let mut grad_in = vec![0.0; case.input.len()];
    (kernels.input_gradient)(&op, &case.grad_out, &mut grad_in);
    let (mut grad_weights, mut grad_bias) =
        (vec![[0.0; PANEL]; case.weights.len()], vec![0.0; case.bias.len()]);
    (kernels.weight_gradient)(&op, &case.input, &case.grad_out, &mut grad_weights, &mut grad_bias);
    let context = || alloc::format!("{}: {op:?}", kernels.name);

    // In every direction at once.
    let mut integer = || f32::from(random.offset(3));
    let v: Vec<f32> = case.input.iter().map(|x| if x.is_nan() { f32::NAN } else { integer() }).collect();
    let dot = |a: &[f32], b: &[f32]| -> f32 {
        a.iter().zip(b).filter(|(_, b)| !b.is_nan()).map(|(a, b)| a * b).sum()
    };
    assert_eq!(dot(&grad_in, &v), forward(&op, &v), "with respect to the input, {}", context());
    let v: Vec<[f32; PANEL]> = grad_weights.iter().map(|row| row.map(|_| integer())).collect();
    let along = forward(&TapGemm { weights: Panels::F32(&v), ..op }, &case.input);
    let ours: f32 = dot(grad_weights.as_flattened(), v.as_flattened());
    assert_eq!(ours, along, "with respect to the weights, {}", context());
    let v: Vec<f32> = grad_bias.iter().map(|_| integer()).collect();
    let none = vec![[0.0; PANEL]; case.weights.len()];
    let along = forward(&TapGemm { weights: Panels::F32(&none), bias: &v, ..op }, &case.input);
    assert_eq!(dot(&grad_bias, &v), along, "with respect to the bias, {}", context());

    // In some directions alone.
    if case.input.is_empty() {
        return;
    }
    let loss = |input: &[f32], weights: &[[f32; PANEL]], bias: &[f32]| {
        forward(&TapGemm { weights: Panels::F32(weights), bias, ..op }, input)
    };
    let (input, weights, bias) = (&case.input, &case.weights_f32, &case.bias);
    for _ in 0..8 {
        let place = random.next() as usize;
        let around = |values: &mut [f32], loss: &dyn Fn(&[f32]) -> f32| {
            let place = place % values.len();
            let value = values[place];
            let [more, less] = [value + 1.0, value - 1.0].map(|value| {
                values[place] = value;
                loss(values)
            });
            (place, (more - less) / 2.0)
        };
        let mut moved = input.clone();
        let (place, difference) = around(&mut moved, &|input| loss(input, weights, bias));
        assert!(input[place].is_nan() || grad_in[place] == difference, "input {place}, {}", context());
        let mut moved = weights.clone();
        let (place, difference) =
            around(moved.as_flattened_mut(), &|weights| loss(input, weights.as_chunks().0, bias));
        assert_eq!(grad_weights.as_flattened()[place], difference, "weight {place}, {}", context());
        let mut moved = bias.clone();
        let (place, difference) = around(&mut moved, &|bias| loss(input, weights, bias));
        assert_eq!(grad_bias[place], difference, "bias {place}, {}", context());
    }
}

/// Gradients of other lengths, and an operation that does not fit its buffers.
///
/// # Panics
/// When the implementation accepts one.
#[cfg(any(test, feature = "std"))]
pub fn broken_promises(kernels: Option<GradientKernels>, panics: Panics) {
    let Some(kernels) = or_skip(kernels) else { return };
    let case = Case::new([3, 9, 4, 5, 2], &mut Random { state: 1 });
    let op = TapGemm { bias: &case.bias, ..case.op() };
    let refuses = |op: TapGemm<'_>, [input, output, weights, bias]: [usize; 4]| {
        let grad_out = vec![0.0; output];
        let for_input = panics(&|| (kernels.input_gradient)(&op, &grad_out, &mut vec![0.0; input]));
        let for_weights = panics(&|| {
            let (mut weights, mut bias) = (vec![[0.0; PANEL]; weights], vec![0.0; bias]);
            (kernels.weight_gradient)(&op, &vec![0.0; input], &grad_out, &mut weights, &mut bias);
        });
        [for_input, for_weights]
    };
    let (i, o, w, b) = (op.input.len(), op.output.len(), case.weights.len(), case.bias.len());
    assert_eq!(refuses(op, [i, o, w, b]), [false, false], "the sound operation runs");
    assert_eq!(refuses(op, [i - 1, o, w, b]), [true, true], "short input");
    assert_eq!(refuses(op, [i, o - 1, w, b]), [true, true], "short output");
    for (name, lens) in [
        ("missing weights", [i, o, w - 1, b]),
        ("spare weights", [i, o, w + 1, b]),
        ("bias without padding", [i, o, w, b - 1]),
        ("spare bias", [i, o, w, b + PANEL]),
    ] {
        assert!(refuses(op, lens)[1], "{}: {name} accepted", kernels.name);
    }
    let broken = TapGemm { rows: op.rows + 9, ..op };
    assert_eq!(refuses(broken, [i, o, w, b]), [true, true], "too many rows");
}

#[cfg(any(test, feature = "std"))]
fn or_skip(kernels: Option<GradientKernels>) -> Option<GradientKernels> {
    if kernels.is_none() {
        println!("skipped: this CPU has not the instructions");
    }
    kernels
}

/// A generated operation and its data. What it must not read is NaN.
struct Case {
    seed: u64,
    /// An operation without data.
    geometry: TapGemm<'static>,
    taps: Vec<Tap>,
    weights: Vec<[f16; PANEL]>,
    weights_f32: Vec<[f32; PANEL]>,
    /// Whether weights are read in half precision.
    halves: bool,
    bias: Vec<f32>,
    input: Vec<f32>,
    grad_out: Vec<f32>,
    /// What gradients are added to, marked where they are not.
    grad_in: Vec<f32>,
    grad_weights: Vec<[f32; PANEL]>,
    grad_bias: Vec<f32>,
}

impl Case {
    fn new([c, n, rows, cols, taps]: [usize; 5], random: &mut Random) -> Self {
        let seed = random.state;
        // Now and then so far that a tap never reads inside.
        let reach = random.one_of(&[1, 2, 3, 30]);
        let taps: Vec<Tap> = (0..taps).map(|_| [random.offset(reach), random.offset(reach)]).collect();
        let out_step = [1 + random.below(3), 1 + random.below(3)];
        let out_offset = [random.below(3), random.below(3)];
        let extent = |count: usize, axis: usize, slack: usize| {
            count.saturating_sub(1) * out_step[axis] + usize::from(count > 0) + out_offset[axis] + slack
        };
        let (below, beside) = (random.below(2), random.below(2));
        let in_step = [random.one_of(&[0, 1, 1, 1, 2, 2, 3]), random.one_of(&[0, 1, 1, 1, 2, 2, 3])];
        let geometry = TapGemm {
            taps: &[],
            weights: Panels::F32(&[]),
            bias: &[],
            accumulate: false,
            activation: Activation::Tanh,
            input: {
                let (height, width) = (
                    random.below(2) * rows * in_step[0] + random.below(9),
                    random.below(2) * cols * in_step[1] + random.below(9),
                );
                random.pixels(height, width, c)
            },
            output: random.pixels(extent(rows, 0, below), extent(cols, 1, beside), n),
            rows,
            cols,
            in_step,
            out_step,
            out_offset,
        };
        let panels = n.div_ceil(PANEL);
        let depth = taps.len() * c;
        // A row of weights, zero where there is no channel.
        let panel_row = |row: usize, random: &mut Random| -> [f32; PANEL] {
            let lanes = (n - row / depth * PANEL).min(PANEL);
            core::array::from_fn(|lane| if lane < lanes { random.value() } else { 0.0 })
        };
        let weights: Vec<[f16; PANEL]> =
            (0..panels * depth).map(|row| panel_row(row, random).map(f16::from_f32)).collect();
        let grad_weights = (0..panels * depth).map(|row| panel_row(row, random)).collect();
        let bias_values = |random: &mut Random| -> Vec<f32> {
            (0..panels * PANEL).map(|i| if i < n { random.value() } else { 0.0 }).collect()
        };
        let (bias, grad_bias) = (bias_values(random), bias_values(random));
        let pixel_values = |pixels: Pixels, random: &mut Random| -> Vec<f32> {
            (0..pixels.len() + random.below(4))
                .map(|i| {
                    let inside = i < pixels.len() && i % pixels.pixel_stride < pixels.channels;
                    if inside { random.value() } else { UNTOUCHED }
                })
                .collect()
        };
        let (input, grad_in) = (pixel_values(geometry.input, random), pixel_values(geometry.input, random));
        let mut grad_out = vec![UNTOUCHED; geometry.output.len() + random.below(4)];
        for (row, col) in (0..rows).flat_map(|row| (0..cols).map(move |col| (row, col))) {
            grad_out[geometry.output_start(row, col)..][..n].fill_with(|| random.value());
        }
        let weights_f32 = weights.iter().map(|row| row.map(f16_to_f32)).collect();
        let halves = random.below(2) == 0;
        Self {
            seed,
            geometry,
            taps,
            weights,
            weights_f32,
            halves,
            bias,
            input,
            grad_out,
            grad_in,
            grad_weights,
            grad_bias,
        }
    }

    fn op(&self) -> TapGemm<'_> {
        TapGemm {
            taps: &self.taps,
            weights: if self.halves { Panels::F16(&self.weights) } else { Panels::F32(&self.weights_f32) },
            bias: &self.bias,
            ..self.geometry
        }
    }

    /// Small integers in place of all values, and no activation.
    #[cfg(any(test, feature = "std"))]
    fn make_integers(&mut self, random: &mut Random) {
        self.geometry.activation = Activation::Identity;
        let mut change = |values: &mut [f32]| {
            for value in values.iter_mut().filter(|x| !x.is_nan() && **x != 0.0) {
                *value = random.offset(3).into();
            }
        };
        change(&mut self.input);
        change(&mut self.grad_out);
        change(&mut self.bias);
        change(self.weights_f32.as_flattened_mut());
        self.weights = self.weights_f32.iter().map(|row| row.map(f16::from_f32)).collect();
    }
}

/// Compares an implementation with the reference.
fn compare(kernels: GradientKernels, bound: Bound, case: &Case) {
    let op = case.op();
    // The sums of the absolute values of all that is added, at every value.
    let absolute = |values: &[f32]| -> Vec<f32> { values.iter().map(|x| x.abs()).collect() };
    let rows = |values: &[[f32; PANEL]]| values.iter().map(|row| row.map(f32::abs)).collect::<Vec<_>>();
    let absolute_weights = rows(&case.weights_f32);
    let absolute_op = TapGemm { weights: Panels::F32(&absolute_weights), ..op };
    let check = |what: &str, ours: &[f32], theirs: &[f32], size: &[f32], start: &[f32], terms: usize| {
        for i in 0..ours.len() {
            let (ours, theirs) = (ours[i], theirs[i]);
            // Each side may be off by k * eps/2 * sum|a*b| (Higham 2002, section 3.1); twice that covers `size`'s own
            // rounding.
            let atol = match bound {
                Bound::Bits => 0.0,
                Bound::Rounding => 2.0 * (terms + 1) as f32 * f32::EPSILON * size[i],
            };
            let same = ours.to_bits() == theirs.to_bits()
                || matches!(bound, Bound::Rounding) && (ours - theirs).abs() <= atol;
            let context = (kernels.name, what, i, start[i]);
            assert!(same, "{ours} instead of {theirs} +- {atol}: {context:?}, {}, {op:?}", case.seed);
        }
    };

    let mut theirs = case.grad_in.clone();
    let mut ours = case.grad_in.clone();
    reference::input_gradient(&op, &case.grad_out, &mut theirs);
    (kernels.input_gradient)(&op, &case.grad_out, &mut ours);
    let mut size = absolute(&case.grad_in);
    reference::input_gradient(&absolute_op, &absolute(&case.grad_out), &mut size);
    // A tap that does not move reads a pixel for all positions.
    let shared = if op.shares_pixels() { op.rows * op.cols } else { 1 };
    let terms = op.taps.len() * op.output.channels * shared;
    check("input", &ours, &theirs, &size, &case.grad_in, terms);

    let (mut theirs, mut their_bias) = (case.grad_weights.clone(), case.grad_bias.clone());
    let (mut ours, mut our_bias) = (theirs.clone(), their_bias.clone());
    reference::weight_gradient(&op, &case.input, &case.grad_out, &mut theirs, &mut their_bias);
    (kernels.weight_gradient)(&op, &case.input, &case.grad_out, &mut ours, &mut our_bias);
    let (mut size, mut bias_size) = (rows(&case.grad_weights), absolute(&case.grad_bias));
    let (input, grad_out) = (absolute(&case.input), absolute(&case.grad_out));
    reference::weight_gradient(&op, &input, &grad_out, &mut size, &mut bias_size);
    let [ours, theirs, size, start] =
        [&ours, &theirs, &size, &case.grad_weights].map(|rows| rows.as_flattened());
    check("weights", ours, theirs, size, start, op.rows * op.cols);
    check("bias", &our_bias, &their_bias, &bias_size, &case.grad_bias, op.rows * op.cols);
}
