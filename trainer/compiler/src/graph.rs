//! The small intermediate representation that networks, ours and those of ONNX files, become on their way to a file.
//!
//! In: tensors of known shape. Out: one tensor. Shapes, axes and weights are those of the frameworks, batch axis
//! included: `[N, C, H, W]`, row-major. Every value is a real number; booleans are 0 and 1, integers are themselves.
//! Nothing here knows burn, ONNX or `.pgan`.

pub mod evaluate;
mod prune;
mod shape;
#[cfg(test)]
mod tests;

use anyhow::{Context, Result, ensure};

/// Operations in the order in which they can run. Every value has a shape from the moment it exists.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    inputs: Vec<Input>,
    nodes: Vec<Node>,
    output: Option<Value>,
}

/// An input or the result of a node of one graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Value(usize);

/// What a graph reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// For people, and for files that name their inputs.
    pub name: String,
    /// What its values mean.
    pub role: Role,
    /// Extent of each axis.
    pub shape: Vec<usize>,
}

/// What the values of an input mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Independent standard normals.
    Latent,
    /// A picture `[1, C, H, W]`.
    Image,
    /// One class number.
    Label,
    /// Anything else.
    Values,
}

/// One operation.
#[derive(Clone, Debug)]
pub struct Node {
    /// What errors and reports call it, e.g. `blocks.0.conv`.
    pub name: String,
    /// What it does.
    pub op: Op,
    /// What it reads, as many as the operation says.
    pub inputs: Vec<Value>,
    shape: Vec<usize>,
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

/// An operation. Reads one value unless it says otherwise.
#[derive(Clone, Debug)]
pub enum Op {
    /// The tensor. Reads nothing.
    Constant(Tensor),
    /// `y = W x + b` along the last axis.
    Dense {
        /// `[out, in]`
        weight: Tensor,
        /// `[out]`
        bias: Option<Tensor>,
    },
    /// Convolution of `[N, C, H, W]`.
    Conv2d {
        /// `[out, in / groups, kh, kw]`
        weight: Tensor,
        /// `[out]`
        bias: Option<Tensor>,
        /// Everything but the weights.
        geometry: Conv2dGeometry,
    },
    /// Transposed convolution of `[N, C, H, W]`.
    ConvTranspose2d {
        /// `[in, out / groups, kh, kw]`
        weight: Tensor,
        /// `[out]`
        bias: Option<Tensor>,
        /// Everything but the weights.
        geometry: Conv2dGeometry,
    },
    /// Inference-time batch normalization over axis 1.
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
    /// A function of each value.
    Unary(Unary),
    /// A function of each pair of values. Reads two, broadcast to one shape as in NumPy.
    Binary(Binary),
    /// The second value where the first is not 0, else the third. Reads three, broadcast to one shape.
    Select,
    /// One value for all that differ only in `axes`, which remain with extent 1.
    Reduce {
        /// How.
        reduction: Reduction,
        /// Ascending.
        axes: Vec<usize>,
    },
    /// Sum of products over all labels that `out` lacks: a batched matrix product, and an `einsum` of two. Reads two.
    Contract {
        /// A label for each axis of the first value, none twice.
        a: Vec<usize>,
        /// A label for each axis of the second value, none twice.
        b: Vec<usize>,
        /// The labels of the result.
        out: Vec<usize>,
    },
    /// The same values, in the same row-major order, under another shape.
    Reshape(Vec<usize>),
    /// Axis `i` of the result is axis `permutation[i]`.
    Transpose(Vec<usize>),
    /// Every `step`-th element of an axis.
    Slice {
        /// Which.
        axis: usize,
        /// First element.
        start: usize,
        /// Not 0; backwards where negative.
        step: isize,
        /// Elements.
        len: usize,
    },
    /// Repeats axes of extent 1, and adds axes in front.
    Broadcast(Vec<usize>),
    /// What a sliding window sees: `[.., extent, ..]` becomes `[.., positions, .., size]`.
    Window {
        /// Along which axis it slides.
        axis: usize,
        /// Elements seen at a time.
        size: usize,
        /// From one position to the next.
        stride: usize,
        /// From one element seen to the next.
        dilation: usize,
    },
    /// One after the other along an axis. Reads one or more.
    Concat {
        /// Which.
        axis: usize,
    },
    /// Elements of an axis by their numbers, which are clamped to it: `[a.., extent, b..]` and `[i..]` become
    /// `[a.., i.., b..]`. Reads two: the values, and the numbers.
    Gather {
        /// Which.
        axis: usize,
    },
}

/// A function of one value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Unary {
    /// `max(x, 0)`
    Relu,
    /// `x` where positive, else `slope * x`
    LeakyRelu(f32),
    /// Hyperbolic tangent.
    Tanh,
    /// Logistic function.
    Sigmoid,
    /// Magnitude.
    Abs,
    /// `e^x`
    Exp,
    /// Natural logarithm.
    Log,
    /// Square root.
    Sqrt,
    /// Largest integer not above.
    Floor,
    /// Smallest integer not below.
    Ceil,
    /// Nearest integer, halves to the even one.
    Round,
    /// -1, 0 or 1.
    Sign,
    /// Sine.
    Sin,
    /// Cosine.
    Cos,
    /// Tangent.
    Tan,
    /// Inverse sine.
    Asin,
    /// Inverse cosine.
    Acos,
    /// Inverse tangent.
    Atan,
    /// Hyperbolic sine.
    Sinh,
    /// Hyperbolic cosine.
    Cosh,
    /// Inverse hyperbolic sine.
    Asinh,
    /// Inverse hyperbolic cosine.
    Acosh,
    /// Inverse hyperbolic tangent.
    Atanh,
    /// Error function.
    Erf,
}

