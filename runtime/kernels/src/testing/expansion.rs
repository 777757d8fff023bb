//! The suite of expanded operations: forms of every size against the reference, within the error of their transforms, and
//! every promise broken in turn.

use alloc::vec;
use alloc::vec::Vec;

use half::f16;

use super::tap_gemm::{activation_tolerance, outputs, samples, to_halves};
use super::{Panics, Random, UNTOUCHED, UNTOUCHED_F16, or_skip};
use crate::expansion::Kind;
use crate::winograd::transform::{OUT, Transform};
use crate::{Activation, ExpansionKernels, PANEL, Panels, Tap, TapGemm, f16_to_f32, reference};

/// Two hundred operations of small random sizes.
///
/// # Panics
/// When the implementation is wrong.
pub fn ragged(expansion: Option<ExpansionKernels>) {
    let Some(expansion) = or_skip(expansion) else { return };
    let mut random = Random::from_env();
    for _ in 0..200 {
        let sizes = Sizes {
            c: random.one_of(&[1, 2, 3, 7, 8, 15, 16, 17, 33, 40]),
            n: random.one_of(&[1, 2, 3, 4, 8, 9, 15, 16, 17, 24, 31, 33, 50, 70]),
            rows: random.below(11),
            cols: random.below(11),
            taps: random.one_of(&[2, 3]),
        };
        compare(expansion, &sizes, &mut random);
    }
}

/// More tiles than a block, more channels than vectors, and scratch space of every size.
///
/// # Panics
/// When the implementation is wrong.
pub fn edges(expansion: Option<ExpansionKernels>) {
    let Some(expansion) = or_skip(expansion) else { return };
    let mut random = Random::from_env();
    for (c, n, rows, cols) in [
        (64, 40, 33, 37),
        (130, 35, 17, 31),
        (257, 20, 13, 12),
        (520, 9, 11, 5),
        (1024, 3, 9, 14),
        (5, 70, 1, 90),
        (16, 33, 90, 1),
        (8, 8, 0, 5),
        (8, 8, 5, 0),
    ] {
        for taps in [2, 3] {
            compare(expansion, &Sizes { c, n, rows, cols, taps }, &mut random);
        }
    }
}

/// Operations without a transform, forms of other operations, and buffers of other lengths.
///
/// # Panics
/// When the implementation accepts one.
pub fn broken_promises(expansion: Option<ExpansionKernels>, panics: Panics) {
    let Some(expansion) = or_skip(expansion) else { return };
    let mut random = Random::from_env();
    let sizes = Sizes { c: 3, n: 9, rows: 6, cols: 5, taps: 2 };
    let drawn = Drawn::new(&sizes, &mut random);
    let sound = drawn.op(&sizes, [1, 1]);
    let form = (expansion.form)(&sound).expect("a square of taps");
    let mut expanded = vec![0.0; form.len()];
    (expansion.expand)(&form, &sound, &mut expanded);

    type Break = fn(&mut TapGemm<'_>);
    let formless: &[(&str, Break)] = &[
        ("stride", |op| op.in_step = [1, 2]),
        ("no step", |op| op.in_step = [0, 1]),
        ("a tap twice", |op| op.taps = &[[0, 0], [0, 1], [1, 0], [1, 0]]),
        ("a hole", |op| op.taps = &[[0, 0], [0, 1], [1, 0], [2, 2]]),
        ("a line", |op| op.taps = &[[0, 0], [0, 1], [0, 2], [0, 3]]),
        ("far apart", |op| op.taps = &[[i16::MIN, 0], [i16::MAX, 0], [0, i16::MIN], [0, i16::MAX]]),
        ("one tap", |op| op.taps = &[[0, 0]]),
        ("no tap", |op| op.taps = &[]),
        ("no input channels", |op| op.input.channels = 0),
        ("no output channels", |op| op.output.channels = 0),
        ("input channels overflow", |op| op.input.channels = usize::MAX),
    ];
    for (name, break_it) in formless {
        let mut op = sound;
        break_it(&mut op);
        let form = (expansion.form)(&op).filter(|form| form.kind != Kind::Widened);
        assert_eq!(form, None, "{}: {name} has a form", expansion.name);
    }
    let input_len = sound.input.len();
    let refuses = |op: TapGemm<'_>, expanded: &[f32], input_len: usize, output_len: usize| {
        panics(&|| {
            let (input, mut output) = (vec![1.0; input_len], vec![0.0; output_len]);
            (expansion.tap_gemm)(&form, &op, expanded, &mut samples(&input, &mut output, 1));
        })
    };
    let output_len = sound.output.len();
    assert!(!refuses(sound, &expanded, input_len, output_len), "the sound operation runs");
    assert!(refuses(sound, &expanded[1..], input_len, output_len), "short weights");
    assert!(refuses(sound, &expanded, input_len - 1, output_len), "short input");
    assert!(refuses(sound, &expanded, input_len, output_len - 1), "short output");
    let broken: &[(&str, Break)] = &[
        ("stride", |op| op.in_step = [2, 2]),
        ("another square", |op| op.taps = &[[0, 0]; 9]),
        ("fewer input channels", |op| op.input.channels -= 1),
        ("short bias", |op| op.bias = &op.bias[PANEL..]),
        ("one row too many", |op| op.rows += 1),
        ("out_step of zero", |op| op.out_step[0] = 0),
    ];
    for (name, break_it) in broken {
        let mut op = sound;
        break_it(&mut op);
        assert!(refuses(op, &expanded, input_len, output_len), "{}: {name} is accepted", expansion.name);
    }
    assert!(
        panics(&|| (expansion.expand)(&form, &sound, &mut vec![0.0; form.len() + 1])),
        "{}: spare weights are written",
        expansion.name
    );
}

