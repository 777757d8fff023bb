//! Implementations for one instruction set each, and all `unsafe` of the crate.
//!
//! Each architecture has a module with `available`, which asks the CPU on behalf of `dispatch.rs`, and each
//! implementation is tested by the suite of `testing.rs`. An instruction set is added here, and nowhere else.
#![allow(unsafe_code)]

/// Both gradients by the driver of tiles, with vectors of `$lanes` values, in functions of an instruction set's own. Evaluated
/// only where it was established that the CPU has `$features`.
#[allow(unused_macros, reason = "a target may have no implementation")]
macro_rules! tiled_gradients {
    ($name:literal, $lanes:literal, $tiling:expr $(, $features:literal)?) => {{
        use $crate::{GradientKernels, PANEL, TapGemm, tiled};

        $(#[target_feature(enable = $features)])?
        fn to_input(op: &TapGemm<'_>, grad_out: &[f32], grad_in: &mut [f32]) {
            tiled::input_gradient::<_, _, $lanes>($tiling, op, grad_out, grad_in);
        }

        $(#[target_feature(enable = $features)])?
        fn to_weights(
            op: &TapGemm<'_>,
            input: &[f32],
            grad_out: &[f32],
            weights: &mut [[f32; PANEL]],
            bias: &mut [f32],
        ) {
            tiled::weight_gradient::<_, _, $lanes>($tiling, op, input, grad_out, weights, bias);
        }

        #[allow(unused_unsafe, reason = "without features both are safe")]
        GradientKernels {
            name: $name,
            // SAFETY: whoever evaluates the macro has established the features.
            input_gradient: |op, grad_out, grad_in| unsafe { to_input(op, grad_out, grad_in) },
            weight_gradient: |op, input, grad_out, weights, bias| {
                // SAFETY: as above.
                unsafe { to_weights(op, input, grad_out, weights, bias) }
            },
        }
    }};
}

/// Expanded operations with vectors of `$lanes` values, in functions of an instruction set's own. Evaluated only where it
/// was established that the CPU has `$features`.
#[allow(unused_macros, reason = "a target may have no implementation")]
macro_rules! winograd_kernels {
    ($name:literal, $lanes:literal, $tiling:expr $(, $features:literal)?) => {{
        use half::f16;
        use $crate::tiled::Activations;
        use $crate::{ExpansionKernels, Form, Sample, TapGemm, winograd};

        $(#[target_feature(enable = $features)])?
        fn run<A: Activations>(
            op: &TapGemm<'_>,
            expanded: &[f32],
            scratch: &mut [f32],
            samples: &mut [Sample<'_, A>],
        ) {
            winograd::run::<_, _, A, $lanes>($tiling, op, expanded, scratch, samples);
        }

        #[allow(unused_unsafe, reason = "without features it is safe")]
        fn tap_gemm<A: Activations>(
            form: &Form,
            op: &TapGemm<'_>,
            expanded: &[f32],
            samples: &mut [Sample<'_, A>],
        ) {
            let len = winograd::scratch_len(form, op, expanded, $lanes, samples);
            winograd::on_stack(len, &mut |scratch| {
                // SAFETY: whoever evaluates the macro has established the features.
                unsafe { run(op, expanded, scratch, samples) }
            });
        }

        ExpansionKernels {
            name: $name,
            form: |op| winograd::form(op, $lanes),
            gain: |op, samples, from| winograd::gain(op, samples, from, $lanes, 1.0),
            expand: |form, op, expanded| winograd::expand(form, op, $lanes, expanded),
            tap_gemm: tap_gemm::<f32>,
            tap_gemm_f16: tap_gemm::<f16>,
        }
    }};
}

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(arm_fpu)]
mod arm;
#[cfg(not(any(target_arch = "aarch64", target_arch = "wasm32", target_arch = "x86_64", arm_fpu)))]
mod other;
#[cfg(target_arch = "wasm32")]
mod wasm32;
#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(target_arch = "aarch64")]
use aarch64 as target;
#[cfg(arm_fpu)]
use arm as target;
#[cfg(not(any(target_arch = "aarch64", target_arch = "wasm32", target_arch = "x86_64", arm_fpu)))]
use other as target;
#[cfg(target_arch = "wasm32")]
use wasm32 as target;
#[cfg(target_arch = "x86_64")]
use x86_64 as target;

#[cfg(target_arch = "x86_64")]
pub(crate) use target::third_level_bytes;

/// Not known.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn third_level_bytes() -> Option<usize> {
    None
}

#[cfg(any(test, feature = "std"))]
pub(crate) use target::fma_loops;
pub(crate) use target::{COUNT, available, available_exact, expansions, gradients, gradients_exact};
