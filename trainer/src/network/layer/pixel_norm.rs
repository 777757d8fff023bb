//! Pixel normalization.

use anyhow::Result;
use burn::module::Module;
use burn::tensor::Tensor;
use pocketgan_compiler::graph::{self, Binary, Op, Reduction, Unary, Value};

use super::{Compute, Condition, Draft};

/// Each pixel divided by the root mean square of its channels.
///
/// # Source
/// Karras et al. 2018, "Progressive Growing of GANs", arXiv:1710.10196, section 4.2.
#[derive(Module, Debug)]
pub struct PixelNorm {
    epsilon: f64,
}

impl Default for PixelNorm {
    fn default() -> Self {
        Self { epsilon: 1e-8 }
    }
}

impl PixelNorm {
    fn root(&self, x: Tensor<4>) -> Tensor<4> {
        x.square().mean_dim(1).add_scalar(self.epsilon).sqrt()
    }
}

impl Compute for PixelNorm {
    fn forward(&self, x: Tensor<4>, _: &Condition) -> Tensor<4> {
        x.clone() / self.root(x)
    }

    fn tangent(&self, x: Tensor<4>, v: Tensor<4>, _: &Condition) -> [Tensor<4>; 2] {
        let root = self.root(x.clone());
        let y = x / root.clone();
        let along = (y.clone() * v.clone()).mean_dim(1);
        [y.clone(), (v - y * along) / root]
    }

    fn draft(&self, draft: &mut Draft<'_>, name: &str, x: Value) -> Result<Value> {
        let channels = draft.graph.shape(x)[1];
        let mut push = |part: &str, op, inputs| draft.graph.push(format!("{name}.{part}"), op, inputs);
        let mut constant = |part: &str, value| push(part, Op::Constant(graph::Tensor::scalar(value)), vec![]);
        let (share, epsilon) =
            (constant("share", 1.0 / channels as f32)?, constant("epsilon", self.epsilon as f32)?);
        let square = push("square", Op::Binary(Binary::Mul), vec![x, x])?;
        let sum = push("sum", Op::Reduce { reduction: Reduction::Sum, axes: vec![1] }, vec![square])?;
        let mean = push("mean", Op::Binary(Binary::Mul), vec![sum, share])?;
        let mean = push("above", Op::Binary(Binary::Add), vec![mean, epsilon])?;
        let root = push("root", Op::Unary(Unary::Sqrt), vec![mean])?;
        push("norm", Op::Binary(Binary::Div), vec![x, root])
    }
}
