//! Minibatch standard deviation as a layer.

use anyhow::{Result, bail};
use burn::module::Module;
use burn::tensor::Tensor;
use pocketgan_compiler::graph::Value;

use super::{Compute, Condition, Draft};
use crate::regularizer::{minibatch_std, minibatch_std_tangent};

/// `[N, C, H, W]` to `[N, C + 1, H, W]`: the last channel says how much the images of a group differ.
#[derive(Module, Debug)]
pub struct MinibatchStd {
    group: usize,
}

impl MinibatchStd {
    /// With groups of at most so many images.
    pub fn new(group: usize) -> Self {
        Self { group }
    }
}

impl Compute for MinibatchStd {
    fn forward(&self, x: Tensor<4>, _: &Condition) -> Tensor<4> {
        minibatch_std(x, self.group)
    }

    fn tangent(&self, x: Tensor<4>, v: Tensor<4>, condition: &Condition) -> [Tensor<4>; 2] {
        [self.forward(x.clone(), condition), minibatch_std_tangent(x, v, self.group)]
    }

    fn draft(&self, _: &mut Draft<'_>, name: &str, _: Value) -> Result<Value> {
        bail!("{name} compares the images of a batch, and there is only one")
    }
}
