//! Few output channels, as the last layer of a generator has them: vectors run along the input's channels instead.
//!
//! With 3 channels in panels of 8, most products would be with padding. Here each output is a dot product, summed over
//! the lanes at the end.

use crate::simd::{InnerLoop, Simd, SimdElement};
use crate::tiled::{Activations, Group};
use crate::{PANEL, Panels, Sample, TapGemm};

/// Whether `left` output channels are better computed here, with vectors of `lanes` and so many values of scratch space.
#[inline(always)]
pub(crate) fn fit(op: &TapGemm<'_>, left: usize, lanes: usize, scratch_len: usize) -> bool {
    let c = op.input.channels;
    // The number of weights is at least `taps * c * 8`, so the product cannot overflow.
    left <= MAX_CHANNELS && (lanes..=f32::ZEROS.len()).contains(&c) && left * op.taps.len() * c <= scratch_len
}

/// Computes a group of at most four output channels.
#[inline(always)]
pub(crate) fn run<S: Simd<L>, A: Activations, const L: usize>(
    simd: S,
    group: &Group<'_>,
    scratch: &mut [f32],
    samples: &mut [Sample<'_, A>],
) {
    let op = group.op;
    let channels = op.output.channels - group.first;
    let depth = op.taps.len() * op.input.channels;
    let first_row = group.first / PANEL * depth;
    for n in 0..channels {
        let scratch = &mut scratch[n * depth..][..depth];
        match op.weights {
            Panels::F16(rows) => transpose(&rows[first_row..], n, scratch),
            Panels::F32(rows) => transpose(&rows[first_row..], n, scratch),
        }
    }
    let mut rows = Rows { op, weights: scratch, bias: group.bias(), first: group.first, samples };
    // As many accumulators as 16 registers hold beside a row of weights. Vectors of four are those of WebAssembly, where
    // the engine keeps some registers for itself and a download should be small: one channel or three at a time.
    match (channels, L) {
        (1, _) => simd.outline(Channels::<A, 1, 8>(rows.from(0))),
        (2, ..8) => {
            simd.outline(Channels::<A, 1, 8>(rows.from(0)));
            simd.outline(Channels::<A, 1, 8>(rows.from(1)));
        }
        (2, _) => simd.outline(Channels::<A, 2, 4>(rows.from(0))),
        (3, ..8) => simd.outline(Channels::<A, 3, 3>(rows.from(0))),
        (3, _) => simd.outline(Channels::<A, 3, 4>(rows.from(0))),
        (4, ..8) => {
            simd.outline(Channels::<A, 3, 3>(rows.from(0)));
            simd.outline(Channels::<A, 1, 8>(rows.from(3)));
        }
        (4, _) => simd.outline(Channels::<A, 4, 3>(rows.from(0))),
        _ => unreachable!("`fit` allows no more than {MAX_CHANNELS} channels"),
    }
}

/// Channel `n` of rows.
#[inline(always)]
fn transpose<W: SimdElement>(rows: &[[W; PANEL]], n: usize, values: &mut [f32]) {
    values.iter_mut().zip(rows).for_each(|(value, row)| *value = row[n].to_f32());
}

/// A group, whatever its weights are stored as.
struct Rows<'a, 's, A> {
    op: &'a TapGemm<'a>,
    /// For each output channel, taps times channels.
    weights: &'a [f32],
    bias: &'a [f32],
    /// First output channel.
    first: usize,
    samples: &'a mut [Sample<'s, A>],
}

impl<'s, A> Rows<'_, 's, A> {
    /// The group without its first `n` channels.
    #[inline(always)]
    fn from(&mut self, n: usize) -> Rows<'_, 's, A> {
        let depth = self.op.taps.len() * self.op.input.channels;
        let (weights, bias) = (&self.weights[n * depth..], &self.bias[n..]);
        Rows { op: self.op, weights, bias, first: self.first + n, samples: &mut *self.samples }
    }
}

/// `N` output channels of it, `R` positions at a time.
struct Channels<'a, 's, A, const N: usize, const R: usize>(Rows<'a, 's, A>);

