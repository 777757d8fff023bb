//! Turns a folded graph into steps over buffers.
//!
//! Layers with weights become tap GEMMs, with the activation that follows them; everything else that computes becomes
//! a loop nest; what only looks at values in another way becomes another view of them and costs nothing.

mod gemm;
mod nest;
mod shuffle;

use std::collections::HashMap;

use anyhow::{Context, Result};
use pocketgan_format::{Activation, ValueType};

use super::draft::Draft;
use super::quantize::{WeightType, constant_type};
use super::view::{Memory, View, natural_order};
use crate::graph::{Graph, Node, Op, Tensor, Unary, Value};

/// The steps of a graph, and where its inputs and its output lie.
#[derive(Debug)]
pub(crate) struct Lowered {
    pub(crate) draft: Draft,
    pub(crate) inputs: Vec<View>,
    pub(crate) output: View,
}

/// Compiles a graph without batch normalization. Weights and large constants are stored as `weights` says, what layers
/// with weights compute and what is made of it as `activations` says; inputs, sums and the output in single precision.
///
/// # Errors
/// Names the node that exceeds a limit of the format.
pub(crate) fn lower(graph: &Graph, weights: WeightType, activations: ValueType) -> Result<Lowered> {
    let mut readers: Vec<Vec<Value>> = vec![vec![]; graph.value_count()];
    for (value, node) in graph.nodes() {
        node.inputs.iter().for_each(|input| readers[input.index()].push(value));
    }
    let mut lowering = Lowering {
        graph,
        weights,
        activations,
        readers,
        places: vec![None; graph.value_count()],
        destinations: HashMap::new(),
        draft: Draft::default(),
    };
    let inputs = lowering.inputs();
    lowering.choose_destinations();
    for (value, node) in graph.nodes() {
        if lowering.places[value.index()].is_none() {
            lowering.node(value, node).with_context(|| format!("lowering {}", node.name))?;
        }
    }
    let output = lowering.output().context("lowering the output")?;
    Ok(Lowered { draft: lowering.draft, inputs, output })
}

struct Lowering<'g> {
    graph: &'g Graph,
    weights: WeightType,
    activations: ValueType,
    /// The nodes that read each value.
    readers: Vec<Vec<Value>>,
    /// Where each value lies, once it is computed.
    places: Vec<Option<View>>,
    /// Where a value is to be written, so that a concatenation need not copy it.
    destinations: HashMap<Value, View>,
    draft: Draft,
}

