//! One position: a vector times a matrix, bound by reading the weights once.
//!
//! Panels are read from first to last and converted in registers, so that memory sees one rising address.

use crate::simd::{Simd, SimdElement, store_all};
use crate::{PANEL, TapGemm};

/// Computes an operation with one position.
#[inline(always)]
pub(crate) fn run<P: Simd<PANEL>, W: SimdElement, A: SimdElement>(
    simd: P,
    op: &TapGemm<'_>,
    weights: &[[W; PANEL]],
    input: &[A],
    output: &mut [A],
) {
    let (c, n) = (op.input.channels, op.output.channels);
    let output = &mut output[op.output_start(0, 0)..][..n];
    for (panel, bias) in op.bias.as_chunks::<PANEL>().0.iter().enumerate() {
        // The weights come from afar: ask for those of two panels on.
        let ahead = (panel + 2) * op.taps.len() * c;
        simd.prefetch(&weights[ahead.min(weights.len())..(ahead + op.taps.len() * c).min(weights.len())]);
        // Each accumulator waits four cycles for its last addition.
        let mut acc = [simd.load(bias), simd.splat(0.0), simd.splat(0.0), simd.splat(0.0)];
        for (t, tap) in op.taps.iter().enumerate() {
            let Some(pixel) = op.input_start(0, 0, *tap) else { continue };
            let weights = &weights[(panel * op.taps.len() + t) * c..][..c];
            let input = &input[pixel..][..c];
            let (weights_by_4, weights_left) = weights.as_chunks::<4>();
            let (input_by_4, input_left) = input.as_chunks::<4>();
            for (x, w) in input_by_4.iter().zip(weights_by_4) {
                for i in 0..4 {
                    acc[i] = simd.mul_add(simd.splat(x[i].to_f32()), W::load(simd, &w[i]), acc[i]);
                }
            }
            for (x, w) in input_left.iter().zip(weights_left) {
                acc[0] = simd.mul_add(simd.splat(x.to_f32()), W::load(simd, w), acc[0]);
            }
        }
        let mut sums = [0.0; PANEL];
        simd.store(simd.add(simd.add(acc[0], acc[1]), simd.add(acc[2], acc[3])), &mut sums);
        let output = &mut output[panel * PANEL..];
        op.add_output(&mut sums, output);
        simd.activate(op.activation, &mut sums);
        let lanes = PANEL.min(output.len());
        store_all(simd, &sums[..lanes], &mut output[..lanes]);
    }
}
