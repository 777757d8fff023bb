//! Gradients with AVX2, FMA and F16C.

use super::{Avx2, avx2};
use crate::exact::Exact;
use crate::tiled::{self, Tiling};
use crate::{GradientKernels, InputGradientFn, PANEL, TapGemm, WeightGradientFn};

/// The gradients for CPUs with AVX2, FMA and F16C.
pub(crate) fn gradients() -> Option<GradientKernels> {
    avx2()?;
    // SAFETY: the implementation is there, so its features are.
    let input_gradient: InputGradientFn = |op, grad_out, grad_in| unsafe { to_input(op, grad_out, grad_in) };
    let weight_gradient: WeightGradientFn = |op, input, grad_out, weights, bias| {
        // SAFETY: as above.
        unsafe { to_weights(op, input, grad_out, weights, bias) }
    };
    Some(GradientKernels { name: "avx2", input_gradient, weight_gradient })
}

/// The same CPUs, with the bits of the reference.
pub(crate) fn gradients_exact() -> Option<GradientKernels> {
    avx2()?;
    // SAFETY: the implementation is there, so its features are.
    let input_gradient: InputGradientFn =
        |op, grad_out, grad_in| unsafe { exact_to_input(op, grad_out, grad_in) };
    let weight_gradient: WeightGradientFn = |op, input, grad_out, weights, bias| {
        // SAFETY: as above.
        unsafe { exact_to_weights(op, input, grad_out, weights, bias) }
    };
    Some(GradientKernels { name: "avx2-exact", input_gradient, weight_gradient })
}

#[target_feature(enable = "avx2,fma,f16c")]
fn to_input(op: &TapGemm<'_>, grad_out: &[f32], grad_in: &mut [f32]) {
    tiled::input_gradient(
        Tiling { wide: Avx2::new(), narrow: Avx2::new(), max_rows: 6 },
        op,
        grad_out,
        grad_in,
    );
}

#[target_feature(enable = "avx2,fma,f16c")]
fn to_weights(
    op: &TapGemm<'_>,
    input: &[f32],
    grad_out: &[f32],
    weights: &mut [[f32; PANEL]],
    bias: &mut [f32],
) {
    tiled::weight_gradient(
        Tiling { wide: Avx2::new(), narrow: Avx2::new(), max_rows: 6 },
        op,
        input,
        grad_out,
        weights,
        bias,
    );
}

#[target_feature(enable = "avx2,fma,f16c")]
fn exact_to_input(op: &TapGemm<'_>, grad_out: &[f32], grad_in: &mut [f32]) {
    tiled::input_gradient(
        Tiling { wide: Exact(Avx2::new()), narrow: Exact(Avx2::new()), max_rows: 6 },
        op,
        grad_out,
        grad_in,
    );
}

#[target_feature(enable = "avx2,fma,f16c")]
fn exact_to_weights(
    op: &TapGemm<'_>,
    input: &[f32],
    grad_out: &[f32],
    weights: &mut [[f32; PANEL]],
    bias: &mut [f32],
) {
    tiled::weight_gradient(
        Tiling { wide: Exact(Avx2::new()), narrow: Exact(Avx2::new()), max_rows: 6 },
        op,
        input,
        grad_out,
        weights,
        bias,
    );
}

#[cfg(test)]
mod tests {
    mod fast {
        crate::gradient_tests!(super::super::gradients());
    }

    mod exact {
        crate::gradient_tests!(super::super::gradients_exact(), Bits);
    }
}
