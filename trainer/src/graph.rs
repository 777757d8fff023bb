//! The small intermediate representation that burn networks (and later ONNX files) become on their way to a file.
//!
//! In: one latent vector. Out: one image `[C, H, W]`. Tensors have the layout of the frameworks: `[C, H, W]`
//! activations without a batch dimension, weights as PyTorch stores them. Nothing here knows burn, ONNX or `.pgan`.

pub mod evaluate;

use anyhow::{Result, bail, ensure};

/// A generator as a chain of operations, each reading the value before it.
#[derive(Clone, Debug)]
pub struct Graph {
    /// Length of the latent vector.
    pub latent_dim: usize,
    /// The operations in order.
    pub nodes: Vec<Node>,
}

/// One operation with its name, which errors and reports quote.
#[derive(Clone, Debug)]
pub struct Node {
    /// Unique within the graph, e.g. `blocks.0.conv`.
    pub name: String,
    /// What it does.
    pub op: Op,
}

/// A dense tensor of `f32`, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Extent of each dimension.
    pub shape: Vec<usize>,
    /// `shape.iter().product()` values.
    pub data: Vec<f32>,
}

/// Geometry that convolutions share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conv2dGeometry {
    /// Kernel height and width.
    pub kernel_size: [usize; 2],
    /// Step over the larger side: the input of a convolution, the output of a transposed one.
    pub stride: [usize; 2],
    /// Zeros (or, transposed, cut rows and columns) at top, left, bottom, right.
    pub padding: [usize; 4],
    /// Distance between kernel elements.
    pub dilation: [usize; 2],
    /// Channel groups that do not see each other.
    pub groups: usize,
    /// Rows and columns added at the bottom and the right; zero for a convolution.
    pub output_padding: [usize; 2],
}

/// An operation.
#[derive(Clone, Debug)]
pub enum Op {
    /// `y = W x + b`. Reads the flattened value.
    Dense {
        /// `[out, in]`
        weight: Tensor,
        /// `[out]`
        bias: Option<Tensor>,
    },
    /// Convolution.
    Conv2d {
        /// `[out, in / groups, kh, kw]`
        weight: Tensor,
        /// `[out]`
        bias: Option<Tensor>,
        /// Everything but the weights.
        geometry: Conv2dGeometry,
    },
    /// Transposed convolution.
    ConvTranspose2d {
        /// `[in, out / groups, kh, kw]`
        weight: Tensor,
        /// `[out]`
        bias: Option<Tensor>,
        /// Everything but the weights.
        geometry: Conv2dGeometry,
    },
    /// Inference-time batch normalization over channels.
    BatchNorm {
        /// Scale, `[C]`.
        gamma: Tensor,
        /// Shift, `[C]`.
        beta: Tensor,
        /// Standing mean, `[C]`.
        mean: Tensor,
        /// Standing variance, `[C]`.
        variance: Tensor,
        /// Added to the variance.
        epsilon: f32,
    },
    /// Elementwise.
    Activation(Activation),
    /// The same values under another `[C, H, W]`.
    Reshape([usize; 3]),
}

/// An elementwise function.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activation {
    /// `max(x, 0)`
    Relu,
    /// `x` where positive, else `slope * x`
    LeakyRelu(f32),
    /// Hyperbolic tangent.
    Tanh,
    /// Logistic function.
    Sigmoid,
}

impl Tensor {
    /// A tensor of `shape` over `data`.
    ///
    /// # Panics
    /// When the two do not agree.
    pub fn new(shape: impl Into<Vec<usize>>, data: Vec<f32>) -> Self {
        let shape = shape.into();
        assert_eq!(shape.iter().product::<usize>(), data.len(), "shape {shape:?} does not hold the data");
        Self { shape, data }
    }
}

impl Conv2dGeometry {
    /// Square kernel, equal stride and padding on all sides, no dilation, one group.
    pub fn square(kernel_size: usize, stride: usize, padding: usize) -> Self {
        Self {
            kernel_size: [kernel_size; 2],
            stride: [stride; 2],
            padding: [padding; 4],
            dilation: [1; 2],
            groups: 1,
            output_padding: [0; 2],
        }
    }
}

impl Graph {
    /// Shape `[C, H, W]` after each node.
    ///
    /// # Errors
    /// Names the first node whose weights do not fit its input.
    pub fn shapes(&self) -> Result<Vec<[usize; 3]>> {
        let mut shape = [self.latent_dim, 1, 1];
        self.nodes
            .iter()
            .map(|node| {
                shape = node.op.output_shape(shape).map_err(|e| e.context(format!("node {}", node.name)))?;
                Ok(shape)
            })
            .collect()
    }

