//! Appends operations to a graph, leaving out those that change nothing.

use std::collections::HashMap;
use std::rc::Rc;

use anyhow::{Result, ensure};

use super::operand::{Constant, Kind, Operand, Source};
use crate::graph::{Binary, Graph, MAX_VALUES, Op, Reduction, Role, Tensor, Unary, Value};

/// A graph under construction.
#[derive(Debug)]
pub(super) struct Builder {
    pub(super) graph: Graph,
    /// What the nodes appended next are called.
    pub(super) name: String,
    /// Things that a user should know.
    pub(super) notes: Vec<String>,
    /// Constants that are already values of the graph. Held, so that their addresses stay theirs.
    placed: HashMap<*const Constant, (Rc<Constant>, Value)>,
    scalars: HashMap<u32, Value>,
    constant_values: usize,
    weight_values: usize,
}

/// A tensor had to be fixed by the file and depends on what the graph reads.
#[derive(Debug)]
pub(super) struct NeedsConstant {
    pub(super) what: String,
    pub(super) value: Value,
}

impl core::fmt::Display for NeedsConstant {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} must be known before the model runs", self.what)
    }
}

impl core::error::Error for NeedsConstant {}

impl Builder {
    pub(super) fn new(graph: Graph) -> Self {
        Self {
            graph,
            name: String::new(),
            notes: vec![],
            placed: HashMap::new(),
            scalars: HashMap::new(),
            constant_values: 0,
            weight_values: 0,
        }
    }

    /// Declares that an input of the graph holds a constant: for evaluating constants in double precision.
    pub(super) fn place(&mut self, constant: &Rc<Constant>, value: Value) {
        self.placed.insert(Rc::as_ptr(constant), (constant.clone(), value));
    }