impl Lowering<'_> {
    /// Inputs are there before the first step.
    fn inputs(&mut self) -> Vec<View> {
        let graph = self.graph;
        let inputs = graph.inputs().iter().enumerate().map(|(i, input)| {
            let len = input.shape.iter().product();
            let memory = self.draft.buffer(len, ValueType::F32);
            self.draft.hold(memory, false);
            let view = View::packed(memory, &input.shape, &natural_order(&input.shape));
            self.places[graph.input(i).index()] = Some(view.clone());
            view
        });
        inputs.collect()
    }

    /// Concatenations, the last first, hand their parts to those that compute them.
    fn choose_destinations(&mut self) {
        let graph = self.graph;
        for (value, node) in graph.nodes().rev() {
            let Op::Concat { axis } = node.op else { continue };
            let whole = match self.destinations.get(&value) {
                Some(view) => view.clone(),
                None => {
                    let order = self.order_for_readers(value);
                    self.allocate(graph.shape(value), &order, self.activations)
                }
            };
            self.destinations.insert(value, whole.clone());
            let mut start = 0;
            for &part in &node.inputs {
                let len = graph.shape(part)[axis];
                let computes = graph.node(part).is_some_and(|node| writes_strided(&node.op));
                if computes {
                    let slice = whole.slice(axis, start, 1, len);
                    self.destinations.entry(part).or_insert(slice);
                }
                start += len;
            }
        }
    }

    fn node(&mut self, value: Value, node: &Node) -> Result<()> {
        let place = match &node.op {
            Op::Constant(tensor) => self.constant(value, tensor),
            Op::Dense { weight, bias } => return self.dense(value, node, weight, bias.as_ref()),
            Op::Conv2d { .. } | Op::ConvTranspose2d { .. } => return self.convolution(value, node),
            Op::BatchNorm { .. } => anyhow::bail!("batch normalization was not folded"),
            Op::Reshape(shape) => match self.view(node.inputs[0])?.reshape(shape) {
                Some(view) => view,
                None if self.only_flattened_for_dense(value) => return Ok(()),
                None => self.reshaped_copy(node, shape)?,
            },
            Op::Transpose(permutation) => self.view(node.inputs[0])?.transpose(permutation),
            &Op::Slice { axis, start, step, len } => self.view(node.inputs[0])?.slice(axis, start, step, len),
            Op::Broadcast(shape) => self.view(node.inputs[0])?.broadcast(shape),
            &Op::Window { axis, size, stride, dilation } => {
                self.view(node.inputs[0])?.window(axis, size, stride, dilation)
            }
            _ => self.compute(value, node)?,
        };
        self.places[value.index()] = Some(place);
        Ok(())
    }

    /// Where a value lies that has been computed.
    fn view(&self, value: Value) -> Result<View> {
        self.places[value.index()].clone().context("a value is read before it is computed")
    }

    fn constant(&mut self, value: Value, tensor: &Tensor) -> View {
        let order: Vec<usize> = (0..tensor.shape.len()).collect();
        let memory = match tensor.data[..] {
            [number] => Memory::Scalar(number.to_bits()),
            _ => self.draft.tensor(&tensor.data, constant_type(self.graph, value, self.weights)),
        };
        View::packed(memory, &tensor.shape, &order)
    }

    /// Memory of its own.
    fn allocate(&mut self, shape: &[usize], order: &[usize], values: ValueType) -> View {
        let memory = self.draft.buffer(shape.iter().product(), values);
        View::packed(memory, shape, order)
    }

    /// How the result of a function of `inputs` is stored: in half precision if any of them is.
    fn value_type(&self, inputs: &[&View]) -> ValueType {
        let half = inputs.iter().any(|view| self.draft.value_type(view.memory) == ValueType::F16);
        if half { ValueType::F16 } else { ValueType::F32 }
    }

    /// Where `value` is to be written by a step that reads `inputs`: its part of a concatenation, unless one of them
    /// lies in the same buffer; else memory of its own.
    fn destination(&mut self, value: Value, inputs: &[&View], order: &[usize], values: ValueType) -> View {
        match self.destinations.get(&value) {
            Some(view) if inputs.iter().all(|input| input.memory != view.memory) => view.clone(),
            _ => self.allocate(self.graph.shape(value), order, values),
        }
    }

    /// As [`destination`](Self::destination) for a step that computes each value from those at the same place: over what
    /// it reads, where nobody reads that again. The step begins with `first` and ends with `value`.
    fn destination_in_place(
        &mut self,
        first: Value,
        value: Value,
        inputs: &[&View],
        order: &[usize],
    ) -> View {
        let shape = self.graph.shape(value);
        let alone = |view: &View| inputs.iter().all(|other| other.memory != view.memory || *other == view);
        let over = inputs.iter().find(|view| {
            let whole = view.shape == shape && view.is_packed(&view.order());
            whole && alone(view) && self.is_last_reader(first, view.memory, None)
        });
        match over {
            Some(&view) if !self.destinations.contains_key(&value) => view.clone(),
            _ => self.destination(value, inputs, order, self.value_type(inputs)),
        }
    }

    /// Whether the node that computes `value`, or `end` after it, is the last to read a buffer of one owner.
    fn is_last_reader(&self, value: Value, memory: Memory, end: Option<Value>) -> bool {
        let graph = self.graph;
        let values = (0..graph.inputs().len()).map(|i| graph.input(i)).chain(graph.nodes().map(|(v, _)| v));
        let lies_there =
            |v: &Value| match (&self.places[v.index()], graph.node(*v).map(|n| (&n.op, &n.inputs))) {
                (Some(view), _) => view.memory == memory,
                // A reshape left to dense layers, which read what it reads.
                (None, Some((Op::Reshape(_), source))) => {
                    self.places[source[0].index()].as_ref().is_some_and(|view| view.memory == memory)
                }
                _ => false,
            };
        let shared = self.destinations.values().any(|view| view.memory == memory);
        let is_read_later = |v: Value| {
            v == graph.output()
                || self.readers[v.index()].iter().any(|&reader| reader > value && Some(reader) != end)
        };
        matches!(memory, Memory::Buffer(_)) && !shared && !values.filter(lies_there).any(is_read_later)
    }

    /// The value, or the activation that is the only reader of it and part of the same step.
    fn fused(&self, value: Value) -> (Value, Activation) {
        if let Some((reader, node)) = self.only_reader(value)
            && let Op::Unary(function) = node.op
            && let Some(activation) = stored(function)
        {
            return (reader, activation);
        }
        (value, Activation::Identity)
    }

    fn only_reader(&self, value: Value) -> Option<(Value, &Node)> {
        match self.readers[value.index()][..] {
            [reader] if value != self.graph.output() => Some((reader, self.graph.node(reader)?)),
            _ => None,
        }
    }

    /// Whether a reshape is read by dense layers alone that take it as one vector: they permute their weights instead.
    fn only_flattened_for_dense(&self, value: Value) -> bool {
        let Some(node) = self.graph.node(value) else { return false };
        let Some(source) = self.places[node.inputs[0].index()].as_ref() else { return false };
        let readers = &self.readers[value.index()];
        let shape = self.graph.shape(value);
        let vector = shape.iter().product::<usize>() == shape.last().copied().unwrap_or(0);
        let dense =
            |&reader: &Value| matches!(self.graph.node(reader).map(|n| &n.op), Some(Op::Dense { .. }));
        let packed = self.is_activation(source) && source.is_packed(&source.order());
        vector && packed && value != self.graph.output() && readers.iter().all(dense)
    }

    /// The result, in the natural order and without gaps, as files state it.
    fn output(&mut self) -> Result<View> {
        let value = self.graph.output();
        let mut view = self.view(value)?;
        let order = natural_order(&view.shape);
        let single = self.draft.value_type(view.memory) == ValueType::F32;
        let ready = matches!(view.memory, Memory::Buffer(_)) && view.is_packed(&order) && single;
        if self.draft.is_empty() || !ready {
            self.draft.layer("output");
            view = self.copy(&view, &order, ValueType::F32)?;
        }
        self.draft.hold(view.memory, true);
        Ok(view)
    }
}

/// Whether steps of this operation can write into a part of a wider buffer.
fn writes_strided(op: &Op) -> bool {
    !matches!(
        op,
        Op::Constant(_)
            | Op::Dense { .. }
            | Op::Reshape(_)
            | Op::Transpose(_)
            | Op::Slice { .. }
            | Op::Broadcast(_)
            | Op::Window { .. }
    )
}

/// The activations that a tap GEMM applies.
fn stored(function: Unary) -> Option<Activation> {
    Some(match function {
        Unary::Relu => Activation::Relu,
        Unary::LeakyRelu(slope) => Activation::LeakyRelu(slope),
        Unary::Tanh => Activation::Tanh,
        Unary::Sigmoid => Activation::Sigmoid,
        _ => return None,
    })
}
