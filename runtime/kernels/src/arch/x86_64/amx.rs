//! AMX-BF16: tiles of 16 positions by 16 channels, 32 input channels deep, each product out of four of half the width.
//!
//! A `bfloat16` has the range of an `f32` and 8 of its 24 bits. Two hold 16 bits of an activation, `x = x1 + x2`, and all
//! 11 of a weight in half precision, `w = w1 + w2`; `x1 * w1 + x2 * w1 + x2 * w2 + x1 * w2`, summed in `f32`, is off by
//! [`PRODUCT_ERROR`] at most. Four such products take half the time of one in AVX-512.
//!
//! Weights and activations are split as they are read, into blocks on the stack of at most 540 KB.
//!
//! Infinities become NaN. An activation that is infinite, or is so as a `bfloat16` (from `2^128 - 2^119` on), leaves no
//! number for its second part. Leaving that out would not help: products of an infinity with the parts of a weight are
//! NaN where a part is zero, and so is their sum where the signs of both differ.
//!
//! # Source
//! Henry, Tang, Heinecke 2019, "Leveraging the bfloat16 Artificial Intelligence Datatype For Higher-Precision
//! Computations", sections II and III.

mod block;
mod split;
mod tile;

use super::avx2::Avx2;
use super::avx512::{Avx512, avx512, tiles as avx512_tiles};
use crate::tiled::{self, Activations};
use crate::{Kernels, PANEL, Panels, Sample, TapGemm, TapGemmF16Fn, TapGemmFn};
use tile::{DEPTH, ROWS, Tiles};

/// The implementation for CPUs with AMX-BF16 and AVX-512, on systems that let a program use them.
pub(super) fn amx() -> Option<Kernels> {
    let kernels = avx512()?;
    if !tile::permitted() {
        return None;
    }
    // SAFETY: the features were established above, and neither CPU nor system takes one away.
    let tap_gemm: TapGemmFn = |op, samples| unsafe { run(op, samples) };
    // SAFETY: as above.
    let tap_gemm_f16: TapGemmF16Fn = |op, samples| unsafe { run(op, samples) };
    Some(Kernels {
        name: "amx",
        tap_gemm,
        tap_gemm_f16: Some(tap_gemm_f16),
        path,
        product_error: PRODUCT_ERROR,
        ..kernels
    })
}

/// Largest error of a product, relative to its size: what two `bfloat16` leave of `x`.
const PRODUCT_ERROR: f32 = 1.0 / (1 << 17) as f32;

#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512bf16,avx2,fma,f16c")]
fn run<A: Activations>(op: &TapGemm<'_>, samples: &mut [Sample<'_, A>]) {
    samples.iter().for_each(|sample| op.check(sample.input.len(), sample.output.len()));
    if let Panels::F16(weights) = op.weights
        && let Some(layout) = layout(op, samples.len())
    {
        // SAFETY: this function runs only where tiles may be used.
        let tiles = unsafe { Tiles::set_up() };
        block::run(&tiles, (Avx512::new(), Avx2::new()), op, layout, weights, samples);
    } else {
        avx512_tiles(op, samples);
    }
}

/// How an operation is cut, if that is faster than without these tiles.
#[inline]
fn layout(op: &TapGemm<'_>, samples: usize) -> Option<block::Layout> {
    let positions = op.rows * op.cols * samples;
    let pays = op.input.channels >= DEPTH / 2 && op.output.channels > PANEL && positions >= ROWS / 2;
    if pays && !op.taps.is_empty() { block::layout(op, samples) } else { None }
}

/// Whether an operation is computed with these tiles.
pub(super) fn uses_tiles(op: &TapGemm<'_>, samples: usize) -> bool {
    matches!(op.weights, Panels::F16(_)) && layout(op, samples).is_some()
}

fn path(op: &TapGemm<'_>, samples: usize) -> &'static str {
    if uses_tiles(op, samples) { "tiles of bfloat16 pairs" } else { tiled::path::<16>(op, samples) }
}

#[cfg(test)]
mod tests {
    crate::kernel_tests!(super::amx());
}