/// Sizes of one generated operation; geometry and values are drawn.
#[derive(Debug)]
struct Sizes {
    c: usize,
    n: usize,
    rows: usize,
    cols: usize,
    /// Along each axis.
    taps: usize,
}

/// What an operation of some sizes refers to.
struct Drawn {
    taps: Vec<Tap>,
    weights: Vec<[f16; PANEL]>,
    weights_f32: Vec<[f32; PANEL]>,
    bias: Vec<f32>,
}

impl Drawn {
    fn new(&Sizes { c, n, taps, .. }: &Sizes, random: &mut Random) -> Self {
        let corner = [random.offset(4), random.offset(4)];
        let mut square: Vec<Tap> = (0..taps * taps)
            .map(|t| [corner[0] + (t / taps) as i16, corner[1] + (t % taps) as i16])
            .collect();
        // In any order.
        for i in 1..square.len() {
            square.swap(i, random.below(i + 1));
        }
        let panels = n.div_ceil(PANEL);
        let depth = square.len() * c;
        let mut padded = |lane: usize| if lane < n { random.value() } else { 0.0 };
        let weights: Vec<[f16; PANEL]> = (0..panels * depth)
            .map(|row| core::array::from_fn(|lane| f16::from_f32(padded(row / depth * PANEL + lane))))
            .collect();
        let bias = (0..panels * PANEL).map(padded).collect();
        let weights_f32 = weights.iter().map(|row| row.map(f16_to_f32)).collect();
        Self { taps: square, weights, weights_f32, bias }
    }

    /// As small as it can be.
    fn op(&self, sizes: &Sizes, out_step: [usize; 2]) -> TapGemm<'_> {
        let extent = |count: usize, step: usize| count.saturating_sub(1) * step + usize::from(count > 0);
        let pixels =
            |height, width, channels| crate::Pixels { height, width, channels, pixel_stride: channels };
        TapGemm {
            taps: &self.taps,
            weights: Panels::F16(&self.weights),
            bias: &self.bias,
            accumulate: false,
            activation: Activation::Identity,
            input: pixels(sizes.rows, sizes.cols, sizes.c),
            output: pixels(extent(sizes.rows, out_step[0]), extent(sizes.cols, out_step[1]), sizes.n),
            rows: sizes.rows,
            cols: sizes.cols,
            in_step: [1, 1],
            out_step,
            out_offset: [0, 0],
        }
    }
}

