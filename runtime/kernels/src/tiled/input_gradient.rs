//! The gradient with respect to what an operation reads, by the tiles of the forward pass.
//!
//! Blocks of pixels take the place of positions: the weights of a group of input channels are transposed a chunk at a time,
//! and tiles of positions add their products to the pixels that they read. Lanes are independent sums, so that vectors
//! which round every product keep the order of [`reference`](mod@crate::reference). Uses at most 47 KB of stack.

use core::ops::Range;

use super::{BLOCK, Buffers, CHUNK, Row, Tiling, add_tile};
use crate::simd::{InnerLoop, Simd, SimdElement};
use crate::{PANEL, Panels, TapGemm, portable};

/// Adds the gradient with respect to what an operation reads. To be called in a function that enables the instruction set.
#[inline(always)]
pub(crate) fn input_gradient<S: Simd<L>, P: Simd<PANEL>, const L: usize>(
    tiling: Tiling<S, P>,
    op: &TapGemm<'_>,
    grad_out: &[f32],
    grad_in: &mut [f32],
) {
    op.check(grad_in.len(), grad_out.len());
    // Rows of a tile must not add to one pixel, few channels leave most lanes empty, and for one position in order weights
    // would be transposed to be used once.
    let single = op.rows * op.cols == 1;
    if op.shares_pixels() || op.input.channels < MIN_CHANNELS || single && S::IN_ORDER {
        return (portable::GRADIENTS.input_gradient)(op, grad_out, grad_in);
    }
    match op.weights {
        Panels::F16(weights) => add_input(tiling, op, weights, grad_out, grad_in),
        Panels::F32(weights) => add_input(tiling, op, weights, grad_out, grad_in),
    }
}

#[inline(always)]
fn add_input<S: Simd<L>, P: Simd<PANEL>, W: SimdElement, const L: usize>(
    tiling: Tiling<S, P>,
    op: &TapGemm<'_>,
    weights: &[[W; PANEL]],
    grad_out: &[f32],
    grad_in: &mut [f32],
) {
    if op.rows * op.cols == 1 {
        return tiling.narrow.outline(Single { op, weights, grad_out, grad_in });
    }
    let mut buffers = Buffers::new();
    let mut rows = [Row { pixel: &[], sum: 0 }; BLOCK];
    let c = op.input.channels;
    for first in (0..c).step_by(2 * L) {
        let pixels = ToInput { op, weights, first, grad_out };
        if c - first > L {
            pixels.run::<S, P, L, 2>(tiling, &mut buffers, &mut rows, grad_in);
        } else {
            pixels.run::<S, P, L, 1>(tiling, &mut buffers, &mut rows, grad_in);
        }
    }
}

/// The gradient of some input channels.
struct ToInput<'a, W> {
    op: &'a TapGemm<'a>,
    weights: &'a [[W; PANEL]],
    /// First input channel.
    first: usize,
    grad_out: &'a [f32],
}

impl<'a, W: SimdElement> ToInput<'a, W> {
    /// Adds to `C * L` input channels, or those that are left.
    #[inline(always)]
    fn run<S: Simd<L>, P: Simd<PANEL>, const L: usize, const C: usize>(
        &self,
        tiling: Tiling<S, P>,
        buffers: &mut Buffers<L>,
        rows: &mut [Row<'a, f32>; BLOCK],
        grad_in: &mut [f32],
    ) {
        let (op, n) = (self.op, self.op.output.channels);
        let used = (op.input.channels - self.first).min(C * L);
        let panel = buffers.panel.0.as_chunks_mut::<C>().0;
        let sums = buffers.sums.0.as_chunks_mut::<C>().0;
        let pixels = op.input.height * op.input.width;
        for start in (0..pixels).step_by(BLOCK) {
            let len = BLOCK.min(pixels - start);
            let place = |i: usize| (start + i) * op.input.pixel_stride + self.first;
            for (i, sums) in sums[..len].iter_mut().enumerate() {
                sums.as_flattened_mut()[..used].copy_from_slice(&grad_in[place(i)..][..used]);
            }
            for t in 0..op.taps.len() {
                let rows = self.rows_of_tap(t, start..start + len, rows);
                if rows.is_empty() {
                    continue;
                }
                for channel in (0..n).step_by(CHUNK) {
                    let panel = &mut panel[..CHUNK.min(n - channel)];
                    self.transpose(tiling.narrow, t, channel, used, panel);
                    let mut rows = rows;
                    for tiles in (1..=rows.len().div_ceil(tiling.max_rows)).rev() {
                        let (tile, rest) = rows.split_at(rows.len().div_ceil(tiles));
                        add_tile(tiling, tile, channel, panel, &mut buffers.wide, sums);
                        rows = rest;
                    }
                }
            }
            for (i, sums) in sums[..len].iter().enumerate() {
                grad_in[place(i)..][..used].copy_from_slice(&sums.as_flattened()[..used]);
            }
        }
    }

    /// The positions that read one of these pixels through tap `t`: their gradients, and which pixel.
    #[inline(always)]
    fn rows_of_tap<'r>(
        &self,
        t: usize,
        pixels: Range<usize>,
        slots: &'r mut [Row<'a, f32>; BLOCK],
    ) -> &'r [Row<'a, f32>] {
        let (op, tap) = (self.op, self.op.taps[t]);
        let [rows, cols] = op.inside(tap);
        let grad_step = op.out_step[1].wrapping_mul(op.output.pixel_stride);
        // A step of zero has one position, see `shares_pixels`.
        let step = op.in_step[1].max(1);
        let mut count = 0;
        for row in rows {
            let Some(start) = op.input_start(row, cols.start, tap).filter(|_| !cols.is_empty()) else {
                break;
            };
            let first = start / op.input.pixel_stride.max(1);
            if first >= pixels.end {
                break;
            }
            let from = pixels.start.saturating_sub(first).div_ceil(step);
            let to = (pixels.end - first).div_ceil(step).min(cols.len());
            if from >= to {
                continue;
            }
            let mut grads = op.output_start(row, cols.start + from);
            let sums = (first + from * step - pixels.start..).step_by(step);
            for (sum, slot) in sums.zip(&mut slots[count..count + to - from]) {
                *slot = Row { pixel: &self.grad_out[grads..][..op.output.channels], sum };
                grads = grads.wrapping_add(grad_step);
            }
            count += to - from;
        }
        &slots[..count]
    }

    /// The weights of tap `t`, a row for each output channel from `channel` on, which is a multiple of [`PANEL`].
    #[inline(always)]
    fn transpose<P: Simd<PANEL>, const L: usize, const C: usize>(
        &self,
        simd: P,
        t: usize,
        channel: usize,
        used: usize,
        panel: &mut [[[f32; L]; C]],
    ) {
        for (i, panel) in panel.chunks_mut(PANEL).enumerate() {
            let row = ((channel / PANEL + i) * self.op.taps.len() + t) * self.op.input.channels + self.first;
            simd.outline(Transpose { weights: &self.weights[row..][..used], panel });
        }
    }
}

