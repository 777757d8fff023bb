//! The suite of the tap GEMM: generated operations of ragged sizes, and every promise of [`TapGemm`] broken in turn.

use alloc::vec;
use alloc::vec::Vec;

use half::f16;

#[cfg(any(test, feature = "std"))]
use super::{Panics, or_skip};
use super::{Random, UNTOUCHED, UNTOUCHED_F16};
use crate::{Activation, Kernels, PANEL, Panels, Sample, Tap, TapGemm, f16_to_f32, reference};
#[cfg(any(test, feature = "std"))]
use crate::{Pixels, f32_to_f16};

/// Three hundred operations of small random sizes.
///
/// # Panics
/// When the implementation is wrong.
#[cfg(any(test, feature = "std"))]
pub fn ragged(kernels: Option<Kernels>) {
    run_ragged(kernels, Bound::Rounding);
}

/// [`ragged`], for an implementation that gives the bits of the reference.
///
/// # Panics
/// When it does not.
#[cfg(any(test, feature = "std"))]
pub fn ragged_exact(kernels: Option<Kernels>) {
    run_ragged(kernels, Bound::Bits);
}

/// The sizes that take a path of their own: one position, few outputs, more channels than a chunk, more positions than
/// a block, and nothing at all.
///
/// # Panics
/// When the implementation is wrong.
#[cfg(any(test, feature = "std"))]
pub fn edges(kernels: Option<Kernels>) {
    run_edges(kernels, Bound::Rounding);
}

/// [`edges`], for an implementation that gives the bits of the reference.
///
/// # Panics
/// When it does not.
#[cfg(any(test, feature = "std"))]
pub fn edges_exact(kernels: Option<Kernels>) {
    run_edges(kernels, Bound::Bits);
}

/// How near the reference an implementation must be.
#[derive(Clone, Copy, Debug)]
pub enum Bound {
    /// As near as any order of additions is.
    Rounding,
    /// Equal.
    Bits,
}

#[cfg(any(test, feature = "std"))]
fn run_ragged(kernels: Option<Kernels>, bound: Bound) {
    let Some(kernels) = or_skip(kernels) else { return };
    compare_ragged(kernels, bound, &mut Random::from_env(), 300);
}

pub(super) fn compare_ragged(kernels: Kernels, bound: Bound, random: &mut Random, count: usize) {
    for _ in 0..count {
        let sizes = Sizes {
            c: random.one_of(&[1, 2, 3, 7, 8, 15, 16, 17, 33, 40]),
            n: random.one_of(&[1, 2, 3, 4, 5, 8, 9, 15, 16, 17, 24, 31, 33, 50]),
            rows: random.below(8),
            cols: random.below(8),
            taps: random.below(6),
        };
        compare(kernels, bound, &sizes, random);
    }
}

#[cfg(any(test, feature = "std"))]
fn run_edges(kernels: Option<Kernels>, bound: Bound) {
    let Some(kernels) = or_skip(kernels) else { return };
    compare_edges(kernels, bound, &mut Random::from_env(), 6);
}

/// Each shape with so many geometries.
pub(super) fn compare_edges(kernels: Kernels, bound: Bound, random: &mut Random, geometries: usize) {
    for (c, n, rows, cols, taps) in [
        (100, 264, 1, 1, 1),
        (3, 5, 1, 1, 9),
        (64, 3, 9, 13, 4),
        (70, 1, 5, 21, 4),
        (33, 2, 4, 70, 2),
        (16, 4, 7, 7, 16),
        (48, 35, 6, 5, 4),
        (300, 3, 3, 4, 4),
        (257, 20, 3, 3, 2),
        (130, 40, 2, 9, 3),
        (5, 33, 13, 31, 4),
        (40, 20, 17, 19, 4),
        (70, 70, 12, 40, 3),
        (520, 40, 5, 9, 2),
        (1030, 24, 3, 20, 2),
        (24, 9, 1, 300, 1),
        (2, 12, 150, 2, 2),
        (8, 8, 0, 5, 1),
        (8, 8, 5, 0, 1),
        (8, 8, 2, 2, 0),
        (0, 8, 2, 2, 3),
        (8, 0, 2, 2, 3),
        (0, 3, 1, 1, 1),
        (16, 35, 0, 5, 1),
    ] {
        for _ in 0..geometries {
            compare(kernels, bound, &Sizes { c, n, rows, cols, taps }, random);
        }
    }
}

