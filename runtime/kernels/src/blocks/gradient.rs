//! The driver of gradients where memory is little: what is used again stays in registers.
//!
//! With respect to the input: for each tap and panel, some rows of weights are widened once for all positions, then the output
//! gradients of three positions stay in registers while weights and input gradients pass by. With respect to the weights:
//! the sums of two channels times a panel stay in registers while all positions pass by. A panel with few channels goes
//! by three channels or one, not by eight. Every sum grows in the order that [`reference`](mod@crate::reference) defines.
//! Uses at most 1.3 KB of stack, of which 1 KB for rows in half precision.

use core::ops::Range;

use half::f16;

use crate::{GradientKernels, PANEL, Panels, TapGemm};

/// How an implementation converts halves; all else is the same for all.
pub(crate) trait Widen {
    /// `wide = halves`, of the same length.
    fn widen(halves: &[[f16; PANEL]], wide: &mut [[f32; PANEL]]);
}

/// The gradients of an implementation.
pub(crate) const fn kernels<W: Widen>(name: &'static str) -> GradientKernels {
    GradientKernels { name, input_gradient: input_gradient::<W>, weight_gradient }
}

/// Positions of some rows and columns, and where their values lie.
#[derive(Clone, Copy)]
struct Walk {
    rows: usize,
    cols: usize,
    /// In the input, or in its gradient.
    input: Place,
    /// In the output's gradient.
    output: Place,
}

/// Where the values of positions lie in a buffer: those of the first, and the steps down and to the right.
#[derive(Clone, Copy)]
struct Place {
    start: usize,
    steps: [usize; 2],
}

impl Walk {
    /// The positions of rows and columns for which tap number `t` reads inside, from channel `n` on.
    fn new(op: &TapGemm<'_>, t: usize, [rows, cols]: [&Range<usize>; 2], n: usize) -> Self {
        let place = |start: usize, step: [usize; 2], width: usize, stride: usize| Place {
            start,
            // Products that `check` has not bounded belong to steps that are not made.
            steps: [step[0].wrapping_mul(width * stride), step[1].wrapping_mul(stride)],
        };
        let (x, y) = (op.input, op.output);
        let first = op.input_start(rows.start, cols.start, op.taps[t]);
        let input = place(first.expect("inside"), op.in_step, x.width, x.pixel_stride);
        let first = op.output_start(rows.start, cols.start) + n;
        let output = place(first, op.out_step, y.width, y.pixel_stride);
        Self { rows: rows.len(), cols: cols.len(), input, output }
    }

    /// Where the values of a row begin, in the input and in the output's gradient.
    #[inline(always)]
    fn row(&self, row: usize) -> [usize; 2] {
        [self.input, self.output].map(|place| place.start + row * place.steps[0])
    }
}

/// Adds the gradient with respect to what an operation reads.
fn input_gradient<W: Widen>(op: &TapGemm<'_>, grad_out: &[f32], grad_in: &mut [f32]) {
    op.check(grad_in.len(), grad_out.len());
    for (t, tap) in op.taps.iter().enumerate() {
        let [rows, cols] = op.inside(*tap);
        if rows.is_empty() || cols.is_empty() {
            continue;
        }
        if !op.shares_pixels() {
            add_tap::<W>(op, t, [&rows, &cols], grad_out, grad_in);
            continue;
        }
        // Positions of a tile must not share a pixel.
        for row in rows {
            for col in cols.clone() {
                add_tap::<W>(op, t, [&(row..row + 1), &(col..col + 1)], grad_out, grad_in);
            }
        }
    }
}

/// Adds what positions give to the pixels that tap number `t` reads for them.
#[inline(never)]
fn add_tap<W: Widen>(
    op: &TapGemm<'_>,
    t: usize,
    positions: [&Range<usize>; 2],
    grad_out: &[f32],
    grad_in: &mut [f32],
) {
    let (c, n) = (op.input.channels, op.output.channels);
    let mut wide = [[0.0; PANEL]; CHUNK];
    for first_n in (0..n).step_by(PANEL) {
        let panel_row = (first_n / PANEL * op.taps.len() + t) * c;
        let mut walk = Walk::new(op, t, positions, first_n);
        for first in (0..c).step_by(CHUNK) {
            let len = CHUNK.min(c - first);
            let weights = match op.weights {
                Panels::F32(all) => &all[panel_row + first..][..len],
                Panels::F16(all) => {
                    W::widen(&all[panel_row + first..][..len], &mut wide[..len]);
                    &wide[..len]
                }
            };
            for row in 0..walk.rows {
                if n - first_n >= PANEL {
                    add_row(&walk, row, grad_out, weights, grad_in);
                } else {
                    for (lane, lanes) in parts(n - first_n) {
                        match lanes {
                            3 => add_lanes::<3>(&walk, row, lane, grad_out, weights, grad_in),
                            _ => add_lanes::<1>(&walk, row, lane, grad_out, weights, grad_in),
                        }
                    }
                }
            }
            walk.input.start += len;
        }
    }
}

