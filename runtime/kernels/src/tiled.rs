//! The driver that SIMD implementations share: cuts a tap GEMM into blocks that stay in the first-level cache.
//!
//! For each group of output channels, for each block of positions, for each tap and chunk of channels: the weights are
//! widened to `f32` once, then tiles of positions accumulate products in registers. Bias goes in first; the activation
//! and the store come last. A tap adds only to positions it reads inside the input, so borders cost nothing.
//!
//! Uses at most 46 KB of stack.

mod input_gradient;
mod run;
mod weight_gradient;

use core::ops::Range;

use half::f16;

use self::run::{Piece, Run};
use crate::simd::{InnerLoop, Simd, SimdElement, store_all};
use crate::{PANEL, Panels, Sample, TapGemm, dots, single};

#[allow(unused_imports, reason = "a target may have no implementation in `arch`")]
pub(crate) use {input_gradient::input_gradient, weight_gradient::weight_gradient};

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
pub(crate) fn tap_gemm<S: Simd<L>, P: Simd<PANEL>, A: Activations, const L: usize>(
    tiling: Tiling<S, P>,
    op: &TapGemm<'_>,
    samples: &mut [Sample<'_, A>],
) {
    samples.iter().for_each(|sample| op.check(sample.input.len(), sample.output.len()));
    if op.rows * op.cols == 1
        && !S::IN_ORDER
        && let [Sample { input, output }] = samples
    {
        return match op.weights {
            Panels::F16(weights) => single::run(tiling.narrow, op, weights, input, output),
            Panels::F32(weights) => single::run(tiling.narrow, op, weights, input, output),
        };
    }
    run(tiling, op, samples);
}

/// Which way an operation takes with vectors of `L` values.
pub(crate) fn path<const L: usize>(op: &TapGemm<'_>, samples: usize) -> &'static str {
    if op.rows * op.cols * samples == 1 {
        "vector times matrix: one position"
    } else if few_channels(op, op.output.channels, L) {
        "dot products: few channels out"
    } else {
        "tiles in registers"
    }
}

/// Whether the last `left` output channels are computed as dot products, with vectors of `lanes` values.
#[inline(always)]
pub(crate) fn few_channels(op: &TapGemm<'_>, left: usize, lanes: usize) -> bool {
    dots::fit(op, left, lanes, 2 * CHUNK * lanes)
}

/// The storage of weights is looked at for each tap and chunk, so that there is one instance of the rest.
#[inline(always)]
fn run<S: Simd<L>, P: Simd<PANEL>, A: Activations, const L: usize>(
    tiling: Tiling<S, P>,
    op: &TapGemm<'_>,
    samples: &mut [Sample<'_, A>],
) {
    let mut buffers = Buffers::new();
    let mut rows = [Row { pixel: &[], sum: 0 }; BLOCK];
    let n = op.output.channels;
    let mut first = 0;
    while first < n {
        let group = Group { op, first };
        match n - first {
            left if !S::IN_ORDER && few_channels(op, left, L) => {
                dots::run(tiling.wide, &group, buffers.panel.0.as_flattened_mut(), samples);
            }
            // A group is at least a panel.
            left if left > L || L < PANEL => {
                group.run::<S, P, A, L, 2>(tiling, &mut buffers, &mut rows, samples)
            }
            _ => group.run::<S, P, A, L, 1>(tiling, &mut buffers, &mut rows, samples),
        }
        first += 2 * L;
    }
}

/// Some output channels of an operation.
pub(crate) struct Group<'a> {
    pub(crate) op: &'a TapGemm<'a>,
    /// First output channel; a multiple of [`PANEL`].
    pub(crate) first: usize,
}

/// A position that a tap reads inside the input.
#[derive(Clone, Copy)]
struct Row<'a, A> {
    /// The channels of the pixel read.
    pixel: &'a [A],
    /// Which of the block's sums it adds to.
    sum: usize,
}

/// What lies on the stack, for groups of at most two vectors.
struct Buffers<const L: usize> {
    /// The weights of a chunk of channels.
    panel: Aligned<[[f32; L]; 2 * CHUNK]>,
    /// The sums of a block of positions.
    sums: Aligned<[[f32; L]; 2 * BLOCK]>,
    /// The pixels of a tile, if they are stored in half precision.
    wide: Wide,
}

impl<const L: usize> Buffers<L> {
    #[inline(always)]
    fn new() -> Self {
        Self {
            panel: Aligned([[0.0; L]; 2 * CHUNK]),
            sums: Aligned([[0.0; L]; 2 * BLOCK]),
            wide: Wide(Aligned([[0.0; CHUNK]; MAX_ROWS])),
        }
    }
}

/// The pixels of a tile in single precision, a chunk of channels each.
pub(crate) struct Wide(Aligned<[[f32; CHUNK]; MAX_ROWS]>);

/// What activations may be stored as.
pub(crate) trait Activations: SimdElement {
    /// The values of a tile's pixels in single precision, as many of each.
    fn widen<'s, P: Simd<PANEL>, const R: usize>(
        simd: P,
        pixels: [&'s [Self]; R],
        wide: &'s mut Wide,
    ) -> [&'s [f32]; R];
}

impl Activations for f32 {
    #[inline(always)]
    fn widen<'s, P: Simd<PANEL>, const R: usize>(
        _: P,
        pixels: [&'s [Self]; R],
        _: &'s mut Wide,
    ) -> [&'s [f32]; R] {
        pixels
    }
}

impl Activations for f16 {
    #[inline(always)]
    fn widen<'s, P: Simd<PANEL>, const R: usize>(
        simd: P,
        pixels: [&'s [Self]; R],
        wide: &'s mut Wide,
    ) -> [&'s [f32]; R] {
        simd.outline(WidenPixels { pixels: &pixels, wide: &mut *wide });
        core::array::from_fn(|i| &wide.0.0[i][..pixels[i].len()])
    }
}

/// The pixels of a tile, however many: one function for all.
struct WidenPixels<'a> {
    pixels: &'a [&'a [f16]],
    wide: &'a mut Wide,
}

