//! The driver of Winograd convolution: transforms blocks of tiles, multiplies them element by element of a tile as products
//! of matrices, and transforms what comes out.

use super::transform::{OUT, Transform};
use crate::simd::{InnerLoop, Simd, SimdElement, store_all};
use crate::tiled::{Activations, Tiling, add_product};
use crate::{PANEL, Sample, Tap, TapGemm};

/// How positions are cut into tiles of `OUT` by `OUT`, and tiles into blocks.
#[derive(Clone, Copy)]
pub(super) struct Cut {
    /// Tiles in a column and in a row of one sample.
    pub(super) grid: [usize; 2],
    /// Tiles of all samples.
    pub(super) tiles: usize,
    /// Tiles in a block.
    pub(super) block: usize,
}

impl Cut {
    /// With tiles of `edge` inputs along each axis, and vectors of `lanes` values. The operation has at most 1024 channels,
    /// so that a block has room for three tiles at least.
    #[inline(always)]
    pub(super) fn new(op: &TapGemm<'_>, samples: usize, edge: usize, lanes: usize) -> Self {
        let grid = [op.rows, op.cols].map(|count| count.div_ceil(OUT));
        let tiles = grid[0] * grid[1] * samples;
        // Besides its tiles, a plane of inputs has a vector of padding, and one of sums at most a row.
        let per_tile = edge * edge * (op.input.channels.next_multiple_of(lanes) + 2 * lanes);
        let most = ((SCRATCH - edge * edge * 3 * lanes) / per_tile).min(BLOCK);
        let blocks = tiles.div_ceil(most).max(1);
        Self { grid, tiles, block: tiles.div_ceil(blocks).max(1) }
    }

    /// Values from one plane of inputs to the next. Never a multiple of a page, where all planes of a tile would
    /// compete for the same lines of the cache.
    #[inline(always)]
    fn input_plane(&self, op: &TapGemm<'_>, lanes: usize) -> usize {
        self.block * op.input.channels.next_multiple_of(lanes) + lanes
    }

    /// Rows from one plane of sums to the next: odd, for the same reason.
    #[inline(always)]
    fn sum_plane(&self) -> usize {
        self.block | 1
    }

    /// Values of scratch space.
    #[inline(always)]
    pub(super) fn scratch_len(&self, op: &TapGemm<'_>, edge: usize, lanes: usize) -> usize {
        edge * edge * (self.input_plane(op, lanes) + self.sum_plane() * 2 * lanes)
    }

    /// The sample of a tile, and its first position.
    #[inline(always)]
    fn place(&self, tile: usize) -> (usize, usize, usize) {
        let row = tile / self.grid[1];
        (row / self.grid[0], row % self.grid[0] * OUT, tile % self.grid[1] * OUT)
    }
}

/// Tiles in a block at most: enough that weights stay for two tiles of registers and more.
const BLOCK: usize = 16;

/// Values of scratch space at most: half of what second-level caches of hosts hold.
pub(super) const SCRATCH: usize = 128 * 1024;

/// An operation with expanded weights.
pub(super) struct Run<'a> {
    pub(super) op: &'a TapGemm<'a>,
    pub(super) cut: Cut,
    /// The first row and column that a tap reads for position 0.
    pub(super) corner: Tap,
    /// For each group of at most two vectors of output channels, for each element of a tile, a row for each channel.
    pub(super) weights: &'a [f32],
}

impl Run<'_> {
    /// Computes it. To be called in a function that enables the instruction set.
    #[inline(always)]
    pub(super) fn run<S: Simd<L>, P: Simd<PANEL>, A: Activations, const L: usize, const E: usize>(
        &self,
        tiling: Tiling<S, P>,
        scratch: &mut [f32],
        samples: &mut [Sample<'_, A>],
    ) {
        let Self { op, cut, .. } = self;
        let (inputs, sums) = scratch.split_at_mut(E * E * cut.input_plane(op, L));
        for start in (0..cut.tiles).step_by(cut.block) {
            let tiles = start..cut.tiles.min(start + cut.block);
            for (i, tile) in tiles.clone().enumerate() {
                self.transform_input::<S, A, L, E>(tiling.wide, tile, samples, inputs, i);
            }
            let mut first = 0;
            while first < op.output.channels {
                let group = Group { run: self, first, start, tiles: tiles.len() };
                if op.output.channels - first > L || L < PANEL {
                    group.run::<S, P, A, L, 2, E>(tiling, inputs, sums, samples);
                } else {
                    group.run::<S, P, A, L, 1, E>(tiling, inputs, sums, samples);
                }
                first += 2 * L;
            }
        }
    }

    /// Writes tile number `i` of a block.
    #[inline(always)]
    fn transform_input<S: Simd<L>, A: Activations, const L: usize, const E: usize>(
        &self,
        simd: S,
        tile: usize,
        samples: &[Sample<'_, A>],
        inputs: &mut [f32],
        i: usize,
    ) {
        let (op, c) = (self.op, self.op.input.channels);
        let (sample, row, col) = self.cut.place(tile);
        let input = samples[sample].input;
        let mut window = [[&A::ZEROS[..c]; E]; E];
        let [y, x] = self.corner.map(isize::from);
        for (dy, line) in window.iter_mut().enumerate() {
            // A negative sum wraps to more than any height or width.
            let y = (row + dy).wrapping_add_signed(y);
            if y >= op.input.height {
                continue;
            }
            for (dx, pixel) in line.iter_mut().enumerate() {
                let x = (col + dx).wrapping_add_signed(x);
                if x < op.input.width {
                    *pixel = &input[(y * op.input.width + x) * op.input.pixel_stride..][..c];
                }
            }
        }
        let plane = self.cut.input_plane(op, L);
        let out = &mut inputs[i * c.next_multiple_of(L)..];
        simd.outline(InputTile { window: &window, out, plane });
    }
}

/// The transform of one tile of inputs.
struct InputTile<'a, 's, A, const E: usize> {
    window: &'a [[&'s [A]; E]; E],
    /// Its place in the first plane, and all that follows.
    out: &'a mut [f32],
    plane: usize,
}