/// Every half as a weight and as an activation, and what lies between halves as a result: exact, or the nearest.
///
/// # Panics
/// When the implementation is wrong.
#[cfg(any(test, feature = "std"))]
pub fn halves(kernels: Option<Kernels>) {
    let Some(kernels) = or_skip(kernels) else { return };
    let same = |ours: f32, theirs: f32| ours == theirs || (ours.is_nan() && theirs.is_nan());
    for first in (0..=u16::MAX).step_by(PANEL) {
        let halves: [f16; PANEL] = core::array::from_fn(|i| f16::from_bits(first + i as u16));
        let values = halves.map(f16_to_f32);
        // One position and several have paths of their own.
        for cols in [1, 3] {
            let pixels = |channels| Pixels { height: 1, width: cols, channels, pixel_stride: channels };
            let dense = TapGemm {
                taps: &[[0, 0]],
                weights: Panels::F16(&[halves]),
                bias: &[0.0; PANEL],
                accumulate: false,
                activation: Activation::Identity,
                input: pixels(1),
                output: pixels(PANEL),
                rows: 1,
                cols,
                in_step: [1, 1],
                out_step: [1, 1],
                out_offset: [0, 0],
            };
            let mut output = vec![0.0; cols * PANEL];
            (kernels.tap_gemm)(&dense, &mut samples(&vec![1.0; cols], &mut output, 1));
            for (i, &ours) in output.iter().enumerate() {
                let theirs = values[i % PANEL];
                assert!(same(ours, theirs), "{}: weight {ours} instead of {theirs}", kernels.name);
            }
            // The same halves as activations, a pixel each.
            for half in halves {
                let one = TapGemm { weights: Panels::F32(&[[1.0; PANEL]]), ..dense };
                let mut output = vec![f16::ZERO; cols * PANEL];
                halves_of(kernels)(&one, &mut samples(&vec![half; cols], &mut output, 1));
                for ours in output.into_iter().map(f16_to_f32) {
                    assert!(same(ours, f16_to_f32(half)), "{}: {ours} instead of {half}", kernels.name);
                }
            }
            // Between a half and the next: just below the middle, the middle, just above.
            let between = values.map(|low| {
                let step = f16_to_f32(f16::from_bits(f32_to_f16(low).to_bits() + 1)) - low;
                if step.is_finite() { low + step / 2.0 } else { low.signum() * 65_520.0 }
            });
            for weights in [between.map(f32::next_down), between, between.map(f32::next_up)] {
                let op = TapGemm { weights: Panels::F32(&[weights]), ..dense };
                let mut output = vec![f16::ZERO; cols * PANEL];
                halves_of(kernels)(&op, &mut samples(&vec![f16::ONE; cols], &mut output, 1));
                for (i, ours) in output.into_iter().map(f16_to_f32).enumerate() {
                    let theirs = f16_to_f32(f32_to_f16(weights[i % PANEL]));
                    assert!(same(ours, theirs), "{}: {ours} instead of {theirs}", kernels.name);
                }
            }
        }
    }
}