/// The positions of a row times a whole panel.
#[inline(always)]
fn add_row(walk: &Walk, row: usize, grad_out: &[f32], weights: &[[f32; PANEL]], grad_in: &mut [f32]) {
    let ([mut x, mut g], [x_step, g_step]) = (walk.row(row), [walk.input.steps[1], walk.output.steps[1]]);
    for _ in 0..walk.cols / 3 {
        let grads = [0, 1, 2].map(|i| chunk(&grad_out[g + i * g_step..]));
        add_three(grads, weights, pixels(grad_in, x, x_step, weights.len()));
        (x, g) = (x + 3 * x_step, g + 3 * g_step);
    }
    for i in 0..walk.cols % 3 {
        add(
            [chunk::<PANEL>(&grad_out[g + i * g_step..])],
            weights,
            0,
            [&mut grad_in[x + i * x_step..][..weights.len()]],
        );
    }
}

/// A whole panel for three positions.
#[inline(never)]
fn add_three(grads: [&[f32; PANEL]; 3], weights: &[[f32; PANEL]], sums: [&mut [f32]; 3]) {
    add(grads, weights, 0, sums);
}

/// The positions of a row times `N` lanes of a panel, from `lane` on.
#[inline(never)]
fn add_lanes<const N: usize>(
    walk: &Walk,
    row: usize,
    lane: usize,
    grad_out: &[f32],
    weights: &[[f32; PANEL]],
    grad_in: &mut [f32],
) {
    let ([mut x, g], [x_step, g_step]) = (walk.row(row), [walk.input.steps[1], walk.output.steps[1]]);
    let mut g = g + lane;
    for _ in 0..walk.cols / 3 {
        let grads = [0, 1, 2].map(|i| chunk::<N>(&grad_out[g + i * g_step..]));
        add(grads, weights, lane, pixels(grad_in, x, x_step, weights.len()));
        (x, g) = (x + 3 * x_step, g + 3 * g_step);
    }
    for i in 0..walk.cols % 3 {
        let grads = [chunk::<N>(&grad_out[g + i * g_step..])];
        add(grads, weights, lane, [&mut grad_in[x + i * x_step..][..weights.len()]]);
    }
}

/// `len` values of three pixels that lie `step` apart.
#[inline(always)]
fn pixels(values: &mut [f32], start: usize, step: usize, len: usize) -> [&mut [f32]; 3] {
    let ranges = [0, 1, 2].map(|i| start + i * step..start + i * step + len);
    values.get_disjoint_mut(ranges).expect("positions read pixels of their own")
}

/// `sums[k] +=` the sum of `grads * weights[k]`, for `R` positions and `N` lanes from `lane` on.
#[allow(clippy::needless_range_loop, reason = "iterators over registers are not always inlined")]
#[inline(always)]
fn add<const R: usize, const N: usize>(
    grads: [&[f32; N]; R],
    weights: &[[f32; PANEL]],
    lane: usize,
    sums: [&mut [f32]; R],
) {
    let grads = grads.map(|grads| *grads);
    let sums = sums.map(|sums| &mut sums[..weights.len()]);
    for (k, row) in weights.iter().enumerate() {
        let weights: &[f32; N] = chunk(&row[lane..]);
        let mut acc = [0.0; R];
        for i in 0..R {
            acc[i] = sums[i][k];
        }
        for n in 0..N {
            for i in 0..R {
                acc[i] += grads[i][n] * weights[n];
            }
        }
        for i in 0..R {
            sums[i][k] = acc[i];
        }
    }
}

