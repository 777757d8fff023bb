//! Cuts an operation into blocks of positions whose activations, split, lie on the stack.
//!
//! For each block: its activations are split once; for each group of output channels, some steps of depth at a time, the
//! weights are split, and all tiles of positions add their products.

use core::mem::MaybeUninit;

use half::f16;

use super::super::avx2::Avx2;
use super::super::avx512::Avx512;
use super::split;
use super::tile::{self, DEPTH, Pixels, ROWS, SumTile, Tiles, WeightTile};
use crate::simd::store_all;
use crate::tiled::Activations;
use crate::{PANEL, Sample, TapGemm};

/// What lies on the stack.
struct Buffers {
    /// Pixels: high parts of all channels, then low ones, both padded to whole steps of depth.
    pixels: MaybeUninit<Aligned<[u16; PIXELS]>>,
    weights: MaybeUninit<Aligned<[[WeightTile; 4]; STEPS]>>,
    sums: MaybeUninit<Aligned<[SumTile; 4 * BLOCK / ROWS]>>,
}

/// On cache lines, which are rows of tiles.
#[repr(align(64))]
struct Aligned<T>(T);

/// Positions whose sums are kept.
const BLOCK: usize = 512;

/// Values of all pixels.
const PIXELS: usize = 192 * 1024;

/// Steps of depth whose weights are kept.
const STEPS: usize = 3;

/// Positions by which blocks are padded: as many as one call multiplies.
#[inline(always)]
fn padding(op: &TapGemm<'_>) -> usize {
    match (op.output.channels % (4 * ROWS)).div_ceil(ROWS) {
        1 => 4 * ROWS,
        2 => 2 * ROWS,
        _ => ROWS,
    }
}

/// How the positions of a block find their pixels.
#[derive(Clone, Copy)]
pub(super) enum Layout {
    /// For each tap, the pixels that it reads, in the order of the positions.
    Gathered {
        /// Positions of a block.
        block: usize,
    },
    /// Rows of the input, each as long as `line` with the zeros after it, which are also those before the next row.
    Rows {
        /// Pixels from one row to the next.
        line: usize,
        /// Rows of positions in a block.
        rows: usize,
    },
}

/// What every tap reads.
struct Reach {
    dy: [isize; 2],
    dx: [isize; 2],
}

/// How an operation is cut, if its blocks are large enough to be worth it.
#[inline(always)]
pub(super) fn layout(op: &TapGemm<'_>, samples: usize) -> Option<Layout> {
    let capacity = PIXELS / pixel_len(op);
    let positions = (op.rows * op.cols * samples).next_multiple_of(padding(op));
    if op.cols <= SHORT_ROW && positions <= BLOCK && positions * op.taps.len() <= capacity {
        return Some(Layout::Gathered { block: positions });
    }
    if op.in_step != [1, 1] {
        let block = (capacity / op.taps.len()).min(BLOCK) / padding(op) * padding(op);
        return (block > 0).then_some(Layout::Gathered { block });
    }
    let Reach { dy, dx } = Reach::of(op);
    let line = (op.input.width + before(dx)).max(op.cols + dx[1].max(0).unsigned_abs());
    let rows = (BLOCK - padding(op)) / line;
    let around = dy[1].abs_diff(dy[0]) + 2;
    let rows =
        rows.min((capacity.saturating_sub(2 * padding(op)) / line).saturating_sub(around)).min(op.rows);
    (rows > 0).then_some(Layout::Rows { line, rows })
}

/// Rows of positions for which lines would be mostly padding.
const SHORT_ROW: usize = 4;

impl Reach {
    #[inline(always)]
    fn of(op: &TapGemm<'_>) -> Self {
        let range = |axis: usize| {
            let offsets = op.taps.iter().map(|tap| isize::from(tap[axis]));
            offsets.fold([isize::MAX, isize::MIN], |[low, high], offset| [low.min(offset), high.max(offset)])
        };
        Self { dy: range(0), dx: range(1) }
    }
}

/// Pixels before a row that a tap reads.
#[inline(always)]
fn before(dx: [isize; 2]) -> usize {
    dx[0].min(0).unsigned_abs()
}

/// Values of a pixel, both parts.
#[inline(always)]
fn pixel_len(op: &TapGemm<'_>) -> usize {
    2 * op.input.channels.next_multiple_of(DEPTH)
}