impl<S: Simd<L>, A: SimdElement, const L: usize, const N: usize, const R: usize> InnerLoop<S, L>
    for Channels<'_, '_, A, N, R>
{
    type Output = ();

    #[inline(always)]
    fn run(self, simd: S) {
        let Rows { op, weights, bias, first, samples } = self.0;
        let depth = op.taps.len() * op.input.channels;
        let weights: [&[f32]; N] = core::array::from_fn(|n| &weights[n * depth..][..depth]);
        let bias: [f32; N] = core::array::from_fn(|n| bias[n]);
        for index in 0..samples.len() * op.rows {
            let (Sample { input, output }, row) = (&mut samples[index / op.rows], index % op.rows);
            for start in (0..op.cols).step_by(SEGMENT) {
                let mut sums = [[0.0; N]; SEGMENT];
                let sums = &mut sums[..SEGMENT.min(op.cols - start)];
                let col = start;
                simd.outline(Dots::<A, N, R> { op, input, weights, row, col, sums: &mut *sums });
                for (i, sum) in sums.iter_mut().enumerate() {
                    for n in 0..N {
                        sum[n] += bias[n];
                    }
                    op.add_output(sum, &output[op.output_start(row, start + i) + first..][..N]);
                }
                simd.activate(op.activation, sums.as_flattened_mut());
                for (i, sum) in sums.iter().enumerate() {
                    let pixel = &mut output[op.output_start(row, start + i) + first..][..N];
                    pixel.iter_mut().zip(sum).for_each(|(value, &sum)| *value = A::from_f32(sum));
                }
            }
        }
    }
}

/// The sums of products of some positions of one row, `R` at a time.
struct Dots<'a, A, const N: usize, const R: usize> {
    op: &'a TapGemm<'a>,
    input: &'a [A],
    /// For each output channel, taps times channels.
    weights: [&'a [f32]; N],
    row: usize,
    /// The first position.
    col: usize,
    /// One for each position.
    sums: &'a mut [[f32; N]],
}

impl<S: Simd<L>, A: SimdElement, const L: usize, const N: usize, const R: usize> InnerLoop<S, L>
    for Dots<'_, A, N, R>
{
    type Output = ();

    #[inline(always)]
    fn run(self, simd: S) {
        // The last tile may go on past the last position: no code for smaller tiles, whose sums would wait for their
        // additions.
        for first in (0..self.sums.len()).step_by(R) {
            let tile = self.tile(simd, self.col + first);
            self.sums[first..].iter_mut().zip(tile).for_each(|(sum, tile)| *sum = tile);
        }
    }
}

impl<A: SimdElement, const N: usize, const R: usize> Dots<'_, A, N, R> {
    /// The sums of the positions from `col` on.
    #[allow(clippy::needless_range_loop, reason = "iterators over registers are not always inlined")]
    #[inline(always)]
    fn tile<S: Simd<L>, const L: usize>(&self, simd: S, col: usize) -> [[f32; N]; R] {
        let c = self.op.input.channels;
        let mut acc = [[simd.splat(0.0); N]; R];
        let mut sums = [[0.0; N]; R];
        for (t, tap) in self.op.taps.iter().enumerate() {
            let mut a = [&A::ZEROS[..c]; R];
            let mut outside = 0;
            for i in 0..R {
                match self.op.input_start(self.row, col + i, *tap) {
                    Some(start) => a[i] = &self.input[start..][..c],
                    None => outside += 1,
                }
            }
            if outside == R {
                continue;
            }
            let a = a.map(|a| a.as_chunks::<L>());
            let b = self.weights.map(|weights| weights[t * c..][..c].as_chunks::<L>());
            for k in 0..c / L {
                let mut w = [simd.splat(0.0); N];
                for n in 0..N {
                    w[n] = simd.load(&b[n].0[k]);
                }
                for i in 0..R {
                    let a = A::load(simd, &a[i].0[k]);
                    for n in 0..N {
                        acc[i][n] = simd.mul_add(a, w[n], acc[i][n]);
                    }
                }
            }
            for k in 0..c % L {
                for i in 0..R {
                    for n in 0..N {
                        sums[i][n] += a[i].1[k].to_f32() * b[n].1[k];
                    }
                }
            }
        }
        for i in 0..R {
            for n in 0..N {
                sums[i][n] += simd.sum(acc[i][n]);
            }
        }
        sums
    }
}

/// Most output channels for which lanes along the input pay.
const MAX_CHANNELS: usize = 4;

/// Positions whose activation is computed at once.
const SEGMENT: usize = 64;
