//! Imports ONNX: any network whose shapes are fixed becomes a [`Graph`].
//!
//! Nodes are lowered one by one to the graph's few operations. A node whose inputs are all known is lowered into a graph
//! of its own and evaluated at once, so that the arithmetic with which exporters compute shapes leaves nothing behind.
//! What cannot be lowered is collected, and reported in one error with a reason for each node. The file is not trusted:
//! whatever it says, the result is a graph or an error, in bounded memory.

mod activation;
mod attention;
mod attributes;
mod builder;
mod call;
mod cast;
mod constants;
mod convolution;
mod elementwise;
mod fold;
mod indexing;
mod matmul;
mod model;
mod normalization;
mod operand;
mod operators;
mod order;
mod padding;
mod pooling;
mod reduce;
mod refusal;
mod resize;
mod scatter;
mod scope;
mod shape_ops;
mod spatial;
mod tensor;
mod transposed;

use std::collections::{HashMap, HashSet};

use anyhow::{Context, Result, bail, ensure};
use prost::Message as _;

use super::pb;
use crate::graph::{Graph, Input, Role, Unary};
use attributes::Attributes;
use builder::{Builder, NeedsConstant};
use call::Call;
use fold::Spent;
use model::Model;
use operand::Operand;
use scope::Scope;

pub use refusal::{Refusal, RefusedNode};

/// What to make of a file.
#[derive(Clone, Debug, Default)]
pub struct ImportOptions {
    /// Shapes of inputs, by name; an extent that the file leaves open is 1 otherwise.
    pub shapes: Vec<(String, Vec<usize>)>,
    /// Values of inputs that are to be fixed, by name: those that decide shapes must be.
    pub fixed: Vec<(String, Vec<f64>)>,
    /// Name of the output; the first one otherwise.
    pub output: Option<String>,
}

/// A graph, and what its file was.
#[derive(Debug)]
pub struct Imported {
    /// The network. Its inputs have the names that they have in the file.
    pub graph: Graph,
    /// Where it comes from.
    pub report: Report,
}

/// What was found in a file.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The program that wrote the file.
    pub producer: String,
    /// Version of the file format.
    pub ir_version: i64,
    /// Version of the standard operators.
    pub opset: i64,
    /// Nodes that the output depends on, those of functions included.
    pub nodes: usize,
    /// All outputs of the file.
    pub outputs: Vec<String>,
    /// Things that a user should know.
    pub notes: Vec<String>,
}

/// Imports one output of a model.
///
/// # Errors
/// When the bytes are no ONNX file of today's form, or the model needs something that a graph cannot say. The error then
/// holds a [`Refusal`] that lists every such node.
pub fn import(bytes: &[u8], options: &ImportOptions) -> Result<Imported> {
    let model = Model::parse(bytes)?;
    let output = model.output(options.output.as_deref())?;
    let graph = model.graph();
    let mut scope = Scope::new(graph);
    let declared: HashSet<&str> = model.inputs().iter().map(|input| &*input.name).collect();
    let order = order::order(&graph.node, &[output], |name| declared.contains(name) || scope.has(name))?;
    let needed: HashSet<&str> =
        order.iter().flat_map(|&i| order::reads(&graph.node[i])).chain([output]).collect();

    let mut inputs = vec![];
    let mut notes = vec![];
    for declared in model.inputs() {
        let operand = declared.operand(options, &mut notes)?;
        match operand {
            model::InputOperand::Fixed(operand) => scope.set(&declared.name, Some(operand)),
            _ if !needed.contains(&*declared.name) => {
                notes.push(format!("input {} does not change the output and is left out", declared.name));
            }
            model::InputOperand::Open(kind, shape) => inputs.push((declared.name.clone(), kind, shape)),
        }
    }
    let roles = model::roles(&inputs);
    let inputs_of_graph = inputs.iter().zip(roles).map(|((name, _, shape), role)| Input {
        name: name.clone(),
        role,
        shape: shape.clone(),
    });
    let mut builder = Builder::new(Graph::new(inputs_of_graph.collect()));
    notes.into_iter().for_each(|note| builder.note(note));
    for (i, (name, kind, _)) in inputs.iter().enumerate() {
        let mut value = builder.graph.input(i);
        if kind.is_int() && builder.graph.inputs()[i].role != Role::Label {
            // So that whatever is fed is an integer, as the model was told.
            builder.name.clone_from(name);
            value = builder.unary(Unary::Round, value)?;
        }
        let operand = builder.operand(*kind, value);
        scope.set(name, Some(operand));
    }

    let mut importer = Importer {
        model: &model,
        builder,
        refusal: Refusal::default(),
        calls: 0,
        values: 0,
        spent: Spent::default(),
    };
    let context = Body { opsets: model.opsets(), attributes: None, depth: 0 };
    importer.nodes(&graph.node, &order, &mut scope, &context)?;
    let result = scope.get(output)?.with_context(|| format!("nothing computes {output}"))?;
    importer.finish(&result)
}