/// Draws an operation of these sizes and compares the implementation with the reference.
fn compare(expansion: ExpansionKernels, sizes: &Sizes, random: &mut Random) {
    let seed = random.state;
    let drawn = Drawn::new(sizes, random);
    let sound = drawn.op(sizes, [1 + random.below(3), 1 + random.below(3)]);
    let out_offset = [random.below(3), random.below(3)];
    let [height, width] = [sound.output.height, sound.output.width];
    let op = TapGemm {
        weights: random.one_of(&[Panels::F16(&drawn.weights), Panels::F32(&drawn.weights_f32)]),
        activation: random.one_of(&[
            Activation::Identity,
            Activation::Relu,
            Activation::LeakyRelu(0.2),
            Activation::Tanh,
            Activation::Sigmoid,
        ]),
        input: {
            let [height, width] =
                [sizes.rows, sizes.cols].map(|count| (count + random.below(5)).saturating_sub(2));
            random.pixels(height, width, sizes.c)
        },
        output: {
            let [below, beside] = [random.below(2), random.below(2)];
            random.pixels(height + out_offset[0] + below, width + out_offset[1] + beside, sizes.n)
        },
        accumulate: random.below(4) == 0,
        out_offset,
        ..sound
    };
    let batch = random.one_of(&[1, 1, 2, 3]);
    let [input_len, output_len] = [op.input.len(), op.output.len()].map(|len| (len + random.below(4)).max(1));
    let input: Vec<f32> = (0..batch * input_len).map(|_| random.value()).collect();
    let form = (expansion.form)(&op).expect("a square of taps");
    let mut expanded = vec![f32::NAN; form.len()];
    (expansion.expand)(&form, &op, &mut expanded);

    let before = outputs(&op, &input, batch * output_len, batch, random);
    let (mut expected, mut output) = (before.clone(), before.clone());
    (reference::KERNELS.tap_gemm)(&op, &mut samples(&input, &mut expected, batch));
    (expansion.tap_gemm)(&form, &op, &expanded, &mut samples(&input, &mut output, batch));
    let inputs = input.chunks_exact(input_len);
    let tolerances: Vec<Tolerance> =
        inputs.flat_map(|input| tolerances(&op, &drawn.weights_f32, input, output_len)).collect();

    let input: Vec<f16> = input.iter().map(|&x| f16::from_f32(x)).collect();
    let mut expected_f16 = to_halves(&before);
    let mut output_f16 = expected_f16.clone();
    reference::tap_gemm_f16(&op, &mut samples(&input, &mut expected_f16, batch));
    (expansion.tap_gemm_f16)(&form, &op, &expanded, &mut samples(&input, &mut output_f16, batch));

    for i in 0..output.len() {
        let context =
            || alloc::format!("{} at {i}, POCKETGAN_SEED={seed}, {sizes:?}, {op:?}", expansion.name);
        let (ours, theirs) = (output[i], expected[i]);
        let (ours_f16, theirs_f16) = (output_f16[i], expected_f16[i]);
        if theirs.to_bits() == UNTOUCHED.to_bits() {
            assert_eq!(ours.to_bits(), UNTOUCHED.to_bits(), "value not to be written: {}", context());
            assert_eq!(ours_f16.to_bits(), UNTOUCHED_F16.to_bits(), "half not to be written: {}", context());
            continue;
        }
        let Tolerance { mut sum, mut size } = tolerances[i];
        if op.accumulate {
            size += before[i].abs();
            sum += f32::EPSILON * size;
        }
        let atol = activation_tolerance(op.activation, sum, size);
        assert!((ours - theirs).abs() <= atol, "{ours} instead of {theirs} +- {atol}: {}", context());
        let (ours, theirs) = (ours_f16.to_f32(), theirs_f16.to_f32());
        // As for operations that are not expanded.
        let atol = 1.001 * atol + ours.abs().max(theirs.abs()) * (1.0 / 1024.0) + 1.0 / 16_777_216.0;
        assert!((ours - theirs).abs() <= atol, "half {ours} instead of {theirs} +- {atol}: {}", context());
    }
}

/// What is known of a value that is written, before the activation.
#[derive(Clone, Copy, Default)]
struct Tolerance {
    /// How far two correct results may lie apart.
    sum: f32,
    /// The sum of the absolute values of bias and products.
    size: f32,
}