    pub(super) fn note(&mut self, note: impl Into<String>) {
        let note = note.into();
        if self.notes.len() < MAX_NOTES && !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// The operand as a value of the graph.
    pub(super) fn value(&mut self, operand: &Operand) -> Result<Value> {
        let constant = match &operand.source {
            Source::Value(value, _) => return Ok(*value),
            Source::Lost => anyhow::bail!("reads the result of a node that is not supported"),
            Source::Constant(constant) => constant,
        };
        if let Some((_, value)) = self.placed.get(&Rc::as_ptr(constant)) {
            return Ok(*value);
        }
        if operand.kind.is_int() {
            let unfit = constant.data.iter().find(|&&v| v.abs() > LARGEST_INT && f64::from(v as f32) != v);
            let unfit = unfit.or(constant.data.iter().find(|v| v.abs() > 2_f64.powi(53)));
            if let Some(number) = unfit {
                anyhow::bail!("the integer {number} has more than 24 bits, which f32 cannot hold");
            }
        }
        let value = self.constant(constant.shape.clone(), constant.data.clone())?;
        self.placed.insert(Rc::as_ptr(constant), (constant.clone(), value));
        Ok(value)
    }

    /// The operand as a tensor of weights, if the file fixes it.
    ///
    /// # Errors
    /// When the weights of all layers become too many.
    pub(super) fn weight(&mut self, operand: &Operand) -> Result<Option<Tensor>> {
        let Some(constant) = operand.known() else { return Ok(None) };
        self.weight_values += constant.data.len();
        let fits = self.weight_values <= MAX_WEIGHT_VALUES;
        ensure!(fits, "the weights of all layers exceed {MAX_WEIGHT_VALUES} values");
        Ok(Some(Tensor::new(constant.shape.clone(), narrow(&constant.data))))
    }

    pub(super) fn operand(&self, kind: Kind, value: Value) -> Operand {
        Operand { kind, source: Source::Value(value, self.graph.shape(value).to_vec()) }
    }

    /// Whether a value is the number of a class, which is never negative.
    pub(super) fn is_label(&self, value: Value) -> bool {
        self.graph.inputs().get(value.index()).is_some_and(|input| input.role == Role::Label)
    }

    pub(super) fn shape(&self, value: Value) -> Vec<usize> {
        self.graph.shape(value).to_vec()
    }

    pub(super) fn push(&mut self, op: Op, inputs: Vec<Value>) -> Result<Value> {
        ensure!(self.graph.value_count() < MAX_NODES, "the graph exceeds {MAX_NODES} operations");
        self.graph.push(self.name.clone(), op, inputs)
    }

    pub(super) fn constant(&mut self, shape: Vec<usize>, data: Vec<f64>) -> Result<Value> {
        self.constant_values += data.len();
        ensure!(self.constant_values <= MAX_CONSTANT_VALUES, "constants exceed {MAX_CONSTANT_VALUES} values");
        let tensor = Tensor::new(shape, narrow(&data));
        self.push(Op::Constant(tensor), vec![])
    }

    pub(super) fn scalar(&mut self, value: f64) -> Result<Value> {
        let bits = (value as f32).to_bits();
        if let Some(&value) = self.scalars.get(&bits) {
            return Ok(value);
        }
        let value = self.constant(vec![], vec![value])?;
        self.scalars.insert(bits, value);
        Ok(value)
    }

    /// A constant along one axis of a tensor of `rank` axes.
    pub(super) fn along(&mut self, rank: usize, axis: usize, data: Vec<f64>) -> Result<Value> {
        let mut shape = vec![1; rank];
        shape[axis] = data.len();
        self.constant(shape, data)
    }

    pub(super) fn unary(&mut self, function: Unary, x: Value) -> Result<Value> {
        self.push(Op::Unary(function), vec![x])
    }

    pub(super) fn binary(&mut self, function: Binary, a: Value, b: Value) -> Result<Value> {
        self.push(Op::Binary(function), vec![a, b])
    }

    pub(super) fn add(&mut self, a: Value, b: Value) -> Result<Value> {
        self.binary(Binary::Add, a, b)
    }

    pub(super) fn sub(&mut self, a: Value, b: Value) -> Result<Value> {
        self.binary(Binary::Sub, a, b)
    }

    pub(super) fn mul(&mut self, a: Value, b: Value) -> Result<Value> {
        self.binary(Binary::Mul, a, b)
    }

    pub(super) fn div(&mut self, a: Value, b: Value) -> Result<Value> {
        self.binary(Binary::Div, a, b)
    }

    /// A function of a value and a number.
    pub(super) fn with(&mut self, function: Binary, x: Value, number: f64) -> Result<Value> {
        let unchanged = match function {
            Binary::Add | Binary::Sub => number == 0.0,
            Binary::Mul | Binary::Div | Binary::Pow => number == 1.0,
            _ => false,
        };
        if unchanged {
            return Ok(x);
        }
        let number = self.scalar(number)?;
        self.binary(function, x, number)
    }

    pub(super) fn select(&mut self, condition: Value, a: Value, b: Value) -> Result<Value> {
        self.push(Op::Select, vec![condition, a, b])
    }

    /// `1 - x`
    pub(super) fn not(&mut self, x: Value) -> Result<Value> {
        let one = self.scalar(1.0)?;
        self.sub(one, x)
    }

    /// The integer nearer to zero.
    pub(super) fn truncate(&mut self, x: Value) -> Result<Value> {
        let [floor, ceil] = [self.unary(Unary::Floor, x)?, self.unary(Unary::Ceil, x)?];
        let negative = self.with(Binary::Less, x, 0.0)?;
        self.select(negative, ceil, floor)
    }

    /// The axes remain with extent 1.
    pub(super) fn reduce(&mut self, reduction: Reduction, x: Value, axes: &[usize]) -> Result<Value> {
        if axes.iter().all(|&axis| self.graph.shape(x).get(axis) == Some(&1)) {
            return Ok(x);
        }
        self.push(Op::Reduce { reduction, axes: axes.to_vec() }, vec![x])
    }

    pub(super) fn mean(&mut self, x: Value, axes: &[usize]) -> Result<Value> {
        let count: usize = axes.iter().map(|&axis| self.graph.shape(x)[axis]).product();
        let sum = self.reduce(Reduction::Sum, x, axes)?;
        self.with(Binary::Div, sum, count as f64)
    }

    pub(super) fn reshape(&mut self, x: Value, shape: Vec<usize>) -> Result<Value> {
        if self.graph.shape(x) == shape {
            return Ok(x);
        }
        self.push(Op::Reshape(shape), vec![x])
    }

    pub(super) fn transpose(&mut self, x: Value, permutation: Vec<usize>) -> Result<Value> {
        if permutation.iter().copied().eq(0..permutation.len()) {
            return Ok(x);
        }
        self.push(Op::Transpose(permutation), vec![x])
    }

    pub(super) fn slice(
        &mut self,
        x: Value,
        axis: usize,
        start: usize,
        step: isize,
        len: usize,
    ) -> Result<Value> {
        if start == 0 && step == 1 && self.graph.shape(x).get(axis) == Some(&len) {
            return Ok(x);
        }
        self.push(Op::Slice { axis, start, step, len }, vec![x])
    }

    pub(super) fn broadcast(&mut self, x: Value, shape: Vec<usize>) -> Result<Value> {
        if self.graph.shape(x) == shape {
            return Ok(x);
        }
        self.push(Op::Broadcast(shape), vec![x])
    }

    pub(super) fn concat(&mut self, parts: Vec<Value>, axis: usize) -> Result<Value> {
        if let [part] = parts[..] {
            return Ok(part);
        }
        self.push(Op::Concat { axis }, parts)
    }

    pub(super) fn window(
        &mut self,
        x: Value,
        axis: usize,
        size: usize,
        stride: usize,
        dilation: usize,
    ) -> Result<Value> {
        self.push(Op::Window { axis, size, stride, dilation }, vec![x])
    }

    pub(super) fn gather(&mut self, x: Value, indices: Value, axis: usize) -> Result<Value> {
        self.push(Op::Gather { axis }, vec![x, indices])
    }

    /// Adds `before` and `after` copies of the scalar `fill` at the ends of an axis; takes elements away where negative.
    pub(super) fn pad(
        &mut self,
        x: Value,
        axis: usize,
        [before, after]: [i64; 2],
        fill: Option<Value>,
    ) -> Result<Value> {
        let extent = self.graph.shape(x)[axis];
        let cut = |amount: i64| usize::try_from(-amount).unwrap_or(0);
        let kept = extent.checked_sub(cut(before)).and_then(|kept| kept.checked_sub(cut(after)));
        let kept = kept.filter(|&kept| kept > 0);
        let kept =
            kept.ok_or_else(|| anyhow::anyhow!("padding {before} and {after} leaves nothing of {extent}"))?;
        let x = self.slice(x, axis, cut(before), 1, kept)?;
        let mut parts = vec![x];
        for (amount, place) in [(before, 0), (after, usize::from(before > 0) + 1)] {
            if let Ok(amount @ 1..) = usize::try_from(amount) {
                let mut shape = self.shape(x);
                shape[axis] = amount;
                let fill = fill.map_or_else(|| self.scalar(0.0), Ok)?;
                parts.insert(place, self.broadcast(fill, shape)?);
            }
        }
        self.concat(parts, axis)
    }

    /// The elements of an axis with these numbers, as slices where that is as good as a table.
    pub(super) fn take(&mut self, x: Value, axis: usize, indices: &[usize]) -> Result<Value> {
        ensure!(!indices.is_empty(), "nothing is taken from axis {axis}");
        // Each element several times: a copy with a stride of zero.
        let repeats = indices.iter().take_while(|&&index| index == indices[0]).count();
        let all_repeat = indices.len().is_multiple_of(repeats)
            && indices.chunks(repeats).all(|chunk| chunk.iter().all(|index| *index == chunk[0]));
        let firsts: Vec<usize> = indices.iter().step_by(repeats).copied().collect();
        let runs = Run::split(&firsts);
        if all_repeat && runs.len() == 1 {
            let x = self.run(x, axis, runs[0])?;
            return self.repeat(x, axis, repeats);
        }
        let runs = Run::split(indices);
        if runs.len() <= MOST_RUNS {
            let parts = runs.iter().map(|run| self.run(x, axis, *run)).collect::<Result<Vec<_>>>()?;
            return self.concat(parts, axis);
        }
        let shape = self.shape(x);
        ensure!(indices.iter().all(|&index| index < shape[axis]), "index out of bounds");
        let indices =
            self.constant(vec![indices.len()], indices.iter().map(|&index| index as f64).collect())?;
        self.gather(x, indices, axis)
    }

    /// Each element of an axis `times` times.
    pub(super) fn repeat(&mut self, x: Value, axis: usize, times: usize) -> Result<Value> {
        let mut shape = self.shape(x);
        if times == 1 {
            return Ok(x);
        }
        shape.insert(axis + 1, 1);
        let x = self.reshape(x, shape.clone())?;
        shape[axis + 1] = times;
        let x = self.broadcast(x, shape.clone())?;
        shape.remove(axis + 1);
        shape[axis] *= times;
        self.reshape(x, shape)
    }

    fn run(&mut self, x: Value, axis: usize, run: Run) -> Result<Value> {
        if run.step != 0 || run.len == 1 {
            let step = if run.step == 0 { 1 } else { run.step };
            return self.slice(x, axis, run.start, step, run.len);
        }
        let x = self.slice(x, axis, run.start, 1, 1)?;
        let mut shape = self.shape(x);
        shape[axis] = run.len;
        self.broadcast(x, shape)
    }
}

/// Numbers with equal distances.
#[derive(Clone, Copy, Debug)]
struct Run {
    start: usize,
    step: isize,
    len: usize,
}

impl Run {
    fn split(indices: &[usize]) -> Vec<Self> {
        let mut runs: Vec<Self> = vec![];
        for &index in indices {
            match runs.last_mut() {
                Some(run) if run.len == 1 => {
                    run.step = index as isize - run.start as isize;
                    run.len = 2;
                }
                Some(run) if run.start as isize + run.step * run.len as isize == index as isize => {
                    run.len += 1
                }
                _ => runs.push(Self { start: index, step: 0, len: 1 }),
            }
        }
        runs
    }
}

fn narrow(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&v| v as f32).collect()
}

/// The largest integer below which `f32` holds all.
const LARGEST_INT: f64 = (1 << 24) as f64;
/// Operations of one graph.
const MAX_NODES: usize = 100_000;
/// Values of all constants that the importer makes, weights of layers not counted.
const MAX_CONSTANT_VALUES: usize = 1 << 27;
/// Values of the weights of all layers, of which each has its own copy: more than any target's memory holds.
const MAX_WEIGHT_VALUES: usize = MAX_VALUES;
/// Things that a user should know, of which there are few in any file but a hostile one.
const MAX_NOTES: usize = 50;
/// Slices that are better than one table of numbers.
const MOST_RUNS: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_count_for_each_layer_that_reads_them() {
        let weight = Operand::constant(Kind::Float, vec![3], vec![1.0; 3]);
        let mut builder = Builder::new(Graph::default());
        builder.weight_values = MAX_WEIGHT_VALUES - 5;
        assert!(builder.weight(&weight).is_ok_and(|weight| weight.is_some()));
        let error = builder.weight(&weight).expect_err("room for two values");
        assert!(error.to_string().contains("weights of all layers"), "{error}");
    }
}
