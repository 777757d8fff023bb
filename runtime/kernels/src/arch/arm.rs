//! Arm microcontrollers: what the target promises, since nothing can be asked at run time. See `build.rs` for how it is
//! known.

mod fpu;
mod gradient;
#[cfg(arm_helium)]
mod helium;

use half::f16;

use crate::blocks::{DOT_CHUNK, DOT_PARTS, Position, Tiles};
use crate::{ExpansionKernels, GradientKernels, Kernels, PANEL, f16_to_f32};

/// Length of [`available`].
pub(crate) const COUNT: usize = 1 + cfg!(arm_helium) as usize;

/// What the target promises, the fastest last.
pub(crate) fn available() -> [Option<Kernels>; COUNT] {
    #[cfg(arm_helium)]
    return [Some(fpu::KERNELS), Some(helium::KERNELS)];
    #[cfg(not(arm_helium))]
    [Some(fpu::KERNELS)]
}

/// What this CPU has of implementations that give the bits of the reference, the fastest last.
pub(crate) fn available_exact() -> [Option<Kernels>; COUNT] {
    // These have no multiplication of vectors that is rounded apart; the portable implementation serves.
    [None; COUNT]
}

/// None: microcontrollers have no RAM for it.
pub(crate) fn expansions() -> [Option<ExpansionKernels>; COUNT] {
    [None; COUNT]
}

/// Gradients, the fastest last.
pub(crate) fn gradients() -> [Option<GradientKernels>; COUNT] {
    let mut all = [None; COUNT];
    all[0] = Some(gradient::GRADIENTS);
    all
}

/// Gradients that give the bits of the reference, the fastest last: the same.
pub(crate) fn gradients_exact() -> [Option<GradientKernels>; COUNT] {
    gradients()
}

/// Not measured: a microcontroller's clock says it.
#[cfg(any(test, feature = "std"))]
pub(crate) fn fma_loops() -> [Option<crate::peak::FmaLoop>; COUNT] {
    [None; COUNT]
}

/// The inner loops of one instruction set.
trait Loops: Copy {
    /// `wide = halves`
    fn widen(halves: &[f16; 8], wide: &mut [f32; 8]);

    /// For pixels that lie `step` values apart, adds the dot product of pixel and weights to the last four sums, in
    /// four parts.
    fn dots(input: &[f32], step: usize, weights: &[f32; DOT_CHUNK], sums: &mut [[f32; PANEL]]);
}

/// The inner loops for weights `W`: `sums += pixels * weights`, where all pixels have as many channels as there are
/// weights.
trait LoopsFor<W>: Loops {
    /// One position.
    fn add_1(pixels: [&[f32]; 1], weights: &[[W; PANEL]], sums: [&mut [f32; PANEL]; 1]);
    /// Two positions.
    fn add_2(pixels: [&[f32]; 2], weights: &[[W; PANEL]], sums: [&mut [f32; PANEL]; 2]);
    /// Three positions.
    fn add_3(pixels: [&[f32]; 3], weights: &[[W; PANEL]], sums: [&mut [f32; PANEL]; 3]);
}

impl<W, L: LoopsFor<W>> Tiles<W, f32> for L {
    /// A function for itself: the registers that it must keep are saved once for all tiles.
    #[inline(never)]
    fn add(self, positions: &[Position], input: &[f32], weights: &[[W; PANEL]], sums: &mut [[f32; PANEL]]) {
        let pixel = |position: Position| &input[position.start..][..weights.len()];
        let (tiles, rest) = positions.as_chunks();
        for &[p, q, r] in tiles {
            let sums = sums.get_disjoint_mut([p.sum, q.sum, r.sum]).expect(DISTINCT);
            L::add_3([pixel(p), pixel(q), pixel(r)], weights, sums);
        }
        match *rest {
            [p, q] => {
                let sums = sums.get_disjoint_mut([p.sum, q.sum]).expect(DISTINCT);
                L::add_2([pixel(p), pixel(q)], weights, sums);
            }
            [p] => L::add_1([pixel(p)], weights, [&mut sums[p.sum]]),
            _ => {}
        }
    }

    const DOT_CHANNELS: usize = DOT_CHUNK;

    #[inline(always)]
    fn dots(self, input: &[f32], step: usize, weights: &[f32], sums: &mut [[f32; PANEL]]) {
        L::dots(input, step, weights.try_into().expect("multiples of `DOT_CHANNELS`"), sums);
    }

    #[inline(always)]
    fn total([a, b, c, d]: &[f32; DOT_PARTS]) -> f32 {
        (a + b) + (c + d)
    }
}

impl<W, L: LoopsFor<W>> Tiles<W, f16> for L {
    /// Widens the pixels first, some channels at a time, since tiles leave no register for it.
    fn add(self, positions: &[Position], input: &[f16], weights: &[[W; PANEL]], sums: &mut [[f32; PANEL]]) {
        let mut wide = [[0.0; CHUNK]; POSITIONS];
        for tile in positions.chunks(POSITIONS) {
            let mut wide_tile = [Position::default(); POSITIONS];
            for (i, weights) in weights.chunks(CHUNK).enumerate() {
                for (p, position) in tile.iter().enumerate() {
                    wide_tile[p] = Position { start: p * CHUNK, sum: position.sum };
                    widen::<L>(&input[position.start + i * CHUNK..][..weights.len()], &mut wide[p]);
                }
                Tiles::<W, f32>::add(self, &wide_tile[..tile.len()], wide.as_flattened(), weights, sums);
            }
        }
    }

    /// The last layer of a generator writes, and so reads, single precision.
    const DOT_CHANNELS: usize = 0;

    fn dots(self, _: &[f16], _: usize, _: &[f32], _: &mut [[f32; PANEL]]) {
        unreachable!("takes no channels")
    }

    fn total(_: &[f32; DOT_PARTS]) -> f32 {
        unreachable!("takes no channels")
    }
}

/// `wide[i] = halves[i]`, for no more than there are.
#[inline(never)]
fn widen<L: Loops>(halves: &[f16], wide: &mut [f32; CHUNK]) {
    let (eights, tail) = halves.as_chunks();
    for (eight, wide) in eights.iter().zip(wide.as_chunks_mut().0) {
        L::widen(eight, wide);
    }
    let start = halves.len() - tail.len();
    wide[start..].iter_mut().zip(tail).for_each(|(wide, half)| *wide = f16_to_f32(*half));
}

/// Most positions in a tile: their sums fill three quarters of the registers, 24 of 32 scalar ones or 6 of 8 vectors.
const POSITIONS: usize = 3;

/// Channels widened at a time.
const CHUNK: usize = 32;

const DISTINCT: &str = "the positions of a tile differ and lie in its block";
