//! The driver that SIMD implementations share: cuts a tap GEMM into blocks that stay in the first-level cache.
//!
//! For each group of output channels, for each block of positions, for each tap and chunk of channels: the weights are
//! widened to `f32` once, then tiles of positions accumulate products in registers. Bias goes in first; the activation
//! and the store come last. A tap adds only to positions it reads inside the input, so borders cost nothing.
//!
//! Uses at most 40 KB of stack.

use crate::simd::{Simd, Weight};
use crate::{PANEL, Panels, TapGemm, dots, single};

/// Vectors and tile of one instruction set.
#[derive(Clone, Copy)]
pub(crate) struct Tiling<S, P> {
    /// The widest vectors.
    pub(crate) wide: S,
    /// Vectors of one row of a panel.
    pub(crate) narrow: P,
    /// Positions in one tile, at most [`MAX_ROWS`].
    pub(crate) max_rows: usize,
}

/// Runs the operation. To be called in a function that enables the instruction set.
#[inline(always)]
pub(crate) fn tap_gemm<S: Simd<L>, P: Simd<PANEL>, const L: usize>(
    tiling: Tiling<S, P>,
    op: &TapGemm<'_>,
    input: &[f32],
    output: &mut [f32],
) {
    op.check(input.len(), output.len());
    match op.weights {
        Panels::F16(weights) => run(tiling, op, weights, input, output),
        Panels::F32(weights) => run(tiling, op, weights, input, output),
    }
}

#[inline(always)]
fn run<S: Simd<L>, P: Simd<PANEL>, W: Weight, const L: usize>(
    tiling: Tiling<S, P>,
    op: &TapGemm<'_>,
    weights: &[[W; PANEL]],
    input: &[f32],
    output: &mut [f32],
) {
    if op.rows * op.cols == 1 {
        return single::run(tiling.narrow, op, weights, input, output);
    }
    let n = op.output.channels;
    let mut first = 0;
    while first < n {
        let group = Group { op, weights, input, first };
        match n - first {
            left if dots::fit(op, left, L) => dots::run(tiling.wide, &group, output),
            left if left > L => group.run::<S, P, L, 2>(tiling, output),
            _ => group.run::<S, P, L, 1>(tiling, output),
        }
        first += 2 * L;
    }
}

/// Some output channels of an operation.
pub(crate) struct Group<'a, W> {
    pub(crate) op: &'a TapGemm<'a>,
    pub(crate) weights: &'a [[W; PANEL]],
    pub(crate) input: &'a [f32],
    /// First output channel; a multiple of [`PANEL`].
    pub(crate) first: usize,
}

/// A position that a tap reads inside the input.
#[derive(Clone, Copy, Default)]
struct Row {
    /// First value of the pixel read.
    start: usize,
    /// Which of the block's sums it adds to.
    sum: usize,
}

/// On cache lines, which the widest vectors fill.
#[repr(align(64))]
struct Aligned<T>(T);

impl<W: Weight> Group<'_, W> {
    /// Computes `C * L` output channels, or those that are left.
    #[inline(always)]
    fn run<S: Simd<L>, P: Simd<PANEL>, const L: usize, const C: usize>(
        &self,
        tiling: Tiling<S, P>,
        output: &mut [f32],
    ) {
        let (op, c) = (self.op, self.op.input.channels);
        let mut bias = [[0.0; L]; C];
        let used = self.bias().len().min(C * L);
        bias.as_flattened_mut()[..used].copy_from_slice(&self.bias()[..used]);
        let mut panel = Aligned([[[0.0; L]; C]; CHUNK]);
        let mut sums = Aligned([bias; BLOCK]);
        let mut rows = [Row::default(); BLOCK];
        let positions = op.rows * op.cols;
        for start in (0..positions).step_by(BLOCK) {
            let block = Block { op, start, len: BLOCK.min(positions - start) };
            let sums = &mut sums.0[..block.len];
            sums.fill(bias);
            for t in 0..op.taps.len() {
                let rows = block.rows_of_tap(t, &mut rows);
                if rows.is_empty() {
                    continue;
                }
                for channel in (0..c).step_by(CHUNK) {
                    let panel = &mut panel.0[..CHUNK.min(c - channel)];
                    self.widen(tiling.narrow, t * c + channel, panel);
                    let input = &self.input[channel..];
                    let mut rows = &*rows;
                    for tiles in (1..=rows.len().div_ceil(tiling.max_rows)).rev() {
                        // Equal tiles: a small one would wait for its additions.
                        let (tile, rest) = rows.split_at(rows.len().div_ceil(tiles));
                        add_tile(tiling.wide, tile, input, panel, sums);
                        rows = rest;
                    }
                }
            }
            op.activation.apply_all(sums.as_flattened_mut().as_flattened_mut());
            block.store(self.first, sums, output);
        }
    }

    /// The group's bias and that of all groups after it.
    #[inline(always)]
    pub(crate) fn bias(&self) -> &[f32] {
        &self.op.bias[self.first..]
    }

    /// Rows `row..row + panel.len()` of this group's panels, side by side.
    #[inline(always)]
    fn widen<P: Simd<PANEL>, const L: usize, const C: usize>(
        &self,
        simd: P,
        row: usize,
        panel: &mut [[[f32; L]; C]],
    ) {
        let panel_rows = self.op.taps.len() * self.op.input.channels;
        for i in 0..(C * L / PANEL).min(self.bias().len() / PANEL) {
            let weights = &self.weights[(self.first / PANEL + i) * panel_rows + row..][..panel.len()];
            for (wide, weights) in panel.iter_mut().zip(weights) {
                let wide = &mut wide.as_flattened_mut().as_chunks_mut::<PANEL>().0[i];
                simd.store(W::load(simd, weights), wide);
            }
        }
    }
}

