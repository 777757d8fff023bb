//! Dense layers.

use anyhow::Result;
use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use pocketgan_compiler::graph::{Op, Value};

use super::{Compute, Condition, Draft, bias};
use crate::network::graph_tensor;
use crate::regularizer::SpectralNorm;

/// `y = x W + b` of all values of an image: `[N, C, H, W]` to `[N, out, 1, 1]`.
#[derive(Module, Debug)]
pub struct Dense {
    /// `[in, out]`
    pub(crate) weight: Param<Tensor<2>>,
    /// `[out]`
    pub(crate) bias: Option<Param<Tensor<1>>>,
    pub(super) spectrum: Option<SpectralNorm>,
}

impl Dense {
    /// A layer whose weights await their values.
    pub fn new([inputs, outputs]: [usize; 2], device: &Device) -> Self {
        Self {
            weight: Param::from_tensor(Tensor::zeros([inputs, outputs], device)),
            bias: Some(Param::from_tensor(Tensor::zeros([outputs], device))),
            spectrum: None,
        }
    }

    /// Without a bias, as before a normalization that would take it away.
    pub fn without_bias(mut self) -> Self {
        self.bias = None;
        self
    }

    /// With its weight divided by the largest singular value, or not.
    pub fn spectral(mut self, spectral: bool) -> Self {
        self.spectrum = spectral.then(|| SpectralNorm::new(&self.weight.val()));
        self
    }

    /// What it multiplies by.
    fn effective_weight(&self) -> Tensor<2> {
        let weight = self.weight.val();
        match &self.spectrum {
            Some(norm) => norm.normalized(weight),
            None => weight,
        }
    }

    /// The result as a matrix.
    ///
    /// # Shapes
    /// `x`: `[N, in]`; result: `[N, out]`.
    pub(crate) fn matrix(&self, x: Tensor<2>, condition: &Condition) -> Tensor<2> {
        let y = self.linear(x, condition);
        match &self.bias {
            Some(bias) => bias::add(y, bias.val()),
            None => y,
        }
    }

    /// The same without the bias: how the result changes when `x` moves along what is given for it.
    pub(crate) fn linear(&self, x: Tensor<2>, condition: &Condition) -> Tensor<2> {
        condition.precision.product(x, self.effective_weight(), Tensor::matmul)
    }

    pub(crate) fn iterated(mut self) -> Self {
        let weight = self.weight.val();
        self.spectrum = self.spectrum.map(|norm| norm.iterated(weight));
        self
    }
}

/// `[N, C, H, W]` to `[N, C H W]`.
pub(crate) fn flat(x: Tensor<4>) -> Tensor<2> {
    x.flatten(1, 3)
}

/// `[N, F]` to `[N, F, 1, 1]`.
pub(crate) fn vector(x: Tensor<2>) -> Tensor<4> {
    let [n, features] = x.dims();
    x.reshape([n, features, 1, 1])
}

impl Compute for Dense {
    fn forward(&self, x: Tensor<4>, condition: &Condition) -> Tensor<4> {
        vector(self.matrix(flat(x), condition))
    }

    fn tangent(&self, x: Tensor<4>, v: Tensor<4>, condition: &Condition) -> [Tensor<4>; 2] {
        [self.forward(x, condition), vector(self.linear(flat(v), condition))]
    }

    fn draft(&self, draft: &mut Draft<'_>, name: &str, x: Value) -> Result<Value> {
        let weight = graph_tensor(self.effective_weight().transpose());
        let bias = self.bias.as_ref().map(|bias| graph_tensor(bias.val()));
        let features = draft.graph.shape(x).iter().product();
        let x = if draft.graph.shape(x) == [1, features] {
            x
        } else {
            draft.graph.push(format!("{name}.flatten"), Op::Reshape(vec![1, features]), vec![x])?
        };
        draft.graph.push(format!("{name}.dense"), Op::Dense { weight, bias }, vec![x])
    }
}
