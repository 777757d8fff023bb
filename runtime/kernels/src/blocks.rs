//! The driver of implementations that have little memory: blocks of positions, and tiles that stay in registers.
//!
//! For each panel, for each block of positions, for each tap: tiles of a few positions read a row of weights once and
//! add its products. A panel with few channels, such as the last layer's, is computed channel by channel instead: most
//! products of a row would be with padding. A tap adds only to positions it reads inside the input, so borders cost
//! nothing and the inner loop knows none. Sums grow in the order that [`reference`](crate::reference) defines, but for the
//! parts that an implementation splits a dot product into. Uses at most 3 KB of stack.

pub(crate) mod gradient;

use half::f16;

use crate::half_float::Element;
use crate::{Activation, PANEL, Panels, Sample, Tap, TapGemm};

/// The inner loops of an implementation, for weights `W` and activations `A`.
pub(crate) trait Tiles<W, A>: Copy {
    /// For each position, `sums[position.sum] +=` its pixel times `weights`: one row for each channel, one channel after
    /// the other.
    fn add(self, positions: &[Position], input: &[A], weights: &[[W; PANEL]], sums: &mut [[f32; PANEL]]);

    /// [`dots`](Self::dots) takes multiples of so many input channels; zero if it takes none.
    const DOT_CHANNELS: usize;

    /// For positions whose pixels lie `step` values apart, adds the dot product of pixel and `weights`, at most
    /// [`DOT_CHUNK`] values, to the last [`DOT_PARTS`] sums, in whatever parts.
    fn dots(self, input: &[A], step: usize, weights: &[f32], sums: &mut [[f32; PANEL]]);

    /// The sum of the parts.
    fn total(parts: &[f32; DOT_PARTS]) -> f32;
}

/// A position that a tap reads inside the input.
#[derive(Clone, Copy, Default)]
pub(crate) struct Position {
    /// First value of the pixel read.
    pub(crate) start: usize,
    /// Which of the block's sums it adds to.
    pub(crate) sum: usize,
}

/// Runs the operation. The storage of weights is looked at for each tap, so that there is one instance of the rest.
#[inline(always)]
pub(crate) fn tap_gemm<T, A: Element>(tiles: T, op: &TapGemm<'_>, samples: &mut [Sample<'_, A>])
where
    T: Tiles<f16, A> + Tiles<f32, A>,
{
    for Sample { input, output } in samples {
        op.check(input.len(), output.len());
        run(tiles, op, input, output);
    }
}

