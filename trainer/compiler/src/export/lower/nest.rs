//! Everything without weights: loop nests.

use anyhow::{Result, bail};
use pocketgan_format::{Activation, Combine, Function, ValueType};

use super::Lowering;
use crate::export::draft::Nest;
use crate::export::view::{Memory, View, natural_order};
use crate::graph::{Binary, Node, Op, Reduction, Unary, Value};

impl Lowering<'_> {
    /// Computes a node by loop nests; returns where its value lies.
    pub(super) fn compute(&mut self, value: Value, node: &Node) -> Result<View> {
        self.draft.layer(&node.name);
        let shape = self.graph.shape(value);
        let read = node.inputs.iter().map(|&input| self.view(input)).collect::<Result<Vec<_>>>()?;
        match &node.op {
            Op::Unary(function) => {
                let out = self.destination_in_place(value, value, &[&read[0]], &read[0].order());
                let (function, slope) = unary(*function);
                let slope = slope.map(|slope| scalar(slope, shape));
                self.elementwise(function, &read[0], slope.as_ref(), &out)?;
                Ok(out)
            }
            Op::Binary(function) => {
                let mut operands = [&read[0], &read[1]].map(|view| view.broadcast(shape));
                // What repeats comes second, as the shift that may follow.
                if matches!(function, Binary::Add | Binary::Mul) && read[0].len() < read[1].len() {
                    operands.swap(0, 1);
                }
                let [a, b] = operands;
                let end = self.end(value, &b);
                let order = order_of(&[&read[0], &read[1]], shape);
                let read: Vec<&View> = [&a, &b].into_iter().chain(&end.shift).collect();
                let out = self.destination_in_place(value, end.value, &read, &order);
                self.draft.nest(&Nest {
                    function: binary(*function),
                    combine: Combine::Sum,
                    a: &a,
                    b: Some(&b),
                    shift: end.shift.as_ref(),
                    activation: end.activation,
                    out: &out,
                    reduced: &[],
                    table: None,
                })?;
                self.places[end.value.index()] = Some(out.clone());
                if let Some(sum) = end.sum {
                    self.places[sum.index()] = Some(out.clone());
                }
                Ok(out)
            }
            Op::Select => {
                let [condition, a, b] = [&read[0], &read[1], &read[2]].map(|view| view.broadcast(shape));
                let order = order_of(&[&read[2], &read[1], &read[0]], shape);
                // The value chosen where the condition is 0 is there before the other.
                let apart = [&condition, &a].into_iter().all(|view| view.memory != b.memory);
                let out = match apart {
                    true => self.destination_in_place(value, value, &[&b], &order),
                    false => {
                        let read = [&condition, &a, &b];
                        self.destination(value, &read, &order, self.value_type(&read))
                    }
                };
                if out != b {
                    self.elementwise(Function::Identity, &b, None, &out)?;
                }
                self.elementwise(Function::Select, &condition, Some(&a), &out)?;
                Ok(out)
            }
            Op::Reduce { reduction, axes } => {
                // Sums may grow beyond what half precision holds.
                let out = self.destination(value, &[&read[0]], &read[0].order(), ValueType::F32);
                self.draft.nest(&Nest {
                    function: Function::Identity,
                    combine: combine(*reduction),
                    a: &read[0],
                    b: None,
                    shift: None,
                    activation: Activation::Identity,
                    out: &out.broadcast(&read[0].shape),
                    reduced: axes,
                    table: None,
                })?;
                Ok(out)
            }
            Op::Contract { a, b, out } => self.contract(value, [a, b, out], [&read[0], &read[1]]),
            &Op::Concat { axis } => {
                let whole = match self.destinations.get(&value) {
                    Some(view) => view.clone(),
                    None => self.allocate(shape, &self.order_for_readers(value), self.activations),
                };
                let mut start = 0;
                for part in &read {
                    let slice = whole.slice(axis, start, 1, part.shape[axis]);
                    start += part.shape[axis];
                    if *part == slice {
                        continue;
                    }
                    // A part that already lies elsewhere in the same buffer is taken out first.
                    let beside = part.memory == whole.memory;
                    let part = match beside {
                        true => self.copy(part, &natural_order(shape), self.activations)?,
                        false => part.clone(),
                    };
                    self.elementwise(Function::Identity, &part, None, &slice)?;
                }
                Ok(whole)
            }
            &Op::Gather { axis } => {
                let out = self.allocate(shape, &row_major(shape), self.value_type(&[&read[0]]));
                let (values, indices) = (&read[0], &read[1]);
                let count = indices.shape.len();
                // The axes of the result: those before, those of the indices, those after.
                let mut a = values.slice(axis, 0, 1, 1);
                let (extents, strides) = (indices.shape.iter().copied(), core::iter::repeat_n(0, count));
                a.shape.splice(axis..=axis, extents);
                a.strides.splice(axis..=axis, strides);
                let mut b = View { shape: shape.to_vec(), strides: vec![0; shape.len()], ..indices.clone() };
                b.strides[axis..axis + count].copy_from_slice(&indices.strides);
                self.draft.nest(&Nest {
                    function: Function::Take,
                    combine: Combine::Sum,
                    a: &a,
                    b: Some(&b),
                    shift: None,
                    activation: Activation::Identity,
                    out: &out,
                    reduced: &[],
                    table: Some((values.shape[axis], values.strides[axis])),
                })?;
                Ok(out)
            }
            _ => bail!("it is no loop nest"),
        }
    }

    /// What follows a function of two values in the same step: a sum with what lies as its second operand does, and an
    /// activation.
    fn end(&self, value: Value, second: &View) -> End {
        let mut end = End { value, sum: None, shift: None, activation: Activation::Identity };
        if let Some((reader, node)) = self.only_reader(value)
            && matches!(node.op, Op::Binary(Binary::Add))
            && self.graph.shape(reader) == self.graph.shape(value)
            && let Some(&other) = node.inputs.iter().find(|&&input| input != value)
            && let Some(shift) = &self.places[other.index()]
        {
            let shift = shift.broadcast(self.graph.shape(value));
            let is_scalar = |view: &View| matches!(view.memory, Memory::Scalar(_));
            let strides = |view: &View| -> Vec<isize> {
                let used = view.shape.iter().zip(&view.strides).filter(|(extent, _)| **extent > 1);
                used.map(|(_, stride)| *stride).collect()
            };
            if is_scalar(&shift) || is_scalar(second) || strides(&shift) == strides(second) {
                end = End { value: reader, sum: Some(reader), shift: Some(shift), ..end };
            }
        }
        let (value, activation) = self.fused(end.value);
        End { value, activation, ..end }
    }

    /// A sum of products over the labels that the result lacks.
    fn contract(&mut self, value: Value, labels: [&[usize]; 3], read: [&View; 2]) -> Result<View> {
        let [a, b, out] = labels;
        let mut all = out.to_vec();
        for label in a.iter().chain(b) {
            if !all.contains(label) {
                all.push(*label);
            }
        }
        let extent = |label: &usize| {
            let of =
                |labels: &[usize], view: &View| labels.iter().position(|l| l == label).map(|i| view.shape[i]);
            of(a, read[0]).or(of(b, read[1])).unwrap_or(1)
        };
        let extents: Vec<usize> = all.iter().map(extent).collect();
        let spread = |labels: &[usize], view: &View| View {
            shape: extents.clone(),
            strides: all
                .iter()
                .map(|l| labels.iter().position(|o| o == l).map_or(0, |i| view.strides[i]))
                .collect(),
            ..view.clone()
        };
        let shape = self.graph.shape(value);
        let order = self.order_for_readers(value);
        let given = self.destinations.get(&value).filter(|view| read.iter().all(|r| r.memory != view.memory));
        let result = match given {
            // Sums may grow beyond what half precision holds.
            Some(view) if self.draft.value_type(view.memory) == ValueType::F32 => view.clone(),
            _ => self.allocate(shape, &order, ValueType::F32),
        };
        let reduced: Vec<usize> = (out.len()..all.len()).collect();
        self.draft.nest(&Nest {
            function: Function::Mul,
            combine: Combine::Sum,
            a: &spread(a, read[0]),
            b: Some(&spread(b, read[1])),
            shift: None,
            activation: Activation::Identity,
            out: &spread(out, &result),
            reduced: &reduced,
            table: None,
        })?;
        Ok(result)
    }

    /// The order in memory that suits those who read a value: what is reduced later is not innermost, so that vectors run
    /// across the results; what becomes a picture lies channels last.
    pub(super) fn order_for_readers(&self, value: Value) -> Vec<usize> {
        let shape = self.graph.shape(value);
        let mut order = natural_order(shape);
        let mut seen = value;
        for _ in 0..MOST_FUNCTIONS {
            let readers = &self.readers[seen.index()];
            let nodes = || readers.iter().filter_map(|&reader| Some((reader, self.graph.node(reader)?)));
            if let Some(axes) = nodes().find_map(|(_, node)| match &node.op {
                Op::Reduce { axes, .. } => Some(axes),
                _ => None,
            }) {
                let innermost = order.iter().rposition(|axis| !axes.contains(axis) && shape[*axis] >= LONG);
                if let Some(innermost) = innermost {
                    let axis = order.remove(innermost);
                    order.push(axis);
                }
                return order;
            }
            let next = nodes().find_map(|(reader, node)| match &node.op {
                Op::Reshape(to) if to.len() == 4 && shape.len() == 3 && to[..2] == shape[..2] => {
                    Some((reader, true))
                }
                Op::Unary(_) | Op::Binary(_) | Op::Concat { .. } if self.graph.shape(reader) == shape => {
                    Some((reader, false))
                }
                Op::Concat { .. } => Some((reader, false)),
                _ => None,
            });
            match next {
                Some((_, true)) => return vec![0, 2, 1],
                Some((reader, false)) => seen = reader,
                None => break,
            }
        }
        order
    }

    /// A reshape that no view expresses.
    pub(super) fn reshaped_copy(&mut self, node: &Node, shape: &[usize]) -> Result<View> {
        self.draft.layer(&node.name);
        let view = self.view(node.inputs[0])?;
        // A picture lies channels last where the axes that become its rows and columns allow it.
        let rank = view.shape.len();
        let channels_last = [0].into_iter().chain(2..rank).chain([1]).collect::<Vec<_>>();
        let becomes_picture = shape.len() == 4 && rank > 4 && shape[..2] == view.shape[..2];
        let order = if becomes_picture { channels_last } else { row_major(&view.shape) };
        let copy = self.copy(&view, &order, self.value_type(&[&view]))?;
        match copy.reshape(shape) {
            Some(view) => Ok(view),
            None => bail!("a packed copy has any shape"),
        }
    }

    /// A copy without gaps, its axes in the order given.
    pub(super) fn copy(&mut self, view: &View, order: &[usize], values: ValueType) -> Result<View> {
        let out = self.allocate(&view.shape, order, values);
        self.elementwise(Function::Identity, view, None, &out)?;
        Ok(out)
    }

    fn elementwise(&mut self, function: Function, a: &View, b: Option<&View>, out: &View) -> Result<()> {
        self.draft.nest(&Nest {
            function,
            combine: Combine::Sum,
            a,
            b,
            shift: None,
            activation: Activation::Identity,
            out,
            reduced: &[],
            table: None,
        })
    }
}