impl<P: Simd<PANEL>> InnerLoop<P, PANEL> for WidenPixels<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self, simd: P) {
        for (pixel, wide) in self.pixels.iter().zip(&mut self.wide.0.0) {
            let (eights, tail) = pixel.as_chunks::<PANEL>();
            let (wide_eights, wide_tail) = wide[..pixel.len()].as_chunks_mut::<PANEL>();
            for (eight, wide) in eights.iter().zip(wide_eights) {
                simd.store(simd.load_f16(eight), wide);
            }
            tail.iter().zip(wide_tail).for_each(|(half, wide)| *wide = half.to_f32());
        }
    }
}

/// On cache lines, which the widest vectors fill.
#[repr(align(64))]
struct Aligned<T>(T);

impl Group<'_> {
    /// Computes `C * L` output channels, or those that are left.
    #[inline(always)]
    fn run<'s, S: Simd<L>, P: Simd<PANEL>, A: Activations, const L: usize, const C: usize>(
        &self,
        tiling: Tiling<S, P>,
        buffers: &mut Buffers<L>,
        rows: &mut [Row<'s, A>; BLOCK],
        samples: &mut [Sample<'s, A>],
    ) {
        let (op, c) = (self.op, self.op.input.channels);
        let mut bias = [[0.0; L]; C];
        let used = self.bias().len().min(C * L);
        bias.as_flattened_mut()[..used].copy_from_slice(&self.bias()[..used]);
        let panel = buffers.panel.0.as_chunks_mut().0;
        let sums = buffers.sums.0.as_chunks_mut().0;
        let positions = samples.len() * op.rows * op.cols;
        for start in (0..positions).step_by(BLOCK) {
            let block = Block { op, start, len: BLOCK.min(positions - start) };
            let sums = &mut sums[..block.len];
            sums.fill(bias);
            let mut t = 0;
            while t < op.taps.len() {
                let run = Run::from(op, t);
                for piece in 0..run.pieces() {
                    let Piece { t, taps, columns } = run.piece(op, piece);
                    let rows = block.rows(t, taps * c, columns, samples, rows);
                    if rows.is_empty() {
                        continue;
                    }
                    let (first, depth) = (t * c, taps * c);
                    for channel in (0..depth).step_by(CHUNK) {
                        let panel = self.vectors(
                            tiling.narrow,
                            first + channel,
                            &mut panel[..CHUNK.min(depth - channel)],
                        );
                        let mut rows = rows;
                        let tiles = rows.len().div_ceil(tiling.max_rows);
                        let next = first + channel + panel.len();
                        let share = panel.len().div_ceil(tiles);
                        for tiles in (1..=tiles).rev() {
                            // The weights come from afar: ask for the next ones while these are in use.
                            self.prefetch::<P, L, C>(tiling.narrow, next + (tiles - 1) * share, share);
                            // Equal tiles: a small one would wait for its additions.
                            let (tile, rest) = rows.split_at(rows.len().div_ceil(tiles));
                            add_tile(tiling, tile, channel, panel, &mut buffers.wide, sums);
                            rows = rest;
                        }
                    }
                }
                t += run.taps;
            }
            if op.accumulate {
                block.for_each_pixel(self.first, samples, |i, pixel| {
                    op.add_output(sums[i].as_flattened_mut(), pixel);
                });
            }
            tiling.narrow.activate(op.activation, sums.as_flattened_mut().as_flattened_mut());
            block.store(tiling.narrow, self.first, sums, samples);
        }
    }

    /// Asks for `len` rows from `row` on of this group's panels.
    #[inline(always)]
    fn prefetch<P: Simd<PANEL>, const L: usize, const C: usize>(&self, simd: P, row: usize, len: usize) {
        for i in 0..C * L / PANEL {
            let start = self.first_row(i) + row;
            match self.op.weights {
                Panels::F16(weights) => simd.prefetch(clamped(weights, start, len)),
                Panels::F32(weights) => simd.prefetch(clamped(weights, start, len)),
            }
        }
    }

    /// First row of this group's panel number `i`.
    #[inline(always)]
    fn first_row(&self, i: usize) -> usize {
        (self.first / PANEL + i) * self.op.taps.len() * self.op.input.channels
    }

    /// The group's bias and that of all groups after it.
    #[inline(always)]
    pub(crate) fn bias(&self) -> &[f32] {
        &self.op.bias[self.first..]
    }

    /// Rows `row..row + panel.len()` of this group's panels, side by side: as they are stored, or else in `panel`.
    #[inline(always)]
    fn vectors<'s, P: Simd<PANEL>, const L: usize, const C: usize>(
        &'s self,
        simd: P,
        row: usize,
        panel: &'s mut [[[f32; L]; C]],
    ) -> &'s [[[f32; L]; C]] {
        match self.op.weights {
            Panels::F16(weights) => self.widen(simd, weights, row, panel),
            Panels::F32(weights) => {
                if C * L == PANEL {
                    let stored = &weights[self.first_row(0) + row..][..panel.len()];
                    return stored.as_flattened().as_chunks().0.as_chunks().0;
                }
                self.widen(simd, weights, row, panel);
            }
        }
        panel
    }

    /// The same in `panel`.
    #[inline(always)]
    fn widen<P: Simd<PANEL>, W: SimdElement, const L: usize, const C: usize>(
        &self,
        simd: P,
        weights: &[[W; PANEL]],
        row: usize,
        panel: &mut [[[f32; L]; C]],
    ) {
        let panels = self.bias().len() / PANEL;
        let len = panel.len();
        let rows = |i: usize| &weights[self.first_row(i) + row..][..len];
        let count = panels.min(C * L / PANEL);
        for i in (0..count - count % 2).step_by(2) {
            simd.outline(WidenPair { weights: [rows(i), rows(i + 1)], panel: &mut *panel, i });
        }
        if count % 2 == 1 {
            simd.outline(Widen { weights: rows(count - 1), panel, i: count - 1 });
        }
    }
}

