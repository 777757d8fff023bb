//! What networks are lists of.
//!
//! A layer knows four things: what it computes, how that changes when its input moves (its tangent), what it is in a
//! [`Graph`] on its way to a file, and where its weights are. Everything is `[N, C, H, W]`; vectors are `[N, C, 1, 1]`.

mod activation;
mod attention;
mod bias;
mod block;
mod class_shift;
mod convolution;
pub(super) mod dense;
mod fourier_features;
mod growth;
mod maxout;
mod minibatch_std;
mod normalization;
mod pixel_norm;
mod processor;
mod shape;

use anyhow::{Context as _, Result};
use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};
use pocketgan_compiler::graph::{Graph, Op, Value};

pub use activation::{Activation, Function};
pub use attention::Attention;
pub use block::{Residual, Skip};
pub use class_shift::ClassShift;
pub use convolution::{Convolution, TransposedConvolution};
pub use dense::Dense;
pub use fourier_features::FourierFeatures;
pub use growth::{Growing, Growth, Shrinking, Stage};
pub use maxout::Maxout;
pub use minibatch_std::MinibatchStd;
pub use normalization::{BatchNorm, ConditionalBatchNorm};
pub use pixel_norm::PixelNorm;
pub use shape::{AveragePool, Reshape, SumPixels, Upsample};

use super::{Precision, graph_tensor};

/// One layer.
#[derive(Module, Debug)]
#[expect(clippy::large_enum_variant, reason = "a network has a few dozen")]
pub enum Layer {
    /// All values by all values.
    Dense(Dense),
    /// Pieces of linear functions of all values, the largest of each.
    Maxout(Maxout),
    /// A convolution.
    Convolution(Convolution),
    /// A transposed convolution.
    TransposedConvolution(TransposedConvolution),
    /// Normalization by the statistics of the batch.
    BatchNorm(BatchNorm),
    /// The same, with scale and shift of a class.
    ConditionalBatchNorm(ConditionalBatchNorm),
    /// Each pixel by the length of its channels.
    PixelNorm(PixelNorm),
    /// A shift of each class.
    ClassShift(ClassShift),
    /// A function of each value.
    Activation(Activation),
    /// Another shape.
    Reshape(Reshape),
    /// Twice as large, nearest.
    Upsample(Upsample),
    /// Half as large, means of 2x2.
    AveragePool(AveragePool),
    /// One value for each channel.
    SumPixels(SumPixels),
    /// Layers, and a way around them that is added.
    Residual(Residual),
    /// Layers, and a way around them that is appended.
    Skip(Skip),
    /// Self-attention.
    Attention(Attention),
    /// Stages that are faded in, of a generator.
    Growing(Growing),
    /// Stages that are faded in, of a discriminator.
    Shrinking(Shrinking),
    /// A channel that says how different the images of a batch are.
    MinibatchStd(MinibatchStd),
    /// Sines and cosines of each value beside it.
    FourierFeatures(FourierFeatures),
}

/// What layers read besides their input, and how they compute.
#[derive(Clone, Debug, Default)]
pub struct Condition {
    /// Class of each image as `[N, classes]`, 1 for its own and 0 for others, where there are classes.
    pub classes: Option<Tensor<2>>,
    /// What they multiply in.
    pub precision: Precision,
}

/// What layers become, and where the number of the class is.
pub(crate) struct Draft<'a> {
    pub(crate) graph: &'a mut Graph,
    pub(crate) label: Option<Value>,
}

impl Condition {
    /// Images of these classes, out of `count`.
    ///
    /// # Panics
    /// When a label is not below `count`.
    pub fn new(labels: &[usize], count: usize, device: &Device) -> Self {
        let mut classes = vec![0.0f32; labels.len() * count];
        for (row, &label) in classes.chunks_exact_mut(count).zip(labels) {
            row[label] = 1.0;
        }
        let classes = Tensor::from_data(TensorData::new(classes, [labels.len(), count]), device);
        Self { classes: Some(classes), ..Self::default() }
    }

    /// Images of all classes in turn, the first one of number `first`; nothing for a network without classes.
    pub fn in_turn(first: usize, len: usize, count: usize, device: &Device) -> Self {
        if count == 0 {
            return Self::default();
        }
        let labels: Vec<usize> = (first..first + len).map(|i| i % count).collect();
        Self::new(&labels, count, device)
    }