/// The tolerance of each value that is written.
fn tolerances(
    op: &TapGemm<'_>,
    weights: &[[f32; PANEL]],
    input: &[f32],
    output_len: usize,
) -> Vec<Tolerance> {
    match op.taps.len() {
        4 => tile_tolerances::<5>(op, weights, input, output_len),
        _ => tile_tolerances::<6>(op, weights, input, output_len),
    }
}

/// With tiles of `E` inputs along each axis.
///
/// A transform along one axis is a sum with the absolute values of its matrix as factors, in which no term passes more than
/// [`ROUNDINGS`] roundings; nor does it cancel factors that the matrix has not. Two axes of inputs, weights rounded once,
/// `c` products and sums, and two axes of outputs are then off by `c + 4 * ROUNDINGS + 3` times half an epsilon of
/// `|At| (sum over channels of |U| * (|Bt| |d| |B|)) |A|` and the bias, which the last rounding adds.
fn tile_tolerances<const E: usize>(
    op: &TapGemm<'_>,
    weights: &[[f32; PANEL]],
    input: &[f32],
    output_len: usize,
) -> Vec<Tolerance> {
    let matrices = Matrices::<E>::new();
    let input_abs = matrices.input.map(|row| row.map(f64::abs));
    let output_abs = matrices.output.map(|row| row.map(f64::abs));
    let (c, taps) = (op.input.channels, E + 1 - OUT);
    let corner = op.taps.iter().fold([i16::MAX; 2], |[y, x], tap| [y.min(tap[0]), x.min(tap[1])]);
    let mut tolerances = vec![Tolerance::default(); output_len];
    let unit = f64::from(f32::EPSILON) / 2.0;
    let value = |y: usize, x: usize, dy: usize, dx: usize, channel: usize| {
        let tap = [corner[0] + dy as i16, corner[1] + dx as i16];
        op.input_start(y, x, tap).map_or(0.0, |start| f64::from(input[start + channel].abs()))
    };
    for tile in 0..op.rows.div_ceil(OUT) * op.cols.div_ceil(OUT) {
        let (y, x) = (tile / op.cols.div_ceil(OUT) * OUT, tile % op.cols.div_ceil(OUT) * OUT);
        let inputs: Vec<[[f64; E]; E]> = (0..c)
            .map(|channel| {
                let d = core::array::from_fn(|dy| core::array::from_fn(|dx| value(y, x, dy, dx, channel)));
                both_axes(&input_abs, &d)
            })
            .collect();
        for n in 0..op.output.channels {
            let mut m = [[0.0; E]; E];
            let mut direct = [[f64::from(op.bias[n].abs()); OUT]; OUT];
            for (channel, v) in inputs.iter().enumerate() {
                let mut g = [[0.0; 3]; 3];
                for (t, tap) in op.taps.iter().enumerate() {
                    let weight = weights[(n / PANEL * op.taps.len() + t) * c + channel][n % PANEL];
                    g[usize::from(tap[0].abs_diff(corner[0]))][usize::from(tap[1].abs_diff(corner[1]))] =
                        f64::from(weight);
                }
                let u: [[f64; E]; E] = both_axes(&matrices.weights, &g);
                for i in 0..E * E {
                    m[i / E][i % E] += u[i / E][i % E].abs() * v[i / E][i % E];
                }
                for i in 0..OUT * OUT * taps * taps {
                    let [out, tap] = [i / (taps * taps), i % (taps * taps)];
                    let ([oy, ox], [ty, tx]) = ([out / OUT, out % OUT], [tap / taps, tap % taps]);
                    direct[oy][ox] += g[ty][tx].abs() * value(y, x, oy + ty, ox + tx, channel);
                }
            }
            let sums: [[f64; OUT]; OUT] = both_axes(&output_abs, &m);
            for (oy, ox) in (0..OUT * OUT).map(|i| (i / OUT, i % OUT)) {
                if y + oy < op.rows && x + ox < op.cols {
                    let ours = (c + 4 * ROUNDINGS + 3) as f64 * (sums[oy][ox] + f64::from(op.bias[n].abs()));
                    // The reference rounds every product and every sum.
                    let theirs = (taps * taps * c + 1) as f64 * direct[oy][ox];
                    // Products of these small numbers are less than a hundredth of them.
                    tolerances[op.output_start(y + oy, x + ox) + n] = Tolerance {
                        sum: (1.01 * unit * (ours + theirs)) as f32,
                        size: direct[oy][ox] as f32,
                    };
                }
            }
        }
    }
    tolerances
}