/// Adds the gradients with respect to weights and bias.
fn weight_gradient(
    op: &TapGemm<'_>,
    input: &[f32],
    grad_out: &[f32],
    grad_weights: &mut [[f32; PANEL]],
    grad_bias: &mut [f32],
) {
    op.check(input.len(), grad_out.len());
    op.check_gradients(grad_weights.len(), grad_bias.len());
    add_bias(op, grad_out, grad_bias);
    let (c, n) = (op.input.channels, op.output.channels);
    for (t, tap) in op.taps.iter().enumerate() {
        let [rows, cols] = op.inside(*tap);
        if rows.is_empty() || cols.is_empty() {
            continue;
        }
        for first_n in (0..n).step_by(PANEL) {
            let sums = &mut grad_weights[(first_n / PANEL * op.taps.len() + t) * c..][..c];
            let mut walk = Walk::new(op, t, [&rows, &cols], first_n);
            if n - first_n >= PANEL {
                let (pairs, rest) = sums.as_chunks_mut::<2>();
                for sums in pairs {
                    add_panel(&walk, input, grad_out, sums);
                    walk.input.start += 2;
                }
                if let [row] = rest {
                    add_panel(&walk, input, grad_out, core::array::from_mut(row));
                }
            } else {
                for lane in 0..n - first_n {
                    let output = Place { start: walk.output.start + lane, ..walk.output };
                    add_column(Walk { output, ..walk }, input, grad_out, sums, lane);
                }
            }
        }
    }
}

/// A panel times `R` channels, for all positions.
#[inline(never)]
fn add_panel<const R: usize>(walk: &Walk, input: &[f32], grad_out: &[f32], sums: &mut [[f32; PANEL]; R]) {
    let mut acc = *sums;
    for row in 0..walk.rows {
        let [mut x, mut g] = walk.row(row);
        for _ in 0..walk.cols {
            let values: &[f32; R] = chunk(&input[x..]);
            let grads: &[f32; PANEL] = chunk(&grad_out[g..]);
            for lane in 0..PANEL {
                for i in 0..R {
                    acc[i][lane] += values[i] * grads[lane];
                }
            }
            x = x.wrapping_add(walk.input.steps[1]);
            g = g.wrapping_add(walk.output.steps[1]);
        }
    }
    *sums = acc;
}

/// One output channel, for all positions.
#[inline(never)]
fn add_column(mut walk: Walk, input: &[f32], grad_out: &[f32], sums: &mut [[f32; PANEL]], lane: usize) {
    let (eights, rest) = sums.as_chunks_mut::<8>();
    for sums in eights {
        add_products(&walk, input, grad_out, sums, lane);
        walk.input.start += 8;
    }
    let (threes, rest) = rest.as_chunks_mut::<3>();
    for sums in threes {
        add_products(&walk, input, grad_out, sums, lane);
        walk.input.start += 3;
    }
    for row in rest {
        add_products(&walk, input, grad_out, core::array::from_mut(row), lane);
        walk.input.start += 1;
    }
}

/// One output channel times `R` channels, for all positions.
#[allow(clippy::needless_range_loop, reason = "iterators over registers are not always inlined")]
#[inline(always)]
fn add_products<const R: usize>(
    walk: &Walk,
    input: &[f32],
    grad_out: &[f32],
    sums: &mut [[f32; PANEL]; R],
    lane: usize,
) {
    let mut acc = [0.0; R];
    for k in 0..R {
        acc[k] = sums[k][lane];
    }
    for row in 0..walk.rows {
        let [mut x, mut g] = walk.row(row);
        for _ in 0..walk.cols {
            let values: &[f32; R] = chunk(&input[x..]);
            let grad = grad_out[g];
            for k in 0..R {
                acc[k] += values[k] * grad;
            }
            x = x.wrapping_add(walk.input.steps[1]);
            g = g.wrapping_add(walk.output.steps[1]);
        }
    }
    for k in 0..R {
        sums[k][lane] = acc[k];
    }
}

/// Adds the output gradients of all positions.
#[inline(never)]
fn add_bias(op: &TapGemm<'_>, grad_out: &[f32], grad_bias: &mut [f32]) {
    for row in 0..op.rows {
        for col in 0..op.cols {
            let grads = &grad_out[op.output_start(row, col)..][..op.output.channels];
            grad_bias.iter_mut().zip(grads).for_each(|(sum, grad)| *sum += grad);
        }
    }
}

/// `0..len` in threes and ones: where each begins, and how many it has.
fn parts(len: usize) -> impl Iterator<Item = (usize, usize)> {
    let threes = len / 3;
    (0..threes + len % 3).map(move |i| if i < threes { (3 * i, 3) } else { (2 * threes + i, 1) })
}

/// The first `N` values.
#[inline(always)]
fn chunk<const N: usize>(values: &[f32]) -> &[f32; N] {
    values.first_chunk().expect("`check` found the channels inside")
}

/// Rows of weights that are widened at a time.
const CHUNK: usize = 32;
