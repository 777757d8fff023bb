//! The backward pass of a tap GEMM: what learning on the device needs of the kernels.
//!
//! In: an operation as the forward pass runs it, and the gradient of a loss with respect to what it wrote. Out: that gradient
//! with respect to what it read, to its weights and to its bias, *added* to what is there. Firmware that does not name these
//! links none of it.

use crate::{Activation, PANEL, TapGemm};

/// One implementation of both gradients.
#[derive(Clone, Copy, Debug)]
pub struct GradientKernels {
    /// The instruction set, e.g. `avx2`.
    pub name: &'static str,
    /// With respect to what is read.
    pub input_gradient: InputGradientFn,
    /// With respect to weights and bias.
    pub weight_gradient: WeightGradientFn,
}

/// Adds the gradient with respect to what an operation reads: `sum over n of grad_out[p, n] * w[t, c, n]` to the pixel that
/// tap `t` reads for position `p`. A tap outside the input adds nothing; neither bias nor activation has a part in it.
///
/// # Shapes
/// `grad_out`: as `op.output`, of which only the pixels of positions are read; `grad_in`: as `op.input`. `grad_out` is the
/// gradient before the activation, see [`activation_gradient`].
///
/// # Panics
/// See [`TapGemm::check`], with the lengths of `grad_in` and `grad_out`.
pub type InputGradientFn = fn(op: &TapGemm<'_>, grad_out: &[f32], grad_in: &mut [f32]);

/// Adds the gradient with respect to weights, `sum over positions p of in[p * in_step + tap[t], c] * grad_out[p, n]`, and to
/// the bias, `sum over positions p of grad_out[p, n]`. The operation's own weights are not read; padding is not written.
///
/// # Shapes
/// `input`: as `op.input`; `grad_out`: as `op.output`, before the activation; `grad_weights`: a row for each of the
/// operation's; `grad_bias`: as `op.bias`.
///
/// # Panics
/// See [`TapGemm::check`], with the lengths of `input` and `grad_out`, and [`TapGemm::check_gradients`].
pub type WeightGradientFn = fn(
    op: &TapGemm<'_>,
    input: &[f32],
    grad_out: &[f32],
    grad_weights: &mut [[f32; PANEL]],
    grad_bias: &mut [f32],
);

/// Turns the gradient after an activation into that before it, from the *output* value of the activation, so that nothing
/// else need be kept: relu passes what gave more than zero, leaky relu scales what gave less by its slope, which must be
/// positive for this.
///
/// # Panics
/// When `output` and `grad` differ in length.
pub fn activation_gradient(activation: Activation, output: &[f32], grad: &mut [f32]) {
    assert_eq!(output.len(), grad.len(), "a gradient for each output");
    let pairs = grad.iter_mut().zip(output);
    match activation {
        Activation::Identity => {}
        Activation::Relu => pairs.for_each(|(g, &y)| *g = if y > 0.0 { *g } else { 0.0 }),
        Activation::LeakyRelu(slope) => pairs.for_each(|(g, &y)| *g *= if y < 0.0 { slope } else { 1.0 }),
        Activation::Tanh => pairs.for_each(|(g, &y)| *g *= 1.0 - y * y),
        Activation::Sigmoid => pairs.for_each(|(g, &y)| *g *= y * (1.0 - y)),
    }
}

impl TapGemm<'_> {
    /// Checks the lengths of the gradients of weights, in rows, and bias.
    ///
    /// # Panics
    /// When they are not those of the operation's weights and bias.
    pub fn check_gradients(&self, weights: usize, bias: usize) {
        let rows = self.bias.len() / PANEL * self.taps.len() * self.input.channels;
        assert!(weights == rows, "gradients of weights have {weights} rows, not {rows}");
        assert!(bias == self.bias.len(), "gradients of bias are {bias}, not {}", self.bias.len());
    }

    /// Whether a tap reads a pixel for several positions.
    pub(crate) fn shares_pixels(&self) -> bool {
        self.rows > 1 && self.in_step[0] == 0 || self.cols > 1 && self.in_step[1] == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The derivative of each activation, by central differences of its definition in double precision.
    #[test]
    fn activations_have_their_derivatives() {
        type Exact = fn(f64) -> f64;
        let cases: [(Activation, Exact, f64); 5] = [
            (Activation::Identity, |x| x, 0.0),
            (Activation::Relu, |x| x.max(0.0), 0.0),
            (Activation::LeakyRelu(0.25), |x| if x > 0.0 { x } else { 0.25 * x }, 0.0),
            // The largest third derivatives: 2 of tanh, 1/8 of the logistic function.
            (Activation::Tanh, f64::tanh, 2.0),
            (Activation::Sigmoid, |x| 1.0 / (1.0 + (-x).exp()), 0.125),
        ];
        let h = 1e-4;
        for (activation, exact, third) in cases {
            for i in -4000..=4000 {
                // No multiple of h: differences do not straddle the kink at zero.
                let x = (f64::from(i) + 0.5) / 500.0;
                let mut grad = [3.0];
                activation_gradient(activation, &[activation.apply(x as f32)], &mut grad);
                let difference = 3.0 * (exact(x + h) - exact(x - h)) / (2.0 * h);
                // h^2/6 of the third derivative; rounding of the difference; and of `f32`: the output is off by 1e-7 and by
                // an epsilon for that of `x`, which the derivative scales by at most 2, and a few roundings follow.
                let atol = 3.0 * (h * h / 6.0 * third + 1e-11 + 2.0 * 2e-7 + 8.0 * f64::from(f32::EPSILON));
                assert!((f64::from(grad[0]) - difference).abs() <= atol, "{activation:?} at {x}");
            }
        }
        for (activation, expected) in
            [(Activation::Relu, 0.0), (Activation::LeakyRelu(0.5), 2.0), (Activation::Identity, 2.0)]
        {
            let mut grad = [2.0];
            activation_gradient(activation, &[0.0], &mut grad);
            assert_eq!(grad, [expected], "{activation:?} at zero");
        }
    }
}
