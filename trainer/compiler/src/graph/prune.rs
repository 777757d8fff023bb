//! What a value depends on, and graphs without the rest.

use anyhow::{Context, Result};

use super::{Graph, Value};

impl Graph {
    /// For each value by its index, whether `value` depends on it; it does on itself.
    pub(crate) fn reached(&self, value: Value) -> Vec<bool> {
        let mut reached = vec![false; self.value_count()];
        reached[value.index()] = true;
        for (value, node) in self.nodes().rev() {
            if reached[value.index()] {
                node.inputs.iter().for_each(|input| reached[input.index()] = true);
            }
        }
        reached
    }

    /// The graph with the values in `kept` alone, among which are the output and all that it depends on.
    ///
    /// # Errors
    /// When they are not.
    pub(crate) fn retain(&self, kept: &[bool]) -> Result<Self> {
        let inputs = self.inputs().iter().zip(kept).filter(|(_, kept)| **kept);
        let mut graph = Self::new(inputs.map(|(input, _)| input.clone()).collect());
        let mut values = vec![None; self.value_count()];
        for (new, old) in (0..self.inputs().len()).filter(|&i| kept[i]).enumerate() {
            values[old] = Some(graph.input(new));
        }
        for (value, node) in self.nodes().filter(|(value, _)| kept[value.index()]) {
            let inputs = node.inputs.iter().map(|input| values[input.index()]).collect::<Option<_>>();
            let inputs = inputs.with_context(|| format!("{} reads what is not kept", node.name))?;
            values[value.index()] = Some(graph.push(&*node.name, node.op.clone(), inputs)?);
        }
        graph.set_output(values[self.output().index()].context("the output is not kept")?);
        Ok(graph)
    }
}
