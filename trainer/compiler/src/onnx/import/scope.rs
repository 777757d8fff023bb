//! Names of a graph, and what they stand for.

use std::collections::HashMap;

use anyhow::{Context, Result, bail};

use super::operand::Operand;
use super::{constants, tensor};
use crate::onnx::pb;

/// Names and what they stand for; inner graphs also see those of the graphs around them.
pub(super) struct Scope<'a> {
    names: HashMap<String, Option<Operand>>,
    initializers: HashMap<&'a str, &'a pb::TensorProto>,
    sparse: HashMap<&'a str, &'a pb::SparseTensorProto>,
    pub(super) outer: Option<&'a Scope<'a>>,
}

impl<'a> Scope<'a> {
    pub(super) fn new(graph: &'a pb::GraphProto) -> Self {
        let sparse = graph.sparse_initializer.iter();
        Self {
            names: HashMap::new(),
            initializers: graph.initializer.iter().map(|tensor| (&*tensor.name, tensor)).collect(),
            sparse: sparse.filter_map(|sparse| Some((&*sparse.values.as_ref()?.name, sparse))).collect(),
            outer: None,
        }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.names.contains_key(name)
            || self.initializers.contains_key(name)
            || self.sparse.contains_key(name)
            || self.outer.is_some_and(|outer| outer.has(name))
    }

    pub(super) fn set(&mut self, name: &str, operand: Option<Operand>) {
        self.names.insert(name.to_owned(), operand);
    }

    /// Decodes the initializers that these nodes read, so that each is decoded once.
    pub(super) fn load<'b>(&mut self, names: impl Iterator<Item = &'b str>) -> Result<()> {
        for name in names {
            if self.names.contains_key(name) {
                continue;
            }
            let operand = match (self.initializers.get(name), self.sparse.get(name)) {
                (Some(tensor), _) => tensor::decode(tensor),
                (None, Some(sparse)) => constants::dense(sparse),
                (None, None) => continue,
            };
            self.set(name, Some(operand.with_context(|| format!("initializer {name}"))?));
        }
        Ok(())
    }

    /// What a name stands for; `None` where a function's parameter was left out.
    pub(super) fn get(&self, name: &str) -> Result<Option<Operand>> {
        match (self.names.get(name), self.outer) {
            (Some(operand), _) => Ok(operand.clone()),
            (None, Some(outer)) => outer.get(name),
            (None, None) => match self.initializers.get(name) {
                Some(tensor) => {
                    Ok(Some(tensor::decode(tensor).with_context(|| format!("initializer {name}"))?))
                }
                None => bail!("nothing computes {name}"),
            },
        }
    }
}
