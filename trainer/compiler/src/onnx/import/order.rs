//! The order in which nodes are lowered: those that the outputs need, each after what it reads.

use std::collections::{HashMap, HashSet};

use anyhow::{Result, bail, ensure};

use crate::onnx::pb;

/// Indices of the nodes that `wanted` depends on. `known` says which names exist besides the results of nodes.
///
/// # Errors
/// When a name is computed twice, or nowhere, or from itself.
pub(super) fn order(
    nodes: &[pb::NodeProto],
    wanted: &[&str],
    known: impl Fn(&str) -> bool,
) -> Result<Vec<usize>> {
    let mut producers: HashMap<&str, usize> = HashMap::new();
    for (i, node) in nodes.iter().enumerate() {
        for name in node.output.iter().filter(|name| !name.is_empty()) {
            ensure!(producers.insert(name, i).is_none(), "two nodes compute {name}");
        }
    }
    let mut state = vec![State::New; nodes.len()];
    let mut order = vec![];
    for &name in wanted {
        let Some(&first) = producers.get(name) else {
            ensure!(known(name), "nothing computes {name}");
            continue;
        };
        if state[first] == State::Done {
            continue;
        }
        let mut stack = vec![(first, reads(&nodes[first]).into_iter())];
        state[first] = State::Open;
        while let Some((node, names)) = stack.last_mut() {
            let node = *node;
            let Some(name) = names.next() else {
                state[node] = State::Done;
                order.push(node);
                stack.pop();
                continue;
            };
            match producers.get(name) {
                Some(&next) if state[next] == State::New => {
                    state[next] = State::Open;
                    stack.push((next, reads(&nodes[next]).into_iter()));
                }
                Some(&next) => ensure!(state[next] == State::Done, "{name} depends on itself"),
                None if known(name) => {}
                None => bail!("a node reads {name}, which nothing computes"),
            }
        }
    }
    // The file's own order, if it is one: it was chosen with memory in mind.
    let mut sorted = order.clone();
    sorted.sort_unstable();
    let in_order =
        |&i: &usize| reads(&nodes[i]).iter().all(|name| producers.get(name).is_none_or(|&j| j < i));
    Ok(if sorted.iter().all(in_order) { sorted } else { order })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    New,
    Open,
    Done,
}

/// All names that a node reads, its inner graphs included.
pub(super) fn reads(node: &pb::NodeProto) -> Vec<&str> {
    let mut names: Vec<&str> =
        node.input.iter().map(|name| &**name).filter(|name| !name.is_empty()).collect();
    for graph in node.attribute.iter().flat_map(|attribute| attribute.g.iter().chain(&attribute.graphs)) {
        let mut own: HashSet<&str> = graph.initializer.iter().map(|tensor| &*tensor.name).collect();
        own.extend(graph.input.iter().map(|input| &*input.name));
        own.extend(graph.sparse_initializer.iter().filter_map(|sparse| Some(&*sparse.values.as_ref()?.name)));
        own.extend(graph.node.iter().flat_map(|node| &node.output).map(|name| &**name));
        let inner = graph.node.iter().flat_map(reads).chain(graph.output.iter().map(|output| &*output.name));
        names.extend(inner.filter(|name| !own.contains(name)));
    }
    names
}
