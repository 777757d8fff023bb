//! The gradient with respect to weights and bias: outer products, summed over positions in registers.
//!
//! For each group of output channels, for each block of positions: the output gradients are packed, then for each tap tiles of
//! input channels run through the positions that it reads. With few output channels, lanes are input channels instead.
//! Lanes are independent sums, so that vectors which round every product keep the order of
//! [`reference`](mod@crate::reference). Uses at most 20 KB of stack.

use super::{Aligned, BLOCK, Block, MAX_ROWS, Row, Tiling, add_products};
use crate::simd::{InnerLoop, Simd};
use crate::{PANEL, Sample, TapGemm};

/// Adds the gradients. To be called in a function that enables the instruction set.
#[inline(always)]
pub(crate) fn weight_gradient<S: Simd<L>, P: Simd<PANEL>, const L: usize>(
    tiling: Tiling<S, P>,
    op: &TapGemm<'_>,
    input: &[f32],
    grad_out: &[f32],
    grad_weights: &mut [[f32; PANEL]],
    grad_bias: &mut [f32],
) {
    op.check(input.len(), grad_out.len());
    op.check_gradients(grad_weights.len(), grad_bias.len());
    let n = op.output.channels;
    if op.rows * op.cols == 1 {
        tiling.narrow.outline(Single { op, input, grad_out, grad_weights });
        let grads = &grad_out[op.output_start(0, 0)..][..n];
        return grad_bias.iter_mut().zip(grads).for_each(|(sum, grad)| *sum += grad);
    }
    let samples = [Sample { input, output: Default::default() }];
    let mut grads = Aligned([[0.0; L]; 2 * BLOCK]);
    let mut rows = [Row { pixel: &[], sum: 0 }; BLOCK];
    let mut first = 0;
    while first < n {
        let mut weights = ToWeights { op, first, samples: &samples, grad_out, grad_weights, grad_bias };
        match n - first {
            // A group is at least a panel.
            left if left > L || L < PANEL => {
                weights.run::<S, P, L, 2>(tiling, grads.0.as_chunks_mut().0, &mut rows);
            }
            _ => weights.run::<S, P, L, 1>(tiling, grads.0.as_chunks_mut().0, &mut rows),
        }
        first += 2 * L;
    }
}

/// The gradients of some output channels.
struct ToWeights<'a, 's> {
    op: &'a TapGemm<'a>,
    /// First output channel; a multiple of [`PANEL`].
    first: usize,
    samples: &'a [Sample<'s, f32>],
    grad_out: &'a [f32],
    grad_weights: &'a mut [[f32; PANEL]],
    grad_bias: &'a mut [f32],
}