/// Operations that contradict themselves or their buffers.
///
/// # Panics
/// When the implementation accepts one.
#[cfg(any(test, feature = "std"))]
pub fn broken_promises(kernels: Option<Kernels>, panics: Panics) {
    let Some(kernels) = or_skip(kernels) else { return };
    let taps = [[0, 0], [-1, 1]];
    let weights = [[0.5; PANEL]; 2 * 2 * 3];
    let bias = [0.25; 2 * PANEL];
    let sound = TapGemm {
        taps: &taps,
        weights: Panels::F32(&weights),
        bias: &bias,
        accumulate: false,
        activation: Activation::Relu,
        input: Pixels { height: 4, width: 5, channels: 3, pixel_stride: 4 },
        output: Pixels { height: 8, width: 10, channels: 9, pixel_stride: 11 },
        rows: 4,
        cols: 5,
        in_step: [1, 1],
        out_step: [2, 2],
        out_offset: [1, 1],
    };
    let refuses = |op: TapGemm<'_>, input_len: usize, output_len: usize| {
        panics(&|| {
            let (input, mut output) = (vec![1.0; input_len], vec![0.0; output_len]);
            (kernels.tap_gemm)(&op, &mut [Sample { input: &input, output: &mut output }]);
        })
    };
    let (input_len, output_len) = (sound.input.len(), sound.output.len());
    assert!(!refuses(sound, input_len, output_len), "the sound operation runs");
    assert!(refuses(sound, input_len - 1, output_len), "short input");
    assert!(refuses(sound, input_len, output_len - 1), "short output");
    type Break = fn(&mut TapGemm<'_>);
    let broken: &[(&str, Break)] = &[
        ("missing weights", |op| op.weights = Panels::F32(&[[0.0; PANEL]; 11])),
        ("spare weights", |op| op.weights = Panels::F16(&[[f16::ZERO; PANEL]; 13])),
        ("short bias", |op| op.bias = &op.bias[PANEL..]),
        ("ragged bias", |op| op.bias = &op.bias[1..]),
        ("missing tap", |op| op.taps = &op.taps[1..]),
        ("overlapping input pixels", |op| op.input.pixel_stride = 2),
        ("overlapping output pixels", |op| op.output.pixel_stride = 8),
        ("tall input", |op| op.input.height = 5),
        ("input height overflows", |op| op.input.height = usize::MAX),
        ("input stride overflows", |op| op.input.pixel_stride = usize::MAX / 2),
        ("input channels overflow", |op| op.input.channels = usize::MAX),
        ("output width overflows", |op| op.output.width = usize::MAX / 4),
        ("output channels overflow", |op| op.output.channels = usize::MAX),
        ("one row too many", |op| op.rows = 5),
        ("one column too many", |op| op.cols = 6),
        ("rows overflow", |op| op.rows = usize::MAX),
        ("out_step", |op| op.out_step[1] = 3),
        ("out_step of zero", |op| op.out_step[0] = 0),
        ("out_step overflows", |op| op.out_step[0] = usize::MAX / 3 + 2),
        ("out_offset", |op| op.out_offset[0] = 2),
        ("out_offset overflows", |op| op.out_offset[1] = usize::MAX),
        ("in_step overflows", |op| op.in_step[0] = usize::MAX / 3 + 2),
        ("in_step leaves isize", |op| op.in_step[1] = usize::MAX / 8),
    ];
    for (name, break_it) in broken {
        let mut op = sound;
        break_it(&mut op);
        assert!(refuses(op, input_len, output_len), "{}: {name} is accepted", kernels.name);
    }
}

/// Sizes of one generated operation; geometry and values are drawn.
#[derive(Debug)]
struct Sizes {
    c: usize,
    n: usize,
    rows: usize,
    cols: usize,
    taps: usize,
}

