//! Attention among many places, a block of queries at a time.
//!
//! In: a folded graph. Out: one in which a table of scores for all pairs of places, and all that is computed from it
//! value by value or row by row, exists for a few rows at a time: it stays in the cache, and the arena need not hold it.

use anyhow::{Context, Result};

use crate::graph::{Graph, Node, Op, Value};

/// The graph with its large tables in blocks.
///
/// # Errors
/// Never for a graph that was built by [`Graph::push`].
pub(crate) fn split(graph: &Graph) -> Result<Graph> {
    let mut graph = graph.clone();
    let mut next = 0;
    while next < graph.nodes().len() {
        let table = graph.nodes().nth(next).map(|(value, _)| value);
        let region = table.and_then(|table| Region::of(&graph, table));
        next += 1;
        if let Some((split, left)) = region.map_or(Ok(None), |region| region.split(&graph))? {
            next = split.nodes().len() - left;
            graph = split;
        }
    }
    Ok(graph)
}

/// What is computed from a table row by row.
struct Region {
    /// The axis that is cut, of each value of the graph that belongs to the region.
    axes: Vec<Option<usize>>,
    /// The values that others read.
    results: Vec<Value>,
    first: Value,
    /// Rows in all, and in a block.
    rows: [usize; 2],
}

impl Region {
    /// The region of a large table, if it ends in results that are small.
    fn of(graph: &Graph, table: Value) -> Option<Self> {
        let Op::Contract { .. } = &graph.node(table)?.op else { return None };
        let shape = graph.shape(table);
        let len: usize = shape.iter().product();
        if len < LARGE {
            return None;
        }
        let mut readers = vec![vec![]; graph.value_count()];
        for (value, node) in graph.nodes() {
            node.inputs.iter().for_each(|input| readers[input.index()].push(value));
        }
        // The last axis is usually the one that is reduced.
        (0..shape.len()).rev().skip(1).find_map(|axis| {
            let block = (BLOCK * shape[axis] / len).max(shape[axis] / MOST_BLOCKS).next_multiple_of(SMALLEST);
            if block >= shape[axis] {
                return None;
            }
            let mut region = Self {
                axes: vec![None; graph.value_count()],
                results: vec![],
                first: table,
                rows: [shape[axis], block],
            };
            region.axes[table.index()] = Some(axis);
            region.grow(graph, table);
            for (value, _) in graph.nodes().filter(|(value, _)| region.axes[value.index()].is_some()) {
                let outside = |reader: &Value| region.axes[reader.index()].is_none();
                if value == graph.output() || readers[value.index()].iter().any(outside) {
                    region.results.push(value);
                }
            }
            let small = |value: &Value| graph.shape(*value).iter().product::<usize>() < len;
            (!region.results.is_empty() && region.results.iter().all(small)).then_some(region)
        })
    }

    /// Adds what is computed from the region row by row, up to further contractions, whose results are small.
    fn grow(&mut self, graph: &Graph, table: Value) {
        let is_end = |value: Value| {
            value != table && matches!(graph.node(value).map(|node| &node.op), Some(Op::Contract { .. }))
        };
        for (value, node) in graph.nodes().filter(|(value, _)| *value > table) {
            let shape = graph.shape(value);
            let cut = |input: &Value| self.axes[input.index()].filter(|_| !is_end(*input));
            // The axis of a result with which the cut axis of an operand is aligned.
            let aligned =
                |input: &Value| cut(input).map(|axis| axis + shape.len() - graph.shape(*input).len());
            let mut cuts = node.inputs.iter().filter_map(aligned);
            let Some(axis) = cuts.next() else { continue };
            let agree = cuts.all(|other| other == axis);
            self.axes[value.index()] = match &node.op {
                Op::Unary(_) | Op::Binary(_) | Op::Select if agree => Some(axis),
                Op::Reduce { axes, .. } if !axes.contains(&axis) => Some(axis),
                Op::Contract { a, b, out } => {
                    let labels = [a, b].into_iter().zip(&node.inputs);
                    let mut labels = labels.filter_map(|(labels, input)| cut(input).map(|axis| labels[axis]));
                    let label = labels.next();
                    let other = labels.all(|other| Some(other) == label);
                    label.filter(|_| other).and_then(|label| out.iter().position(|l| *l == label))
                }
                _ => None,
            };
        }
    }