impl<'s> ToWeights<'_, 's> {
    /// Adds to `C * L` output channels, or those that are left.
    #[inline(always)]
    fn run<S: Simd<L>, P: Simd<PANEL>, const L: usize, const C: usize>(
        &mut self,
        tiling: Tiling<S, P>,
        grads: &mut [[[f32; L]; C]],
        rows: &mut [Row<'s, f32>; BLOCK],
    ) {
        let (op, c) = (self.op, self.op.input.channels);
        let used = (op.output.channels - self.first).min(C * L);
        let positions = op.rows * op.cols;
        for start in (0..positions).step_by(BLOCK) {
            let block = Block { op, start, len: BLOCK.min(positions - start) };
            let grads = &mut grads[..block.len];
            self.pack(&block, used, grads);
            for t in 0..op.taps.len() {
                let [_, columns] = op.inside(op.taps[t]);
                let rows = block.rows(t, op.input.channels, [columns, 0..0], self.samples, rows);
                if rows.is_empty() {
                    continue;
                }
                if used <= MAX_FEW && c >= L {
                    self.add_few::<S, L, C>(tiling.wide, t, used, rows, grads);
                    continue;
                }
                let mut channel = 0;
                for tiles in (1..=c.div_ceil(tiling.max_rows)).rev() {
                    let len = (c - channel).div_ceil(tiles);
                    self.add_tile(tiling.wide, [t, channel, len], used, rows, grads);
                    channel += len;
                }
            }
        }
    }

    /// The output gradients of a block's positions, which are also added to the bias.
    #[inline(always)]
    fn pack<const L: usize, const C: usize>(
        &mut self,
        block: &Block<'_>,
        used: usize,
        grads: &mut [[[f32; L]; C]],
    ) {
        let bias = &mut self.grad_bias[self.first..][..used];
        let (mut row, mut col) = (block.start / self.op.cols, block.start % self.op.cols);
        for grads in grads {
            let grads = grads.as_flattened_mut();
            let start = self.op.output_start(row, col) + self.first;
            if used == C * L {
                // A length known to the compiler.
                grads.copy_from_slice(&self.grad_out[start..][..C * L]);
            } else {
                grads[..used].copy_from_slice(&self.grad_out[start..][..used]);
            }
            bias.iter_mut().zip(&*grads).for_each(|(sum, grad)| *sum += grad);
            col += 1;
            if col == self.op.cols {
                (row, col) = (row + 1, 0);
            }
        }
    }

    /// Number of the row of weights for panel number `i` of the group.
    #[inline(always)]
    fn row(&self, i: usize, t: usize, channel: usize) -> usize {
        ((self.first / PANEL + i) * self.op.taps.len() + t) * self.op.input.channels + channel
    }

    /// Adds to `len` input channels of tap `t`, from `channel` on.
    #[inline(always)]
    fn add_tile<S: Simd<L>, const L: usize, const C: usize>(
        &mut self,
        simd: S,
        [t, channel, len]: [usize; 3],
        used: usize,
        rows: &[Row<'_, f32>],
        grads: &[[[f32; L]; C]],
    ) {
        let mut sums = [[[0.0; L]; C]; MAX_ROWS];
        for i in 0..used.div_ceil(PANEL) {
            let weights = &self.grad_weights[self.row(i, t, channel)..][..len];
            for (sums, weights) in sums.iter_mut().zip(weights) {
                sums.as_flattened_mut().as_chunks_mut().0[i] = *weights;
            }
        }
        let all = &mut sums;
        match len {
            8 => simd.outline(Tile { rows, channel, grads, sums: tile::<_, 8>(all) }),
            7 => simd.outline(Tile { rows, channel, grads, sums: tile::<_, 7>(all) }),
            6 => simd.outline(Tile { rows, channel, grads, sums: tile::<_, 6>(all) }),
            5 => simd.outline(Tile { rows, channel, grads, sums: tile::<_, 5>(all) }),
            4 => simd.outline(Tile { rows, channel, grads, sums: tile::<_, 4>(all) }),
            3 => simd.outline(Tile { rows, channel, grads, sums: tile::<_, 3>(all) }),
            2 => simd.outline(Tile { rows, channel, grads, sums: tile::<_, 2>(all) }),
            1 => simd.outline(Tile { rows, channel, grads, sums: tile::<_, 1>(all) }),
            _ => unreachable!("no tile has more than {MAX_ROWS} channels"),
        }
        for i in 0..used.div_ceil(PANEL) {
            // Padding stays as it is, whatever the product of an infinity and nothing.
            let lanes = PANEL.min(used - i * PANEL);
            let start = self.row(i, t, channel);
            for (sums, weights) in sums.iter().zip(&mut self.grad_weights[start..][..len]) {
                let sums = &sums.as_flattened().as_chunks::<PANEL>().0[i];
                if lanes == PANEL {
                    *weights = *sums;
                } else {
                    weights[..lanes].copy_from_slice(&sums[..lanes]);
                }
            }
        }
    }

    /// Adds to all input channels of tap `t` and at most [`MAX_FEW`] output channels, which share a panel.
    #[inline(always)]
    fn add_few<S: Simd<L>, const L: usize, const C: usize>(
        &mut self,
        simd: S,
        t: usize,
        used: usize,
        rows: &[Row<'_, f32>],
        grads: &[[[f32; L]; C]],
    ) {
        let start = self.row(0, t, 0);
        let weights = &mut self.grad_weights[start..][..self.op.input.channels];
        match used {
            1 => simd.outline(Few::<L, C, 1> { rows, grads, weights }),
            2 => simd.outline(Few::<L, C, 2> { rows, grads, weights }),
            3 => simd.outline(Few::<L, C, 3> { rows, grads, weights }),
            4 => simd.outline(Few::<L, C, 4> { rows, grads, weights }),
            _ => unreachable!("more than {MAX_FEW} channels"),
        }
    }
}

/// The first `R`.
#[inline(always)]
fn tile<T, const R: usize>(all: &mut [T; MAX_ROWS]) -> &mut [T; R] {
    all.first_chunk_mut().expect("no tile has more")
}

/// `R` input channels times `C` vectors of output channels, summed over positions.
struct Tile<'a, const L: usize, const C: usize, const R: usize> {
    rows: &'a [Row<'a, f32>],
    channel: usize,
    grads: &'a [[[f32; L]; C]],
    sums: &'a mut [[[f32; L]; C]; R],
}

