//! ONNX: imports any generator as a [`Graph`], writes a [`Graph`] as a file that other programs read, and runs such files as a foreign reference.
//!
//! The only file that names tract-onnx, whose protobuf types serve both directions. A written file is checked against
//! the operator set by `onnx.checker` and computes the same picture in tract and in onnxruntime; nothing here
//! optimises, and nothing here knows `.pgan`.

mod import;

use core::any::Any;
use core::panic::AssertUnwindSafe;
use std::collections::{HashMap, HashSet};
use std::panic::catch_unwind;
use std::path::Path;
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use prost::Message as _;
use tract_onnx::pb;
use tract_onnx::prelude::{
    Datum as _, InferenceFact, InferenceModelExt as _, IntoRunnable as _, IntoTValue as _, Tensor as Value,
    TypedRunnableModel, tvec,
};

use crate::graph::{Conv2dGeometry, Graph, Op, Tensor, Unary};

pub use import::{
    Contents, ImportOptions, Imported, Refusal, RefusedNode, Report, contents, import, read_tensor,
};

/// Name of the input of a written file: `[N, latent_dim]`.
pub const INPUT: &str = "z";
/// Name of the output of a written file: `[N, C, H, W]`.
pub const OUTPUT: &str = "image";

/// The oldest operator set in which all operators we write have their present meaning is 14; readers of 17 are common.
const OPSET: i64 = 17;
/// The file format that goes with [`OPSET`].
const IR_VERSION: i64 = 8;
/// Before this version a file named no operator set, so its operators have no defined meaning today.
const OLDEST_IR_VERSION: i64 = 3;

/// The graph as an ONNX file: input [`INPUT`], output [`OUTPUT`], any batch size, weights as they are.
///
/// # Errors
/// When the graph is inconsistent or two nodes share a name.
pub fn write(graph: &Graph) -> Result<Vec<u8>> {
    let [input] = graph.inputs() else {
        bail!("{} inputs: only a chain from one can be written", graph.inputs().len())
    };
    let mut names = HashSet::from([INPUT, OUTPUT]);
    let mut writer = Writer { value: INPUT.to_owned(), ..Writer::default() };
    let mut last = graph.input(0);
    for (value, node) in graph.nodes() {
        ensure!(
            !node.name.is_empty() && names.insert(&node.name),
            "node name {:?} is empty or taken",
            node.name
        );
        ensure!(node.inputs == [last], "{}: only a chain can be written", node.name);
        writer.op(&node.name, &node.op)?;
        last = value;
    }
    let output = writer.nodes.last_mut().context("a graph without nodes cannot be written")?;
    output.output[0] = OUTPUT.to_owned();

    let model = pb::ModelProto {
        ir_version: IR_VERSION,
        opset_import: vec![pb::OperatorSetIdProto { domain: String::new(), version: OPSET }],
        producer_name: "pocketgan".to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        doc_string: "Generator of a GAN: standard normal z to images".to_owned(),
        graph: Some(pb::GraphProto {
            name: "generator".to_owned(),
            node: writer.nodes,
            initializer: writer.initializers,
            input: vec![value_info(INPUT, &input.shape[1..])],
            output: vec![value_info(OUTPUT, &graph.shape(graph.output())[1..])],
            ..Default::default()
        }),
        ..Default::default()
    };
    Ok(model.encode_to_vec())
}

/// Nodes and weights written so far; `value` names the last result.
#[derive(Default)]
struct Writer {
    nodes: Vec<pb::NodeProto>,
    initializers: Vec<pb::TensorProto>,
    value: String,
}