fn run<T, A: Element>(tiles: T, op: &TapGemm<'_>, input: &[A], output: &mut [A])
where
    T: Tiles<f16, A> + Tiles<f32, A>,
{
    let (c, n, positions) = (op.input.channels, op.output.channels, op.rows * op.cols);
    if positions == 1 {
        return single(tiles, op, input, output);
    }
    let panel_rows = op.taps.len() * c;
    // Equal blocks: a small one would hardly fill a tile.
    let block_len = positions.div_ceil(positions.div_ceil(BLOCK).max(1));
    let mut sums = [[0.0; PANEL]; BLOCK];
    let mut inside = [Position::default(); BLOCK];
    // Panels outside, positions inside: the weights of a panel are read again from a cache, or flash's, not from afar.
    for (panel, bias) in op.bias.as_chunks::<PANEL>().0.iter().enumerate() {
        let first_row = panel * panel_rows;
        let lanes = PANEL.min(n - panel * PANEL);
        let mut start = 0;
        while start < positions {
            let block = Block { op, start, len: block_len.min(positions - start) };
            let sums = &mut sums[..block.len];
            let dot_channels = <T as Tiles<f32, A>>::DOT_CHANNELS;
            if lanes <= DOT_PARTS && dot_channels > 0 && c.is_multiple_of(dot_channels) {
                for (lane, &bias) in bias.iter().enumerate().take(lanes) {
                    block.dots(tiles, [first_row, lane], bias, input, sums);
                }
            } else {
                sums.fill(*bias);
                for (t, tap) in op.taps.iter().enumerate() {
                    add(tiles, block.inside(*tap, &mut inside), input, (op, first_row + t * c), sums);
                }
            }
            block.write(panel * PANEL, lanes, sums, output);
            start += block.len;
        }
    }
}

/// [`Tiles::add`] with the rows of one tap, from number `first` on.
#[inline(always)]
fn add<T, A>(
    tiles: T,
    positions: &[Position],
    input: &[A],
    (op, first): (&TapGemm<'_>, usize),
    sums: &mut [[f32; PANEL]],
) where
    T: Tiles<f16, A> + Tiles<f32, A>,
{
    match op.weights {
        Panels::F16(rows) => tiles.add(positions, input, &rows[first..][..op.input.channels], sums),
        Panels::F32(rows) => tiles.add(positions, input, &rows[first..][..op.input.channels], sums),
    }
}

/// One position: nothing to cut into blocks.
#[inline(never)]
fn single<T, A: Element>(tiles: T, op: &TapGemm<'_>, input: &[A], output: &mut [A])
where
    T: Tiles<f16, A> + Tiles<f32, A>,
{
    let output = &mut output[op.output_start(0, 0)..][..op.output.channels];
    let mut row = 0;
    for (bias, output) in op.bias.as_chunks::<PANEL>().0.iter().zip(output.chunks_mut(PANEL)) {
        let mut sums = [*bias];
        for tap in op.taps {
            if let Some(start) = op.input_start(0, 0, *tap) {
                add(tiles, &[Position { start, sum: 0 }], input, (op, row), &mut sums);
            }
            row += op.input.channels;
        }
        if op.accumulate {
            accumulate(&mut sums[0], output);
        }
        activate(op.activation, output.len(), &mut sums);
        store(&sums[0], output);
    }
}

/// Adds what lies in a pixel to its sums. Rare: loops that are unrolled would be most of the code.
#[inline(never)]
fn accumulate<A: Element>(sums: &mut [f32; PANEL], pixel: &[A]) {
    #[inline(never)]
    fn add<A: Element>(sum: &mut f32, value: A) {
        *sum += value.to_f32();
    }
    sums.iter_mut().zip(pixel).for_each(|(sum, &value)| add(sum, value));
}

/// Writes as many channels as the pixel has.
#[inline(never)]
fn store<A: Element>(sums: &[f32; PANEL], pixel: &mut [A]) {
    pixel.iter_mut().zip(sums).for_each(|(value, &sum)| *value = A::from_f32(sum));
}

/// Applies the function to the lanes that are channels. One instance for all kinds of activations.
#[inline(never)]
fn activate(activation: Activation, lanes: usize, sums: &mut [[f32; PANEL]]) {
    sums.iter_mut().for_each(|sums| activation.apply_all(&mut sums[..lanes]));
}

/// Positions `start..start + len`, row by row.
struct Block<'a> {
    op: &'a TapGemm<'a>,
    start: usize,
    len: usize,
}

impl Block<'_> {
    /// Computes one channel of the block. Its parts stand where a panel of so few channels has none.
    #[inline(never)]
    fn dots<T: Tiles<f32, A>, A>(
        &self,
        tiles: T,
        [first_row, lane]: [usize; 2],
        bias: f32,
        input: &[A],
        sums: &mut [[f32; PANEL]],
    ) {
        let (op, c) = (self.op, self.op.input.channels);
        let step = op.in_step[1] * op.input.pixel_stride;
        sums.iter_mut().for_each(|sums| sums[PANEL - DOT_PARTS..].copy_from_slice(&[bias, 0.0, 0.0, 0.0]));
        for (t, tap) in op.taps.iter().enumerate() {
            for first in (0..c).step_by(DOT_CHUNK) {
                let mut wide = [0.0; DOT_CHUNK];
                let wide = &mut wide[..DOT_CHUNK.min(c - first)];
                for (wide, row) in wide.iter_mut().zip(first_row + t * c + first..) {
                    *wide = match op.weights {
                        Panels::F16(rows) => rows[row][lane].to_f32(),
                        Panels::F32(rows) => rows[row][lane],
                    };
                }
                self.for_each_row(*tap, |row, len| {
                    tiles.dots(&input[row.start + first..], step, wide, &mut sums[row.sum..][..len]);
                });
            }
        }
        for sums in sums {
            sums[lane] = T::total(sums.last_chunk().expect("a panel has more values"));
        }
    }

    /// The positions that a tap reads inside the input.
    #[inline(never)]
    fn inside<'a>(&self, tap: Tap, slots: &'a mut [Position; BLOCK]) -> &'a [Position] {
        let step = self.op.in_step[1] * self.op.input.pixel_stride;
        let mut count = 0;
        self.for_each_row(tap, |mut position, len| {
            for slot in &mut slots[count..count + len] {
                *slot = position;
                position.start += step;
                position.sum += 1;
            }
            count += len;
        });
        &slots[..count]
    }

    /// For each row, passes on the first position that a tap reads inside the input, and how many there are, if any.
    #[inline(always)]
    fn for_each_row(&self, tap: Tap, mut each: impl FnMut(Position, usize)) {
        let op = self.op;
        let [rows, cols] = op.inside(tap);
        let end = self.start + self.len;
        for row in rows.start.max(self.start / op.cols)..rows.end {
            let first = row * op.cols;
            if first >= end {
                break;
            }
            let from = cols.start.max(self.start.saturating_sub(first));
            let to = cols.end.min(end - first);
            if from < to
                && let Some(start) = op.input_start(row, from, tap)
            {
                each(Position { start, sum: first + from - self.start }, to - from);
            }
        }
    }

    /// Finishes and writes `lanes` channels from `first` on.
    fn write<A: Element>(&self, first: usize, lanes: usize, sums: &mut [[f32; PANEL]], output: &mut [A]) {
        let op = self.op;
        if op.accumulate {
            self.for_each_pixel(|i, start| accumulate(&mut sums[i], &output[start + first..][..lanes]));
        }
        activate(op.activation, lanes, sums);
        self.for_each_pixel(|i, start| {
            store(&sums[i], &mut output[start + first..][..lanes]);
        });
    }

    /// Each position's number in the block, and where its output pixel starts.
    #[inline(always)]
    fn for_each_pixel(&self, mut visit: impl FnMut(usize, usize)) {
        let op = self.op;
        let (mut row, mut col) = (self.start / op.cols, self.start % op.cols);
        for i in 0..self.len {
            visit(i, op.output_start(row, col));
            col += 1;
            if col == op.cols {
                (row, col) = (row + 1, 0);
            }
        }
    }
}

/// Parts of a dot product, and most channels of a panel that is computed channel by channel.
pub(crate) const DOT_PARTS: usize = PANEL / 2;

/// Most input channels of a part of a dot product.
pub(crate) const DOT_CHUNK: usize = 16;

/// Most positions whose sums lie on the stack.
const BLOCK: usize = 64;