impl<S: Simd<L>, const L: usize, const C: usize, const R: usize> InnerLoop<S, L> for Tile<'_, L, C, R> {
    type Output = ();

    #[allow(clippy::needless_range_loop, reason = "iterators over registers are not always inlined")]
    #[inline(always)]
    fn run(self, simd: S) {
        let mut acc = [[simd.splat(0.0); C]; R];
        for i in 0..R {
            for j in 0..C {
                acc[i][j] = simd.load(&self.sums[i][j]);
            }
        }
        for row in self.rows {
            let values: &[f32; R] = row.pixel[self.channel..].first_chunk().expect("channels of the pixel");
            add_products(simd, *values, &self.grads[row.sum], &mut acc);
        }
        for i in 0..R {
            for j in 0..C {
                simd.store(acc[i][j], &mut self.sums[i][j]);
            }
        }
    }
}

/// `N` output channels times vectors of input channels, summed over positions.
struct Few<'a, const L: usize, const C: usize, const N: usize> {
    rows: &'a [Row<'a, f32>],
    /// Of which the first `N` values count.
    grads: &'a [[[f32; L]; C]],
    /// A row for each input channel.
    weights: &'a mut [[f32; PANEL]],
}

impl<const L: usize, const C: usize, const N: usize> Few<'_, L, C, N> {
    /// The `D * L` input channels from `channel` on.
    #[allow(clippy::needless_range_loop, reason = "iterators over registers are not always inlined")]
    #[inline(always)]
    fn add<S: Simd<L>, const D: usize>(&mut self, simd: S, channel: usize) {
        let weights = &mut self.weights[channel..][..D * L];
        let mut sums = [[[0.0; L]; D]; N];
        for (k, row) in weights.iter().enumerate() {
            for n in 0..N {
                sums[n][k / L][k % L] = row[n];
            }
        }
        let mut acc = [[simd.splat(0.0); D]; N];
        for n in 0..N {
            for j in 0..D {
                acc[n][j] = simd.load(&sums[n][j]);
            }
        }
        for row in self.rows {
            let values: &[[f32; L]; D] =
                row.pixel[channel..].as_chunks().0.first_chunk().expect("channels of the pixel");
            let grads: &[f32; N] =
                self.grads[row.sum].as_flattened().first_chunk().expect("at most a vector");
            add_products(simd, *grads, values, &mut acc);
        }
        for n in 0..N {
            for j in 0..D {
                simd.store(acc[n][j], &mut sums[n][j]);
            }
        }
        for (k, row) in weights.iter_mut().enumerate() {
            for n in 0..N {
                row[n] = sums[n][k / L][k % L];
            }
        }
    }
}

impl<S: Simd<L>, const L: usize, const C: usize, const N: usize> InnerLoop<S, L> for Few<'_, L, C, N> {
    type Output = ();

    #[inline(always)]
    fn run(mut self, simd: S) {
        let c = self.weights.len();
        let mut channel = 0;
        while c - channel >= 2 * L {
            self.add::<S, 2>(simd, channel);
            channel += 2 * L;
        }
        if c - channel >= L {
            self.add::<S, 1>(simd, channel);
            channel += L;
        }
        for (channel, weights) in self.weights.iter_mut().enumerate().skip(channel) {
            for row in self.rows {
                let grads = self.grads[row.sum].as_flattened();
                for (sum, grad) in weights.iter_mut().zip(&grads[..N]) {
                    *sum += row.pixel[channel] * grad;
                }
            }
        }
    }
}

/// One position: bound by writing the gradients once.
struct Single<'a> {
    op: &'a TapGemm<'a>,
    input: &'a [f32],
    grad_out: &'a [f32],
    grad_weights: &'a mut [[f32; PANEL]],
}

impl<P: Simd<PANEL>> InnerLoop<P, PANEL> for Single<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self, simd: P) {
        let (op, c) = (self.op, self.op.input.channels);
        let grads = &self.grad_out[op.output_start(0, 0)..][..op.output.channels];
        for (panel, grads) in grads.chunks(PANEL).enumerate() {
            for (t, tap) in op.taps.iter().enumerate() {
                let Some(start) = op.input_start(0, 0, *tap) else { continue };
                let weights = &mut self.grad_weights[(panel * op.taps.len() + t) * c..][..c];
                let pairs = weights.iter_mut().zip(&self.input[start..][..c]);
                if let Some(grads) = grads.first_chunk() {
                    let grads = simd.load(grads);
                    for (sums, &value) in pairs {
                        simd.store(simd.mul_add(simd.splat(value), grads, simd.load(sums)), sums);
                    }
                } else {
                    for (sums, value) in pairs {
                        sums.iter_mut().zip(grads).for_each(|(sum, grad)| *sum += value * grad);
                    }
                }
            }
        }
    }
}

/// Most output channels for which lanes along the input pay.
const MAX_FEW: usize = 4;
