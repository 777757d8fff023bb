//! Weights in half precision, widened when a model is loaded: for CPUs without an instruction that does it.
//!
//! WebAssembly takes four multiply-adds' time to widen a weight, which is more than half of a dense layer. The sums are the
//! same, bit for bit.

use crate::expansion::Kind;
use crate::{Form, PANEL, Panels, Sample, Storage, TapGemm, f16_to_f32};

/// The form of an operation with weights in half precision.
pub(crate) fn form(op: &TapGemm<'_>) -> Option<Form> {
    let Panels::F16(rows) = op.weights else { return None };
    (!rows.is_empty()).then_some(Form { kind: Kind::Widened, len: rows.as_flattened().len() })
}

/// How much faster that form is: where each weight is used for a few positions only, and twice the bytes do not come from
/// memory, which would take as long as widening them.
pub(crate) fn gain(op: &TapGemm<'_>, samples: usize, from: Storage) -> f64 {
    let len = form(op).map_or(0, |form| form.len);
    if from != Storage::Memory && op.rows * op.cols * samples <= FEW { WIDENING * len as f64 } else { 0.0 }
}

/// Widens the operation's weights.
///
/// # Panics
/// When the form is not the operation's, or `expanded` has not its length.
pub(crate) fn expand(given: &Form, op: &TapGemm<'_>, expanded: &mut [f32]) {
    check(given, op, expanded);
    if let Panels::F16(rows) = op.weights {
        expanded.iter_mut().zip(rows.as_flattened()).for_each(|(wide, &half)| *wide = f16_to_f32(half));
    }
}

/// Runs the operation on widened weights by a kernel.
///
/// # Panics
/// See [`TapGemm::check`] and [`expand`].
pub(crate) fn run<A>(
    given: &Form,
    op: &TapGemm<'_>,
    expanded: &[f32],
    samples: &mut [Sample<'_, A>],
    kernel: fn(&TapGemm<'_>, &mut [Sample<'_, A>]),
) {
    check(given, op, expanded);
    kernel(&TapGemm { weights: Panels::F32(expanded.as_chunks::<PANEL>().0), ..*op }, samples);
}

fn check(given: &Form, op: &TapGemm<'_>, expanded: &[f32]) {
    assert!(form(op).as_ref() == Some(given), "another operation's form");
    assert!(expanded.len() == given.len, "expanded weights are {}, not {}", expanded.len(), given.len);
}

/// Multiply-adds in the time in which a weight is widened.
const WIDENING: f64 = 4.0;

/// Positions for which widening is a fifth of the work or more.
const FEW: usize = 16;

#[cfg(test)]
mod tests {
    use std::vec;
    use std::vec::Vec;

    use half::f16;

    use super::*;
    use crate::{Activation, Pixels, reference};

    #[test]
    fn widened_weights_give_the_same_bits() {
        let weights: Vec<[f16; PANEL]> = (0..3 * 5 * 2)
            .map(|row| core::array::from_fn(|lane| f16::from_f32((row * 8 + lane) as f32 / 97.0 - 1.0)))
            .collect();
        let pixels = |channels| Pixels { height: 1, width: 3, channels, pixel_stride: channels };
        let op = TapGemm {
            taps: &[[0, 0], [0, 1], [0, -1]],
            weights: Panels::F16(&weights),
            bias: &[0.25; 2 * PANEL],
            accumulate: false,
            activation: Activation::Tanh,
            input: pixels(5),
            output: pixels(11),
            rows: 1,
            cols: 3,
            in_step: [1, 1],
            out_step: [1, 1],
            out_offset: [0, 0],
        };
        let form = form(&op).expect("weights in half precision");
        let mut expanded = vec![f32::NAN; form.len()];
        expand(&form, &op, &mut expanded);
        let input: Vec<f32> = (0..15).map(|i| i as f32 / 7.0 - 1.0).collect();
        let (mut expected, mut output) = ([f32::NAN; 33], [f32::NAN; 33]);
        let kernel = reference::KERNELS.tap_gemm;
        kernel(&op, &mut [Sample { input: &input, output: &mut expected }]);
        run(&form, &op, &expanded, &mut [Sample { input: &input, output: &mut output }], kernel);
        assert_eq!(output, expected);

        let widened: Vec<[f32; PANEL]> = expanded.as_chunks().0.to_vec();
        assert_eq!(super::form(&TapGemm { weights: Panels::F32(&widened), ..op }), None);
        assert!(crate::testing::panics(&|| expand(&form, &op, &mut vec![0.0; form.len() - 1])));
    }
}
