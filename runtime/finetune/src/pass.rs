//! A picture through the layers of a network, and a gradient back.

use pocketgan_format::PANEL;
use pocketgan_kernels::{Activation, GradientKernels, Panels, Sample, TapGemm, activation_gradient};
use pocketgan_runtime::Kernels;

use crate::chain::Layer;
use crate::slots::Kind;
use crate::task::Network;

/// A network with the values that it has now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pass<'p> {
    pub(crate) network: &'p Network<'p>,
    pub(crate) values: &'p [f32],
    pub(crate) kernels: Kernels,
    pub(crate) gradients: GradientKernels,
}

/// A step of a layer with the values that it has now.
struct Operation<'p> {
    gemm: TapGemm<'p>,
    weights: u32,
    bias: u32,
    /// Of each channel, if they move; applied after the bias and before the activation.
    factors: Option<&'p [f32]>,
}

impl<'p> Pass<'p> {
    /// Runs all layers. `written` is given what each writes, one after the other.
    pub(crate) fn forward(&self, input: &[f32], written: &mut [f32]) {
        let mut rest = written;
        let mut below = input;
        for layer in self.network.chain.layers() {
            let (output, behind) = rest.split_at_mut(layer.output_len);
            for Operation { mut gemm, factors, .. } in self.operations(layer) {
                let activation = gemm.activation;
                if factors.is_some() {
                    gemm.activation = Activation::Identity;
                }
                (self.kernels.tap_gemm)(&gemm, &mut [Sample { input: below, output: &mut *output }]);
                if let Some(factors) = factors {
                    for_each_pixel(&gemm, |start| {
                        let pixel = &mut output[start..start + gemm.output.channels];
                        pixel.iter_mut().zip(factors).for_each(|(value, factor)| *value *= factor);
                        activation.apply_all(pixel);
                    });
                }
            }
            (below, rest) = (output, behind);
        }
    }

    /// Takes the gradient with respect to what the last layer wrote, in `down[from]`, back to layer `lowest`, and, where
    /// `through` says so, to what that reads. Gradients of what moves are added to `gradients`, if there are any. Returns which
    /// of `down` the last gradient lies in.
    pub(crate) fn backward(
        &self,
        [input, written]: [&[f32]; 2],
        down: &mut [&mut [f32]; 2],
        mut from: usize,
        mut gradients: Option<&mut [f32]>,
        [lowest, through]: [usize; 2],
    ) -> usize {
        let layers = self.network.chain.layers();
        let mut end = written.len();
        for (index, layer) in layers.iter().enumerate().rev() {
            if index < lowest {
                break;
            }
            let start = end - layer.output_len;
            let output = &written[start..end];
            let below = if index == 0 { input } else { &written[start - layer.input_len..start] };
            let [even, odd] = &mut *down;
            let (above, next) = if from == 0 { (even, odd) } else { (odd, even) };
            let above = &mut above[..layer.output_len];
            activation_gradient(self.network.chain.activation(layer), output, above);
            if let Some(gradients) = gradients.as_deref_mut() {
                self.parameters(layer, [below, output], above, gradients);
            }
            self.operations(layer).for_each(|operation| operation.unscale(above));
            if index > lowest || through > 0 {
                let next = &mut next[..layer.input_len];
                next.fill(0.0);
                for operation in self.operations(layer) {
                    (self.gradients.input_gradient)(&operation.gemm, above, next);
                }
                from = 1 - from;
            }
            end = start;
        }
        from
    }

    /// Adds the gradients of what moves in a layer, from that before its activation.
    fn parameters(&self, layer: &Layer, [below, output]: [&[f32]; 2], above: &[f32], gradients: &mut [f32]) {
        let slots = &self.network.slots;
        for Operation { gemm, weights, bias, factors } in self.operations(layer) {
            let Some(bias_range) = slots.find(bias, Kind::Bias) else { continue };
            if let (Some(factors), Some(range)) = (factors, slots.find(bias, Kind::Factor)) {
                let n = gemm.output.channels;
                for_each_pixel(&gemm, |start| {
                    for channel in 0..n {
                        let (gradient, factor) = (above[start + channel], factors[channel]);
                        let scaled = before(gemm.activation, output[start + channel]);
                        gradients[bias_range.start + channel] += gradient * factor;
                        if gradient != 0.0 && factor != 0.0 {
                            gradients[range.start + channel] += gradient * (scaled / factor);
                        }
                    }
                });
            } else if let Some(range) = slots.find(weights, Kind::Weights)
                && let Ok([weights, bias]) = gradients.get_disjoint_mut([range, bias_range])
            {
                let weights = weights.as_chunks_mut::<PANEL>().0;
                (self.gradients.weight_gradient)(&gemm, below, above, weights, bias);
            }
        }
    }

    /// The steps of a layer.
    fn operations(&self, layer: &Layer) -> impl Iterator<Item = Operation<'p>> {
        let (network, values) = (self.network, self.values);
        network.chain.operations(layer).map(move |(step, gemm)| {
            let mut gemm: TapGemm<'p> = gemm;
            let find = |tensor, kind| network.slots.find(tensor, kind).map(|range| &values[range]);
            if let Some(rows) = find(step.weights, Kind::Weights) {
                gemm.weights = Panels::F32(rows.as_chunks().0);
            }
            if let Some(bias) = find(step.bias, Kind::Bias) {
                gemm.bias = bias;
            }
            let factors = find(step.bias, Kind::Factor);
            Operation { gemm, weights: step.weights, bias: step.bias, factors }
        })
    }
}

impl Operation<'_> {
    /// Turns the gradient after the factors into that before them.
    fn unscale(&self, gradient: &mut [f32]) {
        let Some(factors) = self.factors else { return };
        for_each_pixel(&self.gemm, |start| {
            let pixel = &mut gradient[start..start + self.gemm.output.channels];
            pixel.iter_mut().zip(factors).for_each(|(value, factor)| *value *= factor);
        });
    }
}

/// Passes on where each pixel that an operation writes starts.
fn for_each_pixel(gemm: &TapGemm<'_>, mut each: impl FnMut(usize)) {
    for row in 0..gemm.rows {
        (0..gemm.cols).for_each(|col| each(gemm.output_start(row, col)));
    }
}

/// What an activation was given to give `output`: any such value where there are several, since none of them has a gradient.
fn before(activation: Activation, output: f32) -> f32 {
    match activation {
        Activation::Identity | Activation::Relu => output,
        Activation::LeakyRelu(slope) => {
            if output < 0.0 {
                output / slope
            } else {
                output
            }
        }
        Activation::Tanh => libm::atanhf(output.clamp(-SATURATED, SATURATED)),
        Activation::Sigmoid => {
            let output = output.clamp(1.0 - SATURATED, SATURATED);
            libm::logf(output / (1.0 - output))
        }
    }
}

/// The greatest `f32` below 1.
const SATURATED: f32 = 1.0 - f32::EPSILON / 2.0;
