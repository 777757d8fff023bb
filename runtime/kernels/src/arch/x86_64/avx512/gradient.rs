//! Gradients with AVX-512F.

use super::super::avx2::Avx2;
use super::{Avx512, avx512};
use crate::exact::Exact;
use crate::tiled::{self, Tiling};
use crate::{GradientKernels, InputGradientFn, PANEL, TapGemm, WeightGradientFn};

/// The gradients for CPUs with AVX-512F and VL.
pub(crate) fn gradients() -> Option<GradientKernels> {
    avx512()?;
    // SAFETY: the implementation is there, so its features are.
    let input_gradient: InputGradientFn = |op, grad_out, grad_in| unsafe { to_input(op, grad_out, grad_in) };
    let weight_gradient: WeightGradientFn = |op, input, grad_out, weights, bias| {
        // SAFETY: as above.
        unsafe { to_weights(op, input, grad_out, weights, bias) }
    };
    Some(GradientKernels { name: "avx512", input_gradient, weight_gradient })
}

/// The same CPUs, with the bits of the reference.
pub(crate) fn gradients_exact() -> Option<GradientKernels> {
    avx512()?;
    // SAFETY: the implementation is there, so its features are.
    let input_gradient: InputGradientFn =
        |op, grad_out, grad_in| unsafe { exact_to_input(op, grad_out, grad_in) };
    let weight_gradient: WeightGradientFn = |op, input, grad_out, weights, bias| {
        // SAFETY: as above.
        unsafe { exact_to_weights(op, input, grad_out, weights, bias) }
    };
    Some(GradientKernels { name: "avx512-exact", input_gradient, weight_gradient })
}

#[target_feature(enable = "avx512f,avx512vl,avx2,fma,f16c")]
fn to_input(op: &TapGemm<'_>, grad_out: &[f32], grad_in: &mut [f32]) {
    tiled::input_gradient(
        Tiling { wide: Avx512::new(), narrow: Avx2::new(), max_rows: 8 },
        op,
        grad_out,
        grad_in,
    );
}

#[target_feature(enable = "avx512f,avx512vl,avx2,fma,f16c")]
fn to_weights(
    op: &TapGemm<'_>,
    input: &[f32],
    grad_out: &[f32],
    weights: &mut [[f32; PANEL]],
    bias: &mut [f32],
) {
    tiled::weight_gradient(
        Tiling { wide: Avx512::new(), narrow: Avx2::new(), max_rows: 8 },
        op,
        input,
        grad_out,
        weights,
        bias,
    );
}

#[target_feature(enable = "avx512f,avx512vl,avx2,fma,f16c")]
fn exact_to_input(op: &TapGemm<'_>, grad_out: &[f32], grad_in: &mut [f32]) {
    tiled::input_gradient(
        Tiling { wide: Exact(Avx512::new()), narrow: Exact(Avx2::new()), max_rows: 8 },
        op,
        grad_out,
        grad_in,
    );
}

#[target_feature(enable = "avx512f,avx512vl,avx2,fma,f16c")]
fn exact_to_weights(
    op: &TapGemm<'_>,
    input: &[f32],
    grad_out: &[f32],
    weights: &mut [[f32; PANEL]],
    bias: &mut [f32],
) {
    tiled::weight_gradient(
        Tiling { wide: Exact(Avx512::new()), narrow: Exact(Avx2::new()), max_rows: 8 },
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