    /// The graph with the region in blocks, and how many nodes follow them; none if a part of it needs what is computed
    /// later.
    fn split(&self, graph: &Graph) -> Result<Option<(Graph, usize)>> {
        let inside = |value: Value| self.axes[value.index()].is_some();
        let late = |input: &&Value| !inside(**input) && **input > self.first;
        let members: Vec<(Value, &Node)> = graph.nodes().filter(|(value, _)| inside(*value)).collect();
        // Whatever it reads is moved before it, unless that reads one of its results.
        let mut early = vec![false; graph.value_count()];
        for (_, node) in &members {
            for input in node.inputs.iter().filter(late) {
                early.iter_mut().zip(graph.reached(*input)).for_each(|(early, reached)| *early |= reached);
            }
        }
        if members.iter().any(|(value, _)| early[value.index()]) {
            return Ok(None);
        }
        let mut new = Graph::new(graph.inputs().to_vec());
        let mut values: Vec<Option<Value>> = vec![None; graph.value_count()];
        for (i, value) in values.iter_mut().enumerate().take(graph.inputs().len()) {
            *value = Some(new.input(i));
        }
        let copy =
            |new: &mut Graph, values: &mut Vec<Option<Value>>, value: Value, node: &Node| -> Result<()> {
                let inputs = node.inputs.iter().map(|input| values[input.index()]).collect::<Option<_>>();
                let inputs = inputs.context("a value is read before it is computed")?;
                values[value.index()] = Some(new.push(&*node.name, node.op.clone(), inputs)?);
                Ok(())
            };
        for (value, node) in graph.nodes().filter(|(v, _)| *v < self.first || early[v.index()]) {
            copy(&mut new, &mut values, value, node)?;
        }
        let mut parts = vec![vec![]; self.results.len()];
        let [rows, block] = self.rows;
        for start in (0..rows).step_by(block) {
            let len = block.min(rows - start);
            let mut own = values.clone();
            for (value, node) in &members {
                let inputs = (0..node.inputs.len()).map(|i| {
                    let input = node.inputs[i];
                    let known = own[input.index()].context("a value is read before it is computed")?;
                    let axis = if inside(input) { None } else { self.cut(graph, *value, node, i) };
                    match axis {
                        Some(axis) => {
                            let name = format!("{}.rows", node.name);
                            new.push(name, Op::Slice { axis, start, step: 1, len }, vec![known])
                        }
                        None => Ok(known),
                    }
                });
                let inputs = inputs.collect::<Result<Vec<_>>>()?;
                own[value.index()] = Some(new.push(&*node.name, node.op.clone(), inputs)?);
            }
            for (parts, result) in parts.iter_mut().zip(&self.results) {
                parts.extend(own[result.index()]);
            }
        }
        for (parts, result) in parts.into_iter().zip(&self.results) {
            let axis = self.axes[result.index()].context("a result is cut along an axis")?;
            let name = graph.node(*result).map_or("", |node| &node.name);
            values[result.index()] = Some(new.push(name, Op::Concat { axis }, parts)?);
        }
        let rest = |v: Value| v > self.first && !early[v.index()] && !inside(v);
        let mut left = 0;
        for (value, node) in graph.nodes().filter(|(value, _)| rest(*value)) {
            copy(&mut new, &mut values, value, node)?;
            left += 1;
        }
        new.set_output(values[graph.output().index()].context("the output is computed")?);
        Ok(Some((new, left)))
    }

    /// The axis along which an operand from outside is cut, if it has the rows at all.
    fn cut(&self, graph: &Graph, value: Value, node: &Node, operand: usize) -> Option<usize> {
        let axis = self.axes[value.index()]?;
        let shape = graph.shape(node.inputs[operand]);
        let axis = match &node.op {
            Op::Contract { a, b, out } => [a, b][operand].iter().position(|label| *label == out[axis])?,
            _ => (axis + shape.len()).checked_sub(graph.shape(value).len())?,
        };
        (shape[axis] == self.rows[0]).then_some(axis)
    }
}

/// Values of a table that is worth cutting: more than a second-level cache holds beside other things.
const LARGE: usize = 1 << 17;

/// Values of a table's block.
const BLOCK: usize = 1 << 16;

/// Blocks of one table, lest the steps become too many.
const MOST_BLOCKS: usize = 64;

/// Rows of the smallest block: vectors run along them.
const SMALLEST: usize = 16;