/// `len` values from `start` on, or those that there are.
#[inline(always)]
fn clamped<T>(values: &[T], start: usize, len: usize) -> &[T] {
    &values[start.min(values.len())..(start + len).min(values.len())]
}

/// Panels number `i` and `i + 1` of several side by side: a cache line of each row.
struct WidenPair<'a, W, const L: usize, const C: usize> {
    weights: [&'a [[W; PANEL]]; 2],
    panel: &'a mut [[[f32; L]; C]],
    i: usize,
}

impl<P: Simd<PANEL>, W: SimdElement, const L: usize, const C: usize> InnerLoop<P, PANEL>
    for WidenPair<'_, W, L, C>
{
    type Output = ();

    #[inline(always)]
    fn run(self, simd: P) {
        for ((wide, first), second) in self.panel.iter_mut().zip(self.weights[0]).zip(self.weights[1]) {
            let wide = &mut wide.as_flattened_mut().as_chunks_mut::<PANEL>().0[self.i..][..2];
            simd.store(W::load(simd, first), &mut wide[0]);
            simd.store(W::load(simd, second), &mut wide[1]);
        }
    }
}

/// Panel number `i` of several side by side.
struct Widen<'a, W, const L: usize, const C: usize> {
    weights: &'a [[W; PANEL]],
    panel: &'a mut [[[f32; L]; C]],
    i: usize,
}

impl<P: Simd<PANEL>, W: SimdElement, const L: usize, const C: usize> InnerLoop<P, PANEL>
    for Widen<'_, W, L, C>
{
    type Output = ();

    #[inline(always)]
    fn run(self, simd: P) {
        for (wide, weights) in self.panel.iter_mut().zip(self.weights) {
            let wide = &mut wide.as_flattened_mut().as_chunks_mut::<PANEL>().0[self.i];
            simd.store(W::load(simd, weights), wide);
        }
    }
}