/// Computes an operation that was checked.
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512bf16,avx2,fma,f16c")]
pub(super) fn run<A: Activations>(
    tiles: &Tiles,
    simd: (Avx512, Avx2),
    op: &TapGemm<'_>,
    layout: Layout,
    weights: &[[f16; PANEL]],
    samples: &mut [Sample<'_, A>],
) {
    let mut buffers = Buffers {
        pixels: MaybeUninit::uninit(),
        weights: MaybeUninit::uninit(),
        sums: MaybeUninit::uninit(),
    };
    let mut draw = |block: Block<'_>, samples: &mut [Sample<'_, A>]| {
        block.split(simd.0, samples, &mut buffers);
        let mut first = 0;
        while first < op.output.channels {
            let left = op.output.channels - first;
            let group = Group { block: &block, weights, first };
            first += match left.div_ceil(ROWS) {
                1 => group.run::<A, 4, 1>(tiles, simd.1, &mut buffers, samples),
                2 => group.run::<A, 2, 2>(tiles, simd.1, &mut buffers, samples),
                _ => group.run::<A, 1, 4>(tiles, simd.1, &mut buffers, samples),
            };
        }
    };
    let per_sample = op.rows * op.cols;
    match layout {
        Layout::Gathered { block } => {
            let positions = per_sample * samples.len();
            for start in (0..positions).step_by(block) {
                let positions = block.min(positions - start);
                draw(Block { op, start, positions, line: op.cols, rows: None }, samples);
            }
        }
        Layout::Rows { line, rows } => {
            for sample in 0..samples.len() {
                for row in (0..op.rows).step_by(rows) {
                    let count = rows.min(op.rows - row);
                    let (start, positions) =
                        ((sample * op.rows + row) * op.cols, (count - 1) * line + op.cols);
                    draw(Block { op, start, positions, line, rows: Some(Reach::of(op)) }, samples);
                }
            }
        }
    }
}

/// Some positions of an operation.
struct Block<'a> {
    op: &'a TapGemm<'a>,
    /// The first, counted through all samples.
    start: usize,
    /// How many, those at the ends of lines included.
    positions: usize,
    /// Positions from one row to the next; those from `op.cols` on are not written.
    line: usize,
    /// What taps reach where pixels lie as rows of the input.
    rows: Option<Reach>,
}

impl Block<'_> {
    /// Where the pixels of a tap start.
    #[inline(always)]
    fn first_pixel(&self, t: usize) -> usize {
        match &self.rows {
            None => t * self.positions.next_multiple_of(padding(self.op)),
            Some(reach) => {
                let [dy, dx] = self.op.taps[t].map(isize::from);
                let row = dy.abs_diff(reach.dy[0]) * self.line + before(reach.dx);
                row.wrapping_add_signed(dx)
            }
        }
    }

    /// Calls `f` with each position that is written: its index, and its sample, row and column.
    #[inline(always)]
    fn each(&self, mut f: impl FnMut(usize, usize, usize, usize)) {
        let op = self.op;
        let (mut sample, mut row, mut col) = op.place(self.start);
        let mut position = 0;
        while position < self.positions {
            f(position, sample, row, col);
            position += 1;
            col += 1;
            if col == op.cols {
                position += self.line - op.cols;
                (row, col) = (row + 1, 0);
            }
            if row == op.rows {
                (sample, row) = (sample + 1, 0);
            }
        }
    }

    /// Splits the pixels that the block reads.
    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512bf16,avx2,fma,f16c")]
    fn split<A: Activations>(&self, simd: Avx512, samples: &[Sample<'_, A>], buffers: &mut Buffers) {
        let op = self.op;
        let depth = pixel_len(op) / 2;
        let padded = self.positions.next_multiple_of(padding(op));
        // SAFETY: an array of uninitialized values needs no initialization.
        let pixels: &mut [MaybeUninit<u16>; PIXELS] = unsafe { &mut *buffers.pixels.as_mut_ptr().cast() };
        let mut slots = pixels.chunks_exact_mut(2 * depth);
        let mut put = |input: Option<&[A]>| {
            let slot = slots.next().expect("the layout was chosen so that all pixels fit");
            match input {
                Some(input) => {
                    let (high, low) = slot.split_at_mut(depth);
                    split::pixel(simd, &input[..op.input.channels], high, low);
                }
                None => slot.fill(MaybeUninit::new(0)),
            }
        };
        match &self.rows {
            None => {
                for tap in op.taps {
                    self.each(|_, sample, row, col| {
                        let start = op.input_start(row, col, *tap);
                        put(start.map(|start| &samples[sample].input[start..]));
                    });
                    (self.positions..padded).for_each(|_| put(None));
                }
            }
            Some(reach) => {
                let (sample, first_row, _) = op.place(self.start);
                let input = samples[sample].input;
                let last = (0..op.taps.len()).map(|t| self.first_pixel(t)).max().unwrap_or(0);
                let (mut x, mut y) =
                    (self.line - before(reach.dx), first_row.wrapping_add_signed(reach.dy[0]));
                if before(reach.dx) > 0 {
                    y = y.wrapping_sub(1);
                } else {
                    x = 0;
                }
                for _ in 0..last + padded {
                    let inside = x < op.input.width && y < op.input.height;
                    put(inside.then(|| &input[(y * op.input.width + x) * op.input.pixel_stride..]));
                    x += 1;
                    if x == self.line {
                        (x, y) = (0, y.wrapping_add(1));
                    }
                }
            }
        }
    }
}

/// Some output channels of a block.
struct Group<'a> {
    block: &'a Block<'a>,
    weights: &'a [[f16; PANEL]],
    first: usize,
}

