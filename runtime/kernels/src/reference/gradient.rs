//! The definition of both gradients of a tap GEMM.

use crate::{GradientKernels, PANEL, Panels, TapGemm, f16_to_f32};

/// The definition as an implementation.
pub const GRADIENTS: GradientKernels = GradientKernels { name: "reference", input_gradient, weight_gradient };

/// The gradient with respect to what is read, in its defined order: start at what is there; add the taps in order, each
/// tap's positions row by row, each position's output channels in order, every product and every sum rounded to `f32`.
///
/// # Panics
/// See [`InputGradientFn`](crate::InputGradientFn).
pub fn input_gradient(op: &TapGemm<'_>, grad_out: &[f32], grad_in: &mut [f32]) {
    op.check(grad_in.len(), grad_out.len());
    let c = op.input.channels;
    for (t, tap) in op.taps.iter().enumerate() {
        for row in 0..op.rows {
            for col in 0..op.cols {
                let Some(pixel) = op.input_start(row, col, *tap) else { continue };
                let start = op.output_start(row, col);
                for channel in 0..c {
                    for n in 0..op.output.channels {
                        let index = (n / PANEL * op.taps.len() + t) * c + channel;
                        let weight = match op.weights {
                            Panels::F16(rows) => f16_to_f32(rows[index][n % PANEL]),
                            Panels::F32(rows) => rows[index][n % PANEL],
                        };
                        grad_in[pixel + channel] += grad_out[start + n] * weight;
                    }
                }
            }
        }
    }
}

/// The gradient with respect to weights and bias, in its defined order: start at what is there; add the positions row by
/// row, every product and every sum rounded to `f32`.
///
/// # Panics
/// See [`WeightGradientFn`](crate::WeightGradientFn).
pub fn weight_gradient(
    op: &TapGemm<'_>,
    input: &[f32],
    grad_out: &[f32],
    grad_weights: &mut [[f32; PANEL]],
    grad_bias: &mut [f32],
) {
    op.check(input.len(), grad_out.len());
    op.check_gradients(grad_weights.len(), grad_bias.len());
    let c = op.input.channels;
    for row in 0..op.rows {
        for col in 0..op.cols {
            let start = op.output_start(row, col);
            for n in 0..op.output.channels {
                let grad = grad_out[start + n];
                grad_bias[n] += grad;
                for (t, tap) in op.taps.iter().enumerate() {
                    let Some(pixel) = op.input_start(row, col, *tap) else { continue };
                    for channel in 0..c {
                        let index = (n / PANEL * op.taps.len() + t) * c + channel;
                        grad_weights[index][n % PANEL] += input[pixel + channel] * grad;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    crate::gradient_tests!(Some(super::GRADIENTS));
}