/// Positions `start..start + len`, row by row.
struct Block<'a> {
    op: &'a TapGemm<'a>,
    start: usize,
    len: usize,
}

impl Block<'_> {
    /// The positions that tap `t` reads inside the input.
    #[inline(always)]
    fn rows_of_tap<'a>(&self, t: usize, rows: &'a mut [Row; BLOCK]) -> &'a [Row] {
        let (op, tap) = (self.op, self.op.taps[t]);
        let inside_y = inside(op.rows, op.in_step[0], tap[0], op.input.height);
        let inside_x = inside(op.cols, op.in_step[1], tap[1], op.input.width);
        let mut count = 0;
        let mut position = self.start;
        let end = self.start + self.len;
        while position < end {
            let (row, col) = (position / op.cols, position % op.cols);
            let next = end.min(position - col + op.cols);
            let from = inside_x.start.max(col);
            let to = inside_x.end.min(col + next - position);
            if inside_y.contains(&row)
                && from < to
                && let Some(mut start) = op.input_start(row, from, tap)
            {
                let mut sum = position - col + from - self.start;
                for slot in &mut rows[count..count + to - from] {
                    *slot = Row { start, sum };
                    start += op.in_step[1] * op.input.pixel_stride;
                    sum += 1;
                }
                count += to - from;
            }
            position = next;
        }
        &rows[..count]
    }

    /// Writes the channels from `first` that exist.
    #[inline(always)]
    fn store<const L: usize, const C: usize>(
        &self,
        first: usize,
        sums: &[[[f32; L]; C]],
        output: &mut [f32],
    ) {
        let op = self.op;
        let lanes = (op.output.channels - first).min(C * L);
        let (mut row, mut col) = (self.start / op.cols, self.start % op.cols);
        for sums in sums {
            let pixel = &mut output[op.output_start(row, col) + first..];
            let sums = sums.as_flattened();
            if lanes == C * L {
                // A length known to the compiler: vector stores instead of a call.
                pixel[..C * L].copy_from_slice(sums);
            } else {
                pixel[..lanes].copy_from_slice(&sums[..lanes]);
            }
            col += 1;
            if col == op.cols {
                (row, col) = (row + 1, 0);
            }
        }
    }
}

/// Which of `count` positions, `step` apart, read inside `extent` when moved by `offset`.
#[inline(always)]
fn inside(count: usize, step: usize, offset: i16, extent: usize) -> core::ops::Range<usize> {
    let offset = isize::from(offset);
    let end = extent.saturating_add_signed(-offset);
    if step == 0 {
        return if offset >= 0 && end > 0 { 0..count } else { 0..0 };
    }
    let start = 0usize.saturating_add_signed(-offset).div_ceil(step);
    start..end.div_ceil(step).min(count)
}

/// `sums += rows * panel` for up to [`MAX_ROWS`] rows.
#[inline(always)]
fn add_tile<S: Simd<L>, const L: usize, const C: usize>(
    simd: S,
    rows: &[Row],
    input: &[f32],
    panel: &[[[f32; L]; C]],
    sums: &mut [[[f32; L]; C]],
) {
    match rows.len() {
        8 => tile::<S, L, C, 8>(simd, rows, input, panel, sums),
        7 => tile::<S, L, C, 7>(simd, rows, input, panel, sums),
        6 => tile::<S, L, C, 6>(simd, rows, input, panel, sums),
        5 => tile::<S, L, C, 5>(simd, rows, input, panel, sums),
        4 => tile::<S, L, C, 4>(simd, rows, input, panel, sums),
        3 => tile::<S, L, C, 3>(simd, rows, input, panel, sums),
        2 => tile::<S, L, C, 2>(simd, rows, input, panel, sums),
        1 => tile::<S, L, C, 1>(simd, rows, input, panel, sums),
        _ => unreachable!("no tile has more than {MAX_ROWS} rows"),
    }
}

#[inline(always)]
fn tile<S: Simd<L>, const L: usize, const C: usize, const R: usize>(
    simd: S,
    rows: &[Row],
    input: &[f32],
    panel: &[[[f32; L]; C]],
    sums: &mut [[[f32; L]; C]],
) {
    let rows: &[Row; R] = rows.try_into().expect("the caller matched the length");
    let a: [&[f32]; R] = rows.map(|row| &input[row.start..][..panel.len()]);
    let mut acc = rows.map(|row| core::array::from_fn::<_, C, _>(|j| simd.load(&sums[row.sum][j])));
    for (k, b) in panel.iter().enumerate() {
        let b: [S::V; C] = core::array::from_fn(|j| simd.load(&b[j]));
        for i in 0..R {
            let a = simd.splat(a[i][k]);
            for j in 0..C {
                acc[i][j] = simd.mul_add(a, b[j], acc[i][j]);
            }
        }
    }
    for (row, acc) in rows.iter().zip(acc) {
        for (acc, sum) in acc.into_iter().zip(&mut sums[row.sum]) {
            simd.store(acc, sum);
        }
    }
}

/// Positions whose sums lie on the stack at a time.
const BLOCK: usize = 128;

/// Channels whose weights lie on the stack at a time.
const CHUNK: usize = 128;

/// Positions in the largest tile.
const MAX_ROWS: usize = 8;