/// Some rows of a panel, as columns.
struct Transpose<'a, W, const L: usize, const C: usize> {
    weights: &'a [[W; PANEL]],
    /// A row for each lane that is a channel.
    panel: &'a mut [[[f32; L]; C]],
}

impl<P: Simd<PANEL>, W: SimdElement, const L: usize, const C: usize> InnerLoop<P, PANEL>
    for Transpose<'_, W, L, C>
{
    type Output = ();

    #[inline(always)]
    fn run(self, simd: P) {
        let mut square = [[0.0; PANEL]; PANEL];
        for (i, weights) in self.weights.chunks(PANEL).enumerate() {
            for (row, weights) in square.iter_mut().zip(weights) {
                simd.store(W::load(simd, weights), row);
            }
            let turned: [[f32; PANEL]; PANEL] =
                core::array::from_fn(|lane| core::array::from_fn(|k| square[k][lane]));
            let start = i * PANEL;
            for (out, turned) in self.panel.iter_mut().zip(&turned) {
                let out = &mut out.as_flattened_mut()[start..];
                match out.first_chunk_mut::<PANEL>() {
                    Some(out) => *out = *turned,
                    None => out.copy_from_slice(&turned[..out.len()]),
                }
            }
        }
    }
}

/// One position: a matrix times a vector, bound by reading the weights once.
struct Single<'a, W> {
    op: &'a TapGemm<'a>,
    weights: &'a [[W; PANEL]],
    grad_out: &'a [f32],
    grad_in: &'a mut [f32],
}

impl<P: Simd<PANEL>, W: SimdElement> InnerLoop<P, PANEL> for Single<'_, W> {
    type Output = ();

    #[inline(always)]
    fn run(self, simd: P) {
        let (op, c) = (self.op, self.op.input.channels);
        let grads = &self.grad_out[op.output_start(0, 0)..][..op.output.channels];
        for (t, tap) in op.taps.iter().enumerate() {
            let Some(start) = op.input_start(0, 0, *tap) else { continue };
            for (i, sums) in self.grad_in[start..][..c].chunks_mut(PANEL).enumerate() {
                let mut acc = [simd.splat(0.0); PANEL];
                for (panel, grads) in grads.chunks(PANEL).enumerate() {
                    let row = (panel * op.taps.len() + t) * c + i * PANEL;
                    let mut padded = [0.0; PANEL];
                    let grads = match grads.first_chunk::<PANEL>() {
                        Some(grads) => simd.load(grads),
                        None => {
                            padded[..grads.len()].copy_from_slice(grads);
                            simd.load(&padded)
                        }
                    };
                    match self.weights[row..].first_chunk::<PANEL>() {
                        // What lies beyond the last channel is not added below.
                        Some(weights) => {
                            for k in 0..PANEL {
                                acc[k] = simd.mul_add(W::load(simd, &weights[k]), grads, acc[k]);
                            }
                        }
                        None => {
                            for (acc, weights) in acc.iter_mut().zip(&self.weights[row..]) {
                                *acc = simd.mul_add(W::load(simd, weights), grads, *acc);
                            }
                        }
                    }
                }
                for (sum, acc) in sums.iter_mut().zip(acc) {
                    *sum += simd.sum(acc);
                }
            }
        }
    }
}

/// Fewest input channels for which lanes pay: with one, the portable loops are twice as fast on AVX-512.
const MIN_CHANNELS: usize = 4;
