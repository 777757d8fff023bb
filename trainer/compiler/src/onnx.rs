//! ONNX: imports any generator as a [`Graph`](crate::graph::Graph), writes ours as files that other programs read, and
//! runs files as a foreign reference.
//!
//! The only file that names tract-onnx, whose protobuf types serve both directions. A written file is checked against
//! the operator set by `onnx.checker` and computes the same picture in tract and in onnxruntime; nothing here
//! optimises, and nothing here knows `.pgan`.

mod import;
mod write;

use core::any::Any;
use core::panic::AssertUnwindSafe;
use std::collections::{HashMap, HashSet};
use std::panic::catch_unwind;
use std::path::Path;
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result, anyhow, ensure};
use prost::Message as _;
use tract_onnx::pb;
use tract_onnx::prelude::{
    Datum as _, DatumType, InferenceFact, InferenceModelExt as _, IntoRunnable as _, IntoTValue as _, TVec,
    Tensor as Value, TypedRunnableModel,
};

use crate::file;

pub use import::{
    Contents, ImportOptions, Imported, Refusal, RefusedNode, Report, contents, import, read_tensor,
};
pub use write::{INPUT, OUTPUT, write};

/// Before this version a file named no operator set, so its operators have no defined meaning today.
const OLDEST_IR_VERSION: i64 = 3;

/// An ONNX file, run by tract: a computation that shares no code with ours.
pub struct Reference {
    model: pb::ModelProto,
    inputs: Vec<ReferenceInput>,
    output: String,
    /// Compiled for each set of input shapes that was asked for.
    plans: Mutex<HashMap<Vec<Vec<usize>>, Arc<TypedRunnableModel>>>,
}

/// What a file reads.
#[derive(Clone, Debug)]
pub struct ReferenceInput {
    /// Its name.
    pub name: String,
    /// Extents as the file declares them, `None` where any will do.
    pub shape: Vec<Option<usize>>,
    data_type: DatumType,
}

impl Reference {
    /// Parses a file; `output` names the tensor to compute, an inner one too, and is the first output when absent.
    ///
    /// # Errors
    /// When the bytes are no ONNX file of today's form, or it reads no tensor of numbers, or has no such tensor.
    pub fn load(bytes: &[u8], output: Option<&str>) -> Result<Self> {
        let mut model = pb::ModelProto::decode(bytes).context("no ONNX protobuf")?;
        ensure!(
            model.ir_version >= OLDEST_IR_VERSION && !model.opset_import.is_empty(),
            "ONNX IR version {} names no operator set: export the model again with a newer tool",
            model.ir_version
        );
        let graph = model.graph.as_mut().context("the ONNX file holds no graph")?;
        widen(graph);

        let initialized: HashSet<&str> = graph.initializer.iter().map(|tensor| &*tensor.name).collect();
        let inputs: Vec<_> = graph.input.iter().filter(|input| !initialized.contains(&*input.name)).collect();
        let inputs = inputs.into_iter().map(declared).collect::<Result<Vec<_>>>()?;
        ensure!(!inputs.is_empty(), "the model reads nothing");

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
        Ok(Self { model, inputs, output, plans: Mutex::default() })
    }

    /// Reads `file.onnx` or `file.onnx:tensor`.
    ///
    /// # Errors
    /// As [`Reference::load`], and when the file cannot be read.
    pub fn open(spec: &str) -> Result<Self> {
        let (path, output) = split_spec(spec);
        let bytes = file::read(path, file::MAX_ONNX_BYTES)?;
        Self::load(&bytes, output).with_context(|| format!("loading {}", path.display()))
    }

    /// The inputs in order.
    pub fn inputs(&self) -> &[ReferenceInput] {
        &self.inputs
    }

    /// Extents of the first input as the file declares them, `None` where any will do.
    pub fn input_shape(&self) -> &[Option<usize>] {
        &self.inputs[0].shape
    }

    /// Name of the tensor that [`Reference::run`] returns.
    pub fn output(&self) -> &str {
        &self.output
    }

    /// The output for the only input, row-major. The first extent of `shape` is the batch size, which need not be the
    /// declared one; the first run with a shape compiles the model for it.
    ///
    /// # Errors
    /// What tract reports, its panics included; and when there are other inputs.
    ///
    /// # Panics
    /// When `input` does not hold the product of `shape`.
    pub fn run(&self, input: &[f32], shape: &[usize]) -> Result<Vec<f32>> {
        self.run_all(&[(input, shape)])
    }