/// Most roundings of a term in a transform along one axis: without fused multiply-adds, an addition, two products, and two
/// additions of these.
const ROUNDINGS: usize = 5;

/// The transforms as matrices, from their definition as polynomials.
struct Matrices<const E: usize> {
    /// `Bt`
    input: [[f64; E]; E],
    /// `G`
    weights: [[f64; 3]; E],
    /// `At`
    output: [[f64; E]; OUT],
}

impl<const E: usize> Matrices<E> {
    fn new() -> Self {
        let [a, b] = Transform::<E>::POINTS.map(f64::from);
        // The place of infinity is taken by zero until it is skipped.
        let points: [f64; E] = core::array::from_fn(|i| [a, -a, b, -b, 0.0, 0.0][i]);
        let others = |i: usize| points.into_iter().enumerate().filter(move |&(j, _)| j != i && j != 4);
        let taps = E + 1 - OUT;
        // The polynomial with all finite points but one as its roots.
        let input: [[f64; E]; E] = core::array::from_fn(|i| {
            let mut polynomial = [0.0; E];
            polynomial[0] = 1.0;
            for (_, root) in others(i) {
                for k in (0..E).rev() {
                    polynomial[k] = if k > 0 { polynomial[k - 1] } else { 0.0 } - root * polynomial[k];
                }
            }
            polynomial
        });
        let power = |i: usize, k: usize, last: usize| match i {
            4 => f64::from(u8::from(k == last)),
            _ => (0..k).fold(1.0, |power, _| power * points[i]),
        };
        let weights = core::array::from_fn(|i| {
            let scale: f64 = match i {
                4 => 1.0,
                _ => others(i).map(|(_, other)| points[i] - other).product(),
            };
            core::array::from_fn(|k| if k < taps { power(i, k, taps - 1) / scale } else { 0.0 })
        });
        let output: [[f64; E]; OUT] =
            core::array::from_fn(|y| core::array::from_fn(|i| power(i, y, OUT - 1)));
        Self { input, weights, output }
    }
}

/// `matrix * values * transpose(matrix)`
fn both_axes<const N: usize, const M: usize>(
    matrix: &[[f64; N]; M],
    values: &[[f64; N]; N],
) -> [[f64; M]; M] {
    core::array::from_fn(|y| {
        core::array::from_fn(|x| {
            (0..N * N).map(|i| matrix[y][i / N] * values[i / N][i % N] * matrix[x][i % N]).sum()
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `At ((G g) * (Bt d))` is the correlation of `d` with `g`, for every element of either: else the bound says nothing.
    #[test]
    fn matrices_multiply_polynomials() {
        fn check<const E: usize>() {
            let Matrices { input, weights, output } = Matrices::<E>::new();
            let taps = E + 1 - OUT;
            for case in 0..OUT * taps * E {
                let (y, tap, d) = (case / E / taps, case / E % taps, case % E);
                let sum: f64 = (0..E).map(|i| output[y][i] * weights[i][tap] * input[i][d]).sum();
                let expected = if d == y + tap { 1.0 } else { 0.0 };
                // Fewer than a hundred roundings of numbers that sum to less than a hundred.
                assert!((sum - expected).abs() < 1e4 * f64::EPSILON, "{E}: {sum} at {y}, {tap}, {d}");
            }
        }
        check::<5>();
        check::<6>();
    }

    /// What the module of the transforms says of them.
    #[test]
    fn norms_are_those_stated() {
        fn norm<const E: usize>() -> f64 {
            let Matrices { input, weights, output } = Matrices::<E>::new();
            let sum = |row: &[f64]| row.iter().map(|x| x.abs()).sum::<f64>();
            let rows = output
                .map(|row| (0..E).map(|i| row[i].abs() * sum(&weights[i]) * sum(&input[i])).sum::<f64>());
            rows.into_iter().fold(0.0, f64::max).powi(2)
        }
        assert_eq!([norm::<6>().round(), norm::<5>().round()], [564.0, 160.0]);
    }
}
