//! Winograd convolution: 36 products for 16 outputs of a 3x3 convolution instead of 144, and 25 instead of 64 for the 2x2
//! phases of a transposed one.
//!
//! A convolution with stride 1 is computed tile by tile of 4x4 outputs. Tiles of inputs, 6x6 or 5x5, are transformed, channel
//! by channel; each element of a tile is then a product of matrices, tiles by channels with channels by channels; what comes
//! out is transformed back. Weights are transformed once, when a model is loaded: 36 values in single precision for the 9 of
//! a kernel, 25 for the 4 of a phase.
//!
//! At most 4 and 2.56 times as fast, less what transforms cost, some twelve multiply-adds for each value of a tile, in and
//! out: with 64 channels in and out a third of the products that are left, with 128 a fifth. Where there are few tiles,
//! weights are what takes time: 8 times the bytes of half precision for a kernel, 12.5 for a phase.
//!
//! Errors are within `c + 23` roundings of the sums that the suite derives from the transforms; on normal values they are
//! about those of adding in order.
//!
//! Uses at most 530 KB of stack.

mod tiles;
pub(crate) mod transform;

use half::f16;

use crate::expansion::Kind;
use crate::simd::{Simd, SimdElement};
use crate::tiled::{self, Activations, Tiling};
use crate::{Form, PANEL, Panels, Sample, Storage, Tap, TapGemm};
use tiles::{Cut, Run, SCRATCH};
use transform::{OUT, Transform};

/// The taps of a full square.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Square {
    /// Taps along each axis.
    edge: usize,
    /// The least tap of all.
    corner: Tap,
}

impl Square {
    /// Each tap of a square of 2x2 or 3x3 once, in any order.
    fn of(taps: &[Tap]) -> Option<Self> {
        let edge = match taps.len() {
            4 => 2,
            9 => 3,
            _ => return None,
        };
        let corner = taps.iter().fold([i16::MAX; 2], |[y, x], tap| [y.min(tap[0]), x.min(tap[1])]);
        let square = Self { edge, corner };
        let met = taps.iter().try_fold(0_u16, |met, &tap| Some(met | 1 << square.index(tap)?))?;
        (met.count_ones() as usize == taps.len()).then_some(square)
    }

    /// Where a tap lies in the square, row by row.
    fn index(&self, [y, x]: Tap) -> Option<usize> {
        let [y, x] = [y.abs_diff(self.corner[0]), x.abs_diff(self.corner[1])].map(usize::from);
        (y < self.edge && x < self.edge).then_some(y * self.edge + x)
    }

    /// Inputs of a tile along each axis.
    fn tile(&self) -> usize {
        OUT + self.edge - 1
    }
}

/// The form of an operation with stride 1 and a square of taps, for vectors of `lanes` values.
pub(crate) fn form(op: &TapGemm<'_>, lanes: usize) -> Option<Form> {
    let square = Square::of(op.taps)?;
    let (c, n) = (op.input.channels, op.output.channels);
    let rows = match op.weights {
        Panels::F16(rows) => rows.len(),
        Panels::F32(rows) => rows.len(),
    };
    let fits = op.in_step == [1, 1] && (1..=f32::ZEROS.len()).contains(&c) && n > 0;
    if !fits || n.div_ceil(PANEL).checked_mul(op.taps.len() * c) != Some(rows) {
        return None;
    }
    let len = (square.tile() * square.tile() * c).checked_mul(padded(n, lanes))?;
    Some(Form { kind: Kind::Winograd { taps: square.edge }, len })
}

/// How much faster that form is than the operation as it is, where that takes `share` of the time of vectors; 0 without a
/// form.
pub(crate) fn gain(op: &TapGemm<'_>, samples: usize, from: Storage, lanes: usize, share: f64) -> f64 {
    let Some(square) = Square::of(op.taps).filter(|_| form(op, lanes).is_some()) else { return 0.0 };
    share * direct_cost(op, samples, lanes) - cost(op, samples, from, square.tile(), lanes)
}

/// Output channels in whole groups of vectors.
fn padded(n: usize, lanes: usize) -> usize {
    match n % (2 * lanes) {
        rest if rest > 0 && rest <= lanes => n - rest + lanes.max(PANEL),
        _ => n.next_multiple_of(2 * lanes),
    }
}