    /// The output for inputs in the order of [`inputs`](Self::inputs), each row-major with its shape. Their values are
    /// converted to the types that the file declares.
    ///
    /// # Errors
    /// What tract reports, its panics included; and when there are more or fewer inputs.
    ///
    /// # Panics
    /// When an input does not hold the product of its shape.
    pub fn run_all(&self, inputs: &[(&[f32], &[usize])]) -> Result<Vec<f32>> {
        for (input, shape) in inputs {
            assert_eq!(shape.iter().product::<usize>(), input.len(), "{shape:?} does not hold the input");
        }
        let shapes: Vec<Vec<usize>> = inputs.iter().map(|(_, shape)| shape.to_vec()).collect();
        contain(|| {
            ensure!(inputs.len() == self.inputs.len(), "{} inputs of {}", inputs.len(), self.inputs.len());
            let plan = self.plan(&shapes)?;
            let values = inputs.iter().zip(&self.inputs).map(|((input, shape), declared)| {
                let value = Value::from_shape(shape, input)?.cast_to_dt(declared.data_type)?.into_owned();
                Ok(value.into_tvalue())
            });
            let output = plan.run(values.collect::<Result<TVec<_>>>()?)?;
            let output = output[0].cast_to::<f32>()?;
            Ok(output.try_as_plain_ram()?.as_slice::<f32>()?.to_vec())
        })
        .with_context(|| format!("running the ONNX reference on {shapes:?}"))
    }

    fn plan(&self, shapes: &[Vec<usize>]) -> Result<Arc<TypedRunnableModel>> {
        // A panic while the lock is held leaves a map without the new plan, which is still a good map.
        let mut plans = self.plans.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(plan) = plans.get(shapes) {
            return Ok(plan.clone());
        }
        // Inner shapes that the file declares hold for its batch size alone.
        let framework = tract_onnx::onnx().with_ignore_value_info(true);
        let parsed = framework.parse(&self.model, None)?;
        ensure!(parsed.unresolved_inputs.is_empty(), "missing inputs {:?}", parsed.unresolved_inputs);
        let outlet = *parsed.outlets_by_name.get(&self.output).context("the output is not computed")?;
        let mut model = parsed.model;
        model.select_output_outlets(&[outlet])?;
        for (i, (shape, input)) in shapes.iter().zip(&self.inputs).enumerate() {
            model.set_input_fact(i, InferenceFact::dt_shape(input.data_type, shape))?;
        }
        let plan = model.into_optimized()?.into_runnable()?;
        plans.insert(shapes.to_vec(), plan.clone());
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

/// An input as the file declares it.
fn declared(info: &pb::ValueInfoProto) -> Result<ReferenceInput> {
    use pb::tensor_proto::DataType;
    use pb::tensor_shape_proto::dimension::Value;
    let tensor = info.r#type.as_ref().and_then(|r#type| r#type.value.as_ref()).map(|value| match value {
        pb::type_proto::Value::TensorType(tensor) => tensor,
    });
    let tensor = tensor.with_context(|| format!("input {} is no tensor", info.name))?;
    let data_type = match DataType::try_from(tensor.elem_type) {
        Ok(DataType::Float) => f32::datum_type(),
        Ok(DataType::Double) => f64::datum_type(),
        Ok(DataType::Float16) => DatumType::F16,
        Ok(DataType::Bool) => bool::datum_type(),
        Ok(DataType::Int64) => i64::datum_type(),
        Ok(DataType::Int32) => i32::datum_type(),
        Ok(DataType::Int16) => i16::datum_type(),
        Ok(DataType::Int8) => i8::datum_type(),
        Ok(DataType::Uint8) => u8::datum_type(),
        other => anyhow::bail!("input {} is of type {other:?}, which the reference does not read", info.name),
    };
    let extent = |value: &Option<Value>| match value {
        Some(Value::DimValue(extent)) => usize::try_from(*extent).ok(),
        _ => None,
    };
    let shape = tensor.shape.as_ref().map(|shape| shape.dim.iter().map(|dim| extent(&dim.value)).collect());
    Ok(ReferenceInput { name: info.name.clone(), shape: shape.unwrap_or_default(), data_type })
}

/// Turns half precision into single, which holds the same numbers: few processors calculate in it, and tract's emulation
/// takes minutes where seconds do.
fn widen(graph: &mut pb::GraphProto) {
    use pb::tensor_proto::DataType;
    let (half, single) = (DataType::Float16 as i32, DataType::Float as i32);
    let tensor = |tensor: &mut pb::TensorProto| {
        if tensor.data_type == half {
            tensor.data_type = single;
            let bits = tensor.int32_data.drain(..).flat_map(|bits| (bits as u16).to_le_bytes());
            tensor.raw_data.extend(bits.collect::<Vec<u8>>());
            let (halves, _) = tensor.raw_data.as_chunks();
            tensor.raw_data = halves
                .iter()
                .flat_map(|&bits| half::f16::from_le_bytes(bits).to_f32().to_le_bytes())
                .collect();
        }
    };
    graph.initializer.iter_mut().for_each(tensor);
    let infos = graph.input.iter_mut().chain(&mut graph.output).chain(&mut graph.value_info);
    for info in infos.filter_map(|info| info.r#type.as_mut()?.value.as_mut()) {
        let pb::type_proto::Value::TensorType(info) = info;
        if info.elem_type == half {
            info.elem_type = single;
        }
    }
    for node in &mut graph.node {
        for attribute in &mut node.attribute {
            attribute.t.iter_mut().for_each(tensor);
            if attribute.name == "to" && node.op_type == "Cast" && attribute.i == i64::from(half) {
                attribute.i = i64::from(single);
            }
            attribute.g.iter_mut().for_each(widen);
        }
    }
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