impl Writer {
    fn op(&mut self, name: &str, op: &Op) -> Result<()> {
        match op {
            Op::Dense { weight, bias } => {
                let inputs = self.weights(name, weight, bias.as_ref());
                self.node(name, "Gemm", inputs, vec![int("transB", 1)]);
            }
            Op::Conv2d { weight, bias, geometry } => {
                let inputs = self.weights(name, weight, bias.as_ref());
                self.node(name, "Conv", inputs, geometry_attributes(geometry));
            }
            Op::ConvTranspose2d { weight, bias, geometry } => {
                let inputs = self.weights(name, weight, bias.as_ref());
                let mut attributes = geometry_attributes(geometry);
                attributes.push(ints("output_padding", &geometry.output_padding));
                self.node(name, "ConvTranspose", inputs, attributes);
            }
            Op::BatchNorm { gamma, beta, mean, variance, epsilon } => {
                let inputs = [("gamma", gamma), ("beta", beta), ("mean", mean), ("variance", variance)]
                    .map(|(part, tensor)| self.initializer(&format!("{name}.{part}"), tensor));
                self.node(name, "BatchNormalization", inputs.into(), vec![float("epsilon", *epsilon)]);
            }
            Op::Unary(Unary::Relu) => self.node(name, "Relu", vec![], vec![]),
            Op::Unary(Unary::LeakyRelu(slope)) => {
                self.node(name, "LeakyRelu", vec![], vec![float("alpha", *slope)]);
            }
            Op::Unary(Unary::Tanh) => self.node(name, "Tanh", vec![], vec![]),
            Op::Unary(Unary::Sigmoid) => self.node(name, "Sigmoid", vec![], vec![]),
            Op::Reshape(shape) => self.reshape(name, shape),
            _ => bail!("{name}: this operation cannot be written"),
        }
        Ok(())
    }

    /// Appends a node that reads the last value and `inputs`.
    fn node(&mut self, name: &str, op_type: &str, inputs: Vec<String>, attribute: Vec<pb::AttributeProto>) {
        let output = format!("{name}.output");
        let value = core::mem::replace(&mut self.value, output.clone());
        self.nodes.push(pb::NodeProto {
            input: core::iter::once(value).chain(inputs).collect(),
            output: vec![output],
            name: name.to_owned(),
            op_type: op_type.to_owned(),
            attribute,
            ..Default::default()
        });
    }

    fn weights(&mut self, name: &str, weight: &Tensor, bias: Option<&Tensor>) -> Vec<String> {
        let mut names = vec![self.initializer(&format!("{name}.weight"), weight)];
        names.extend(bias.map(|bias| self.initializer(&format!("{name}.bias"), bias)));
        names
    }

    fn initializer(&mut self, name: &str, tensor: &Tensor) -> String {
        self.initializers.push(pb::TensorProto {
            dims: tensor.shape.iter().map(|&extent| extent as i64).collect(),
            data_type: pb::tensor_proto::DataType::Float as i32,
            name: name.to_owned(),
            raw_data: tensor.data.iter().flat_map(|value| value.to_le_bytes()).collect(),
            ..Default::default()
        });
        name.to_owned()
    }

    fn reshape(&mut self, name: &str, shape: &[usize]) {
        // 0 copies the batch dimension, where -1 would lose its name in shape inference.
        let shape: Vec<i64> =
            shape.iter().enumerate().map(|(i, &v)| if i == 0 { 0 } else { v as i64 }).collect();
        let tensor = format!("{name}.shape");
        self.initializers.push(pb::TensorProto {
            dims: vec![shape.len() as i64],
            data_type: pb::tensor_proto::DataType::Int64 as i32,
            name: tensor.clone(),
            raw_data: shape.iter().flat_map(|value| value.to_le_bytes()).collect(),
            ..Default::default()
        });
        self.node(name, "Reshape", vec![tensor], vec![]);
    }
}

fn geometry_attributes(g: &Conv2dGeometry) -> Vec<pb::AttributeProto> {
    vec![
        ints("kernel_shape", &g.kernel_size),
        ints("strides", &g.stride),
        ints("pads", &g.padding),
        ints("dilations", &g.dilation),
        int("group", g.groups),
    ]
}