/// A function of two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binary {
    /// `a + b`
    Add,
    /// `a - b`
    Sub,
    /// `a * b`
    Mul,
    /// `a / b`
    Div,
    /// The larger.
    Max,
    /// The smaller.
    Min,
    /// `a` to the power of `b`.
    Pow,
    /// Remainder with the sign of `a`.
    Rem,
    /// 1 where `a < b`, else 0.
    Less,
    /// 1 where `a <= b`, else 0.
    LessEqual,
    /// 1 where `a == b`, else 0.
    Equal,
    /// `a` where positive, else `b * a`.
    PRelu,
    /// `e^(a - b)`.
    ExpSub,
}

/// How many values become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduction {
    /// Sum.
    Sum,
    /// Product.
    Product,
    /// Largest.
    Max,
    /// Smallest.
    Min,
}

impl Graph {
    /// A graph without nodes that reads `inputs`.
    pub fn new(inputs: Vec<Input>) -> Self {
        Self { inputs, nodes: vec![], output: None }
    }

    /// A chain of named operations of one input each, from a latent vector `[1, latent_dim]`.
    ///
    /// # Errors
    /// Names the first node whose weights do not fit its input.
    pub fn chain(latent_dim: usize, ops: impl IntoIterator<Item = (String, Op)>) -> Result<Self> {
        let input = Input { name: "z".into(), role: Role::Latent, shape: vec![1, latent_dim] };
        let mut graph = Self::new(vec![input]);
        let mut value = Value(0);
        for (name, op) in ops {
            value = graph.push(name, op, vec![value])?;
        }
        graph.set_output(value);
        Ok(graph)
    }