/// What the form costs, in the time of a multiply-add in one lane: products, weights, values of tiles, and scratch space.
///
/// A CPU starts about two multiply-adds of vectors in a cycle, and reads 64 bytes of the second-level cache meanwhile, 16 of
/// the third-level one, or 2 of memory that others use too. All blocks of tiles but the first find weights in a cache.
fn cost(op: &TapGemm<'_>, samples: usize, from: Storage, edge: usize, lanes: usize) -> f64 {
    let cut = Cut::new(op, samples, edge, lanes);
    let (c, n) = (op.input.channels.next_multiple_of(lanes) as f64, padded(op.output.channels, lanes) as f64);
    let third = lanes as f64 / 2.0;
    let first = match from {
        Storage::SecondLevel => third / 4.0,
        Storage::ThirdLevel => third,
        Storage::Memory => third * 8.0,
    };
    let elements = (edge * edge) as f64;
    let again = if elements * c * n <= Storage::SecondLevel.capacity() as f64 { third / 4.0 } else { third };
    let blocks = cut.tiles.div_ceil(cut.block).saturating_sub(1) as f64;
    let products = elements * c * n * (cut.tiles as f64 + first + blocks * again);
    let values = elements * cut.tiles as f64 * (c + n) * VALUE;
    products + values + cut.scratch_len(op, edge, lanes) as f64 * lanes as f64 / 4.0
}

/// What the operation costs as it is: products with pixels inside the input, or weights in half precision, whichever take
/// longer; and for each tap, sums that are loaded and stored.
fn direct_cost(op: &TapGemm<'_>, samples: usize, lanes: usize) -> f64 {
    let positions = op.taps.iter().map(|&tap| op.inside(tap).map(|range| range.len() as f64));
    let positions: f64 = positions.map(|[rows, cols]| rows * cols).sum();
    let n = op.output.channels;
    let n = if tiled::few_channels(op, n, lanes) { n } else { padded(n, lanes) };
    let rows = (positions * samples as f64).max((op.taps.len() * lanes / 2) as f64);
    rows * (op.input.channels as f64 + SUMS) * n as f64
}

/// Multiply-adds in the time in which a value of a tile is loaded, transformed, stored, and loaded once more.
const VALUE: f64 = 12.0;

/// Multiply-adds in the time in which a sum is loaded and stored.
const SUMS: f64 = 8.0;

/// The square of an operation's taps.
///
/// # Panics
/// When the form is not the operation's, or `expanded` has not its length.
fn check(given: &Form, op: &TapGemm<'_>, lanes: usize, expanded: &[f32]) -> Square {
    assert!(form(op, lanes).as_ref() == Some(given), "another operation's form");
    assert!(expanded.len() == given.len, "expanded weights are {}, not {}", expanded.len(), given.len);
    Square::of(op.taps).expect("what has a form has a square of taps")
}

/// Writes the operation's weights in a form that was chosen for it, for vectors of `lanes` values.
///
/// # Panics
/// When weights or bias have not the length that taps and channels ask for, `expanded` has not the form's length, or the form
/// is not the operation's.
pub(crate) fn expand(form: &Form, op: &TapGemm<'_>, lanes: usize, expanded: &mut [f32]) {
    let square = check(form, op, lanes, expanded);
    match (square.edge, op.weights) {
        (2, Panels::F16(rows)) => expand_rows::<5, f16>(square, op, lanes, rows, expanded),
        (2, Panels::F32(rows)) => expand_rows::<5, f32>(square, op, lanes, rows, expanded),
        (_, Panels::F16(rows)) => expand_rows::<6, f16>(square, op, lanes, rows, expanded),
        (_, Panels::F32(rows)) => expand_rows::<6, f32>(square, op, lanes, rows, expanded),
    }
}

/// In double precision, rounded once.
fn expand_rows<const E: usize, W: SimdElement>(
    square: Square,
    op: &TapGemm<'_>,
    lanes: usize,
    rows: &[[W; PANEL]],
    expanded: &mut [f32],
) {
    let (c, n) = (op.input.channels, op.output.channels);
    expanded.fill(0.0);
    for lane in 0..n {
        let first = lane - lane % (2 * lanes);
        let width = (2 * lanes).min(padded(n, lanes) - first);
        for channel in 0..c {
            let mut g = [[0.0; 3]; 3];
            for (t, &tap) in op.taps.iter().enumerate() {
                let index = square.index(tap).expect("the square is that of all taps");
                let row = &rows[(lane / PANEL * op.taps.len() + t) * c + channel];
                g[index / square.edge][index % square.edge] = f64::from(row[lane % PANEL].to_f32());
            }
            let g = g.map(Transform::<E>::weights);
            for x in 0..E {
                for (y, value) in Transform::<E>::weights(g.map(|row| row[x])).into_iter().enumerate() {
                    let row = (y * E + x) * c + channel;
                    expanded[first * E * E * c + row * width + lane - first] = value as f32;
                }
            }
        }
    }
}