    /// The same, for layers that multiply in this precision.
    pub fn with_precision(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    /// The row of `table` for the class of each image.
    ///
    /// # Shapes
    /// `table`: `[classes, C]`; result: `[N, C, 1, 1]`.
    fn of_class(&self, table: &Param<Tensor<2>>) -> Tensor<4> {
        let classes = self.classes.clone().expect("a network that knows classes is told them");
        dense::vector(classes.matmul(table.val()))
    }
}

impl Draft<'_> {
    /// The row of `table` for the class, as `[1, C]`, or `[1, C, 1, 1]` for what has a `rank` of 4.
    fn of_class(&mut self, name: &str, table: &Param<Tensor<2>>, rank: usize) -> Result<Value> {
        let label = self.label.context("a layer that knows classes, in a network without them")?;
        let channels = table.dims()[1];
        let table = Op::Constant(graph_tensor(table.val()));
        let table = self.graph.push(format!("{name}.classes"), table, vec![])?;
        let row = self.graph.push(name, Op::Gather { axis: 0 }, vec![table, label])?;
        let shape = if rank == 4 { vec![1, channels, 1, 1] } else { vec![1, channels] };
        self.graph.push(format!("{name}.row"), Op::Reshape(shape), vec![row])
    }
}

/// Calls the same method of whatever layer it is.
macro_rules! each {
    ($layer:expr, $inner:ident => $call:expr) => {
        match $layer {
            Layer::Dense($inner) => $call,
            Layer::Maxout($inner) => $call,
            Layer::Convolution($inner) => $call,
            Layer::TransposedConvolution($inner) => $call,
            Layer::BatchNorm($inner) => $call,
            Layer::ConditionalBatchNorm($inner) => $call,
            Layer::PixelNorm($inner) => $call,
            Layer::ClassShift($inner) => $call,
            Layer::Activation($inner) => $call,
            Layer::Reshape($inner) => $call,
            Layer::Upsample($inner) => $call,
            Layer::AveragePool($inner) => $call,
            Layer::SumPixels($inner) => $call,
            Layer::Residual($inner) => $call,
            Layer::Skip($inner) => $call,
            Layer::Attention($inner) => $call,
            Layer::Growing($inner) => $call,
            Layer::Shrinking($inner) => $call,
            Layer::MinibatchStd($inner) => $call,
            Layer::FourierFeatures($inner) => $call,
        }
    };
}

/// What every layer does.
pub(crate) trait Compute: Sized {
    /// The result.
    fn forward(&self, x: Tensor<4>, condition: &Condition) -> Tensor<4>;

    /// The result, and how it changes when `x` moves along `v`. Both know of the weights, so that the derivative of the
    /// second by the weights is a second derivative of the network.
    fn tangent(&self, x: Tensor<4>, v: Tensor<4>, condition: &Condition) -> [Tensor<4>; 2];

    /// The result for `x` on the side of every kink where `kinks`, a layer of the same shape, is for `at`; and the result of `kinks`.
    ///
    /// The difference of two of these is one of smooth functions, however near a kink is.
    fn beside(&self, kinks: &Self, x: Tensor<4>, at: Tensor<4>, condition: &Condition) -> [Tensor<4>; 2] {
        [self.forward(x, condition), kinks.forward(at, condition)]
    }

    /// The operations that compute it for one image, under `name`.
    fn draft(&self, draft: &mut Draft<'_>, name: &str, x: Value) -> Result<Value>;
}

impl Compute for Layer {
    fn forward(&self, x: Tensor<4>, condition: &Condition) -> Tensor<4> {
        each!(self, layer => layer.forward(x, condition))
    }

    fn tangent(&self, x: Tensor<4>, v: Tensor<4>, condition: &Condition) -> [Tensor<4>; 2] {
        each!(self, layer => layer.tangent(x, v, condition))
    }

    fn beside(&self, kinks: &Self, x: Tensor<4>, at: Tensor<4>, condition: &Condition) -> [Tensor<4>; 2] {
        match (self, kinks) {
            (Self::Activation(layer), Self::Activation(kinks)) => layer.beside(kinks, x, at, condition),
            (Self::Maxout(layer), Self::Maxout(kinks)) => layer.beside(kinks, x, at, condition),
            (Self::Residual(layer), Self::Residual(kinks)) => layer.beside(kinks, x, at, condition),
            (Self::Skip(layer), Self::Skip(kinks)) => layer.beside(kinks, x, at, condition),
            (Self::Shrinking(layer), Self::Shrinking(kinks)) => layer.beside(kinks, x, at, condition),
            _ => [self.forward(x, condition), kinks.forward(at, condition)],
        }
    }

