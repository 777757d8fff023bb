//! Functions of two and more values, comparisons, logic, and what integers need besides.

use anyhow::{Result, bail, ensure};

use super::builder::Builder;
use super::call::{Call, axis, same};
use super::cast::wrap;
use super::operand::{Kind, Operand};
use crate::graph::{Binary, Op, Unary, Value};

/// Add, Sub, Mul, Div.
pub(super) fn arithmetic(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Operand>> {
    let kind = call.input(0)?.kind;
    let [x, y] = pair(b, call)?;
    let function = match &*call.node.op_type {
        "Add" => Binary::Add,
        "Sub" => Binary::Sub,
        "Mul" => Binary::Mul,
        _ => Binary::Div,
    };
    let mut result = b.binary(function, x, y)?;
    if kind.is_int() && function == Binary::Div {
        result = b.truncate(result)?;
    }
    let long = matches!(kind, Kind::Int { bits: 9..=16, .. });
    ensure!(!long || function != Binary::Mul, "products of 16-bit integers, which f32 cannot hold");
    let result = wrap(b, kind, result)?;
    same(b, call, result)
}

/// Both inputs; before operator set 7, the second was aligned by attributes.
fn pair(b: &mut Builder, call: &Call<'_>) -> Result<[Value; 2]> {
    let [x, y] = [call.value(b, 0)?, call.value(b, 1)?];
    if call.opset < 7 && call.attributes.flag("broadcast", false)? {
        let (rank, mut shape) = (b.shape(x).len(), b.shape(y));
        ensure!(shape.len() <= rank, "{shape:?} is broadcast to {rank} axes");
        let first = match call.attributes.int("axis")? {
            Some(first) => axis(first, rank)?,
            None => rank - shape.len(),
        };
        ensure!(first + shape.len() <= rank, "{shape:?} at axis {first} of {rank}");
        shape.resize(rank - first, 1);
        return Ok([x, b.reshape(y, shape)?]);
    }
    Ok([x, y])
}

/// Pow, with the exponents that files have most as what they are.
pub(super) fn pow(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Operand>> {
    let exponent = call.input(1)?.known().filter(|c| c.data.len() == 1).map(|c| (c.data[0], c.shape.len()));
    let x = call.value(b, 0)?;
    let rank = b.shape(x).len();
    let small = exponent.filter(|&(_, axes)| axes <= rank).map(|(exponent, _)| exponent);
    let result = match small {
        Some(1.0) => x,
        Some(2.0) => b.mul(x, x)?,
        Some(3.0) => {
            let square = b.mul(x, x)?;
            b.mul(square, x)?
        }
        Some(0.5) => b.unary(Unary::Sqrt, x)?,
        Some(-1.0) => reciprocal(b, x)?,
        _ => {
            let [x, y] = pair(b, call)?;
            b.binary(Binary::Pow, x, y)?
        }
    };
    let kind = call.input(0)?.kind;
    let result = if kind.is_int() { b.truncate(result)? } else { result };
    same(b, call, result)
}

pub(super) fn reciprocal(b: &mut Builder, x: Value) -> Result<Value> {
    let one = b.scalar(1.0)?;
    b.div(one, x)
}

/// Mod: with the sign of the divisor, or with `fmod` that of the dividend.
pub(super) fn modulo(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Operand>> {
    let [x, y] = pair(b, call)?;
    let mut result = b.binary(Binary::Rem, x, y)?;
    if !call.attributes.flag("fmod", false)? {
        result = b.add(result, y)?;
        result = b.binary(Binary::Rem, result, y)?;
    }
    same(b, call, result)
}

/// Max, Min, Sum, Mean of any number of tensors.
pub(super) fn variadic(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Operand>> {
    let function = match &*call.node.op_type {
        "Max" => Binary::Max,
        "Min" => Binary::Min,
        _ => Binary::Add,
    };
    let values = call.all()?.into_iter().map(|x| b.value(x)).collect::<Result<Vec<_>>>()?;
    let mut result = values[0];
    for &value in &values[1..] {
        result = b.binary(function, result, value)?;
    }
    if call.node.op_type == "Mean" {
        result = b.with(Binary::Div, result, values.len() as f64)?;
    }
    same(b, call, result)
}

/// Equal, Less, LessOrEqual, Greater, GreaterOrEqual.
pub(super) fn comparison(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Operand>> {
    let [x, y] = pair(b, call)?;
    let result = match &*call.node.op_type {
        "Equal" => b.binary(Binary::Equal, x, y)?,
        "Less" => b.binary(Binary::Less, x, y)?,
        "LessOrEqual" => b.binary(Binary::LessEqual, x, y)?,
        "Greater" => b.binary(Binary::Less, y, x)?,
        _ => b.binary(Binary::LessEqual, y, x)?,
    };
    Ok(vec![b.operand(Kind::Bool, result)])
}

/// And, Or, Xor of 0 and 1.
pub(super) fn logic(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Operand>> {
    let [x, y] = pair(b, call)?;
    let result = match &*call.node.op_type {
        "And" => b.mul(x, y)?,
        "Or" => b.binary(Binary::Max, x, y)?,
        _ => {
            let difference = b.sub(x, y)?;
            b.unary(Unary::Abs, difference)?
        }
    };
    Ok(vec![b.operand(Kind::Bool, result)])
}

/// Not of 0 and 1.
pub(super) fn not(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Operand>> {
    let x = call.value(b, 0)?;
    let result = b.not(x)?;
    Ok(vec![b.operand(Kind::Bool, result)])
}

/// IsNaN and IsInf.
pub(super) fn is_special(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Operand>> {
    let x = call.value(b, 0)?;
    let result = if call.node.op_type == "IsNaN" {
        let equal = b.binary(Binary::Equal, x, x)?;
        b.not(equal)?
    } else {
        let infinite = b.scalar(f64::INFINITY)?;
        let [negative, positive] =
            [call.attributes.flag("detect_negative", true)?, call.attributes.flag("detect_positive", true)?];
        match (negative, positive) {
            (true, true) => {
                let x = b.unary(Unary::Abs, x)?;
                b.binary(Binary::Equal, x, infinite)?
            }
            (true, false) => {
                let infinite = b.scalar(f64::NEG_INFINITY)?;
                b.binary(Binary::Equal, x, infinite)?
            }
            (false, true) => b.binary(Binary::Equal, x, infinite)?,
            (false, false) => {
                let zero = b.scalar(0.0)?;
                let shape = b.shape(x);
                b.broadcast(zero, shape)?
            }
        }
    };
    Ok(vec![b.operand(Kind::Bool, result)])
}

/// Where.
pub(super) fn select(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Operand>> {
    let [condition, x, y] = [call.value(b, 0)?, call.value(b, 1)?, call.value(b, 2)?];
    let result = b.select(condition, x, y)?;
    Ok(vec![b.operand(call.input(1)?.kind, result)])
}

/// BitShift: a product or quotient with a power of two.
pub(super) fn bit_shift(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Operand>> {
    let kind = call.input(0)?.kind;
    let [x, y] = pair(b, call)?;
    let two = b.scalar(2.0)?;
    let factor = b.binary(Binary::Pow, two, y)?;
    let result = match call.attributes.string_or("direction", "")? {
        "LEFT" => {
            let result = b.mul(x, factor)?;
            wrap(b, kind, result)?
        }
        "RIGHT" => {
            let result = b.div(x, factor)?;
            b.unary(Unary::Floor, result)?
        }
        other => bail!("direction {other:?}"),
    };
    same(b, call, result)
}

/// BitwiseNot.
pub(super) fn bitwise_not(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Operand>> {
    let Some([lowest, largest]) = call.input(0)?.kind.range() else { bail!("its input is no integer") };
    ensure!(largest + lowest.min(0.0) < 65536.0, "integers of more than 16 bits without a sign");
    let x = call.value(b, 0)?;
    let sum = b.scalar(lowest + largest)?;
    let result = b.sub(sum, x)?;
    same(b, call, result)
}

/// Clip: bounds as attributes or as inputs.
pub(super) fn clip(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Operand>> {
    let mut x = call.value(b, 0)?;
    for (index, name, function) in [(1, "min", Binary::Max), (2, "max", Binary::Min)] {
        if let Some(bound) = call.attributes.float(name)? {
            x = b.with(function, x, f64::from(bound))?;
        } else if let Some(bound) = call.optional(index) {
            let bound = b.value(bound)?;
            let bound = b.reshape(bound, vec![])?;
            x = b.binary(function, x, bound)?;
        }
    }
    same(b, call, x)
}

/// PRelu: the slope's axes are aligned at the end, or are the channels alone in old files.
pub(super) fn prelu(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Operand>> {
    let [x, mut slope] = [call.value(b, 0)?, call.value(b, 1)?];
    let (shape, slopes) = (b.shape(x), b.shape(slope));
    if let ([channels], [_, c, _, ..]) = (&slopes[..], &shape[..])
        && channels == c
        && *channels != 1
        && (call.opset < 7 || shape[shape.len() - 1] != *channels)
    {
        let mut aligned = vec![1; shape.len() - 1];
        aligned[0] = *channels;
        slope = b.reshape(slope, aligned)?;
    }
    let result = b.push(Op::Binary(Binary::PRelu), vec![x, slope])?;
    same(b, call, result)
}
