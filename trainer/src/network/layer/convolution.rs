//! Convolutions and transposed convolutions with square kernels.

mod processor;

use anyhow::Result;
use burn::module::{Module, Param};
use burn::tensor::module::{conv_transpose2d, conv2d};
use burn::tensor::ops::{ConvOptions, ConvTransposeOptions};
use burn::tensor::{Device, Tensor};
use pocketgan_compiler::graph::{self, Conv2dGeometry, Op, Value};

use super::{Compute, Condition, Draft, bias};
use crate::device::is_processor;
use crate::network::graph_tensor;
use crate::regularizer::SpectralNorm;

/// A convolution, with as many zeros on all sides.
#[derive(Module, Debug)]
pub struct Convolution {
    /// `[out, in, k, k]`
    pub(crate) weight: Param<Tensor<4>>,
    /// `[out]`
    pub(crate) bias: Option<Param<Tensor<1>>>,
    stride: usize,
    padding: usize,
    pub(super) spectrum: Option<SpectralNorm>,
}

/// A transposed convolution.
#[derive(Module, Debug)]
pub struct TransposedConvolution {
    /// `[in, out, k, k]`
    pub(crate) weight: Param<Tensor<4>>,
    /// `[out]`
    pub(crate) bias: Option<Param<Tensor<1>>>,
    stride: usize,
    padding: usize,
    output_padding: usize,
    pub(super) spectrum: Option<SpectralNorm>,
}

/// What the layers below share.
macro_rules! weighted {
    ($layer:ident) => {
        impl $layer {
            /// Without a bias, as before a normalization that would take it away, or with one.
            pub fn with_bias(mut self, bias: bool) -> Self {
                if !bias {
                    self.bias = None;
                }
                self
            }

            /// With its weight divided by the largest singular value, or not.
            pub fn spectral(mut self, spectral: bool) -> Self {
                self.spectrum = spectral.then(|| SpectralNorm::new(&self.weight.val()));
                self
            }

            fn effective_weight(&self) -> Tensor<4> {
                let weight = self.weight.val();
                match &self.spectrum {
                    Some(norm) => norm.normalized(weight),
                    None => weight,
                }
            }

            pub(super) fn iterated(mut self) -> Self {
                let weight = self.weight.val();
                self.spectrum = self.spectrum.map(|norm| norm.iterated(weight));
                self
            }
        }

        impl Compute for $layer {
            fn forward(&self, x: Tensor<4>, condition: &Condition) -> Tensor<4> {
                let y = self.linear(x, condition);
                match &self.bias {
                    Some(bias) => bias::add(y, bias.val()),
                    None => y,
                }
            }

            fn tangent(&self, x: Tensor<4>, v: Tensor<4>, condition: &Condition) -> [Tensor<4>; 2] {
                [self.forward(x, condition), self.linear(v, condition)]
            }

            fn draft(&self, draft: &mut Draft<'_>, name: &str, x: Value) -> Result<Value> {
                let weight = graph_tensor(self.effective_weight());
                let bias = self.bias.as_ref().map(|bias| graph_tensor(bias.val()));
                let op = self.op(weight, bias);
                draft.graph.push(format!("{name}.conv"), op, vec![x])
            }
        }
    };
}

weighted!(Convolution);
weighted!(TransposedConvolution);

impl Convolution {
    /// A layer whose weights await their values.
    pub fn new(
        [inputs, outputs]: [usize; 2],
        kernel: usize,
        stride: usize,
        padding: usize,
        device: &Device,
    ) -> Self {
        Self {
            weight: Param::from_tensor(Tensor::zeros([outputs, inputs, kernel, kernel], device)),
            bias: Some(Param::from_tensor(Tensor::zeros([outputs], device))),
            stride,
            padding,
            spectrum: None,
        }
    }

    /// Without the bias.
    fn linear(&self, x: Tensor<4>, condition: &Condition) -> Tensor<4> {
        condition.precision.product(x, self.effective_weight(), |x, weight| {
            if is_processor(&x.device()) {
                return processor::convolution(x, weight, self.stride, self.padding);
            }
            let options = ConvOptions::new([self.stride; 2], [self.padding; 2], [1; 2], 1);
            conv2d(x, weight, None, options)
        })
    }

    fn op(&self, weight: graph::Tensor, bias: Option<graph::Tensor>) -> Op {
        let geometry = Conv2dGeometry::square(weight.shape[2], self.stride, self.padding);
        Op::Conv2d { weight, bias, geometry }
    }
}

impl TransposedConvolution {
    /// A layer whose weights await their values. A picture of `h` rows becomes one of
    /// `(h - 1) stride - 2 padding + kernel + output_padding`.
    pub fn new(
        [inputs, outputs]: [usize; 2],
        kernel: usize,
        stride: usize,
        padding: usize,
        output_padding: usize,
        device: &Device,
    ) -> Self {
        Self {
            weight: Param::from_tensor(Tensor::zeros([inputs, outputs, kernel, kernel], device)),
            bias: Some(Param::from_tensor(Tensor::zeros([outputs], device))),
            stride,
            padding,
            output_padding,
            spectrum: None,
        }
    }

    /// Without the bias.
    fn linear(&self, x: Tensor<4>, condition: &Condition) -> Tensor<4> {
        condition.precision.product(x, self.effective_weight(), |x, weight| {
            if is_processor(&x.device()) {
                return processor::transposed(x, weight, self.stride, self.padding, self.output_padding);
            }
            let output_padding = [self.output_padding; 2];
            let options =
                ConvTransposeOptions::new([self.stride; 2], [self.padding; 2], output_padding, [1; 2], 1);
            conv_transpose2d(x, weight, None, options)
        })
    }

    fn op(&self, weight: graph::Tensor, bias: Option<graph::Tensor>) -> Op {
        let square = Conv2dGeometry::square(weight.shape[2], self.stride, self.padding);
        let geometry = Conv2dGeometry { output_padding: [self.output_padding; 2], ..square };
        Op::ConvTranspose2d { weight, bias, geometry }
    }
}