    /// Appends an operation and returns its result.
    ///
    /// # Errors
    /// When the operation does not fit what it reads; names the node.
    pub fn push(&mut self, name: impl Into<String>, op: Op, inputs: Vec<Value>) -> Result<Value> {
        let name = name.into();
        let shapes: Vec<&[usize]> = inputs.iter().map(|&value| self.shape(value)).collect();
        let shape = op.output_shape(&shapes).with_context(|| format!("node {name}"))?;
        let values = shape.iter().try_fold(1_usize, |product, &extent| product.checked_mul(extent));
        ensure!(
            values.is_some_and(|values| values > 0 && values <= MAX_VALUES),
            "node {name}: a tensor {shape:?} is not between 1 and {MAX_VALUES} values"
        );
        self.nodes.push(Node { name, op, inputs, shape });
        Ok(Value(self.inputs.len() + self.nodes.len() - 1))
    }

    /// Chooses the result.
    pub fn set_output(&mut self, value: Value) {
        self.output = Some(value);
    }

    /// The inputs in order.
    pub fn inputs(&self) -> &[Input] {
        &self.inputs
    }

    /// The value of an input.
    ///
    /// # Panics
    /// When there is no such input.
    pub fn input(&self, index: usize) -> Value {
        assert!(index < self.inputs.len(), "input {index} of {}", self.inputs.len());
        Value(index)
    }

    /// The nodes in order, each with its result.
    pub fn nodes(&self) -> impl DoubleEndedIterator<Item = (Value, &Node)> + ExactSizeIterator {
        self.nodes.iter().enumerate().map(|(i, node)| (Value(self.inputs.len() + i), node))
    }

    /// The operations with their names, to change weights but not shapes.
    pub fn ops_mut(&mut self) -> impl Iterator<Item = (&str, &mut Op)> {
        self.nodes.iter_mut().map(|node| (&*node.name, &mut node.op))
    }

    /// The operation of one node, to change weights but not shapes.
    pub(crate) fn op_mut(&mut self, value: Value) -> Option<&mut Op> {
        self.nodes.get_mut(value.0.checked_sub(self.inputs.len())?).map(|node| &mut node.op)
    }

    /// The node that computes a value; none of an input.
    pub fn node(&self, value: Value) -> Option<&Node> {
        self.nodes.get(value.0.checked_sub(self.inputs.len())?)
    }

    /// The result: what [`set_output`](Self::set_output) chose, else the last value.
    pub fn output(&self) -> Value {
        self.output.unwrap_or(Value((self.inputs.len() + self.nodes.len()).saturating_sub(1)))
    }

    /// Extent of each axis of a value.
    pub fn shape(&self, value: Value) -> &[usize] {
        match self.node(value) {
            Some(node) => &node.shape,
            None => &self.inputs[value.0].shape,
        }
    }

    /// Number of values that a graph has: inputs and nodes.
    pub fn value_count(&self) -> usize {
        self.inputs.len() + self.nodes.len()
    }

    /// Length of the first latent input; 0 without one.
    pub fn latent_dim(&self) -> usize {
        let latent = self.inputs.iter().find(|input| input.role == Role::Latent);
        latent.map_or(0, |input| input.shape.iter().product())
    }

    /// Number of weights and biases, batch-norm parameters included, running statistics and constants not.
    pub fn parameters(&self) -> usize {
        let len = |t: &Tensor| t.data.len();
        self.nodes
            .iter()
            .map(|node| match &node.op {
                Op::Dense { weight, bias }
                | Op::Conv2d { weight, bias, .. }
                | Op::ConvTranspose2d { weight, bias, .. } => len(weight) + bias.as_ref().map_or(0, len),
                Op::BatchNorm { gamma, beta, .. } => len(gamma) + len(beta),
                _ => 0,
            })
            .sum()
    }
}

/// More values in one tensor than any target's memory holds; keeps products of extents far from overflow.
pub(crate) const MAX_VALUES: usize = 1 << 28;

impl Value {
    /// Position among all values of the graph: inputs first, nodes in order after them.
    pub fn index(self) -> usize {
        self.0
    }
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

    /// A tensor without axes.
    pub fn scalar(value: f32) -> Self {
        Self { shape: vec![], data: vec![value] }
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
