//! Writes a chain of operations, as the networks that we train are, as an ONNX file.

use std::collections::HashSet;

use anyhow::{Context as _, Result, bail, ensure};
use prost::Message as _;

use super::pb;
use crate::graph::{Conv2dGeometry, Graph, Op, Tensor, Unary};

/// Name of the input of a written file: `[N, latent_dim]`.
pub const INPUT: &str = "z";
/// Name of the output of a written file: `[N, C, H, W]`.
pub const OUTPUT: &str = "image";

/// The oldest operator set in which all operators we write have their present meaning is 14; readers of 17 are common.
const OPSET: i64 = 17;
/// The file format that goes with [`OPSET`].
const IR_VERSION: i64 = 8;
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