impl Group<'_> {
    /// Computes 16 times `N` output channels, or those that are left; returns how many.
    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512bf16,avx2,fma,f16c")]
    fn run<A: Activations, const M: usize, const N: usize>(
        &self,
        tiles: &Tiles,
        simd: Avx2,
        buffers: &mut Buffers,
        samples: &mut [Sample<'_, A>],
    ) -> usize {
        let (block, op) = (self.block, self.block.op);
        let c = op.input.channels;
        let per_tap = c.div_ceil(DEPTH);
        let calls = block.positions.div_ceil(M * ROWS);
        // SAFETY: an array of uninitialized values needs no initialization; four tiles of sums belong to one call.
        let sums: &mut [MaybeUninit<[[SumTile; N]; M]>; BLOCK / ROWS] =
            unsafe { &mut *buffers.sums.as_mut_ptr().cast() };
        let start = self.bias::<M, N>();
        for tiles in &mut sums[..calls] {
            tiles.write(start);
        }
        // SAFETY: these were just written.
        let sums = unsafe { &mut *(&raw mut sums[..calls] as *mut [[[SumTile; N]; M]]) };
        let mut offsets = [0; STEPS];
        // SAFETY: as above; there are as many tiles, or more.
        let panel: &mut [MaybeUninit<[WeightTile; N]>; STEPS] =
            unsafe { &mut *buffers.weights.as_mut_ptr().cast() };
        let steps = op.taps.len() * per_tap;
        for step in (0..steps).step_by(STEPS) {
            let count = STEPS.min(steps - step);
            for i in 0..count {
                let (t, k) = ((step + i) / per_tap, (step + i) % per_tap * DEPTH);
                offsets[i] = size_of::<u16>() * (block.first_pixel(t) * pixel_len(op) + k);
                let tiles: *mut MaybeUninit<WeightTile> = panel[i].as_mut_ptr().cast();
                for n in 0..N {
                    let rows = [0, 1].map(|panel| self.rows(2 * n + panel, t, k));
                    // SAFETY: the step has `N` tiles.
                    split::weights(rows, unsafe { &mut *tiles.add(n) });
                }
            }
            // SAFETY: these were written.
            let panel = unsafe { &*(&raw const panel[..count] as *const [[WeightTile; N]]) };
            for (call, sums) in sums.iter_mut().enumerate() {
                let pixel_bytes = size_of::<u16>() * pixel_len(op);
                let first: *const u16 = buffers.pixels.as_ptr().cast();
                let pixels = Pixels {
                    first: first.wrapping_add(call * M * ROWS * pixel_len(op)),
                    stride: pixel_bytes,
                    low: pixel_bytes / 2,
                };
                // SAFETY: the caller set up tiles, and `split` wrote as many pixels as padded positions read.
                unsafe { tile::add_products::<M, N>(tiles, pixels, &offsets, panel, sums) };
            }
        }
        let lanes = (op.output.channels - self.first).min(N * ROWS);
        if op.accumulate {
            block.each(|position, sample, row, col| {
                let pixel = &samples[sample].output[op.output_start(row, col) + self.first..][..lanes];
                let tile = &mut sums[position / ROWS / M][position / ROWS % M];
                for (n, pixel) in pixel.chunks(ROWS).enumerate() {
                    op.add_output(&mut tile[n][position % ROWS], pixel);
                }
            });
        }
        op.activation
            .apply_all(sums.as_flattened_mut().as_flattened_mut().as_flattened_mut().as_flattened_mut());
        block.each(|position, sample, row, col| {
            let pixel = &mut samples[sample].output[op.output_start(row, col) + self.first..][..lanes];
            let tile = &sums[position / ROWS / M][position / ROWS % M];
            if lanes == N * ROWS {
                // Lengths known to the compiler: vector stores instead of a call.
                for n in 0..N {
                    store_all(simd, &tile[n][position % ROWS], &mut pixel[n * ROWS..][..ROWS]);
                }
            } else {
                for (n, pixel) in pixel.chunks_mut(ROWS).enumerate() {
                    store_all(simd, &tile[n][position % ROWS][..pixel.len()], pixel);
                }
            }
        });
        lanes
    }

    /// The bias in every position.
    #[inline(always)]
    fn bias<const M: usize, const N: usize>(&self) -> [[SumTile; N]; M] {
        let bias = &self.block.op.bias[self.first..];
        [core::array::from_fn(|n| {
            let mut row = [0.0; ROWS];
            let bias = bias.get(n * ROWS..).unwrap_or_default();
            let bias = &bias[..bias.len().min(ROWS)];
            row[..bias.len()].copy_from_slice(bias);
            [row; ROWS]
        }); M]
    }

    /// The weights of a panel of this group for a tap and the channels from `k` on, of one step of depth.
    #[inline(always)]
    fn rows(&self, panel: usize, t: usize, k: usize) -> &[[f16; PANEL]] {
        let op = self.block.op;
        let c = op.input.channels;
        let start = ((self.first / PANEL + panel) * op.taps.len() + t) * c + k;
        let rows = self.weights.get(start..).unwrap_or_default();
        &rows[..rows.len().min(DEPTH.min(c - k))]
    }
}