/// Draws an operation of these sizes and compares the implementation with the reference.
fn compare(kernels: Kernels, bound: Bound, sizes: &Sizes, random: &mut Random) {
    let seed = random.state;
    let &Sizes { c, n, rows, cols, taps } = sizes;
    // Now and then so far that a tap never reads inside.
    let reach = random.one_of(&[1, 2, 3, 30]);
    let taps: Vec<Tap> = match random.below(3) {
        // Rows of neighbours, as a kernel has them.
        0 => {
            let ([dy, dx], width) = ([random.offset(reach), random.offset(reach)], 1 + random.below(5));
            (0..taps).map(|t| [dy + (t / width) as i16, dx + (t % width) as i16]).collect()
        }
        _ => (0..taps).map(|_| [random.offset(reach), random.offset(reach)]).collect(),
    };
    let panels = n.div_ceil(PANEL);
    let padded = |lane: usize, row: usize, depth: usize, random: &mut Random| {
        if row / depth * PANEL + lane < n { random.value() } else { 0.0 }
    };
    let depth = taps.len() * c;
    let weights: Vec<[f16; PANEL]> = (0..panels * depth)
        .map(|row| core::array::from_fn(|lane| f16::from_f32(padded(lane, row, depth, random))))
        .collect();
    let weights_f32: Vec<[f32; PANEL]> = weights.iter().map(|row| row.map(f16_to_f32)).collect();
    let bias: Vec<f32> =
        (0..panels * PANEL).map(|lane| padded(lane % PANEL, lane / PANEL, 1, random)).collect();
    let mut out_step = [1 + random.below(3), 1 + random.below(3)];
    if rows * cols * n * out_step[0] * out_step[1] > MOST_VALUES {
        out_step = [1, 1];
    }
    let out_offset = [random.below(3), random.below(3)];
    let extent = |count: usize, axis: usize, slack: usize| {
        count.saturating_sub(1) * out_step[axis] + usize::from(count > 0) + out_offset[axis] + slack
    };
    let (below, beside) = (random.below(2), random.below(2));
    let op = TapGemm {
        taps: &taps,
        accumulate: random.below(4) == 0,
        weights: if random.below(2) == 0 { Panels::F16(&weights) } else { Panels::F32(&weights_f32) },
        bias: &bias,
        activation: random.one_of(&[
            Activation::Identity,
            Activation::Relu,
            Activation::LeakyRelu(0.2),
            Activation::Tanh,
            Activation::Sigmoid,
        ]),
        input: {
            let (height, width) = (random.below(9), random.below(9));
            random.pixels(height, width, c)
        },
        output: random.pixels(extent(rows, 0, below), extent(cols, 1, beside), n),
        rows,
        cols,
        in_step: [random.below(4), random.below(4)],
        out_step,
        out_offset,
    };
    let batch = random.one_of(&[1, 1, 2, 3]);
    let [input_len, output_len] = [op.input.len(), op.output.len()].map(|len| (len + random.below(4)).max(1));
    let batch = batch.min(MOST_VALUES / output_len).max(1);
    let input: Vec<f32> = (0..batch * input_len).map(|_| random.value()).collect();
    let before = outputs(&op, &input, batch * output_len, batch, random);
    // Nothing is kept twice: microcontrollers run this too.
    let mut size: Vec<f32> = before.iter().map(|x| x.abs()).collect();
    let mut expected_f16 = to_halves(&before);
    let (mut expected, mut output) = (before.clone(), before);
    (reference::KERNELS.tap_gemm)(&op, &mut samples(&input, &mut expected, batch));
    (kernels.tap_gemm)(&op, &mut samples(&input, &mut output, batch));

    // The sum of the products' absolute values, at every value that is written.
    let absolute_bias: Vec<f32> = bias.iter().map(|x| x.abs()).collect();
    let absolute_weights: Vec<[f32; PANEL]> = weights_f32.iter().map(|row| row.map(f32::abs)).collect();
    let absolute_input: Vec<f32> = input.iter().map(|x| x.abs()).collect();
    let absolute = TapGemm {
        weights: Panels::F32(&absolute_weights),
        bias: &absolute_bias,
        activation: Activation::Identity,
        ..op
    };
    (reference::KERNELS.tap_gemm)(&absolute, &mut samples(&absolute_input, &mut size, batch));

    // The same with activations in half precision, where each side also rounds what it writes.
    let input: Vec<f16> = input.iter().map(|&x| f16::from_f32(x)).collect();
    let mut output_f16 = expected_f16.clone();
    reference::tap_gemm_f16(&op, &mut samples(&input, &mut expected_f16, batch));
    halves_of(kernels)(&op, &mut samples(&input, &mut output_f16, batch));

    for i in 0..output.len() {
        let context = || alloc::format!("{} at {i}, POCKETGAN_SEED={seed}, {sizes:?}, {op:?}", kernels.name);
        if expected[i].to_bits() == UNTOUCHED.to_bits() {
            assert_eq!(output[i].to_bits(), UNTOUCHED.to_bits(), "value not to be written: {}", context());
            assert_eq!(
                output_f16[i].to_bits(),
                UNTOUCHED_F16.to_bits(),
                "half not to be written: {}",
                context()
            );
            continue;
        }
        if let Bound::Bits = bound {
            let (ours, theirs) = (output[i], expected[i]);
            assert_eq!(ours.to_bits(), theirs.to_bits(), "{ours} instead of {theirs}: {}", context());
            let (ours, theirs) = (output_f16[i], expected_f16[i]);
            assert_eq!(ours.to_bits(), theirs.to_bits(), "half {ours} instead of {theirs}: {}", context());
        }
        let atol = tolerance(op.activation, depth + 2, kernels.product_error, size[i]);
        let (ours, theirs) = (output[i], expected[i]);
        assert!((ours - theirs).abs() <= atol, "{ours} instead of {theirs} +- {atol}: {}", context());
        let (ours, theirs) = (output_f16[i].to_f32(), expected_f16[i].to_f32());
        // Half an epsilon (2^-11) of each side, 2^-10 in all, or half a subnormal's 2^-24; inputs grew by 2^-11 at most.
        let atol = 1.001 * atol + ours.abs().max(theirs.abs()) * (1.0 / 1024.0) + 1.0 / 16_777_216.0;
        assert!((ours - theirs).abs() <= atol, "half {ours} instead of {theirs} +- {atol}: {}", context());
    }
}

