//! Few output channels, as the last layer of a generator has them: vectors run along the input's channels instead.
//!
//! With 3 channels in panels of 8, most products would be with padding. Here each output is a dot product, summed over
//! the lanes at the end. Uses at most 17 KB of stack.

use crate::simd::{InnerLoop, Simd, Weight};
use crate::tiled::Group;
use crate::{PANEL, TapGemm};

/// Whether `left` output channels are better computed here, with vectors of `lanes`.
#[inline(always)]
pub(crate) fn fit(op: &TapGemm<'_>, left: usize, lanes: usize) -> bool {
    // Both products are at most the number of weights.
    left <= MAX_CHANNELS && op.input.channels >= lanes && op.taps.len() * op.input.channels <= MAX_DEPTH
}

/// Computes a group of at most four output channels.
#[inline(always)]
pub(crate) fn run<S: Simd<L>, W: Weight, const L: usize>(simd: S, group: &Group<'_, W>, output: &mut [f32]) {
    // As many accumulators as 16 registers hold beside a row of weights.
    match group.op.output.channels - group.first {
        1 => run_n::<S, W, L, 1, 8>(simd, group, output),
        2 => run_n::<S, W, L, 2, 4>(simd, group, output),
        3 => run_n::<S, W, L, 3, 4>(simd, group, output),
        4 => run_n::<S, W, L, 4, 3>(simd, group, output),
        _ => unreachable!("`fit` allows no more than {MAX_CHANNELS} channels"),
    }
}

/// `N` output channels, `R` positions at a time.
#[inline(always)]
fn run_n<S: Simd<L>, W: Weight, const L: usize, const N: usize, const R: usize>(
    simd: S,
    group: &Group<'_, W>,
    output: &mut [f32],
) {
    let op = group.op;
    let depth = op.taps.len() * op.input.channels;
    let mut weights = [[0.0; MAX_DEPTH]; N];
    let panel = &group.weights[group.first / PANEL * depth..][..depth];
    for (k, row) in panel.iter().enumerate() {
        for n in 0..N {
            weights[n][k] = row[n].to_f32();
        }
    }
    let weights = weights.each_ref().map(|weights| &weights[..depth]);
    let bias: [f32; N] = core::array::from_fn(|n| group.bias()[n]);
    for row in 0..op.rows {
        for start in (0..op.cols).step_by(SEGMENT) {
            let mut sums = [[0.0; N]; SEGMENT];
            let sums = &mut sums[..SEGMENT.min(op.cols - start)];
            let mut col = start;
            let (tiles, left) = sums.as_chunks_mut::<R>();
            for tile in tiles {
                *tile = simd.outline(Dots::<N, R> { op, input: group.input, weights, row, col });
                col += R;
            }
            for sum in left {
                [*sum] = simd.outline(Dots::<N, 1> { op, input: group.input, weights, row, col });
                col += 1;
            }
            for sum in &mut *sums {
                for n in 0..N {
                    sum[n] += bias[n];
                }
            }
            op.activation.apply_all(sums.as_flattened_mut());
            for (i, sum) in sums.iter().enumerate() {
                output[op.output_start(row, start + i) + group.first..][..N].copy_from_slice(sum);
            }
        }
    }
}

/// The sums of products of `R` positions from `(row, col)` on.
struct Dots<'a, const N: usize, const R: usize> {
    op: &'a TapGemm<'a>,
    input: &'a [f32],
    /// For each output channel, taps times channels.
    weights: [&'a [f32]; N],
    row: usize,
    col: usize,
}

impl<S: Simd<L>, const L: usize, const N: usize, const R: usize> InnerLoop<S, L> for Dots<'_, N, R> {
    type Output = [[f32; N]; R];

    #[inline(always)]
    fn run(self, simd: S) -> [[f32; N]; R] {
        let c = self.op.input.channels;
        let mut acc = [[simd.splat(0.0); N]; R];
        let mut ends = [[0.0; N]; R];
        for (t, tap) in self.op.taps.iter().enumerate() {
            let starts: [_; R] = core::array::from_fn(|r| self.op.input_start(self.row, self.col + r, *tap));
            if starts.iter().all(Option::is_none) {
                continue;
            }
            let a = starts.map(|start| match start {
                Some(start) => self.input[start..][..c].as_chunks::<L>(),
                None => ZEROS[..c].as_chunks::<L>(),
            });
            let b = self.weights.map(|weights| weights[t * c..][..c].as_chunks::<L>());
            for k in 0..c / L {
                let mut w = [simd.splat(0.0); N];
                for n in 0..N {
                    w[n] = simd.load(&b[n].0[k]);
                }
                for r in 0..R {
                    let a = simd.load(&a[r].0[k]);
                    for n in 0..N {
                        acc[r][n] = simd.mul_add(a, w[n], acc[r][n]);
                    }
                }
            }
            for k in 0..c % L {
                for r in 0..R {
                    for n in 0..N {
                        ends[r][n] += a[r].1[k] * b[n].1[k];
                    }
                }
            }
        }
        for r in 0..R {
            for n in 0..N {
                ends[r][n] += simd.sum(acc[r][n]);
            }
        }
        ends
    }
}

/// What a tap reads outside the input.
static ZEROS: [f32; MAX_DEPTH] = [0.0; MAX_DEPTH];

/// Most output channels for which lanes along the input pay.
const MAX_CHANNELS: usize = 4;

/// Most taps times channels: their weights lie on the stack.
const MAX_DEPTH: usize = 1024;

/// Positions whose activation is computed at once.
const SEGMENT: usize = 64;
