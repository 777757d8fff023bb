//! The file as a whole: versions, functions, declared inputs and outputs.

use std::collections::{HashMap, HashSet};

use anyhow::{Context, Result, bail, ensure};
use prost::Message as _;

use super::ImportOptions;
use super::operand::{Kind, Operand};
use super::tensor::count;
use crate::graph::Role;
use crate::onnx::OLDEST_IR_VERSION;
use crate::onnx::pb;
use crate::onnx::pb::tensor_shape_proto::dimension::Value as Extent;

/// A file of today's form.
#[derive(Debug)]
pub(super) struct Model {
    proto: pb::ModelProto,
    graph: pb::GraphProto,
    opsets: HashMap<String, i64>,
    inputs: Vec<Declared>,
    functions: HashMap<(String, String), usize>,
}

/// An input as the file declares it.
#[derive(Debug)]
pub(super) struct Declared {
    pub(super) name: String,
    kind: Result<Kind>,
    /// Extents, `None` where they are open; `None` for an open number of axes.
    shape: Option<Vec<Option<i64>>>,
}

/// What an input becomes.
#[derive(Debug)]
pub(super) enum InputOperand {
    /// The values that the user gave.
    Fixed(Operand),
    /// An input of the graph.
    Open(Kind, Vec<usize>),
}

impl Model {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self> {
        let mut proto = pb::ModelProto::decode(bytes).context("this is no ONNX file, or not all of it")?;
        ensure!(
            proto.ir_version >= OLDEST_IR_VERSION && !proto.opset_import.is_empty(),
            "ONNX IR version {} names no operator set, so that its operators have no defined meaning: export the model \
             again with a newer tool",
            proto.ir_version
        );
        let graph = proto.graph.take().context("the ONNX file holds no graph")?;
        let opsets = opsets(&proto.opset_import);
        let dense = graph.initializer.iter().map(|tensor| &*tensor.name);
        let sparse =
            graph.sparse_initializer.iter().filter_map(|sparse| Some(&*sparse.values.as_ref()?.name));
        let initialized: HashSet<&str> = dense.chain(sparse).collect();
        let inputs = graph.input.iter().filter(|input| !initialized.contains(&*input.name));
        let inputs = inputs.map(Declared::new).collect();
        let functions = proto.functions.iter().enumerate();
        let functions = functions.map(|(i, f)| ((f.domain().to_owned(), f.name().to_owned()), i)).collect();
        Ok(Self { proto, graph, opsets, inputs, functions })
    }

    pub(super) fn graph(&self) -> &pb::GraphProto {
        &self.graph
    }

    pub(super) fn opsets(&self) -> &HashMap<String, i64> {
        &self.opsets
    }

    pub(super) fn inputs(&self) -> &[Declared] {
        &self.inputs
    }

    pub(super) fn producer(&self) -> String {
        format!("{} {}", self.proto.producer_name, self.proto.producer_version).trim().to_owned()
    }

    pub(super) fn ir_version(&self) -> i64 {
        self.proto.ir_version
    }

    pub(super) fn function(&self, domain: &str, name: &str) -> Option<&pb::FunctionProto> {
        let index = *self.functions.get(&(domain.to_owned(), name.to_owned()))?;
        self.proto.functions.get(index)
    }

    /// The output of that name, or the first.
    pub(super) fn output<'a>(&'a self, name: Option<&'a str>) -> Result<&'a str> {
        let names = || self.graph.output.iter().map(|output| &*output.name);
        match name {
            None => names().next().context("the model has no output"),
            // A tensor inside the model will do, too.
            Some(name) => {
                let inner = self.graph.node.iter().flat_map(|node| &node.output).any(|output| output == name);
                if !inner && !names().any(|output| output == name) {
                    bail!(
                        "there is no output {name:?}; there are {}",
                        names().collect::<Vec<_>>().join(", ")
                    );
                }
                Ok(name)
            }
        }
    }
}

/// Version of each operator set; the standard one has an empty name.
pub(super) fn opsets(imports: &[pb::OperatorSetIdProto]) -> HashMap<String, i64> {
    let domain = |import: &pb::OperatorSetIdProto| match &*import.domain {
        "ai.onnx" => String::new(),
        domain => domain.to_owned(),
    };
    imports.iter().map(|import| (domain(import), import.version)).collect()
}

