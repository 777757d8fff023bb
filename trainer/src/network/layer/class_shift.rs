//! A class as a shift.

use anyhow::Result;
use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use pocketgan_compiler::graph::{Binary, Op, Value};

use super::{Compute, Condition, Draft};

/// Adds to each channel what the class says.
///
/// After a linear layer this is what a one-hot vector beside its input computes, without the products with zeros.
///
/// # Source
/// Mirza and Osindero 2014, "Conditional Generative Adversarial Nets", arXiv:1411.1784.
#[derive(Module, Debug)]
pub struct ClassShift {
    /// `[classes, C]`
    weight: Param<Tensor<2>>,
}

impl ClassShift {
    /// A layer whose weights await their values.
    pub fn new(channels: usize, classes: usize, device: &Device) -> Self {
        Self { weight: Param::from_tensor(Tensor::zeros([classes, channels], device)) }
    }
}

impl Compute for ClassShift {
    fn forward(&self, x: Tensor<4>, condition: &Condition) -> Tensor<4> {
        x + condition.of_class(&self.weight)
    }

    fn tangent(&self, x: Tensor<4>, v: Tensor<4>, condition: &Condition) -> [Tensor<4>; 2] {
        [self.forward(x, condition), v]
    }

    fn draft(&self, draft: &mut Draft<'_>, name: &str, x: Value) -> Result<Value> {
        let rank = draft.graph.shape(x).len();
        let shift = draft.of_class(name, &self.weight, rank)?;
        draft.graph.push(format!("{name}.shift"), Op::Binary(Binary::Add), vec![x, shift])
    }
}