/// Results, beyond which a batch is smaller or positions are not apart: the suite runs in 3.5 MB on microcontrollers.
const MOST_VALUES: usize = 60_000;

/// What lies in the output before: where an operation that accumulates writes, something to add to, of the precision of
/// halves; anywhere else what is not to be written.
pub(super) fn outputs(
    op: &TapGemm<'_>,
    input: &[f32],
    len: usize,
    batch: usize,
    random: &mut Random,
) -> Vec<f32> {
    let mut outputs = vec![UNTOUCHED; len];
    if op.accumulate {
        let writes = TapGemm { accumulate: false, ..*op };
        (reference::KERNELS.tap_gemm)(&writes, &mut samples(input, &mut outputs, batch));
        let written = outputs.iter_mut().filter(|value| value.to_bits() != UNTOUCHED.to_bits());
        written.for_each(|value| *value = f16::from_f32(random.value()).to_f32());
    }
    outputs
}

/// The same in half precision.
pub(super) fn to_halves(outputs: &[f32]) -> Vec<f16> {
    let half = |&x: &f32| if x.to_bits() == UNTOUCHED.to_bits() { UNTOUCHED_F16 } else { f16::from_f32(x) };
    outputs.iter().map(half).collect()
}

/// What the suite is for has values in half precision.
pub(super) fn halves_of(kernels: Kernels) -> crate::TapGemmF16Fn {
    kernels.tap_gemm_f16.expect("the suite is for implementations that have them")
}

/// A batch of which each sample has an equal part of the values.
pub(super) fn samples<'a, A>(input: &'a [A], output: &'a mut [A], batch: usize) -> Vec<Sample<'a, A>> {
    let outputs = output.chunks_exact_mut(output.len() / batch);
    let inputs = input.chunks_exact(input.len() / batch);
    inputs.zip(outputs).map(|(input, output)| Sample { input, output }).collect()
}

/// How far two correct results may lie apart, for `k` terms whose absolute values sum to `size`.
fn tolerance(activation: Activation, k: usize, product_error: f32, size: f32) -> f32 {
    // Each side may be off by k * eps/2 * sum|a*b| (Higham 2002, section 3.1); twice that covers `size`'s own rounding.
    let sum = (2.0 * k as f32 * f32::EPSILON + product_error) * size;
    activation_tolerance(activation, sum, size)
}

/// How far the activation lets two values lie apart that lie `sum` apart before, and are no larger than `size`.
pub(super) fn activation_tolerance(activation: Activation, sum: f32, size: f32) -> f32 {
    // The activation scales it by at most its steepest slope, and each side adds the activation's own error.
    match activation {
        Activation::Identity | Activation::Relu => sum,
        Activation::LeakyRelu(slope) => sum * slope.abs().max(1.0) + f32::EPSILON * slope.abs() * size,
        Activation::Tanh => sum + 2.0 * 1e-7,
        Activation::Sigmoid => 0.25 * sum + 2.0 * 1e-7,
    }
}
