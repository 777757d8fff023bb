//! Small models, built node by node: what they become, what is refused, and what no file may do.

use core::panic::AssertUnwindSafe;
use std::fs;
use std::panic::catch_unwind;
use std::path::Path;
use std::time::Instant;

use rand_core::{Rng as _, SeedableRng as _};
use rand_xoshiro::Xoshiro128PlusPlus;

use super::*;
use crate::graph::evaluate::evaluate;
use crate::graph::{Op, Role};
use crate::onnx::pb::attribute_proto::AttributeType;
use crate::onnx::pb::tensor_proto::{DataLocation, DataType};
use crate::onnx::pb::tensor_shape_proto::{Dimension, dimension};

/// A model under construction.
#[derive(Clone, Default)]
struct Net(pb::GraphProto);

impl Net {
    fn new(inputs: &[(&str, DataType, &[i64])]) -> Self {
        let input = inputs.iter().map(|(name, data_type, shape)| info(name, *data_type, shape)).collect();
        Self(pb::GraphProto { input, ..Default::default() })
    }

    fn node(
        mut self,
        op_type: &str,
        inputs: &[&str],
        output: &str,
        attribute: Vec<pb::AttributeProto>,
    ) -> Self {
        self.0.node.push(pb::NodeProto {
            op_type: op_type.into(),
            input: inputs.iter().map(|&name| name.into()).collect(),
            output: output.split(' ').map(str::to_owned).collect(),
            attribute,
            ..Default::default()
        });
        self
    }

    fn floats(mut self, name: &str, dims: &[i64], values: &[f32]) -> Self {
        self.0.initializer.push(pb::TensorProto {
            name: name.into(),
            dims: dims.into(),
            data_type: DataType::Float as i32,
            raw_data: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            ..Default::default()
        });
        self
    }

    /// Two values of a matrix of 3x3, and the rest zeros.
    fn sparse(mut self, name: &str, indices: pb::TensorProto) -> Self {
        let values = Self::default().floats(name, &[2], &[2.0, -1.0]).0.initializer.pop();
        self.0.sparse_initializer.push(pb::SparseTensorProto {
            values,
            indices: Some(indices),
            dims: vec![3, 3],
        });
        self
    }

    fn ints(mut self, name: &str, values: &[i64]) -> Self {
        self.0.initializer.push(pb::TensorProto {
            name: name.into(),
            dims: vec![values.len() as i64],
            data_type: DataType::Int64 as i32,
            int64_data: values.into(),
            ..Default::default()
        });
        self
    }

    fn output(mut self, name: &str) -> Self {
        self.0.output.push(pb::ValueInfoProto { name: name.into(), ..Default::default() });
        self
    }

    fn model(self) -> pb::ModelProto {
        pb::ModelProto {
            ir_version: 8,
            opset_import: vec![pb::OperatorSetIdProto { domain: String::new(), version: 17 }],
            graph: Some(self.0),
            ..Default::default()
        }
    }

    fn bytes(self) -> Vec<u8> {
        self.model().encode_to_vec()
    }

    fn import(self) -> Result<Graph> {
        Ok(import(&self.bytes(), &ImportOptions::default())?.graph)
    }

    /// The text of the error.
    fn refused(self) -> String {
        format!("{:#}", self.import().expect_err("this cannot be imported"))
    }
}

fn info(name: &str, data_type: DataType, shape: &[i64]) -> pb::ValueInfoProto {
    let dim = |&extent: &i64| Dimension {
        value: Some(match extent {
            0 => dimension::Value::DimParam("batch".into()),
            extent => dimension::Value::DimValue(extent),
        }),
        ..Default::default()
    };
    let tensor = pb::type_proto::Tensor {
        elem_type: data_type as i32,
        shape: Some(pb::TensorShapeProto { dim: shape.iter().map(dim).collect() }),
    };
    let value = Some(pb::type_proto::Value::TensorType(tensor));
    pb::ValueInfoProto {
        name: name.into(),
        r#type: Some(pb::TypeProto { value, ..Default::default() }),
        ..Default::default()
    }
}

