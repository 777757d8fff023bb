//! Layers without weights that change the shape.

use anyhow::{Result, ensure};
use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::module::{avg_pool2d, interpolate};
use burn::tensor::ops::{AvgPoolOptions, InterpolateMode, InterpolateOptions};
use pocketgan_compiler::graph::{self, Conv2dGeometry, Op, Reduction, Value};

use super::{Compute, Condition, Draft};

/// The same values as `[N, channels, height, width]`.
#[derive(Module, Debug)]
pub struct Reshape {
    channels: usize,
    height: usize,
    width: usize,
}

/// Larger, each pixel several times.
#[derive(Module, Debug)]
pub struct Upsample {
    factor: usize,
}

/// Smaller, the mean of each square.
#[derive(Module, Debug)]
pub struct AveragePool {
    factor: usize,
}

/// `[N, C, H, W]` to `[N, C, 1, 1]`: the sum over all pixels.
#[derive(Module, Debug, Default)]
pub struct SumPixels {}

impl Reshape {
    /// To `[channels, height, width]`.
    pub fn new([channels, height, width]: [usize; 3]) -> Self {
        Self { channels, height, width }
    }
}

impl Upsample {
    /// By this factor.
    pub fn new(factor: usize) -> Self {
        Self { factor }
    }
}

impl AveragePool {
    /// By this factor.
    pub fn new(factor: usize) -> Self {
        Self { factor }
    }
}

impl Compute for Reshape {
    fn forward(&self, x: Tensor<4>, _: &Condition) -> Tensor<4> {
        let n = x.dims()[0];
        x.reshape([n, self.channels, self.height, self.width])
    }

    fn tangent(&self, x: Tensor<4>, v: Tensor<4>, condition: &Condition) -> [Tensor<4>; 2] {
        [self.forward(x, condition), self.forward(v, condition)]
    }

    fn draft(&self, draft: &mut Draft<'_>, name: &str, x: Value) -> Result<Value> {
        let shape = vec![1, self.channels, self.height, self.width];
        draft.graph.push(format!("{name}.reshape"), Op::Reshape(shape), vec![x])
    }
}

impl Compute for Upsample {
    fn forward(&self, x: Tensor<4>, _: &Condition) -> Tensor<4> {
        let options = InterpolateOptions::new(InterpolateMode::Nearest);
        interpolate(x, options.with_scale_factor([self.factor as f32; 2]))
    }

    fn tangent(&self, x: Tensor<4>, v: Tensor<4>, condition: &Condition) -> [Tensor<4>; 2] {
        [self.forward(x, condition), self.forward(v, condition)]
    }

    fn draft(&self, draft: &mut Draft<'_>, name: &str, x: Value) -> Result<Value> {
        let [n, c, h, w] = *draft.graph.shape(x) else {
            anyhow::bail!("{name} enlarges a picture, and reads {:?}", draft.graph.shape(x));
        };
        let f = self.factor;
        let mut push = |part: &str, op, x| draft.graph.push(format!("{name}.{part}"), op, vec![x]);
        let x = push("split", Op::Reshape(vec![n, c, h, 1, w, 1]), x)?;
        let x = push("repeat", Op::Broadcast(vec![n, c, h, f, w, f]), x)?;
        push("join", Op::Reshape(vec![n, c, h * f, w * f]), x)
    }
}

impl Compute for AveragePool {
    fn forward(&self, x: Tensor<4>, _: &Condition) -> Tensor<4> {
        avg_pool2d(x, AvgPoolOptions::new([self.factor; 2]))
    }

    fn tangent(&self, x: Tensor<4>, v: Tensor<4>, condition: &Condition) -> [Tensor<4>; 2] {
        [self.forward(x, condition), self.forward(v, condition)]
    }

    /// A convolution of each channel by itself with equal weights.
    fn draft(&self, draft: &mut Draft<'_>, name: &str, x: Value) -> Result<Value> {
        let shape = draft.graph.shape(x);
        ensure!(shape.len() == 4, "{name} makes a picture smaller, and reads {shape:?}");
        let (channels, f) = (shape[1], self.factor);
        let values = vec![1.0 / (f * f) as f32; channels * f * f];
        let weight = graph::Tensor::new([channels, 1, f, f], values);
        let geometry = Conv2dGeometry { groups: channels, ..Conv2dGeometry::square(f, f, 0) };
        draft.graph.push(format!("{name}.mean"), Op::Conv2d { weight, bias: None, geometry }, vec![x])
    }
}

impl Compute for SumPixels {
    fn forward(&self, x: Tensor<4>, _: &Condition) -> Tensor<4> {
        x.sum_dim(3).sum_dim(2)
    }

    fn tangent(&self, x: Tensor<4>, v: Tensor<4>, condition: &Condition) -> [Tensor<4>; 2] {
        [self.forward(x, condition), self.forward(v, condition)]
    }

    fn draft(&self, draft: &mut Draft<'_>, name: &str, x: Value) -> Result<Value> {
        let op = Op::Reduce { reduction: Reduction::Sum, axes: vec![2, 3] };
        draft.graph.push(format!("{name}.sum"), op, vec![x])
    }
}
