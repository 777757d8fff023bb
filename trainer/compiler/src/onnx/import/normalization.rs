//! Normalizations: with standing statistics, or with those of what is normalized.

use anyhow::{Context, Result, bail, ensure};

use super::builder::Builder;
use super::call::{Call, axis, float, same};
use super::operand::{Kind, Operand};
use crate::graph::{Binary, Op, Reduction, Tensor, Unary, Value};

/// BatchNormalization.
pub(super) fn batch(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Operand>> {
    let x = call.input(0)?;
    let epsilon = call.attributes.float_or("epsilon", 1e-5)?;
    ensure!(
        call.attributes.flag("spatial", true)?,
        "statistics for each place, which only the oldest files have"
    );
    ensure!(x.rank() >= 2, "{:?} has no axis of channels", x.shape());
    let channels = x.shape()[1];
    let parameters = (1..5).map(|i| call.input(i)).collect::<Result<Vec<_>>>()?;
    for parameter in &parameters {
        ensure!(
            parameter.shape() == [channels],
            "parameters {:?} for {channels} channels",
            parameter.shape()
        );
    }
    let value = b.value(x)?;
    if call.attributes.flag("training_mode", false)? {
        return training(b, call, value, epsilon);
    }
    let known = parameters.iter().map(|p| b.weight(p)).collect::<Result<Option<Vec<Tensor>>>>()?;
    if let Some(known) = known.filter(|_| x.known().is_none()) {
        let [gamma, beta, mean, variance] =
            <[Tensor; 4]>::try_from(known).expect("four parameters were read");
        let op = Op::BatchNorm { gamma, beta, mean, variance, epsilon: epsilon as f32 };
        let result = b.push(op, vec![value])?;
        return same(b, call, result);
    }
    let [gamma, beta, mean, variance] = [1, 2, 3, 4].map(|i| per_channel(b, call, i, x.rank()));
    let result = normalize(b, value, mean?, variance?, epsilon)?;
    let result = b.mul(result, gamma?)?;
    let result = b.add(result, beta?)?;
    same(b, call, result)
}

/// Batch normalization with the statistics of the batch, and the running ones after it.
fn training(b: &mut Builder, call: &Call<'_>, x: Value, epsilon: f64) -> Result<Vec<Operand>> {
    let rank = b.shape(x).len();
    let over: Vec<usize> = (0..rank).filter(|&axis| axis != 1).collect();
    let (mean, _, variance) = statistics(b, x, &over)?;
    let [gamma, beta] = [per_channel(b, call, 1, rank)?, per_channel(b, call, 2, rank)?];
    let result = normalize(b, x, mean, variance, epsilon)?;
    let result = b.mul(result, gamma)?;
    let result = b.add(result, beta)?;
    let mut results = same(b, call, result)?;
    let momentum = call.attributes.float_or("momentum", 0.9)?;
    for (i, current) in [(3, mean), (4, variance)] {
        let old = call.value(b, i)?;
        let old = b.with(Binary::Mul, old, momentum)?;
        let shape = b.shape(old);
        let new = b.reshape(current, shape)?;
        let new = b.with(Binary::Mul, new, 1.0 - momentum)?;
        let running = b.add(old, new)?;
        results.push(b.operand(Kind::Float, running));
    }
    Ok(results)
}

/// A vector along axis 1.
fn per_channel(b: &mut Builder, call: &Call<'_>, index: usize, rank: usize) -> Result<Value> {
    let value = call.value(b, index)?;
    let mut shape = vec![1; rank];
    shape[1] = b.shape(value).iter().product();
    b.reshape(value, shape)
}

/// `(x - mean) / sqrt(variance + epsilon)`
fn normalize(b: &mut Builder, x: Value, mean: Value, variance: Value, epsilon: f64) -> Result<Value> {
    let centered = b.sub(x, mean)?;
    let variance = b.with(Binary::Add, variance, epsilon)?;
    let deviation = b.unary(Unary::Sqrt, variance)?;
    b.div(centered, deviation)
}

/// Mean, what is left of each value, and variance; the axes remain with extent 1.
fn statistics(b: &mut Builder, x: Value, over: &[usize]) -> Result<(Value, Value, Value)> {
    let mean = b.mean(x, over)?;
    let centered = b.sub(x, mean)?;
    let square = b.mul(centered, centered)?;
    Ok((mean, centered, b.mean(square, over)?))
}

/// InstanceNormalization: each picture's channel by itself.
pub(super) fn instance(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Operand>> {
    let x = call.input(0)?;
    ensure!(x.rank() >= 3, "{:?} has no spatial axes", x.shape());
    let value = b.value(x)?;
    let over: Vec<usize> = (2..x.rank()).collect();
    let (_, centered, variance) = statistics(b, value, &over)?;
    let variance = b.with(Binary::Add, variance, call.attributes.float_or("epsilon", 1e-5)?)?;
    let deviation = b.unary(Unary::Sqrt, variance)?;
    let [scale, shift] = [per_channel(b, call, 1, x.rank())?, per_channel(b, call, 2, x.rank())?];
    // Divided once for each channel, not once for each value.
    let scale = b.div(scale, deviation)?;
    let result = b.mul(centered, scale)?;
    let result = b.add(result, shift)?;
    same(b, call, result)
}

/// GroupNormalization: scale and shift for each channel, or for each group as in operator set 18.
pub(super) fn group(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Operand>> {
    let x = call.input(0)?;
    ensure!(x.rank() >= 2, "{:?} has no axis of channels", x.shape());
    let shape = x.shape().to_vec();
    let groups = call.attributes.int("num_groups")?.and_then(|groups| usize::try_from(groups).ok());
    let groups =
        groups.filter(|&g| g > 0 && shape[1].is_multiple_of(g)).context("num_groups is missing or unfit")?;
    let value = b.value(x)?;
    let grouped = b.reshape(value, [&[shape[0], groups, shape[1] / groups], &shape[2..]].concat())?;
    let over: Vec<usize> = (2..=shape.len()).collect();
    let (_, centered, variance) = statistics(b, grouped, &over)?;
    let variance = b.with(Binary::Add, variance, call.attributes.float_or("epsilon", 1e-5)?)?;
    let deviation = b.unary(Unary::Sqrt, variance)?;
    let mut result = b.div(centered, deviation)?;
    for (i, function) in [(1, Binary::Mul), (2, Binary::Add)] {
        let parameter = call.value(b, i)?;
        let mut aligned = vec![1; shape.len() + 1];
        match b.shape(parameter)[..] {
            [n] if n == shape[1] => (aligned[1], aligned[2]) = (groups, n / groups),
            [n] if n == groups => aligned[1] = n,
            ref other => bail!("parameters {other:?} for {groups} groups of {} channels", shape[1]),
        }
        let parameter = b.reshape(parameter, aligned)?;
        result = b.binary(function, result, parameter)?;
    }
    let result = b.reshape(result, shape)?;
    same(b, call, result)
}

/// LayerNormalization: all axes from one on.
pub(super) fn layer(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Operand>> {
    let x = call.input(0)?;
    let over = trailing(call, x)?;
    let value = b.value(x)?;
    let (mean, centered, variance) = statistics(b, value, &over)?;
    let variance = b.with(Binary::Add, variance, call.attributes.float_or("epsilon", 1e-5)?)?;
    let deviation = b.unary(Unary::Sqrt, variance)?;
    let mut result = b.div(centered, deviation)?;
    let scale = call.value(b, 1)?;
    result = b.mul(result, scale)?;
    if let Some(shift) = call.optional(2) {
        let shift = b.value(shift)?;
        result = b.add(result, shift)?;
    }
    let mut results = same(b, call, result)?;
    if call.wants(1) || call.wants(2) {
        results.push(b.operand(Kind::Float, mean));
        let one = b.scalar(1.0)?;
        let inverse = b.div(one, deviation)?;
        results.push(b.operand(Kind::Float, inverse));
    }
    Ok(results)
}

/// RMSNormalization: divided by the root of the mean square.
pub(super) fn root_mean_square(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Operand>> {
    let x = call.input(0)?;
    let over = trailing(call, x)?;
    let value = b.value(x)?;
    let square = b.mul(value, value)?;
    let mean = b.mean(square, &over)?;
    let mean = b.with(Binary::Add, mean, call.attributes.float_or("epsilon", 1e-5)?)?;
    let root = b.unary(Unary::Sqrt, mean)?;
    let result = b.div(value, root)?;
    let scale = call.value(b, 1)?;
    let result = b.mul(result, scale)?;
    same(b, call, result)
}

fn trailing(call: &Call<'_>, x: &Operand) -> Result<Vec<usize>> {
    Ok((axis(call.attributes.int_or("axis", -1)?, x.rank())?..x.rank()).collect())
}

/// MeanVarianceNormalization.
pub(super) fn mean_variance(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Operand>> {
    let x = call.input(0)?;
    let over = super::call::axes(call.attributes.ints("axes")?.unwrap_or(&[0, 2, 3]), x.rank())?;
    let value = b.value(x)?;
    let (_, centered, variance) = statistics(b, value, &over)?;
    let deviation = b.unary(Unary::Sqrt, variance)?;
    // The standard adds so much and no more.
    let deviation = b.with(Binary::Add, deviation, 1e-9)?;
    let result = b.div(centered, deviation)?;
    float(b, result)
}

/// LRN: divided by a power of the squares of neighbouring channels.
pub(super) fn local_response(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Operand>> {
    let x = call.input(0)?;
    ensure!(x.rank() >= 2, "{:?} has no axis of channels", x.shape());
    let size = call.attributes.int("size")?.context("there is no size")?;
    ensure!((1..=1 << 16).contains(&size), "size {size}");
    let number = |name, default| call.attributes.float_or(name, default);
    let (alpha, beta, bias) = (number("alpha", 1e-4)?, number("beta", 0.75)?, number("bias", 1.0)?);
    let value = b.value(x)?;
    let square = b.mul(value, value)?;
    let padded = b.pad(square, 1, [(size - 1) / 2, size / 2], None)?;
    let windows = b.window(padded, 1, size as usize, 1, 1)?;
    let sum = b.reduce(Reduction::Sum, windows, &[x.rank()])?;
    let sum = b.reshape(sum, x.shape().to_vec())?;
    let scaled = b.with(Binary::Mul, sum, alpha / size as f64)?;
    let base = b.with(Binary::Add, scaled, bias)?;
    let divisor = b.with(Binary::Pow, base, beta)?;
    let result = b.div(value, divisor)?;
    same(b, call, result)
}
