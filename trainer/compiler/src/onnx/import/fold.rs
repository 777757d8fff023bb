//! Lowers a node into the graph, or, if all that it reads is known, evaluates it now.

use std::rc::Rc;

use anyhow::{Result, ensure};

use super::builder::Builder;
use super::call::{Call, Lower};
use super::operand::{Constant, Operand, Source};
use super::tensor::{broadcast, count};
use crate::graph::evaluate::evaluate_wide;
use crate::graph::{Graph, Input, Op, Role};

/// What evaluating the constants of a file has taken so far.
#[derive(Debug, Default)]
pub(super) struct Spent {
    work: u128,
    values: u128,
}

/// The results of a node; in the graph even if they are known, where evaluating them would take too much.
pub(super) fn apply(
    builder: &mut Builder,
    spent: &mut Spent,
    call: &Call<'_>,
    lower: Lower,
) -> Result<Vec<Operand>> {
    if let Some(result) = of_nothing(call)? {
        return Ok(vec![result]);
    }
    let known: Option<Vec<Rc<Constant>>> = call.inputs.iter().flatten().map(|x| x.known().cloned()).collect();
    let Some(known) = known else { return lower(builder, call) };
    let known: Vec<_> = known.into_iter().filter(|constant| !constant.data.is_empty()).collect();
    let input = |constant: &Rc<Constant>| Input {
        name: String::new(),
        role: Role::Values,
        shape: constant.shape.clone(),
    };
    let mut scratch = Builder::new(Graph::new(known.iter().map(input).collect()));
    scratch.name = builder.name.clone();
    for (i, constant) in known.iter().enumerate() {
        scratch.place(constant, scratch.graph.input(i));
    }
    let results = lower(&mut scratch, call)?;
    scratch.notes.iter().for_each(|note| builder.note(note));
    let values: Vec<_> = results
        .iter()
        .filter_map(|result| match result.source {
            Source::Value(value, _) => Some(value),
            _ => None,
        })
        .collect();
    if values.is_empty() {
        return Ok(results);
    }
    let work = spent.work + work(&scratch.graph);
    let len = |value| graph_len(scratch.graph.shape(value));
    let held = spent.values + values.iter().map(|&value| len(value)).sum::<u128>();
    let largest = scratch.graph.nodes().map(|(value, _)| len(value)).max().unwrap_or(0);
    if work > MAX_WORK || held > MAX_HELD || largest > MAX_VALUE {
        return lower(builder, call);
    }
    *spent = Spent { work, values: held };
    let inputs: Vec<&[f64]> = known.iter().map(|constant| &constant.data[..]).collect();
    let mut data = evaluate_wide(&scratch.graph, &inputs, &values).into_iter();
    let computed = |result: Operand| match (&result.source, result.kind) {
        (Source::Value(_, shape), kind) => match data.next() {
            Some(data) => Operand::constant(kind, shape.clone(), data),
            None => Operand::LOST,
        },
        _ => result,
    };
    Ok(results.into_iter().map(computed).collect())
}

/// Multiplications and copies that evaluating a graph takes, roughly.
fn work(graph: &Graph) -> u128 {
    let len = graph_len;
    let of = |(value, node): (_, &crate::graph::Node)| {
        let out = len(graph.shape(value));
        match &node.op {
            Op::Contract { a, b, .. } => {
                let [x, y] = [0, 1].map(|i| graph.shape(node.inputs[i]));
                let alone = b.iter().zip(y).filter(|(label, _)| !a.contains(label));
                len(x) * alone.map(|(_, &extent)| extent as u128).product::<u128>()
            }
            Op::Dense { weight, .. } => out * weight.shape[1] as u128,
            Op::Conv2d { weight, .. } => out * (weight.data.len() / weight.shape[0]) as u128,
            Op::ConvTranspose2d { weight, .. } => {
                len(graph.shape(node.inputs[0])) * (weight.data.len() / weight.shape[0]) as u128
            }
            Op::Reduce { .. } => len(graph.shape(node.inputs[0])),
            _ => out,
        }
    };
    graph.nodes().map(of).sum()
}

fn graph_len(shape: &[usize]) -> u128 {
    shape.iter().map(|&extent| extent as u128).product()
}

/// The result of an operator on tensors of which one has no elements, where it has none itself.
fn of_nothing(call: &Call<'_>) -> Result<Option<Operand>> {
    let inputs: Vec<&Operand> = call.inputs.iter().flatten().collect();
    if !inputs.iter().any(|x| x.is_empty()) {
        return Ok(None);
    }
    match &*call.node.op_type {
        // These know what to do.
        "Shape" | "Size" | "Concat" | "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" | "Transpose"
        | "Slice" | "Split" | "Gather" | "Expand" | "Tile" | "Identity" | "ConstantOfShape" | "Resize"
        | "Upsample" | "Trilu" | "Compress" => Ok(None),
        name if name.starts_with("Reduce") => Ok(None),
        "CastLike" if inputs[0].is_empty() => {
            Operand::empty(super::operators::kind_of_result(call)?, inputs[0].shape().to_vec()).map(Some)
        }
        // Functions of each element, or of pairs.
        _ => {
            let first = inputs[0];
            let shape =
                inputs[1..].iter().try_fold(first.shape().to_vec(), |shape, x| broadcast(&shape, x.shape()));
            let Ok(shape) = shape else { return Ok(None) };
            ensure!(count(&shape) == Some(0), "it reads a tensor without elements");
            Operand::empty(super::operators::kind_of_result(call)?, shape).map(Some)
        }
    }
}

/// Operations that all constants of a file may take to evaluate.
const MAX_WORK: u128 = 1 << 32;
/// Values of one constant that is evaluated, and of all of them together.
const MAX_VALUE: u128 = 1 << 25;
const MAX_HELD: u128 = 1 << 26;
