//! Gradients with NEON.

use super::Neon;
use crate::exact::Exact;
use crate::tiled::{self, Tiling};
use crate::{GradientKernels, PANEL, TapGemm};

/// The gradients for every CPU of this architecture.
pub(crate) fn gradients() -> Option<GradientKernels> {
    Some(GradientKernels { name: "neon", input_gradient, weight_gradient })
}

/// The same CPUs, with the bits of the reference.
pub(crate) fn gradients_exact() -> Option<GradientKernels> {
    Some(GradientKernels {
        name: "neon-exact",
        input_gradient: exact_input_gradient,
        weight_gradient: exact_weight_gradient,
    })
}

fn input_gradient(op: &TapGemm<'_>, grad_out: &[f32], grad_in: &mut [f32]) {
    tiled::input_gradient(FAST, op, grad_out, grad_in);
}

fn weight_gradient(
    op: &TapGemm<'_>,
    input: &[f32],
    grad_out: &[f32],
    weights: &mut [[f32; PANEL]],
    bias: &mut [f32],
) {
    tiled::weight_gradient(FAST, op, input, grad_out, weights, bias);
}

fn exact_input_gradient(op: &TapGemm<'_>, grad_out: &[f32], grad_in: &mut [f32]) {
    tiled::input_gradient(EXACT, op, grad_out, grad_in);
}

fn exact_weight_gradient(
    op: &TapGemm<'_>,
    input: &[f32],
    grad_out: &[f32],
    weights: &mut [[f32; PANEL]],
    bias: &mut [f32],
) {
    tiled::weight_gradient(EXACT, op, input, grad_out, weights, bias);
}

const FAST: Tiling<Neon, Neon> = Tiling { wide: Neon, narrow: Neon, max_rows: 4 };

const EXACT: Tiling<Exact<Neon>, Exact<Neon>> =
    Tiling { wide: Exact(Neon), narrow: Exact(Neon), max_rows: 4 };

#[cfg(test)]
mod tests {
    mod fast {
        crate::gradient_tests!(super::super::gradients());
    }

    mod exact {
        crate::gradient_tests!(super::super::gradients_exact(), Bits);
    }
}
