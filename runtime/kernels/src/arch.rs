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

#[cfg(any(test, feature = "std"))]
pub(crate) use target::fma_loops;
pub(crate) use target::{COUNT, available, available_exact, gradients, gradients_exact};