/// What one step computes after a function of two values.
struct End {
    /// The last value that it computes.
    value: Value,
    /// The sum with the shift.
    sum: Option<Value>,
    shift: Option<View>,
    activation: Activation,
}

/// The order in memory of the first view that has the shape, so that loops over it and the result run alike.
fn order_of(views: &[&View], shape: &[usize]) -> Vec<usize> {
    let whole = views.iter().find(|view| view.shape == shape && matches!(view.memory, Memory::Buffer(_)));
    whole.map_or_else(|| natural_order(shape), |view| view.order())
}

fn row_major(shape: &[usize]) -> Vec<usize> {
    (0..shape.len()).collect()
}

fn scalar(number: f32, shape: &[usize]) -> View {
    View {
        memory: Memory::Scalar(number.to_bits()),
        start: 0,
        shape: shape.to_vec(),
        strides: vec![0; shape.len()],
    }
}

fn combine(reduction: Reduction) -> Combine {
    match reduction {
        Reduction::Sum => Combine::Sum,
        Reduction::Product => Combine::Product,
        Reduction::Max => Combine::Max,
        Reduction::Min => Combine::Min,
    }
}

/// The stored function, and its second operand where it has one.
fn unary(function: Unary) -> (Function, Option<f32>) {
    let function = match function {
        Unary::LeakyRelu(slope) => return (Function::PRelu, Some(slope)),
        Unary::Relu => Function::Relu,
        Unary::Tanh => Function::Tanh,
        Unary::Sigmoid => Function::Sigmoid,
        Unary::Abs => Function::Abs,
        Unary::Exp => Function::Exp,
        Unary::Log => Function::Log,
        Unary::Sqrt => Function::Sqrt,
        Unary::Floor => Function::Floor,
        Unary::Ceil => Function::Ceil,
        Unary::Round => Function::Round,
        Unary::Sign => Function::Sign,
        Unary::Sin => Function::Sin,
        Unary::Cos => Function::Cos,
        Unary::Tan => Function::Tan,
        Unary::Asin => Function::Asin,
        Unary::Acos => Function::Acos,
        Unary::Atan => Function::Atan,
        Unary::Sinh => Function::Sinh,
        Unary::Cosh => Function::Cosh,
        Unary::Asinh => Function::Asinh,
        Unary::Acosh => Function::Acosh,
        Unary::Atanh => Function::Atanh,
        Unary::Erf => Function::Erf,
    };
    (function, None)
}

fn binary(function: Binary) -> Function {
    match function {
        Binary::Add => Function::Add,
        Binary::Sub => Function::Sub,
        Binary::Mul => Function::Mul,
        Binary::Div => Function::Div,
        Binary::Max => Function::Max,
        Binary::Min => Function::Min,
        Binary::Pow => Function::Pow,
        Binary::Rem => Function::Rem,
        Binary::Less => Function::Less,
        Binary::LessEqual => Function::LessEqual,
        Binary::Equal => Function::Equal,
        Binary::PRelu => Function::PRelu,
        Binary::ExpSub => Function::ExpSub,
    }
}

/// Functions of each value through which readers are looked for.
const MOST_FUNCTIONS: usize = 8;

/// Values along an axis on which vectors pay.
const LONG: usize = 8;
