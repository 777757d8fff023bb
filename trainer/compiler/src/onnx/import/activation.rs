//! Functions of one value: activations, rounding, trigonometry.

use anyhow::{Result, bail};

use super::builder::Builder;
use super::call::{Call, same};
use super::elementwise::reciprocal;
use super::operand::Operand;
use crate::graph::{Binary, Unary, Value};

/// Operators that are one of our functions.
pub(super) fn simple(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Operand>> {
    let function = match &*call.node.op_type {
        "Relu" => Unary::Relu,
        "Tanh" => Unary::Tanh,
        "Sigmoid" => Unary::Sigmoid,
        "Abs" => Unary::Abs,
        "Exp" => Unary::Exp,
        "Log" => Unary::Log,
        "Sqrt" => Unary::Sqrt,
        "Floor" => Unary::Floor,
        "Ceil" => Unary::Ceil,
        "Round" => Unary::Round,
        "Sign" => Unary::Sign,
        "Sin" => Unary::Sin,
        "Cos" => Unary::Cos,
        "Tan" => Unary::Tan,
        "Asin" => Unary::Asin,
        "Acos" => Unary::Acos,
        "Atan" => Unary::Atan,
        "Sinh" => Unary::Sinh,
        "Cosh" => Unary::Cosh,
        "Asinh" => Unary::Asinh,
        "Acosh" => Unary::Acosh,
        "Atanh" => Unary::Atanh,
        "Erf" => Unary::Erf,
        "LeakyRelu" => Unary::LeakyRelu(call.attributes.float_or("alpha", 0.01)? as f32),
        other => bail!("{other} is not a function of one value"),
    };
    let x = call.value(b, 0)?;
    let result = b.unary(function, x)?;
    same(b, call, result)
}

/// Neg and Reciprocal.
pub(super) fn inverse(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Operand>> {
    let x = call.value(b, 0)?;
    let result = if call.node.op_type == "Neg" { b.with(Binary::Mul, x, -1.0)? } else { reciprocal(b, x)? };
    same(b, call, result)
}

/// Activations that are made of others.
pub(super) fn composed(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Operand>> {
    let x = call.value(b, 0)?;
    let number = |name, default| call.attributes.float_or(name, default);
    let result = match &*call.node.op_type {
        "Elu" => exponential(b, x, [number("alpha", 1.0)?, 1.0, 1.0])?,
        "Celu" => {
            let alpha = number("alpha", 1.0)?;
            exponential(b, x, [alpha, alpha, 1.0])?
        }
        "Selu" => {
            let (alpha, gamma) = (number("alpha", 1.673_263_2)?, number("gamma", 1.050_701)?);
            exponential(b, x, [alpha, 1.0, gamma])?
        }
        "Softplus" => softplus(b, x)?,
        "Softsign" => {
            let magnitude = b.unary(Unary::Abs, x)?;
            let divisor = b.with(Binary::Add, magnitude, 1.0)?;
            b.div(x, divisor)?
        }
        "HardSigmoid" => hard_sigmoid(b, x, number("alpha", 0.2)?, number("beta", 0.5)?)?,
        "HardSwish" => {
            let gate = hard_sigmoid(b, x, 1.0 / 6.0, 0.5)?;
            b.mul(x, gate)?
        }
        "Mish" => {
            let gate = softplus(b, x)?;
            let gate = b.unary(Unary::Tanh, gate)?;
            b.mul(x, gate)?
        }
        "Swish" => {
            let scaled = b.with(Binary::Mul, x, number("alpha", 1.0)?)?;
            let gate = b.unary(Unary::Sigmoid, scaled)?;
            b.mul(x, gate)?
        }
        "Gelu" => gelu(b, x, call.attributes.string_or("approximate", "none")?)?,
        "ThresholdedRelu" => {
            let alpha = b.scalar(number("alpha", 1.0)?)?;
            let above = b.binary(Binary::Less, alpha, x)?;
            let zero = b.scalar(0.0)?;
            b.select(above, x, zero)?
        }
        "Shrink" => {
            let (bias, lambda) = (number("bias", 0.0)?, number("lambd", 0.5)?);
            let [below, above] = [b.with(Binary::Add, x, bias)?, b.with(Binary::Sub, x, bias)?];
            let is_below = b.with(Binary::Less, x, -lambda)?;
            let lambda = b.scalar(lambda)?;
            let is_above = b.binary(Binary::Less, lambda, x)?;
            let zero = b.scalar(0.0)?;
            let result = b.select(is_above, above, zero)?;
            b.select(is_below, below, result)?
        }
        other => bail!("{other} is no activation"),
    };
    same(b, call, result)
}

/// `gamma * x` where positive, else `gamma * alpha * (e^(x / width) - 1)`.
fn exponential(b: &mut Builder, x: Value, [alpha, width, gamma]: [f64; 3]) -> Result<Value> {
    // What is positive does not reach the exponential, which would overflow.
    let negative = b.with(Binary::Min, x, 0.0)?;
    let scaled = b.with(Binary::Div, negative, width)?;
    let power = b.unary(Unary::Exp, scaled)?;
    let power = b.with(Binary::Sub, power, 1.0)?;
    let negative = b.with(Binary::Mul, power, alpha * gamma)?;
    let positive = b.unary(Unary::Relu, x)?;
    let positive = b.with(Binary::Mul, positive, gamma)?;
    b.add(positive, negative)
}

/// `ln(1 + e^x)`, as `max(x, 0) + ln(1 + e^-|x|)`, which does not overflow.
fn softplus(b: &mut Builder, x: Value) -> Result<Value> {
    let magnitude = b.unary(Unary::Abs, x)?;
    let magnitude = b.with(Binary::Mul, magnitude, -1.0)?;
    let power = b.unary(Unary::Exp, magnitude)?;
    let sum = b.with(Binary::Add, power, 1.0)?;
    let rest = b.unary(Unary::Log, sum)?;
    let positive = b.unary(Unary::Relu, x)?;
    b.add(positive, rest)
}

fn hard_sigmoid(b: &mut Builder, x: Value, alpha: f64, beta: f64) -> Result<Value> {
    let x = b.with(Binary::Mul, x, alpha)?;
    let x = b.with(Binary::Add, x, beta)?;
    let x = b.with(Binary::Max, x, 0.0)?;
    b.with(Binary::Min, x, 1.0)
}

fn gelu(b: &mut Builder, x: Value, approximate: &str) -> Result<Value> {
    let inner = match approximate {
        "none" => {
            let scaled = b.with(Binary::Div, x, core::f64::consts::SQRT_2)?;
            b.unary(Unary::Erf, scaled)?
        }
        "tanh" => {
            let square = b.mul(x, x)?;
            let cube = b.mul(square, x)?;
            let cube = b.with(Binary::Mul, cube, 0.044_715)?;
            let sum = b.add(x, cube)?;
            let scaled = b.with(Binary::Mul, sum, (2.0 / core::f64::consts::PI).sqrt())?;
            b.unary(Unary::Tanh, scaled)?
        }
        other => bail!("approximate {other:?}"),
    };
    let gate = b.with(Binary::Add, inner, 1.0)?;
    let product = b.mul(x, gate)?;
    b.with(Binary::Mul, product, 0.5)
}
