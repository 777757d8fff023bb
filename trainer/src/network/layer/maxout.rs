//! Maxout: the largest of a few linear functions.

mod processor;

use anyhow::Result;
use burn::module::Module;
use burn::tensor::{Device, Tensor};
use pocketgan_compiler::graph::{Op, Reduction, Value};

use super::dense::{flat, vector};
use super::{Compute, Condition, Dense, Draft};
use crate::device::is_processor;

/// Linear functions of which an output is the largest, as in PacGAN's networks.
const PIECES: usize = 5;

/// `[N, C, H, W]` to `[N, out, 1, 1]`: each value is the largest of five linear functions of all inputs.
///
/// # Source
/// Goodfellow et al. 2013, "Maxout Networks", arXiv:1302.4389.
#[derive(Module, Debug)]
pub struct Maxout {
    /// To five times as many values, the pieces of an output side by side.
    pub(crate) dense: Dense,
}

impl Maxout {
    /// A layer whose weights await their values.
    pub fn new([inputs, outputs]: [usize; 2], spectral: bool, device: &Device) -> Self {
        Self { dense: Dense::new([inputs, outputs * PIECES], device).spectral(spectral) }
    }

    pub(crate) fn outputs(&self) -> usize {
        self.dense.weight.dims()[1] / PIECES
    }

    pub(super) fn iterated(self) -> Self {
        Self { dense: self.dense.iterated() }
    }
}

/// `[N, out * PIECES]` to `[N, out, PIECES]`.
fn pieces(x: Tensor<2>) -> Tensor<3> {
    let [n, values] = x.dims();
    x.reshape([n, values / PIECES, PIECES])
}

impl Compute for Maxout {
    fn forward(&self, x: Tensor<4>, condition: &Condition) -> Tensor<4> {
        let x = self.dense.matrix(flat(x), condition);
        vector(if is_processor(&x.device()) {
            processor::largest(x)
        } else {
            pieces(x).max_dim(2).squeeze_dim(2)
        })
    }

    fn tangent(&self, x: Tensor<4>, v: Tensor<4>, condition: &Condition) -> [Tensor<4>; 2] {
        let (y, which) = pieces(self.dense.matrix(flat(x), condition)).max_dim_with_indices(2);
        let slopes = pieces(self.dense.linear(flat(v), condition)).gather(2, which);
        [vector(y.squeeze_dim(2)), vector(slopes.squeeze_dim(2))]
    }

    fn beside(&self, kinks: &Self, x: Tensor<4>, at: Tensor<4>, condition: &Condition) -> [Tensor<4>; 2] {
        let (at, which) = pieces(kinks.dense.matrix(flat(at), condition)).max_dim_with_indices(2);
        let y = pieces(self.dense.matrix(flat(x), condition)).gather(2, which);
        [vector(y.squeeze_dim(2)), vector(at.squeeze_dim(2))]
    }

    fn draft(&self, draft: &mut Draft<'_>, name: &str, x: Value) -> Result<Value> {
        let x = self.dense.draft(draft, name, x)?;
        let values = draft.graph.shape(x)[1];
        let outputs = values / PIECES;
        let mut push = |part: &str, op, x| draft.graph.push(format!("{name}.{part}"), op, vec![x]);
        let x = push("pieces", Op::Reshape(vec![1, outputs, PIECES]), x)?;
        let x = push("max", Op::Reduce { reduction: Reduction::Max, axes: vec![2] }, x)?;
        push("join", Op::Reshape(vec![1, outputs]), x)
    }
}
