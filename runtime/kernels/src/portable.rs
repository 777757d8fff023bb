//! The implementation for every target: plain Rust. Of a tap GEMM, one panel of accumulators and no buffer.
//!
//! Adds in the order that [`reference`](crate::reference) defines, so it gives the same bits, and is its fast form where
//! those bits are wanted. A tap GEMM uses less than 256 bytes of stack.

mod nest;

use half::f16;

use crate::half_float::Element;
use crate::{Kernels, PANEL, Panels, TapGemm};

/// The implementation for every target.
pub(crate) const KERNELS: Kernels = Kernels { name: "portable", tap_gemm, tap_gemm_f16, nest: nest::nest };

fn tap_gemm(op: &TapGemm<'_>, input: &[f32], output: &mut [f32]) {
    any(op, input, output);
}

fn tap_gemm_f16(op: &TapGemm<'_>, input: &[f16], output: &mut [f16]) {
    any(op, input, output);
}

fn any<A: Element>(op: &TapGemm<'_>, input: &[A], output: &mut [A]) {
    op.check(input.len(), output.len());
    // One instance for each storage: firmware pays for both only if it can meet both.
    match op.weights {
        Panels::F16(weights) => run(op, weights, input, output),
        Panels::F32(weights) => run(op, weights, input, output),
    }
}

fn run<W: Element, A: Element>(op: &TapGemm<'_>, weights: &[[W; PANEL]], input: &[A], output: &mut [A]) {
    let (c, n) = (op.input.channels, op.output.channels);
    let panel_rows = op.taps.len() * c;
    // Panels outside, positions inside: the weights of a panel are read again from a cache, or flash's, not from afar.
    for (panel, bias) in op.bias.chunks_exact(PANEL).enumerate() {
        let weights = &weights[panel * panel_rows..][..panel_rows];
        let lanes = PANEL.min(n - panel * PANEL);
        for row in 0..op.rows {
            for col in 0..op.cols {
                let mut sums: [f32; PANEL] = core::array::from_fn(|lane| bias[lane]);
                for (t, tap) in op.taps.iter().enumerate() {
                    if let Some(pixel) = op.input_start(row, col, *tap) {
                        let weights = &weights[t * c..][..c];
                        add_products(&mut sums, &input[pixel..][..c], weights);
                    }
                }
                op.activation.apply_all(&mut sums);
                let start = op.output_start(row, col) + panel * PANEL;
                let pixel = &mut output[start..][..lanes];
                pixel.iter_mut().zip(sums).for_each(|(value, sum)| *value = A::from_f32(sum));
            }
        }
    }
}

/// `sums += pixel * weights`, one channel after the other.
#[inline]
fn add_products<W: Element, A: Element>(sums: &mut [f32; PANEL], pixel: &[A], weights: &[[W; PANEL]]) {
    for (x, row) in pixel.iter().zip(weights) {
        let x = x.to_f32();
        for (sum, w) in sums.iter_mut().zip(row) {
            *sum += x * w.to_f32();
        }
    }
}

#[cfg(test)]
mod tests {
    crate::exact_kernel_tests!(Some(super::KERNELS));
}
