//! What a value of a graph depends on, and graphs without the rest.

use anyhow::Result;

use crate::graph::{Graph, Value};

/// The inputs of a graph that a value depends on.
pub(super) fn inputs_behind(graph: &Graph, value: Value) -> Vec<usize> {
    let reached = reached(graph, value);
    (0..graph.inputs().len()).filter(|&i| reached[i]).collect()
}

/// Which values a value depends on, itself included.
fn reached(graph: &Graph, value: Value) -> Vec<bool> {
    let mut reached = vec![false; graph.value_count()];
    reached[value.index()] = true;
    for (value, node) in graph.nodes().rev() {
        if reached[value.index()] {
            node.inputs.iter().for_each(|input| reached[input.index()] = true);
        }
    }
    reached
}

/// The graph without what its output does not depend on.
pub(super) fn prune(graph: Graph) -> Result<Graph> {
    let kept = reached(&graph, graph.output());
    if kept.iter().all(|&kept| kept) {
        return Ok(graph);
    }
    let inputs = graph.inputs().iter().zip(&kept).filter(|(_, kept)| **kept);
    let mut pruned = Graph::new(inputs.map(|(input, _)| input.clone()).collect());
    let mut map = vec![None; graph.value_count()];
    for (next, i) in (0..graph.inputs().len()).filter(|&i| kept[i]).enumerate() {
        map[i] = Some(pruned.input(next));
    }
    for (value, node) in graph.nodes().filter(|(value, _)| kept[value.index()]) {
        let read = node.inputs.iter().filter_map(|input| map[input.index()]).collect();
        map[value.index()] = Some(pruned.push(node.name.clone(), node.op.clone(), read)?);
    }
    if let Some(output) = map[graph.output().index()] {
        pruned.set_output(output);
    }
    Ok(pruned)
}
