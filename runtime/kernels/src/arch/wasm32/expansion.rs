//! Expanded operations with 128-bit vectors: transformed weights, and widened ones where there is no transform.

use super::lanes::Lanes;
use super::{COUNT, tiles};
use crate::expansion::Kind;
use crate::tiled::{Activations, Tiling};
use crate::{ExpansionKernels, Form, Sample, TapGemm, widened, winograd};

/// What this module was compiled for, in the order of its kernels.
pub(crate) fn expansions() -> [Option<ExpansionKernels>; COUNT] {
    // Where the others are, nothing but the tests uses these, which the linker cannot know: they are chosen by name.
    let alone = cfg!(any(not(target_feature = "relaxed-simd"), feature = "testing"));
    [
        (alone && cfg!(target_feature = "simd128")).then_some(kernels::<false>("simd128")),
        cfg!(target_feature = "relaxed-simd").then_some(kernels::<true>("relaxed-simd")),
    ]
}

const fn kernels<const RELAXED: bool>(name: &'static str) -> ExpansionKernels {
    ExpansionKernels {
        name,
        form: |op| winograd::form(op, LANES).or_else(|| widened::form(op)),
        gain: |op, samples, from| match winograd::form(op, LANES) {
            Some(_) => winograd::gain(op, samples, from, LANES, 1.0),
            None => widened::gain(op, samples, from),
        },
        expand: |form, op, expanded| match form.kind {
            Kind::Winograd { .. } => winograd::expand(form, op, LANES, expanded),
            Kind::Widened => widened::expand(form, op, expanded),
        },
        tap_gemm: tap_gemm::<f32, RELAXED>,
        tap_gemm_f16: tap_gemm::<half::f16, RELAXED>,
    }
}

fn tap_gemm<A: Activations, const RELAXED: bool>(
    form: &Form,
    op: &TapGemm<'_>,
    expanded: &[f32],
    samples: &mut [Sample<'_, A>],
) {
    match form.kind {
        Kind::Winograd { .. } => {
            let lanes = Lanes::<RELAXED>::new();
            let tiling = Tiling { wide: lanes, narrow: lanes, max_rows: 4 };
            let len = winograd::scratch_len(form, op, expanded, LANES, samples);
            winograd::on_stack(len, &mut |scratch| {
                winograd::run::<_, _, A, LANES>(tiling, op, expanded, scratch, samples);
            });
        }
        Kind::Widened => widened::run(form, op, expanded, samples, tiles::<A, RELAXED>),
    }
}

/// Values of a vector.
const LANES: usize = 4;