impl<S: Simd<L>, A: SimdElement, const L: usize, const E: usize> InnerLoop<S, L> for InputTile<'_, '_, A, E> {
    type Output = ();

    #[inline(always)]
    fn run(mut self, simd: S) {
        let c = self.window[0][0].len();
        for k in 0..c / L {
            self.transform(simd, k * L, |pixel| A::load(simd, &pixel.as_chunks().0[k]));
        }
        if !c.is_multiple_of(L) {
            self.transform(simd, c - c % L, |pixel| {
                let mut values = [A::ZEROS[0]; L];
                values.iter_mut().zip(&pixel[c - c % L..]).for_each(|(value, &x)| *value = x);
                A::load(simd, &values)
            });
        }
    }
}

impl<A: SimdElement, const E: usize> InputTile<'_, '_, A, E> {
    /// Transforms the channels from `first` on, of which `load` reads a vector.
    #[allow(clippy::needless_range_loop, reason = "iterators over registers are not always inlined")]
    #[inline(always)]
    fn transform<S: Simd<L>, const L: usize>(&mut self, simd: S, first: usize, load: impl Fn(&[A]) -> S::V) {
        let mut columns = [[simd.splat(0.0); E]; E];
        for x in 0..E {
            let mut d = [simd.splat(0.0); E];
            for y in 0..E {
                d[y] = load(self.window[y][x]);
            }
            columns[x] = Transform::<E>::input(simd, d);
        }
        for y in 0..E {
            let mut d = [simd.splat(0.0); E];
            for x in 0..E {
                d[x] = columns[x][y];
            }
            let v = Transform::<E>::input(simd, d);
            for x in 0..E {
                let out = self.out[(y * E + x) * self.plane + first..].first_chunk_mut();
                simd.store(v[x], out.expect("planes are padded to whole vectors"));
            }
        }
    }
}

/// Some output channels of a block of tiles.
struct Group<'a> {
    run: &'a Run<'a>,
    /// First output channel.
    first: usize,
    /// First tile.
    start: usize,
    /// Tiles.
    tiles: usize,
}

impl Group<'_> {
    /// Computes `C * L` output channels, or those that are left.
    #[inline(always)]
    fn run<S: Simd<L>, P: Simd<PANEL>, A: Activations, const L: usize, const C: usize, const E: usize>(
        &self,
        tiling: Tiling<S, P>,
        inputs: &[f32],
        sums: &mut [f32],
        samples: &mut [Sample<'_, A>],
    ) {
        let Run { op, cut, weights, .. } = *self.run;
        let c = op.input.channels;
        let sums: &mut [[[f32; L]; C]] = sums.as_chunks_mut().0.as_chunks_mut().0;
        let (plane, stride) = (cut.sum_plane(), c.next_multiple_of(L));
        let group: &[[[f32; L]; C]] = weights[self.first * E * E * c..].as_chunks().0.as_chunks().0;
        for element in 0..E * E {
            let panel = &group[element * c..][..c];
            let mut inputs = &inputs[element * cut.input_plane(op, L)..];
            let mut sums = &mut sums[element * plane..][..self.tiles];
            let calls = self.tiles.div_ceil(tiling.max_rows);
            let share = c.div_ceil(calls);
            for left in (1..=calls).rev() {
                // The weights come from afar: ask for the next ones while these are in use.
                let next = (element + 1) * c + (calls - left) * share;
                tiling.wide.prefetch(&group[next.min(group.len())..(next + share).min(group.len())]);
                let rows = sums.len().div_ceil(left);
                let (tile, rest) = core::mem::take(&mut sums).split_at_mut(rows);
                multiply(tiling, &inputs[..rows * stride], stride, panel, tile);
                (inputs, sums) = (&inputs[rows * stride..], rest);
            }
        }
        let mut bias = [[0.0; L]; C];
        let used = (op.bias.len() - self.first).min(C * L);
        bias.as_flattened_mut()[..used].copy_from_slice(&op.bias[self.first..][..used]);
        let lanes = (op.output.channels - self.first).min(C * L);
        let mut out = [[[[0.0; L]; C]; OUT]; OUT];
        for tile in 0..self.tiles {
            let sums = &sums[tile..];
            tiling.wide.outline(OutputTile::<L, C, E> { sums, plane, bias: &bias, out: &mut out });
            let (sample, row, col) = cut.place(self.start + tile);
            let output = &mut *samples[sample].output;
            if op.accumulate {
                for (row, out) in (row..op.rows).zip(&mut out) {
                    for (col, out) in (col..op.cols).zip(out) {
                        let pixel = &output[op.output_start(row, col) + self.first..][..lanes];
                        op.add_output(out.as_flattened_mut(), pixel);
                    }
                }
            }
            let flat = out.as_flattened_mut().as_flattened_mut().as_flattened_mut();
            tiling.narrow.activate(op.activation, flat);
            for (row, out) in (row..op.rows).zip(&out) {
                for (col, out) in (col..op.cols).zip(out) {
                    let pixel = &mut output[op.output_start(row, col) + self.first..];
                    let out = out.as_flattened();
                    if lanes == C * L {
                        // A length known to the compiler: vector stores instead of a call.
                        store_all(tiling.narrow, out, &mut pixel[..C * L]);
                    } else {
                        store_all(tiling.narrow, &out[..lanes], &mut pixel[..lanes]);
                    }
                }
            }
        }
    }
}

