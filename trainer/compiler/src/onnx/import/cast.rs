//! Casts and quantization: what a change of type does to real numbers.

use anyhow::{Context, Result, bail, ensure};
use half::f16;

use super::builder::Builder;
use super::call::{Call, axis};
use super::operand::{Kind, Operand};
use crate::graph::{Binary, Unary, Value};
use crate::onnx::pb::tensor_proto::DataType;

/// Cast to the type that the attribute names.
pub(super) fn cast(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Operand>> {
    let to = match call.attributes.find("to") {
        // Before operator set 6 the type was a word.
        Some(attribute) if !attribute.s.is_empty() => word(&attribute.s)?,
        Some(attribute) => i32::try_from(attribute.i).unwrap_or_default(),
        None => bail!("attribute to is missing"),
    };
    convert(b, call, to)
}

/// CastLike: to the type of the second input, of which we know the kind.
pub(super) fn cast_like(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Operand>> {
    let x = call.input(0)?;
    let to = call.input(1)?.kind;
    let value = b.value(x)?;
    let value = to_kind(b, value, x.kind, to)?;
    Ok(vec![b.operand(to, value)])
}

fn convert(b: &mut Builder, call: &Call<'_>, data_type: i32) -> Result<Vec<Operand>> {
    let x = call.input(0)?;
    let to = Kind::of(data_type)?;
    if let (Some(constant), true) = (x.known(), data_type == DataType::Float16 as i32) {
        let data = constant.data.iter().map(|&v| f16::from_f64(v).to_f64()).collect();
        return Ok(vec![Operand::constant(to, constant.shape.clone(), data)]);
    }
    // Integers beyond 24 bits, sentinels above all, pass unchanged.
    if let (Some(constant), Kind::Int { bits: 64, signed: true }, true) = (x.known(), to, x.kind.is_int()) {
        return Ok(vec![Operand { kind: to, source: super::operand::Source::Constant(constant.clone()) }]);
    }
    let value = b.value(x)?;
    let value = to_kind(b, value, x.kind, to)?;
    Ok(vec![b.operand(to, value)])
}

fn word(name: &[u8]) -> Result<i32> {
    let name = String::from_utf8_lossy(name);
    let types = [
        ("FLOAT", DataType::Float),
        ("DOUBLE", DataType::Double),
        ("FLOAT16", DataType::Float16),
        ("BOOL", DataType::Bool),
        ("INT32", DataType::Int32),
        ("INT64", DataType::Int64),
        ("INT8", DataType::Int8),
        ("UINT8", DataType::Uint8),
    ];
    let found = types.iter().find(|(word, _)| *word == name);
    Ok(found.with_context(|| format!("cast to {name:?}"))?.1 as i32)
}

fn to_kind(b: &mut Builder, x: Value, from: Kind, to: Kind) -> Result<Value> {
    match (from, to) {
        (_, Kind::Float) | (Kind::Bool, _) => Ok(x),
        (from, Kind::Bfloat16) if from == to => Ok(x),
        (_, Kind::Bfloat16) => bail!("bfloat16 has fewer digits than this conversion would keep"),
        (_, Kind::Bool) => {
            let zero = b.with(Binary::Equal, x, 0.0)?;
            b.not(zero)
        }
        (Kind::Float | Kind::Bfloat16, Kind::Int { .. }) => {
            let x = b.truncate(x)?;
            wrap(b, to, x)
        }
        (Kind::Int { bits, signed }, Kind::Int { bits: to_bits, signed: to_signed }) => {
            if to_bits > bits || (to_bits, to_signed) == (bits, signed) { Ok(x) } else { wrap(b, to, x) }
        }
    }
}

/// The low bits of an integer that may lie outside its type. 32 bits and more are taken to suffice.
pub(super) fn wrap(b: &mut Builder, kind: Kind, x: Value) -> Result<Value> {
    let (Kind::Int { bits: ..=16, .. }, Some([lowest, largest])) = (kind, kind.range()) else { return Ok(x) };
    let modulus = largest - lowest + 1.0;
    let turns = b.with(Binary::Sub, x, lowest)?;
    let turns = b.with(Binary::Div, turns, modulus)?;
    let turns = b.unary(Unary::Floor, turns)?;
    let excess = b.with(Binary::Mul, turns, modulus)?;
    b.sub(x, excess)
}

/// QuantizeLinear and DequantizeLinear, for integers.
pub(super) fn quantize(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Operand>> {
    let x = call.input(0)?;
    let back = call.node.op_type == "DequantizeLinear";
    ensure!(call.attributes.int_or("block_size", 0)? == 0, "blocked quantization");
    let rank = x.rank();
    let parameter = |b: &mut Builder, i: usize| -> Result<Option<Value>> {
        let Some(operand) = call.optional(i) else { return Ok(None) };
        let value = b.value(operand)?;
        let Some(&len) = operand.shape().first().filter(|&&len| len > 1) else {
            return Ok(Some(b.reshape(value, vec![])?));
        };
        ensure!(operand.rank() == 1, "blocked quantization");
        let mut shape = vec![1; rank];
        shape[axis(call.attributes.int_or("axis", 1)?, rank)?] = len;
        Ok(Some(b.reshape(value, shape)?))
    };
    let value = b.value(x)?;
    let scale = parameter(b, 1)?.context("there is no scale")?;
    let zero = parameter(b, 2)?;
    if back {
        let value = if let Some(zero) = zero { b.sub(value, zero)? } else { value };
        let value = b.mul(value, scale)?;
        return Ok(vec![b.operand(Kind::Float, value)]);
    }
    let kind = match (call.optional(2), call.attributes.int_or("output_dtype", 0)?) {
        (Some(zero), _) => zero.kind,
        (None, 0) => Kind::Int { bits: 8, signed: false },
        (None, data_type) => Kind::of(i32::try_from(data_type).unwrap_or_default())?,
    };
    let [lowest, largest] = kind.range().context("quantization to floating point")?;
    let value = b.div(value, scale)?;
    let value = b.unary(Unary::Round, value)?;
    let value = if let Some(zero) = zero { b.add(value, zero)? } else { value };
    let value = b.with(Binary::Max, value, lowest)?;
    let value = b.with(Binary::Min, value, largest)?;
    Ok(vec![b.operand(kind, value)])
}
