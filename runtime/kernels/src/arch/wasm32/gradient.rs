//! Gradients with 128-bit vectors.

use super::lanes::Lanes;
use crate::exact::Exact;
use crate::tiled::{self, Tiling};
use crate::{GradientKernels, PANEL, TapGemm};

/// What this module was compiled for, the fastest last.
pub(crate) fn gradients() -> [Option<GradientKernels>; super::COUNT] {
    [
        cfg!(target_feature = "simd128").then_some(GradientKernels {
            name: "simd128",
            input_gradient: input_gradient::<false>,
            weight_gradient: weight_gradient::<false>,
        }),
        cfg!(target_feature = "relaxed-simd").then_some(GradientKernels {
            name: "relaxed-simd",
            input_gradient: input_gradient::<true>,
            weight_gradient: weight_gradient::<true>,
        }),
    ]
}

/// The same, with the bits of the reference.
pub(crate) fn gradients_exact() -> [Option<GradientKernels>; super::COUNT] {
    let exact = GradientKernels {
        name: "simd128-exact",
        input_gradient: exact_input_gradient,
        weight_gradient: exact_weight_gradient,
    };
    [cfg!(target_feature = "simd128").then_some(exact), None]
}

fn tiling<const RELAXED: bool>() -> Tiling<Lanes<RELAXED>, Lanes<RELAXED>> {
    let lanes = Lanes::new();
    Tiling { wide: lanes, narrow: lanes, max_rows: 4 }
}

fn exact_tiling() -> Tiling<Exact<Lanes<false>>, Exact<Lanes<false>>> {
    let lanes = Exact(Lanes::new());
    Tiling { wide: lanes, narrow: lanes, max_rows: 4 }
}

fn input_gradient<const RELAXED: bool>(op: &TapGemm<'_>, grad_out: &[f32], grad_in: &mut [f32]) {
    tiled::input_gradient::<_, _, 4>(tiling::<RELAXED>(), op, grad_out, grad_in);
}

fn weight_gradient<const RELAXED: bool>(
    op: &TapGemm<'_>,
    input: &[f32],
    grad_out: &[f32],
    weights: &mut [[f32; PANEL]],
    bias: &mut [f32],
) {
    tiled::weight_gradient::<_, _, 4>(tiling::<RELAXED>(), op, input, grad_out, weights, bias);
}

fn exact_input_gradient(op: &TapGemm<'_>, grad_out: &[f32], grad_in: &mut [f32]) {
    tiled::input_gradient::<_, _, 4>(exact_tiling(), op, grad_out, grad_in);
}

fn exact_weight_gradient(
    op: &TapGemm<'_>,
    input: &[f32],
    grad_out: &[f32],
    weights: &mut [[f32; PANEL]],
    bias: &mut [f32],
) {
    tiled::weight_gradient::<_, _, 4>(exact_tiling(), op, input, grad_out, weights, bias);
}
