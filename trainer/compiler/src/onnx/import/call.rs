//! One node with what it reads: the interface between the importer and the operators.

use anyhow::{Context, Result, bail, ensure};

use super::attributes::Attributes;
use super::builder::{Builder, NeedsConstant};
use super::operand::{Constant, Kind, Operand, Source};
use crate::graph::Value;
use crate::onnx::pb;

/// Appends the operations of a node to a graph and returns its results; those that nobody asks for may be missing.
pub(super) type Lower = fn(&mut Builder, &Call<'_>) -> Result<Vec<Operand>>;

/// A node to be lowered.
#[derive(Debug)]
pub(super) struct Call<'a> {
    pub(super) node: &'a pb::NodeProto,
    pub(super) attributes: Attributes<'a>,
    /// What it reads; `None` where an optional input is left out.
    pub(super) inputs: Vec<Option<Operand>>,
    /// Version of the operator set.
    pub(super) opset: i64,
}

impl Call<'_> {
    /// A required input.
    pub(super) fn input(&self, index: usize) -> Result<&Operand> {
        self.optional(index).with_context(|| format!("input {index} is missing"))
    }

    pub(super) fn optional(&self, index: usize) -> Option<&Operand> {
        self.inputs.get(index)?.as_ref()
    }

    /// Inputs of an operator that reads any number of them.
    pub(super) fn all(&self) -> Result<Vec<&Operand>> {
        ensure!(!self.inputs.is_empty(), "there are no inputs");
        (0..self.inputs.len()).map(|i| self.input(i)).collect()
    }

    /// A required input as a value of the graph.
    pub(super) fn value(&self, builder: &mut Builder, index: usize) -> Result<Value> {
        builder.value(self.input(index)?)
    }

    /// Whether anybody may read this output.
    pub(super) fn wants(&self, index: usize) -> bool {
        self.node.output.get(index).is_some_and(|name| !name.is_empty())
    }

    /// An input that decides shapes, and that the file must therefore fix.
    pub(super) fn fixed(&self, index: usize, what: &str) -> Result<Option<&Constant>> {
        let Some(operand) = self.optional(index) else { return Ok(None) };
        match &operand.source {
            Source::Constant(constant) => Ok(Some(constant)),
            Source::Value(value, _) => {
                bail!(NeedsConstant { what: format!("{what} (input {index})"), value: *value })
            }
            Source::Lost => bail!("reads the result of a node that is not supported"),
        }
    }

    /// Integers that decide shapes.
    pub(super) fn fixed_ints(&self, index: usize, what: &str) -> Result<Option<Vec<i64>>> {
        // A sentinel like the largest i64 was rounded to 2^63, which `as` takes back.
        Ok(self.fixed(index, what)?.map(|constant| constant.data.iter().map(|&v| v as i64).collect()))
    }

    /// One number that decides a shape.
    pub(super) fn fixed_scalar(&self, index: usize, what: &str) -> Result<Option<f64>> {
        let Some(constant) = self.fixed(index, what)? else { return Ok(None) };
        let [value] = constant.data[..] else {
            bail!("{what} has {} values, one is read", constant.data.len())
        };
        Ok(Some(value))
    }

    /// Integers that older operator sets give as an attribute and newer ones as an input.
    pub(super) fn ints(&self, index: usize, name: &str) -> Result<Option<Vec<i64>>> {
        match self.attributes.ints(name)? {
            Some(ints) => Ok(Some(ints.to_vec())),
            None => self.fixed_ints(index, name),
        }
    }
}

/// An axis that may count from the end.
pub(super) fn axis(axis: i64, rank: usize) -> Result<usize> {
    let from_end = if axis < 0 { axis.checked_add(rank as i64) } else { Some(axis) };
    let axis_of = from_end.and_then(|axis| usize::try_from(axis).ok()).filter(|&axis| axis < rank);
    axis_of.with_context(|| format!("axis {axis} of {rank}"))
}

/// Axes that may count from the end, ascending.
pub(super) fn axes(axes: &[i64], rank: usize) -> Result<Vec<usize>> {
    let mut axes = axes.iter().map(|&a| axis(a, rank)).collect::<Result<Vec<_>>>()?;
    axes.sort_unstable();
    ensure!(axes.windows(2).all(|pair| pair[0] != pair[1]), "an axis twice in {axes:?}");
    Ok(axes)
}

/// One result of the same kind as the first input.
pub(super) fn same(builder: &Builder, call: &Call<'_>, value: Value) -> Result<Vec<Operand>> {
    Ok(vec![builder.operand(call.input(0)?.kind, value)])
}

/// One result of floating point.
pub(super) fn float(builder: &Builder, value: Value) -> Result<Vec<Operand>> {
    Ok(vec![builder.operand(Kind::Float, value)])
}