/// Runs an operation in its form. To be called in a function that enables the instruction set.
#[inline(always)]
pub(crate) fn run<S: Simd<L>, P: Simd<PANEL>, A: Activations, const L: usize>(
    tiling: Tiling<S, P>,
    op: &TapGemm<'_>,
    expanded: &[f32],
    scratch: &mut [f32],
    samples: &mut [Sample<'_, A>],
) {
    let Some(Square { edge, corner }) = Square::of(op.taps) else { return };
    let cut = Cut::new(op, samples.len(), edge + OUT - 1, L);
    let run = Run { op, cut, corner, weights: expanded };
    match edge {
        2 => run.run::<S, P, A, L, 5>(tiling, scratch, samples),
        _ => run.run::<S, P, A, L, 6>(tiling, scratch, samples),
    }
}

/// Values of scratch space for an operation, which is checked, with vectors of `lanes` values.
///
/// # Panics
/// See [`TapGemm::check`]; when `expanded` has not the form's length, or the form is not the operation's.
pub(crate) fn scratch_len<A>(
    form: &Form,
    op: &TapGemm<'_>,
    expanded: &[f32],
    lanes: usize,
    samples: &[Sample<'_, A>],
) -> usize {
    samples.iter().for_each(|sample| op.check(sample.input.len(), sample.output.len()));
    let edge = check(form, op, lanes, expanded).tile();
    Cut::new(op, samples.len(), edge, lanes).scratch_len(op, edge, lanes)
}

/// Calls `run` with as many zeros or more.
pub(crate) fn on_stack(len: usize, run: &mut dyn FnMut(&mut [f32])) {
    // Writing zeros takes time: no more of them than twice what is used.
    match len.next_power_of_two() {
        ..=0x2000 => call::<0x2000>(run),
        0x4000 => call::<0x4000>(run),
        0x8000 => call::<0x8000>(run),
        0x10000 => call::<0x10000>(run),
        _ => call::<SCRATCH>(run),
    }
}

#[inline(never)]
fn call<const N: usize>(run: &mut dyn FnMut(&mut [f32])) {
    run(&mut Aligned([0.0; N]).0);
}

/// On cache lines, which the widest vectors fill.
#[repr(align(64))]
struct Aligned<const N: usize>([f32; N]);

#[cfg(test)]
mod tests {
    use std::vec;

    use super::*;
    use crate::{Activation, Pixels};

    /// Input and output channels, height and width, taps along each axis, samples.
    type Layer = [usize; 5];

    fn pays_for([c, n, size, edge, samples]: Layer, from: Storage, lanes: usize) -> bool {
        let pixels = |channels| Pixels { height: size, width: size, channels, pixel_stride: channels };
        let taps: [Tap; 9] = core::array::from_fn(|t| [(t / edge) as i16 - 1, (t % edge) as i16 - 1]);
        let panels = n.div_ceil(PANEL);
        let op = TapGemm {
            taps: &taps[..edge * edge],
            weights: Panels::F16(&vec![[f16::ONE; PANEL]; panels * edge * edge * c]),
            bias: &vec![0.0; panels * PANEL],
            accumulate: false,
            activation: Activation::Relu,
            input: pixels(c),
            output: pixels(n),
            rows: size,
            cols: size,
            in_step: [1, 1],
            out_step: [1, 1],
            out_offset: [0, 0],
        };
        gain(&op, samples, from, lanes, 1.0) > 0.0
    }

    /// What the benchmarks of layers and of whole generators say beyond doubt.
    #[test]
    fn the_model_chooses_what_is_faster() {
        for lanes in [4, 8, 16] {
            for layer in [[64, 64, 32, 3, 1], [128, 128, 32, 3, 1], [32, 32, 64, 3, 1], [256, 128, 16, 2, 16]]
            {
                for from in Storage::ALL {
                    assert!(pays_for(layer, from, lanes), "{layer:?} from {from:?} with {lanes} lanes");
                }
            }
            for layer in [[128, 64, 16, 2, 1], [128, 64, 32, 2, 1], [16, 16, 28, 3, 1]] {
                assert!(pays_for(layer, Storage::ThirdLevel, lanes), "{layer:?} with {lanes} lanes");
            }
        }
        for lanes in [8, 16] {
            for layer in [[512, 256, 4, 2, 1], [64, 3, 32, 2, 1], [16, 1, 28, 3, 1], [128, 128, 1, 3, 1]] {
                for from in Storage::ALL {
                    assert!(!pays_for(layer, from, lanes), "{layer:?} from {from:?} with {lanes} lanes");
                }
            }
            let few_tiles = [256, 128, 8, 2, 1];
            assert!(!pays_for(few_tiles, Storage::Memory, lanes), "{few_tiles:?} with {lanes} lanes");
        }
    }
}
