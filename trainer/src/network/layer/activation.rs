//! Functions of each value.

mod processor;
#[cfg(test)]
mod tests;

use anyhow::Result;
use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::activation::{leaky_relu, relu, tanh};
use pocketgan_compiler::graph::{Op, Unary, Value};

use super::{Compute, Condition, Draft};
use crate::device::is_processor;

/// A function of each value.
#[derive(Module, Debug)]
pub struct Activation {
    #[module(skip)]
    function: Function,
}

/// Which function.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Function {
    /// `max(x, 0)`
    Relu,
    /// `x` where positive, else `slope * x`
    LeakyRelu(f64),
    /// Hyperbolic tangent.
    Tanh,
}

impl Activation {
    /// The layer of a function.
    pub fn new(function: Function) -> Self {
        Self { function }
    }
}

/// 1 where positive, else 0; a constant.
fn positive(x: Tensor<4>) -> Tensor<4> {
    x.detach().greater_scalar(0.0).float()
}

impl Compute for Activation {
    fn forward(&self, x: Tensor<4>, _: &Condition) -> Tensor<4> {
        match self.function {
            function if is_processor(&x.device()) => processor::activate(x, function),
            Function::Relu => relu(x),
            Function::LeakyRelu(slope) => leaky_relu(x, slope),
            Function::Tanh => tanh(x),
        }
    }

    fn tangent(&self, x: Tensor<4>, v: Tensor<4>, condition: &Condition) -> [Tensor<4>; 2] {
        let y = self.forward(x.clone(), condition);
        let slopes = match self.function {
            Function::Relu => positive(x),
            Function::LeakyRelu(slope) => positive(x).mul_scalar(1.0 - slope).add_scalar(slope),
            Function::Tanh => y.clone().square().neg().add_scalar(1.0),
        };
        [y, v * slopes]
    }

    fn beside(&self, kinks: &Self, x: Tensor<4>, at: Tensor<4>, condition: &Condition) -> [Tensor<4>; 2] {
        let y = match self.function {
            Function::Relu => x * positive(at.clone()),
            Function::LeakyRelu(slope) => x * positive(at.clone()).mul_scalar(1.0 - slope).add_scalar(slope),
            Function::Tanh => tanh(x),
        };
        [y, kinks.forward(at, condition)]
    }

    fn draft(&self, draft: &mut Draft<'_>, name: &str, x: Value) -> Result<Value> {
        let (kind, unary) = match self.function {
            Function::Relu => ("relu", Unary::Relu),
            Function::LeakyRelu(slope) => ("leaky", Unary::LeakyRelu(slope as f32)),
            Function::Tanh => ("tanh", Unary::Tanh),
        };
        draft.graph.push(format!("{name}.{kind}"), Op::Unary(unary), vec![x])
    }
}