/// The transform of one tile of sums.
struct OutputTile<'a, const L: usize, const C: usize, const E: usize> {
    /// From its place in the first plane on.
    sums: &'a [[[f32; L]; C]],
    plane: usize,
    bias: &'a [[f32; L]; C],
    out: &'a mut [[[[f32; L]; C]; OUT]; OUT],
}

impl<S: Simd<L>, const L: usize, const C: usize, const E: usize> InnerLoop<S, L> for OutputTile<'_, L, C, E> {
    type Output = ();

    #[allow(clippy::needless_range_loop, reason = "iterators over registers are not always inlined")]
    #[inline(always)]
    fn run(self, simd: S) {
        for j in 0..C {
            let bias = simd.load(&self.bias[j]);
            let mut columns = [[simd.splat(0.0); OUT]; E];
            for x in 0..E {
                let mut m = [simd.splat(0.0); E];
                for y in 0..E {
                    m[y] = simd.load(&self.sums[(y * E + x) * self.plane][j]);
                }
                columns[x] = Transform::<E>::output(simd, m);
            }
            for y in 0..OUT {
                let mut m = [simd.splat(0.0); E];
                for x in 0..E {
                    m[x] = columns[x][y];
                }
                let out = Transform::<E>::output(simd, m);
                for x in 0..OUT {
                    simd.store(simd.add(out[x], bias), &mut self.out[y][x][j]);
                }
            }
        }
    }
}

/// `sums = inputs * panel`, a row of each for every tile.
#[inline(always)]
fn multiply<S: Simd<L>, P: Simd<PANEL>, const L: usize, const C: usize>(
    tiling: Tiling<S, P>,
    inputs: &[f32],
    stride: usize,
    panel: &[[[f32; L]; C]],
    sums: &mut [[[f32; L]; C]],
) {
    macro_rules! rows {
        ($rows:literal) => {{
            let inputs = core::array::from_fn(|i| &inputs[i * stride..][..panel.len()]);
            let sums = sums.first_chunk_mut().expect("the length was matched");
            tiling.wide.outline(Products::<L, C, $rows> { inputs, panel, sums })
        }};
    }
    // Guards of constants, so that no tile is compiled that is never asked for.
    match sums.len() {
        8 if tiling.max_rows >= 8 => rows!(8),
        7 if tiling.max_rows >= 7 => rows!(7),
        6 if tiling.max_rows >= 6 => rows!(6),
        5 if tiling.max_rows >= 5 => rows!(5),
        4 => rows!(4),
        3 => rows!(3),
        2 => rows!(2),
        1 => rows!(1),
        _ => unreachable!("no instruction set has larger tiles"),
    }
}

/// `R` rows times `C` vectors of channels.
struct Products<'a, const L: usize, const C: usize, const R: usize> {
    inputs: [&'a [f32]; R],
    panel: &'a [[[f32; L]; C]],
    sums: &'a mut [[[f32; L]; C]; R],
}

impl<S: Simd<L>, const L: usize, const C: usize, const R: usize> InnerLoop<S, L> for Products<'_, L, C, R> {
    type Output = ();

    #[inline(always)]
    fn run(self, simd: S) {
        let mut acc = [[simd.splat(0.0); C]; R];
        add_product!(simd, self.inputs, self.panel, acc);
        for (sums, acc) in self.sums.iter_mut().zip(acc) {
            for (sum, acc) in sums.iter_mut().zip(acc) {
                simd.store(acc, sum);
            }
        }
    }
}