fn attribute(name: &str, kind: AttributeType) -> pb::AttributeProto {
    pb::AttributeProto { name: name.into(), r#type: kind as i32, ..Default::default() }
}

fn int(name: &str, i: i64) -> pb::AttributeProto {
    pb::AttributeProto { i, ..attribute(name, AttributeType::Int) }
}

fn ints(name: &str, ints: &[i64]) -> pb::AttributeProto {
    pb::AttributeProto { ints: ints.into(), ..attribute(name, AttributeType::Ints) }
}

fn inner(name: &str, graph: Net) -> pb::AttributeProto {
    pb::AttributeProto { g: Some(graph.0), ..attribute(name, AttributeType::Graph) }
}

fn latent() -> Net {
    Net::new(&[("z", DataType::Float, &[0, 4])])
}

/// A generator with everything that exporters put around a few layers.
fn generator() -> Net {
    let weight: Vec<f32> = (0..32).map(|i| (i % 7) as f32 / 7.0 - 0.4).collect();
    latent()
        .floats("w", &[4, 8], &weight)
        .floats("b", &[8], &[0.1; 8])
        .node("Gemm", &["z", "w", "b"], "dense", vec![])
        .node("Shape", &["z"], "shape", vec![])
        .ints("zero", &[0])
        .node("Gather", &["shape", "zero"], "batch", vec![])
        .ints("rest", &[2, 2, 2])
        .node("Concat", &["batch", "rest"], "target", vec![int("axis", 0)])
        .node("Reshape", &["dense", "target"], "picture", vec![])
        .floats("scales", &[4], &[1.0, 1.0, 2.0, 2.0])
        .node("Resize", &["picture", "", "scales"], "large", vec![])
        .floats("k", &[1, 2, 3, 3], &weight[..18])
        .node("Conv", &["large", "k"], "conv", vec![ints("pads", &[1, 1, 1, 1])])
        .node("Tanh", &["conv"], "image", vec![])
        .output("image")
}

/// Operators that compute extents from what they are given.
fn pooled() -> Net {
    Net::new(&[("x", DataType::Float, &[1, 3, 6, 6]), ("n", DataType::Int64, &[2])])
        .floats("k", &[3, 2, 2, 2], &[0.25; 24])
        .node(
            "ConvTranspose",
            &["x", "k"],
            "up",
            vec![ints("strides", &[2, 2]), ints("output_padding", &[1, 0])],
        )
        .node("MaxPool", &["up"], "pooled", vec![ints("kernel_shape", &[3, 2]), int("ceil_mode", 1)])
        .ints("pads", &[0, 0, 1, -1, 0, 0, 2, 1])
        .node("Pad", &["pooled", "pads"], "padded", vec![])
        .ints("starts", &[-1])
        .ints("ends", &[i64::MIN])
        .ints("axes", &[3])
        .ints("steps", &[-2])
        .node("Slice", &["padded", "starts", "ends", "axes", "steps"], "sliced", vec![])
        .node("Softmax", &["sliced"], "soft", vec![])
        .node(
            "Einsum",
            &["soft", "soft"],
            "product",
            vec![pb::AttributeProto {
                s: b"abcd,abed->abce".to_vec(),
                ..attribute("equation", AttributeType::String)
            }],
        )
        .node("Gather", &["product", "n"], "chosen", vec![int("axis", 1)])
        .node("Split", &["chosen"], "y w", vec![int("axis", 1)])
        .output("y")
}

/// A product with a matrix of which most is zero.
fn sparse() -> Net {
    Net::new(&[("x", DataType::Float, &[1, 3])])
        .sparse("w", places(&[2, 2], &[0.0, 1.0, 2.0, 2.0]))
        .node("MatMul", &["x", "w"], "y", vec![])
        .output("y")
}

/// Where the values of a sparse tensor stand; in double precision, which holds what no index can be.
fn places(dims: &[i64], numbers: &[f64]) -> pb::TensorProto {
    pb::TensorProto {
        dims: dims.into(),
        data_type: DataType::Double as i32,
        double_data: numbers.into(),
        ..Default::default()
    }
}

fn kinds(graph: &Graph) -> Vec<String> {
    let kind = |op: &Op| format!("{op:?}").split([' ', '(']).next().unwrap_or_default().to_owned();
    graph.nodes().map(|(_, node)| kind(&node.op)).collect()
}

#[test]
fn arithmetic_on_shapes_leaves_nothing_behind() -> Result<()> {
    let graph = generator().import()?;
    assert_eq!(graph.inputs()[0].shape, [1, 4]);
    assert_eq!(graph.inputs()[0].role, Role::Latent);
    assert_eq!(graph.shape(graph.output()), [1, 1, 4, 4]);
    // Upsampling by two is a copy with strides, not a look-up.
    let up = ["Reshape", "Broadcast", "Reshape"];
    assert_eq!(kinds(&graph), [&["Dense", "Reshape"], &up[..], &up[..], &["Conv2d", "Unary"]].concat());
    Ok(())
}

#[test]
fn nodes_in_any_order_and_inner_tensors_are_read() -> Result<()> {
    let net = latent().node("Neg", &["a"], "b", vec![]).node("Abs", &["z"], "a", vec![]).output("b");
    assert_eq!(evaluate(&net.clone().import()?, &[&[1.0, -2.0, 3.0, -4.0]])?, [-1.0, -2.0, -3.0, -4.0]);
    let options = ImportOptions { output: Some("a".into()), ..Default::default() };
    assert_eq!(kinds(&import(&net.clone().bytes(), &options)?.graph), ["Unary"]);
    let options = ImportOptions { output: Some("c".into()), ..Default::default() };
    let error = import(&net.bytes(), &options).expect_err("there is no c");
    assert!(error.to_string().contains("there are b"), "{error}");
    Ok(())
}

#[test]
fn inputs_have_roles_and_may_be_given_shapes_or_values() -> Result<()> {
    let net = Net::new(&[
        ("picture", DataType::Float, &[0, 3, 8, 8]),
        ("label", DataType::Int64, &[0]),
        ("z", DataType::Float, &[0, 6]),
        ("mask", DataType::Float, &[8]),
        ("axes", DataType::Int64, &[1]),
        ("unused", DataType::Float, &[5]),
    ])
    .floats("table", &[10, 6], &[0.5; 60])
    .node("Gather", &["table", "label"], "embedded", vec![])
    .node("Add", &["embedded", "z"], "sum", vec![])
    .node("ReduceSum", &["sum", "axes"], "total", vec![int("keepdims", 0)])
    .node("Add", &["picture", "total"], "moved", vec![])
    .node("Mul", &["moved", "mask"], "y", vec![])
    .output("y");
    let mut model = net.model();
    model.opset_import[0].version = 18;
    if let Some(graph) = &mut model.graph {
        // ReduceSum reads its axes since 13; the other reductions followed with 18.
        graph.node[2].attribute.push(int("noop_with_empty_axes", 0));
    }
    let bytes = model.encode_to_vec();
    let error = import(&bytes, &ImportOptions::default()).expect_err("axes are not known");
    let refusal = error.downcast_ref::<Refusal>().context("a refusal")?;
    assert_eq!(refusal.inputs, ["axes"]);
    assert!(refusal.to_string().contains("--fix axes="), "{refusal}");
    let options = ImportOptions {
        shapes: vec![("picture".into(), vec![1, 3, 4, 8])],
        fixed: vec![("axes".into(), vec![1.0])],
        output: None,
    };
    let imported = import(&bytes, &options)?;
    let roles: Vec<_> = imported.graph.inputs().iter().map(|input| (&*input.name, input.role)).collect();
    let expected =
        [("picture", Role::Image), ("label", Role::Label), ("z", Role::Latent), ("mask", Role::Values)];
    assert_eq!(roles, expected);
    assert_eq!(imported.graph.shape(imported.graph.output()), [1, 3, 4, 8]);
    assert!(imported.report.notes.iter().any(|note| note.contains("unused")), "{:?}", imported.report.notes);
    Ok(())
}

#[test]
fn everything_that_is_not_supported_is_listed() {
    let net = latent()
        .node("RandomNormalLike", &["z"], "noise", vec![])
        .node("Add", &["z", "noise"], "a", vec![])
        .node("LSTM", &["a"], "b", vec![int("hidden_size", 4)])
        .node("Frobnicate", &["b"], "c", vec![])
        .output("c");
    let text = net.refused();
    for part in
        ["3 nodes", "make the noise an input", "LSTM, ai.onnx 17; hidden_size=4", "Frobnicate", "recurrent"]
    {
        assert!(text.contains(part), "{part:?} in {text}");
    }
    assert!(!text.contains("(Add"), "what merely follows is not listed: {text}");
    let foreign = latent().node("Relu", &["z"], "y", vec![]).output("y");
    let mut model = foreign.model();
    if let Some(graph) = &mut model.graph {
        graph.node[0].domain = "com.example".into();
    }
    let error = import(&model.encode_to_vec(), &ImportOptions::default()).expect_err("a foreign domain");
    assert!(error.to_string().contains("com.example"), "{error}");
}

#[test]
fn functions_and_known_branches_are_opened() -> Result<()> {
    let mut model = latent().node("Twice", &["z"], "y", vec![int("times", 3)]).output("y").model();
    let factor =
        pb::AttributeProto { ref_attr_name: "times".into(), ..attribute("value_int", AttributeType::Int) };
    let body = Net::default()
        .node("Constant", &[], "factor", vec![factor])
        .node("Cast", &["factor"], "real", vec![int("to", 1)])
        .node("Mul", &["x", "real"], "result", vec![]);
    model.functions.push(pb::FunctionProto {
        name: Some("Twice".into()),
        domain: Some("own".into()),
        input: vec!["x".into()],
        output: vec!["result".into()],
        node: body.0.node,
        opset_import: model.opset_import.clone(),
        ..Default::default()
    });
    if let Some(graph) = &mut model.graph {
        graph.node[0].domain = "own".into();
    }
    let graph = import(&model.encode_to_vec(), &ImportOptions::default())?.graph;
    assert_eq!(evaluate(&graph, &[&[1.0, 2.0, 3.0, 4.0]])?, [3.0, 6.0, 9.0, 12.0]);

    let branch = |op: &str| Net::default().node(op, &["z"], "inner", vec![]).output("inner");
    let branches = vec![inner("then_branch", branch("Neg")), inner("else_branch", branch("Abs"))];
    let net = latent()
        .ints("zero", &[0])
        .node("Cast", &["zero"], "condition", vec![int("to", 9)])
        .node("If", &["condition"], "y", branches)
        .output("y");
    assert_eq!(evaluate(&net.import()?, &[&[1.0, -2.0, 3.0, -4.0]])?, [1.0, 2.0, 3.0, 4.0]);
    Ok(())
}

#[test]
fn what_no_file_may_say_is_an_error() {
    let relu = |net: Net| net.node("Add", &["z", "w"], "y", vec![]).output("y");
    let tensor = |change: &dyn Fn(&mut pb::TensorProto)| {
        let mut net = relu(latent().floats("w", &[4], &[1.0; 4]));
        change(&mut net.0.initializer[0]);
        net.refused()
    };
    let short = tensor(&|t| t.raw_data.truncate(15));
    assert!(short.contains("initializer w") && short.contains("15 bytes"), "{short}");
    assert!(tensor(&|t| t.dims = vec![-4]).contains("negative"));
    assert!(tensor(&|t| t.dims = vec![i64::MAX, i64::MAX]).contains("exceeds"));
    assert!(tensor(&|t| t.dims = vec![1 << 40]).contains("exceeds"));
    assert!(tensor(&|t| t.dims = vec![1; 99]).contains("axes"));
    assert!(tensor(&|t| t.data_type = DataType::String as i32).contains("STRING"));
    assert!(tensor(&|t| t.data_type = 77).contains("77"));
    assert!(tensor(&|t| t.data_location = Some(DataLocation::External as i32)).contains("another file"));

    assert!(relu(latent()).refused().contains("reads w, which nothing computes"));
    let cycle = latent().node("Add", &["z", "b"], "a", vec![]).node("Abs", &["a"], "b", vec![]).output("b");
    assert!(cycle.refused().contains("depends on itself"));
    let twice = latent().node("Abs", &["z"], "a", vec![]).node("Neg", &["z"], "a", vec![]).output("a");
    assert!(twice.refused().contains("two nodes compute a"));
    assert!(latent().refused().contains("no output"));
    assert!(latent().output("y").refused().contains("nothing computes y"));

    let hollow = tensor(&|t| {
        t.dims = vec![1 << 40, 1 << 40, 0];
        t.raw_data.clear();
    });
    assert!(hollow.contains("exceeds"), "{hollow}");
    let hollow = latent()
        .floats("e", &[0, 1 << 28], &[])
        .node("Concat", &["e", "e"], "y", vec![int("axis", 1)])
        .output("y");
    assert!(hollow.refused().contains("exceeds"));

    let huge = latent().ints("s", &[1 << 20, 1 << 20]).node("Expand", &["z", "s"], "y", vec![]).output("y");
    assert!(huge.refused().contains("no shape"));
    let fill = latent().ints("s", &[1 << 28]).node("ConstantOfShape", &["s"], "y", vec![]).output("y");
    assert!(fill.import().is_ok(), "a broadcast takes no memory");
    let precise = Net::new(&[("x", DataType::Int64, &[4])])
        .ints("w", &[(1 << 24) + 1])
        .node("Add", &["x", "w"], "y", vec![])
        .output("y");
    assert!(precise.refused().contains("24 bits"));
    let negative = Net::new(&[("z", DataType::Float, &[-4])]).node("Abs", &["z"], "y", vec![]).output("y");
    assert!(negative.refused().contains("shape"));

    let empty = latent()
        .floats("x", &[1, 2, 0, 3], &[])
        .floats("k", &[2, 1, 2, 2], &[1.0; 8])
        .node("ConvTranspose", &["x", "k"], "y", vec![ints("output_shape", &[4, 4])])
        .output("y");
    assert!(empty.refused().contains("kernel [2, 2] over [0, 3]"));
    let flat =
        latent().floats("k", &[4, 2], &[1.0; 8]).node("ConvTranspose", &["z", "k"], "y", vec![]).output("y");
    assert!(flat.refused().contains("[1, 4] is no [N, C, ..]"));

    let mut old = generator().model();
    old.ir_version = 1;
    let error = import(&old.encode_to_vec(), &ImportOptions::default()).expect_err("IR version 1");
    assert!(error.to_string().contains("export the model again"), "{error}");
}

#[test]
fn sparse_tensors_have_values_at_their_indices_alone() -> Result<()> {
    assert_eq!(evaluate(&sparse().import()?, &[&[1.0, 10.0, 100.0]])?, [0.0, 2.0, -100.0]);
    let of = |dims: &[i64], numbers: &[f64]| {
        let mut net = sparse();
        net.0.sparse_initializer[0].indices = Some(places(dims, numbers));
        net
    };
    assert_eq!(evaluate(&of(&[2], &[1.0, 8.0]).import()?, &[&[1.0, 10.0, 100.0]])?, [0.0, 2.0, -100.0]);
    for wrong in [3.0, 5.0, -1.0, 1e300, f64::NAN] {
        for at in 0..2 {
            let mut numbers = [0.0, 1.0, 2.0, 2.0];
            numbers[at] = wrong;
            assert!(of(&[2, 2], &numbers).refused().contains("of a sparse tensor"), "{numbers:?}");
        }
    }
    for wrong in [9.0, -1.0, 1e300] {
        assert!(of(&[2], &[1.0, wrong]).refused().contains("of a sparse tensor"), "{wrong}");
    }
    Ok(())
}

/// The work is in proportion to the elements that a filter sees, not to their square.
#[test]
fn an_antialiased_filter_may_see_a_whole_axis() -> Result<()> {
    let len = 1 << 20;
    let start = Instant::now();
    let graph = Net::new(&[("x", DataType::Float, &[1, 1, 1, len])])
        .ints("sizes", &[1, 1, 1, 1])
        .node(
            "Resize",
            &["x", "", "", "sizes"],
            "y",
            vec![
                int("antialias", 1),
                pb::AttributeProto { s: b"linear".to_vec(), ..attribute("mode", AttributeType::String) },
            ],
        )
        .output("y")
        .import()?;
    assert_eq!(kinds(&graph), ["Constant", "Contract"]);
    // 2^39 comparisons would be minutes.
    assert!(start.elapsed().as_secs() < 30, "{:?}", start.elapsed());
    Ok(())
}

#[test]
fn graphs_inside_graphs_are_bounded() {
    // Deeper than the protobuf reader goes, and deeper than we do.
    for depth in [8, 20, 200] {
        let mut net = Net::default().node("Abs", &["z"], "y", vec![]).output("y");
        for _ in 0..depth {
            let branches = vec![inner("then_branch", net.clone()), inner("else_branch", Net::default())];
            net = Net::default().node("If", &["yes"], "y", branches).output("y");
        }
        net.0.input = latent().0.input;
        net = net.floats("yes", &[], &[1.0]);
        assert_eq!(net.import().is_ok(), depth == 8, "depth {depth}");
    }
    // A function that calls itself, twice.
    let mut model = latent().node("F", &["z"], "y", vec![]).output("y").model();
    let body = Net::default().node("F", &["x"], "a", vec![]).node("F", &["a"], "b", vec![]);
    model.functions.push(pb::FunctionProto {
        name: Some("F".into()),
        domain: Some(String::new()),
        input: vec!["x".into()],
        output: vec!["b".into()],
        node: body.0.node,
        opset_import: model.opset_import.clone(),
        ..Default::default()
    });
    assert!(import(&model.encode_to_vec(), &ImportOptions::default()).is_err());
}

#[test]
fn no_prefix_and_no_change_of_a_file_panics() {
    let seed = 7;
    println!("no_prefix_and_no_change_of_a_file_panics: seed {seed}");
    let mut random = Xoshiro128PlusPlus::seed_from_u64(seed);
    let start = Instant::now();
    let mut imported = 0;
    for bytes in [generator().bytes(), pooled().bytes(), sparse().bytes()] {
        assert!(import(&bytes, &ImportOptions::default()).is_ok());
        let prefixes = (0..bytes.len()).map(|len| bytes[..len].to_vec());
        let changed = (0..4000).map(|_| {
            let mut changed = bytes.clone();
            for _ in 0..1 + random.next_u32() % 3 {
                let at = random.next_u32() as usize % changed.len();
                changed[at] = match random.next_u32() % 3 {
                    0 => changed[at] ^ 1 << (random.next_u32() % 8),
                    1 => random.next_u32() as u8,
                    _ => [0, 1, 0x7f, 0x80, 0xff][random.next_u32() as usize % 5],
                };
            }
            changed
        });
        for bytes in prefixes.chain(changed.collect::<Vec<_>>()) {
            let result = catch_unwind(AssertUnwindSafe(|| import(&bytes, &ImportOptions::default())));
            let result = result.unwrap_or_else(|_| panic!("a panic on {bytes:?}"));
            imported += usize::from(result.is_ok());
        }
    }
    println!("{imported} imported in {:?}", start.elapsed());
    assert!(imported > 100, "the changes are too coarse to get anywhere");
    // Milliseconds each would be minutes.
    assert!(start.elapsed().as_secs() < 60, "{:?}", start.elapsed());
}

/// The fuzzer starts from these models. `POCKETGAN_WRITE_SEEDS=1` writes them.
#[test]
fn the_seeds_of_the_fuzzer_are_current() -> Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/corpus/import");
    for (name, net) in [("generator", generator()), ("pooled", pooled()), ("sparse", sparse())] {
        let path = corpus.join(name).with_extension("onnx");
        if std::env::var_os("POCKETGAN_WRITE_SEEDS").is_some() {
            fs::create_dir_all(&corpus)?;
            fs::write(&path, net.clone().bytes())?;
        }
        ensure!(fs::read(&path)? == net.bytes(), "{} is out of date", path.display());
    }
    Ok(())
}