impl Declared {
    fn new(info: &pb::ValueInfoProto) -> Self {
        let stated = info.r#type.as_ref().and_then(|r#type| r#type.value.as_ref());
        let tensor = stated.map(|pb::type_proto::Value::TensorType(tensor)| tensor);
        let extent = |dim: &pb::tensor_shape_proto::Dimension| match dim.value {
            Some(Extent::DimValue(extent)) => Some(extent),
            _ => None,
        };
        Self {
            name: info.name.clone(),
            kind: tensor.context("it is no tensor").and_then(|tensor| Kind::of(tensor.elem_type)),
            shape: tensor.and_then(|t| t.shape.as_ref()).map(|shape| shape.dim.iter().map(extent).collect()),
        }
    }

    /// The input as the options want it.
    pub(super) fn operand(&self, options: &ImportOptions, notes: &mut Vec<String>) -> Result<InputOperand> {
        let name = &self.name;
        let kind = match &self.kind {
            Ok(kind) => *kind,
            Err(error) => bail!("input {name}: {error:#}"),
        };
        let given = options.shapes.iter().find(|(other, _)| other == name).map(|(_, shape)| shape);
        let fixed = options.fixed.iter().find(|(other, _)| other == name).map(|(_, values)| values);
        let mut open = vec![];
        let shape = match (given, &self.shape) {
            (Some(given), None) => given.clone(),
            (Some(given), Some(declared)) => {
                ensure!(
                    given.len() == declared.len(),
                    "input {name} has {} axes, {} were given",
                    declared.len(),
                    given.len()
                );
                let differs =
                    |(&given, declared): (&usize, &Option<i64>)| declared.is_some_and(|d| d != given as i64);
                if given.iter().zip(declared).any(differs) {
                    notes.push(format!("input {name} is {given:?}, though the file says {}", show(declared)));
                }
                given.clone()
            }
            (None, Some(declared)) => {
                let extent = |(axis, extent): (usize, &Option<i64>)| match extent {
                    Some(extent) => usize::try_from(*extent).ok(),
                    None => {
                        open.push(axis);
                        Some(1)
                    }
                };
                let shape: Option<Vec<usize>> = declared.iter().enumerate().map(extent).collect();
                shape.with_context(|| format!("input {name} has the shape {}", show(declared)))?
            }
            (None, None) => match fixed {
                Some(values) => vec![values.len()],
                None => bail!("input {name} has no shape; give it one: --input {name}=1x..."),
            },
        };
        let values =
            count(&shape).with_context(|| format!("input {name} of shape {shape:?} is too large"))?;
        if let Some(fixed) = fixed {
            let shape = if open == [0] && shape.len() == 1 { vec![fixed.len()] } else { shape };
            let fits = count(&shape) == Some(fixed.len());
            ensure!(fits, "input {name} of shape {shape:?} is fixed to {} values", fixed.len());
            return Ok(InputOperand::Fixed(Operand::constant(kind, shape, fixed.clone())));
        }
        if values == 0 {
            // Nothing can be fed, and nothing needs to be.
            return Ok(InputOperand::Fixed(Operand::empty(kind, shape)?));
        }
        if open.iter().any(|&axis| axis > 0) {
            notes.push(format!("input {name} is taken as {shape:?}; --input {name}=... changes that"));
        }
        Ok(InputOperand::Open(kind, shape))
    }
}

fn show(declared: &[Option<i64>]) -> String {
    let extents = declared.iter().map(|extent| extent.map_or("?".to_owned(), |extent| extent.to_string()));
    extents.collect::<Vec<_>>().join("x")
}

/// What the values of each input mean.
pub(super) fn roles(inputs: &[(String, Kind, Vec<usize>)]) -> Vec<Role> {
    let mut roles: Vec<Role> = inputs
        .iter()
        .map(|(_, kind, shape)| match (kind, &shape[..]) {
            (Kind::Float | Kind::Bfloat16, &[_, 1 | 3, h, w]) if h > 1 && w > 1 => Role::Image,
            (Kind::Int { .. }, [] | [1] | [1, 1]) => Role::Label,
            _ => Role::Values,
        })
        .collect();
    let latent = (0..inputs.len())
        .find(|&i| roles[i] == Role::Values && matches!(inputs[i].1, Kind::Float | Kind::Bfloat16));
    if let Some(latent) = latent {
        roles[latent] = Role::Latent;
    }
    roles
}
