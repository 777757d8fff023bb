//! The implementation for every target: plain Rust.
//!
//! Adds in the order that [`reference`](crate::reference) defines, so it gives the same bits, and is its fast form where
//! those bits are wanted.

pub(crate) mod gradient;
pub(crate) mod nest;

use half::f16;

use crate::blocks::{self, DOT_PARTS, Position, Tiles};
use crate::half_float::Element;
use crate::{Kernels, PANEL, Sample, TapGemm};

pub(crate) use gradient::GRADIENTS;

/// The implementation for every target.
pub(crate) const KERNELS: Kernels = Kernels {
    name: "portable",
    tap_gemm,
    tap_gemm_f16: Some(tap_gemm_f16),
    nest: Some(nest::nest),
    path: |_, _| "three positions at a time",
    product_error: 0.0,
};

fn tap_gemm(op: &TapGemm<'_>, samples: &mut [Sample<'_, f32>]) {
    blocks::tap_gemm(Plain, op, samples);
}

fn tap_gemm_f16(op: &TapGemm<'_>, samples: &mut [Sample<'_, f16>]) {
    blocks::tap_gemm(Plain, op, samples);
}

/// Inner loops in plain Rust.
#[derive(Clone, Copy)]
struct Plain;

impl<W: Element, A: Element> Tiles<W, A> for Plain {
    #[inline(always)]
    fn add(self, positions: &[Position], input: &[A], weights: &[[W; PANEL]], sums: &mut [[f32; PANEL]]) {
        for tile in positions.chunks(3) {
            match tile {
                [p, q, r] => add([p, q, r], input, weights, sums),
                [p, q] => add([p, q], input, weights, sums),
                _ => tile.iter().for_each(|p| add([p], input, weights, sums)),
            }
        }
    }

    const DOT_CHANNELS: usize = 1;

    /// In one part, which keeps the order.
    #[inline(always)]
    fn dots(self, input: &[A], step: usize, weights: &[f32], sums: &mut [[f32; PANEL]]) {
        for (i, sums) in sums.iter_mut().enumerate() {
            let pixel = &input[i * step..][..weights.len()];
            sums[DOT_PARTS] =
                pixel.iter().zip(weights).fold(sums[DOT_PARTS], |sum, (x, w)| sum + x.to_f32() * w);
        }
    }

    #[inline(always)]
    fn total(parts: &[f32; DOT_PARTS]) -> f32 {
        parts[0]
    }
}

/// Widens each weight once for all positions.
#[inline(never)]
fn add<W: Element, A: Element, const P: usize>(
    tile: [&Position; P],
    input: &[A],
    weights: &[[W; PANEL]],
    sums: &mut [[f32; PANEL]],
) {
    let pixels = tile.map(|position| &input[position.start..][..weights.len()]);
    let mut acc = tile.map(|position| sums[position.sum]);
    for (k, row) in weights.iter().enumerate() {
        let x = pixels.map(|pixel| pixel[k].to_f32());
        for lane in 0..PANEL {
            let w = row[lane].to_f32();
            for i in 0..P {
                acc[i][lane] += x[i] * w;
            }
        }
    }
    tile.iter().zip(acc).for_each(|(position, acc)| sums[position.sum] = acc);
}

#[cfg(test)]
mod tests {
    crate::exact_kernel_tests!(Some(super::KERNELS));
}