    /// Number of weights and biases, batch-norm parameters included, running statistics not.
    pub fn parameters(&self) -> usize {
        let len = |t: &Tensor| t.data.len();
        self.nodes
            .iter()
            .map(|node| match &node.op {
                Op::Dense { weight, bias }
                | Op::Conv2d { weight, bias, .. }
                | Op::ConvTranspose2d { weight, bias, .. } => len(weight) + bias.as_ref().map_or(0, len),
                Op::BatchNorm { gamma, beta, .. } => len(gamma) + len(beta),
                Op::Activation(_) | Op::Reshape(_) => 0,
            })
            .sum()
    }
}

impl Op {
    /// Shape `[C, H, W]` of the result for an input of shape `[C, H, W]`.
    ///
    /// # Errors
    /// When weights or geometry do not fit.
    pub fn output_shape(&self, [c, h, w]: [usize; 3]) -> Result<[usize; 3]> {
        let check_bias = |bias: &Option<Tensor>, n: usize| -> Result<()> {
            if let Some(bias) = bias {
                ensure!(bias.shape == [n], "bias {:?} for {n} outputs", bias.shape);
            }
            Ok(())
        };
        match self {
            Op::Dense { weight, bias } => {
                let [n, k] = weight.shape[..] else { bail!("weight {:?} is not a matrix", weight.shape) };
                ensure!(
                    k == c * h * w,
                    "weight [{n}, {k}] reads {k} values, the input {c}x{h}x{w} has others"
                );
                check_bias(bias, n)?;
                Ok([n, 1, 1])
            }
            Op::Conv2d { weight, bias, geometry: g } => {
                let [n, ci, kh, kw] = weight.shape[..] else {
                    bail!("weight {:?} has not 4 axes", weight.shape)
                };
                g.check([kh, kw])?;
                ensure!(ci * g.groups == c && n % g.groups == 0, "weight {:?} on {c} channels", weight.shape);
                check_bias(bias, n)?;
                let extent = |size: usize, axis: usize| -> Result<usize> {
                    let span = g.dilation[axis] * (g.kernel_size[axis] - 1) + 1;
                    let padded = size + g.padding[axis] + g.padding[axis + 2];
                    ensure!(padded >= span, "kernel spans {span}, the padded input {padded}");
                    Ok((padded - span) / g.stride[axis] + 1)
                };
                Ok([n, extent(h, 0)?, extent(w, 1)?])
            }
            Op::ConvTranspose2d { weight, bias, geometry: g } => {
                let [ci, no, kh, kw] = weight.shape[..] else {
                    bail!("weight {:?} has not 4 axes", weight.shape)
                };
                g.check([kh, kw])?;
                ensure!(ci == c && c % g.groups == 0, "weight {:?} on {c} channels", weight.shape);
                check_bias(bias, no * g.groups)?;
                let extent = |size: usize, axis: usize| -> Result<usize> {
                    let full = (size - 1) * g.stride[axis]
                        + g.dilation[axis] * (g.kernel_size[axis] - 1)
                        + 1
                        + g.output_padding[axis];
                    let cut = g.padding[axis] + g.padding[axis + 2];
                    ensure!(full > cut, "padding {cut} leaves nothing of {full}");
                    Ok(full - cut)
                };
                Ok([no * g.groups, extent(h, 0)?, extent(w, 1)?])
            }
            Op::BatchNorm { gamma, beta, mean, variance, .. } => {
                for t in [gamma, beta, mean, variance] {
                    ensure!(t.shape == [c], "batch norm over {:?} on {c} channels", t.shape);
                }
                Ok([c, h, w])
            }
            Op::Activation(_) => Ok([c, h, w]),
            Op::Reshape(shape) => {
                ensure!(shape.iter().product::<usize>() == c * h * w, "reshape {c}x{h}x{w} to {shape:?}");
                Ok(*shape)
            }
        }
    }
}

impl Conv2dGeometry {
    fn check(&self, kernel_size: [usize; 2]) -> Result<()> {
        ensure!(
            self.kernel_size == kernel_size,
            "kernel {:?} with weights {kernel_size:?}",
            self.kernel_size
        );
        let positive = [self.kernel_size, self.stride, self.dilation].iter().flatten().all(|&v| v > 0);
        ensure!(positive && self.groups > 0, "kernel, stride, dilation and groups start at 1: {self:?}");
        Ok(())
    }
}