/// Positions `start..start + len`, sample by sample and row by row.
struct Block<'a> {
    op: &'a TapGemm<'a>,
    start: usize,
    len: usize,
}

impl Block<'_> {
    /// The positions in some columns for which tap `t` reads rows inside the input, and so many values of each.
    #[inline(always)]
    fn rows<'r, 's, A>(
        &self,
        t: usize,
        values: usize,
        columns: [Range<usize>; 2],
        samples: &[Sample<'s, A>],
        rows: &'r mut [Row<'s, A>; BLOCK],
    ) -> &'r [Row<'s, A>] {
        let (op, tap) = (self.op, self.op.taps[t]);
        let [inside_y, _] = op.inside(tap);
        let mut count = 0;
        let mut position = self.start;
        let end = self.start + self.len;
        while position < end {
            let (sample, row, col) = op.place(position);
            let next = end.min(position - col + op.cols);
            for columns in &columns {
                let from = columns.start.max(col);
                let to = columns.end.min(col + next - position);
                if inside_y.contains(&row)
                    && from < to
                    && let Some(mut start) = op.input_start(row, from, tap)
                {
                    let first_sum = position - col + from - self.start;
                    for (sum, slot) in (first_sum..).zip(&mut rows[count..count + to - from]) {
                        *slot = Row { pixel: &samples[sample].input[start..][..values], sum };
                        start += op.in_step[1] * op.input.pixel_stride;
                    }
                    count += to - from;
                }
            }
            position = next;
        }
        &rows[..count]
    }

    /// Writes the channels from `first` that exist.
    #[inline(always)]
    fn store<P: Simd<PANEL>, A: Activations, const L: usize, const C: usize>(
        &self,
        simd: P,
        first: usize,
        sums: &[[[f32; L]; C]],
        samples: &mut [Sample<'_, A>],
    ) {
        let lanes = (self.op.output.channels - first).min(C * L);
        self.for_each_pixel(first, samples, |i, pixel| {
            let sums = sums[i].as_flattened();
            if lanes == C * L {
                // A length known to the compiler: vector stores instead of a call.
                store_all(simd, sums, &mut pixel[..C * L]);
            } else {
                store_all(simd, &sums[..lanes], &mut pixel[..lanes]);
            }
        });
    }

    /// Each position's number in the block, and its output pixel from channel `first` on.
    #[inline(always)]
    fn for_each_pixel<A>(
        &self,
        first: usize,
        samples: &mut [Sample<'_, A>],
        mut visit: impl FnMut(usize, &mut [A]),
    ) {
        let op = self.op;
        let (mut sample, mut row, mut col) = op.place(self.start);
        for i in 0..self.len {
            let start = op.output_start(row, col);
            visit(i, &mut samples[sample].output[start..][first..op.output.channels]);
            col += 1;
            if col == op.cols {
                (row, col) = (row + 1, 0);
            }
            if row == op.rows {
                (sample, row) = (sample + 1, 0);
            }
        }
    }
}

/// `sums += rows * panel` for up to [`MAX_ROWS`] rows, of which the channels from `channel` on are read.
#[inline(always)]
fn add_tile<S: Simd<L>, P: Simd<PANEL>, A: Activations, const L: usize, const C: usize>(
    tiling: Tiling<S, P>,
    rows: &[Row<'_, A>],
    channel: usize,
    panel: &[[[f32; L]; C]],
    wide: &mut Wide,
    sums: &mut [[[f32; L]; C]],
) {
    // Guards of constants, so that no tile is compiled that is never asked for.
    match rows.len() {
        8 if tiling.max_rows >= 8 => add_rows::<S, P, A, L, C, 8>(tiling, rows, channel, panel, wide, sums),
        7 if tiling.max_rows >= 7 => add_rows::<S, P, A, L, C, 7>(tiling, rows, channel, panel, wide, sums),
        6 if tiling.max_rows >= 6 => add_rows::<S, P, A, L, C, 6>(tiling, rows, channel, panel, wide, sums),
        5 if tiling.max_rows >= 5 => add_rows::<S, P, A, L, C, 5>(tiling, rows, channel, panel, wide, sums),
        4 => add_rows::<S, P, A, L, C, 4>(tiling, rows, channel, panel, wide, sums),
        3 => add_rows::<S, P, A, L, C, 3>(tiling, rows, channel, panel, wide, sums),
        2 => add_rows::<S, P, A, L, C, 2>(tiling, rows, channel, panel, wide, sums),
        1 => add_rows::<S, P, A, L, C, 1>(tiling, rows, channel, panel, wide, sums),
        _ => unreachable!("no tile has more than {MAX_ROWS} rows"),
    }
}

#[inline(always)]
fn add_rows<S: Simd<L>, P: Simd<PANEL>, A: Activations, const L: usize, const C: usize, const R: usize>(
    tiling: Tiling<S, P>,
    rows: &[Row<'_, A>],
    channel: usize,
    panel: &[[[f32; L]; C]],
    wide: &mut Wide,
    sums: &mut [[[f32; L]; C]],
) {
    let rows: &[Row<'_, A>; R] = rows.first_chunk().expect("the caller matched the length");
    let pixels: [&[A]; R] = core::array::from_fn(|i| &rows[i].pixel[channel..][..panel.len()]);
    let inputs = A::widen(tiling.narrow, pixels, wide);
    tiling.wide.outline(Tile { inputs, slots: core::array::from_fn(|i| rows[i].sum), panel, sums });
}

/// Adds the product of rows of inputs, each as long as the panel or longer, and the panel's vectors of channels to `$acc`.
///
/// A macro, since compilers do not inline closures that two functions share, and then keep no sum in a register.
macro_rules! add_product {
    ($simd:expr, $inputs:expr, $panel:expr, $acc:ident) => {{
        use $crate::tiled::{STEP, add_products};

        let a = $inputs.map(|input| &input[..$panel.len()]);
        if S::ONE_STEP {
            for k in 0..$panel.len() {
                add_products($simd, a.map(|a| a[k]), &$panel[k], &mut $acc);
            }
        } else {
            let (a, b) = (a.map(|a| a.as_chunks::<STEP>()), $panel.as_chunks::<STEP>());
            // Lengths known to the compiler: no check per channel.
            for (k, b) in b.0.iter().enumerate() {
                let a: [&[f32; STEP]; R] = core::array::from_fn(|i| &a[i].0[k]);
                for k in 0..STEP {
                    add_products($simd, a.map(|a| a[k]), &b[k], &mut $acc);
                }
            }
            for (k, b) in b.1.iter().enumerate() {
                add_products($simd, core::array::from_fn(|i| a[i].1[k]), b, &mut $acc);
            }
        }
    }};
}
pub(crate) use add_product;

/// `R` rows times `C` vectors of channels.
struct Tile<'a, const L: usize, const C: usize, const R: usize> {
    inputs: [&'a [f32]; R],
    /// The sums that the rows add to.
    slots: [usize; R],
    panel: &'a [[[f32; L]; C]],
    sums: &'a mut [[[f32; L]; C]],
}

impl<S: Simd<L>, const L: usize, const C: usize, const R: usize> InnerLoop<S, L> for Tile<'_, L, C, R> {
    type Output = ();

    #[allow(clippy::needless_range_loop, reason = "iterators over registers are not always inlined")]
    #[inline(always)]
    fn run(self, simd: S) {
        let mut acc = [[simd.splat(0.0); C]; R];
        for i in 0..R {
            for j in 0..C {
                acc[i][j] = simd.load(&self.sums[self.slots[i]][j]);
            }
        }
        add_product!(simd, self.inputs, self.panel, acc);
        for i in 0..R {
            for j in 0..C {
                simd.store(acc[i][j], &mut self.sums[self.slots[i]][j]);
            }
        }
    }
}

/// The outer product of one channel's `R` inputs and `C` vectors of weights.
#[allow(clippy::needless_range_loop, reason = "iterators over registers are not always inlined")]
#[inline(always)]
pub(crate) fn add_products<S: Simd<L>, const L: usize, const C: usize, const R: usize>(
    simd: S,
    a: [f32; R],
    b: &[[f32; L]; C],
    acc: &mut [[S::V; C]; R],
) {
    let mut weights = [simd.splat(0.0); C];
    for j in 0..C {
        weights[j] = simd.load(&b[j]);
    }
    for i in 0..R {
        let a = simd.splat(a[i]);
        for j in 0..C {
            acc[i][j] = simd.mul_add(a, weights[j], acc[i][j]);
        }
    }
}

/// Channels between two checks of lengths.
pub(crate) const STEP: usize = 8;

/// Positions whose sums lie on the stack at a time.
const BLOCK: usize = 128;

/// Channels whose weights lie on the stack at a time.
const CHUNK: usize = 128;

/// Positions in the largest tile.
const MAX_ROWS: usize = 8;