/// What a file says of itself, without importing it.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    /// Names of the inputs that the file does not fix, in order.
    pub inputs: Vec<String>,
    /// Names of the outputs, in order.
    pub outputs: Vec<String>,
    /// Operators of the main graph, each once, in order.
    pub operators: Vec<String>,
}

/// Reads what a file says of itself.
///
/// # Errors
/// When the bytes are no ONNX file of today's form.
pub fn contents(bytes: &[u8]) -> Result<Contents> {
    let model = Model::parse(bytes)?;
    let mut operators: Vec<String> = model.graph().node.iter().map(|node| node.op_type.clone()).collect();
    operators.sort();
    operators.dedup();
    Ok(Contents {
        inputs: model.inputs().iter().map(|input| input.name.clone()).collect(),
        outputs: model.graph().output.iter().map(|output| output.name.clone()).collect(),
        operators,
    })
}

/// The shape and the values of a stored tensor, as the official cases of the operators come with.
///
/// # Errors
/// When the bytes are no tensor of numbers.
pub fn read_tensor(bytes: &[u8]) -> Result<(Vec<usize>, Vec<f64>)> {
    let tensor = tensor::decode(&pb::TensorProto::decode(bytes).context("this is no stored tensor")?)?;
    let constant = tensor.known().context("a tensor without values")?;
    Ok((constant.shape.clone(), constant.data.clone()))
}

/// What the nodes of one body share.
struct Body<'a> {
    opsets: &'a HashMap<String, i64>,
    /// What a function was called with.
    attributes: Option<&'a Attributes<'a>>,
    depth: usize,
}

struct Importer<'a> {
    model: &'a Model,
    builder: Builder,
    refusal: Refusal,
    calls: usize,
    /// Values of all constants so far, those that are gone included.
    values: usize,
    spent: Spent,
}