fn attribute(name: &str, r#type: pb::attribute_proto::AttributeType) -> pb::AttributeProto {
    pb::AttributeProto { name: name.to_owned(), r#type: r#type as i32, ..Default::default() }
}

fn int(name: &str, value: usize) -> pb::AttributeProto {
    pb::AttributeProto { i: value as i64, ..attribute(name, pb::attribute_proto::AttributeType::Int) }
}

fn ints(name: &str, values: &[usize]) -> pb::AttributeProto {
    let ints = values.iter().map(|&value| value as i64).collect();
    pb::AttributeProto { ints, ..attribute(name, pb::attribute_proto::AttributeType::Ints) }
}

fn float(name: &str, value: f32) -> pb::AttributeProto {
    pb::AttributeProto { f: value, ..attribute(name, pb::attribute_proto::AttributeType::Float) }
}

/// A float tensor whose first dimension is the batch.
fn value_info(name: &str, shape: &[usize]) -> pb::ValueInfoProto {
    use pb::tensor_shape_proto::{Dimension, dimension};
    let dims = core::iter::once(dimension::Value::DimParam("N".to_owned()))
        .chain(shape.iter().map(|&extent| dimension::Value::DimValue(extent as i64)))
        .map(|value| Dimension { value: Some(value), ..Default::default() });
    pb::ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(pb::TypeProto {
            value: Some(pb::type_proto::Value::TensorType(pb::type_proto::Tensor {
                elem_type: pb::tensor_proto::DataType::Float as i32,
                shape: Some(pb::TensorShapeProto { dim: dims.collect() }),
            })),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// An ONNX file with one `f32` input, run by tract: a computation that shares no code with ours.
pub struct Reference {
    model: pb::ModelProto,
    input_shape: Vec<Option<usize>>,
    output: String,
    /// Compiled for each input shape that was asked for.
    plans: Mutex<HashMap<Vec<usize>, Arc<TypedRunnableModel>>>,
}

impl Reference {
    /// Parses a file; `output` names the tensor to compute, an inner one too, and is the first output when absent.
    ///
    /// # Errors
    /// When the bytes are no ONNX file of today's form, or it has not exactly one `f32` input, or no such tensor.
    pub fn load(bytes: &[u8], output: Option<&str>) -> Result<Self> {
        let model = pb::ModelProto::decode(bytes).context("no ONNX protobuf")?;
        ensure!(
            model.ir_version >= OLDEST_IR_VERSION && !model.opset_import.is_empty(),
            "ONNX IR version {} names no operator set: export the model again with a newer tool",
            model.ir_version
        );
        let graph = model.graph.as_ref().context("the ONNX file holds no graph")?;

        let initialized: HashSet<&str> = graph.initializer.iter().map(|tensor| &*tensor.name).collect();
        let inputs: Vec<_> = graph.input.iter().filter(|input| !initialized.contains(&*input.name)).collect();
        let [input] = inputs[..] else { bail!("the model has {} inputs, one is read", inputs.len()) };
        let input_shape =
            declared_shape(input).with_context(|| format!("input {} is no f32 tensor", input.name))?;

        let output = match output {
            Some(name) => name.to_owned(),
            None => graph.output.first().context("the model has no output")?.name.clone(),
        };
        ensure!(
            graph.node.iter().flat_map(|node| &node.output).any(|name| *name == output),
            "the model computes no tensor {output:?}; it computes {}",
            graph
                .node
                .iter()
                .flat_map(|node| &node.output)
                .map(|name| &**name)
                .collect::<Vec<_>>()
                .join(", ")
        );
        Ok(Self { model, input_shape, output, plans: Mutex::default() })
    }

    /// Reads `file.onnx` or `file.onnx:tensor`.
    ///
    /// # Errors
    /// As [`Reference::load`], and when the file cannot be read.
    pub fn open(spec: &str) -> Result<Self> {
        let (path, output) = split_spec(spec);
        let bytes = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        Self::load(&bytes, output).with_context(|| format!("loading {}", path.display()))
    }

    /// Extents of the input as the file declares them, `None` where any will do.
    pub fn input_shape(&self) -> &[Option<usize>] {
        &self.input_shape
    }

    /// Name of the tensor that [`Reference::run`] returns.
    pub fn output(&self) -> &str {
        &self.output
    }

    /// The output for `input`, row-major. The first extent of `shape` is the batch size, which need not be the
    /// declared one; the first run with a shape compiles the model for it.
    ///
    /// # Errors
    /// What tract reports, its panics included.
    ///
    /// # Panics
    /// When `input` does not hold the product of `shape`.
    pub fn run(&self, input: &[f32], shape: &[usize]) -> Result<Vec<f32>> {
        assert_eq!(shape.iter().product::<usize>(), input.len(), "{shape:?} does not hold the input");
        contain(|| {
            let plan = self.plan(shape)?;
            let input = Value::from_shape(shape, input)?;
            let output = plan.run(tvec!(input.into_tvalue()))?;
            let output = output[0].cast_to::<f32>()?;
            Ok(output.try_as_plain_ram()?.as_slice::<f32>()?.to_vec())
        })
        .with_context(|| format!("running the ONNX reference on {shape:?}"))
    }

    fn plan(&self, shape: &[usize]) -> Result<Arc<TypedRunnableModel>> {
        // A panic while the lock is held leaves a map without the new plan, which is still a good map.
        let mut plans = self.plans.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(plan) = plans.get(shape) {
            return Ok(plan.clone());
        }
        // Inner shapes that the file declares hold for its batch size alone.
        let framework = tract_onnx::onnx().with_ignore_value_info(true);
        let parsed = framework.parse(&self.model, None)?;
        ensure!(parsed.unresolved_inputs.is_empty(), "missing inputs {:?}", parsed.unresolved_inputs);
        let outlet = *parsed.outlets_by_name.get(&self.output).context("the output is not computed")?;
        let mut model = parsed.model;
        model.select_output_outlets(&[outlet])?;
        model.set_input_fact(0, InferenceFact::dt_shape(f32::datum_type(), shape))?;
        let plan = model.into_optimized()?.into_runnable()?;
        plans.insert(shape.to_vec(), plan.clone());
        Ok(plan)
    }
}

/// `file.onnx:tensor` in its parts.
pub fn split_spec(spec: &str) -> (&Path, Option<&str>) {
    match spec.find(".onnx:") {
        Some(at) => (Path::new(&spec[..at + ".onnx".len()]), Some(&spec[at + ".onnx:".len()..])),
        None => (Path::new(spec), None),
    }
}

/// Extents of an `f32` tensor.
fn declared_shape(info: &pb::ValueInfoProto) -> Option<Vec<Option<usize>>> {
    use pb::tensor_shape_proto::dimension::Value;
    let pb::type_proto::Value::TensorType(tensor) = info.r#type.as_ref()?.value.as_ref()?;
    if tensor.elem_type != pb::tensor_proto::DataType::Float as i32 {
        return None;
    }
    let extent = |value: &Option<Value>| match value {
        Some(Value::DimValue(extent)) => usize::try_from(*extent).ok(),
        _ => None,
    };
    Some(tensor.shape.as_ref()?.dim.iter().map(|dim| extent(&dim.value)).collect())
}

/// Runs `f`; a panic in it becomes an error, for a foreign file must not end the program.
fn contain<T>(f: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|panic: Box<dyn Any + Send>| {
        let message = panic.downcast_ref::<String>().map(|s| &**s).or(panic.downcast_ref::<&str>().copied());
        Err(anyhow!("tract panicked: {}", message.unwrap_or("no message")))
    })
}

#[cfg(test)]
mod tests;