    fn draft(&self, draft: &mut Draft<'_>, name: &str, x: Value) -> Result<Value> {
        each!(self, layer => layer.draft(draft, name, x))
    }
}

impl Compute for Vec<Layer> {
    fn beside(&self, kinks: &Self, x: Tensor<4>, at: Tensor<4>, condition: &Condition) -> [Tensor<4>; 2] {
        let pairs = self.iter().zip(kinks);
        pairs.fold([x, at], |[x, at], (layer, kinks)| layer.beside(kinks, x, at, condition))
    }

    fn forward(&self, x: Tensor<4>, condition: &Condition) -> Tensor<4> {
        self.iter().fold(x, |x, layer| layer.forward(x, condition))
    }

    fn tangent(&self, x: Tensor<4>, v: Tensor<4>, condition: &Condition) -> [Tensor<4>; 2] {
        self.iter().fold([x, v], |[x, v], layer| layer.tangent(x, v, condition))
    }

    fn draft(&self, draft: &mut Draft<'_>, name: &str, x: Value) -> Result<Value> {
        self.iter().enumerate().try_fold(x, |x, (i, layer)| layer.draft(draft, &format!("{name}.{i}"), x))
    }
}

impl Layer {
    /// Lets spectral norms follow their weights by a step of power iteration.
    pub(crate) fn iterated(self) -> Self {
        match self {
            Self::Dense(layer) => Self::Dense(layer.iterated()),
            Self::Convolution(layer) => Self::Convolution(layer.iterated()),
            Self::TransposedConvolution(layer) => Self::TransposedConvolution(layer.iterated()),
            Self::Maxout(layer) => Self::Maxout(layer.iterated()),
            Self::Residual(layer) => Self::Residual(layer.iterated()),
            Self::Skip(layer) => Self::Skip(layer.iterated()),
            Self::Attention(layer) => Self::Attention(layer.iterated()),
            Self::Growing(layer) => Self::Growing(layer.iterated()),
            Self::Shrinking(layer) => Self::Shrinking(layer.iterated()),
            other => other,
        }
    }

    /// Lets the next batch enter the running statistics with weight `momentum`.
    pub(crate) fn set_momentum(&mut self, momentum: f64) {
        match self {
            Self::BatchNorm(layer) => layer.norm.momentum = momentum,
            Self::ConditionalBatchNorm(layer) => layer.norm.momentum = momentum,
            Self::Residual(layer) => layer.parts_mut().for_each(|layer| layer.set_momentum(momentum)),
            Self::Skip(layer) => layer.body.iter_mut().for_each(|layer| layer.set_momentum(momentum)),
            Self::Growing(layer) => layer.parts_mut().for_each(|layer| layer.set_momentum(momentum)),
            Self::Shrinking(layer) => layer.parts_mut().for_each(|layer| layer.set_momentum(momentum)),
            _ => {}
        }
    }

    /// Shows as much of the layers that grow.
    pub(crate) fn set_growth(&mut self, growth: Growth) {
        match self {
            Self::Growing(layer) => layer.set_growth(growth),
            Self::Shrinking(layer) => layer.set_growth(growth),
            _ => {}
        }
    }

    /// Whether what comes out for an image depends on the others of its batch.
    pub(crate) fn mixes_images(&self) -> bool {
        match self {
            Self::BatchNorm(_) | Self::ConditionalBatchNorm(_) | Self::MinibatchStd(_) => true,
            Self::Residual(layer) => layer.parts().any(Self::mixes_images),
            Self::Skip(layer) => layer.body.iter().any(Self::mixes_images),
            Self::Growing(layer) => layer.parts().any(Self::mixes_images),
            Self::Shrinking(layer) => layer.parts().any(Self::mixes_images),
            _ => false,
        }
    }
}

/// Steps of power iteration on the initial weights; later one for each update, since an update changes little.
pub(crate) const FIRST_ITERATIONS: usize = 20;

/// [`Layer::iterated`] of each.
pub(crate) fn iterated(layers: Vec<Layer>) -> Vec<Layer> {
    layers.into_iter().map(Layer::iterated).collect()
}