impl Importer<'_> {
    /// Lowers nodes in order; what they compute goes into the scope.
    fn nodes(
        &mut self,
        nodes: &[pb::NodeProto],
        order: &[usize],
        scope: &mut Scope<'_>,
        context: &Body<'_>,
    ) -> Result<()> {
        scope.load(order.iter().flat_map(|&i| order::reads(&nodes[i])))?;
        for &i in order {
            let node = &nodes[i];
            self.calls += 1;
            ensure!(self.calls <= MAX_CALLS, "the model has more than {MAX_CALLS} nodes");
            let inputs = node.input.iter().map(|name| match &**name {
                "" => Ok(None),
                name => scope.get(name),
            });
            let domain = if node.domain == "ai.onnx" { "" } else { &*node.domain };
            let call = Call {
                node,
                attributes: Attributes::resolve(&node.attribute, context.attributes),
                inputs: inputs.collect::<Result<_>>()?,
                opset: context.opsets.get(domain).copied().unwrap_or(0),
            };
            let results = match self.node(&call, domain, scope, context) {
                Ok(results) => results,
                Err(error) => {
                    self.refuse(&call, &error);
                    vec![]
                }
            };
            let mut results = results.into_iter();
            for name in &node.output {
                let result = results.next().unwrap_or(Operand::LOST);
                if let Some(constant) = result.known().filter(|_| node.op_type != "Identity") {
                    self.values += constant.data.len();
                    ensure!(self.values <= MAX_CONSTANTS, "the constants exceed {MAX_CONSTANTS} values");
                }
                if !name.is_empty() {
                    scope.set(name, Some(result));
                }
            }
        }
        Ok(())
    }

    fn node(
        &mut self,
        call: &Call<'_>,
        domain: &str,
        scope: &Scope<'_>,
        context: &Body<'_>,
    ) -> Result<Vec<Operand>> {
        let node = call.node;
        self.builder.name = name_of(node).to_owned();
        if let Some(function) = self.model.function(&node.domain, &node.op_type) {
            return self.function(call, function, context);
        }
        let lower = operators::find(domain, &node.op_type);
        if node.op_type != "If" && lower.is_none() {
            bail!(refusal::advice(domain, &node.op_type));
        }
        ensure!(call.opset > 0, "the file does not say which version of {:?} it uses", node.domain);
        if call.opset > NEWEST_OPSET {
            self.builder.note(format!(
                "operator set {} is newer than {NEWEST_OPSET}, the newest known; its operators are read as those",
                call.opset
            ));
        }
        if call.inputs.iter().flatten().any(Operand::is_lost) {
            return Ok(vec![]);
        }
        match lower {
            Some(lower) => fold::apply(&mut self.builder, &mut self.spent, call, lower),
            None => self.branch(call, scope, context),
        }
    }

    /// If: the branch that is taken, or both and a choice where that is not known.
    fn branch(&mut self, call: &Call<'_>, scope: &Scope<'_>, context: &Body<'_>) -> Result<Vec<Operand>> {
        ensure!(context.depth < MAX_DEPTH, "graphs inside graphs, more than {MAX_DEPTH}");
        let condition = call.input(0)?;
        if let Some(constant) = condition.known() {
            let [condition] = constant.data[..] else {
                bail!("the condition has {} values", constant.data.len())
            };
            let name = if condition == 0.0 { "else_branch" } else { "then_branch" };
            return self.body(call, name, scope, context);
        }
        let condition = self.builder.value(condition)?;
        let condition = self.builder.reshape(condition, vec![])?;
        let [then, other] = [
            self.body(call, "then_branch", scope, context)?,
            self.body(call, "else_branch", scope, context)?,
        ];
        let choose = |(then, other): (Operand, Operand)| {
            if then.is_lost() || other.is_lost() {
                return Ok(Operand::LOST);
            }
            ensure!(
                then.shape() == other.shape(),
                "branches of shapes {:?} and {:?}",
                then.shape(),
                other.shape()
            );
            let [a, b] = [self.builder.value(&then)?, self.builder.value(&other)?];
            let result = self.builder.select(condition, a, b)?;
            Ok(self.builder.operand(then.kind, result))
        };
        then.into_iter().zip(other).map(choose).collect()
    }

    fn body(
        &mut self,
        call: &Call<'_>,
        name: &str,
        scope: &Scope<'_>,
        context: &Body<'_>,
    ) -> Result<Vec<Operand>> {
        let graph = call.attributes.graph(name)?;
        let mut inner = Scope::new(graph);
        inner.outer = Some(scope);
        let outputs: Vec<&str> = graph.output.iter().map(|output| &*output.name).collect();
        let order = order::order(&graph.node, &outputs, |name| inner.has(name))?;
        let context = Body { depth: context.depth + 1, ..*context };
        inner.load(outputs.iter().copied())?;
        self.nodes(&graph.node, &order, &mut inner, &context)?;
        outputs.iter().map(|name| Ok(inner.get(name)?.unwrap_or(Operand::LOST))).collect()
    }

    fn function(
        &mut self,
        call: &Call<'_>,
        function: &pb::FunctionProto,
        context: &Body<'_>,
    ) -> Result<Vec<Operand>> {
        ensure!(context.depth < MAX_DEPTH, "functions inside functions, more than {MAX_DEPTH}");
        let empty = pb::GraphProto::default();
        let mut inner = Scope::new(&empty);
        for (i, name) in function.input.iter().enumerate() {
            inner.set(name, call.optional(i).cloned());
        }
        let outputs: Vec<&str> = function.output.iter().map(|name| &**name).collect();
        let order = order::order(&function.node, &outputs, |name| inner.has(name))?;
        let opsets = model::opsets(&function.opset_import);
        let context = Body { opsets: &opsets, attributes: Some(&call.attributes), depth: context.depth + 1 };
        self.nodes(&function.node, &order, &mut inner, &context)?;
        outputs.iter().map(|name| Ok(inner.get(name)?.unwrap_or(Operand::LOST))).collect()
    }

    fn refuse(&mut self, call: &Call<'_>, error: &anyhow::Error) {
        let mut reason = format!("{error:#}");
        if let Some(needs) = error.downcast_ref::<NeedsConstant>() {
            let graph = &self.builder.graph;
            let reached = graph.reached(needs.value);
            let inputs = (0..graph.inputs().len()).filter(|&i| reached[i]);
            let names: Vec<&str> = inputs.map(|i| &*graph.inputs()[i].name).collect();
            reason.push_str(&format!(", but depends on input {}", names.join(", ")));
            self.refusal.inputs.extend(names.into_iter().map(str::to_owned));
        }
        let node = call.node;
        self.refusal.nodes.push(RefusedNode {
            name: name_of(node).to_owned(),
            op_type: node.op_type.clone(),
            domain: if node.domain.is_empty() { "ai.onnx".to_owned() } else { node.domain.clone() },
            opset: call.opset,
            attributes: call.attributes.describe(),
            reason,
        });
    }

    fn finish(mut self, result: &Operand) -> Result<Imported> {
        if !self.refusal.nodes.is_empty() {
            self.refusal.inputs.sort();
            self.refusal.inputs.dedup();
            bail!(self.refusal);
        }
        self.builder.name = "output".to_owned();
        ensure!(!result.is_empty(), "the output {:?} has no values", result.shape());
        let value = self.builder.value(result)?;
        let mut graph = self.builder.graph;
        graph.set_output(value);
        let graph = graph.retain(&graph.reached(graph.output()))?;
        let report = Report {
            producer: self.model.producer(),
            ir_version: self.model.ir_version(),
            opset: self.model.opsets().get("").copied().unwrap_or(0),
            nodes: self.calls,
            outputs: self.model.graph().output.iter().map(|output| output.name.clone()).collect(),
            notes: self.builder.notes,
        };
        Ok(Imported { graph, report })
    }
}

fn name_of(node: &pb::NodeProto) -> &str {
    match &*node.name {
        "" => node.output.iter().map(|name| &**name).find(|name| !name.is_empty()).unwrap_or(&node.op_type),
        name => name,
    }
}

/// The newest operator set whose operators were read when this was written.
const NEWEST_OPSET: i64 = 27;
/// Nodes that are lowered, each call of a function counted anew.
const MAX_CALLS: usize = 50_000;
/// Values of all constants that nodes compute.
const MAX_CONSTANTS: usize = 1 << 28;
/// Functions and graphs inside each other.
const MAX_DEPTH: usize = 16;

#[cfg(test)]
mod tests;
