//! Reductions: sums, means, norms, the largest and where it is, running sums, softmax.

use anyhow::{Context, Result, bail, ensure};

use super::builder::Builder;
use super::call::{Call, axes, axis, float, same};
use super::operand::{Kind, Operand};
use crate::graph::{Binary, Op, Reduction, Unary, Value};

/// ReduceSum and its relatives.
pub(super) fn reduce(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Operand>> {
    let x = call.input(0)?;
    let chosen = call.ints(1, "axes")?.unwrap_or_default();
    let over = match &chosen[..] {
        [] if call.attributes.flag("noop_with_empty_axes", false)? => {
            // Nothing is added up; the function of each value remains.
            vec![]
        }
        [] => (0..x.rank()).collect(),
        chosen => axes(chosen, x.rank())?,
    };
    if x.is_empty() {
        return of_nothing(call, x, &over);
    }
    let value = b.value(x)?;
    let result = match &*call.node.op_type {
        "ReduceSum" => b.reduce(Reduction::Sum, value, &over)?,
        "ReduceMean" => b.mean(value, &over)?,
        "ReduceMax" => b.reduce(Reduction::Max, value, &over)?,
        "ReduceMin" => b.reduce(Reduction::Min, value, &over)?,
        "ReduceProd" => b.reduce(Reduction::Product, value, &over)?,
        "ReduceL1" => {
            let value = b.unary(Unary::Abs, value)?;
            b.reduce(Reduction::Sum, value, &over)?
        }
        "ReduceL2" => {
            let sum = sum_of_squares(b, value, &over)?;
            b.unary(Unary::Sqrt, sum)?
        }
        "ReduceSumSquare" => sum_of_squares(b, value, &over)?,
        "ReduceLogSum" => {
            let sum = b.reduce(Reduction::Sum, value, &over)?;
            b.unary(Unary::Log, sum)?
        }
        "ReduceLogSumExp" => {
            let (largest, sum) = sum_of_exponentials(b, value, &over)?;
            let log = b.unary(Unary::Log, sum)?;
            b.add(largest, log)?
        }
        other => bail!("{other} is no reduction"),
    };
    let result =
        if x.kind.is_int() && call.node.op_type == "ReduceMean" { b.truncate(result)? } else { result };
    let result = drop_axes(b, call, result, &over)?;
    same(b, call, result)
}

/// Takes reduced axes away, unless `keepdims` says otherwise.
fn drop_axes(b: &mut Builder, call: &Call<'_>, x: Value, over: &[usize]) -> Result<Value> {
    if call.attributes.flag("keepdims", true)? {
        return Ok(x);
    }
    let shape = b.shape(x);
    let kept = (0..shape.len()).filter(|axis| !over.contains(axis)).map(|axis| shape[axis]).collect();
    b.reshape(x, kept)
}

/// The reduction of no values.
fn of_nothing(call: &Call<'_>, x: &Operand, over: &[usize]) -> Result<Vec<Operand>> {
    let number = match &*call.node.op_type {
        "ReduceSum" | "ReduceL1" | "ReduceL2" | "ReduceSumSquare" => 0.0,
        "ReduceProd" => 1.0,
        "ReduceMax" | "ReduceLogSum" | "ReduceLogSumExp" => f64::NEG_INFINITY,
        "ReduceMin" => f64::INFINITY,
        other => bail!("{other} of no values"),
    };
    let keep = call.attributes.flag("keepdims", true)?;
    let extent = |axis: usize| match over.contains(&axis) {
        true => keep.then_some(1),
        false => Some(x.shape()[axis]),
    };
    let shape: Vec<usize> = (0..x.rank()).filter_map(extent).collect();
    let data = vec![number; super::tensor::count(&shape).context("too many values")?];
    Ok(vec![Operand::constant(x.kind, shape, data)])
}

/// Sum of squares; the axes remain with extent 1.
pub(super) fn sum_of_squares(b: &mut Builder, x: Value, over: &[usize]) -> Result<Value> {
    let square = b.mul(x, x)?;
    b.reduce(Reduction::Sum, square, over)
}

/// The largest value, and the sum of all `e^(x - largest)`, which does not overflow.
fn sum_of_exponentials(b: &mut Builder, x: Value, over: &[usize]) -> Result<(Value, Value)> {
    let largest = b.reduce(Reduction::Max, x, over)?;
    let shifted = b.sub(x, largest)?;
    let powers = b.unary(Unary::Exp, shifted)?;
    Ok((largest, b.reduce(Reduction::Sum, powers, over)?))
}

/// Softmax, LogSoftmax, Hardmax: over one axis, or before operator set 13 over all from one on.
pub(super) fn softmax(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Operand>> {
    let x = call.input(0)?;
    let first = axis(call.attributes.int_or("axis", if call.opset < 13 { 1 } else { -1 })?, x.rank())?;
    let over: Vec<usize> = if call.opset < 13 { (first..x.rank()).collect() } else { vec![first] };
    let value = b.value(x)?;
    let result = match &*call.node.op_type {
        "Softmax" => softmax_over(b, value, &over)?,
        "LogSoftmax" => {
            let largest = b.reduce(Reduction::Max, value, &over)?;
            let shifted = b.sub(value, largest)?;
            let powers = b.unary(Unary::Exp, shifted)?;
            let sum = b.reduce(Reduction::Sum, powers, &over)?;
            let log = b.unary(Unary::Log, sum)?;
            b.sub(shifted, log)?
        }
        _ => {
            // One where the first largest value is.
            let extents: usize = over.iter().map(|&axis| x.shape()[axis]).product();
            let mut flat = x.shape()[..first].to_vec();
            flat.push(extents);
            flat.extend(&x.shape()[first + over.len()..]);
            let folded = b.reshape(value, flat.clone())?;
            let place = place_of(b, folded, first, Reduction::Max, false)?;
            let numbers = b.along(flat.len(), first, (0..extents).map(|i| i as f64).collect())?;
            let hot = b.binary(Binary::Equal, place, numbers)?;
            b.reshape(hot, x.shape().to_vec())?
        }
    };
    same(b, call, result)
}

/// `e^x` divided by its sum.
pub(super) fn softmax_over(b: &mut Builder, x: Value, over: &[usize]) -> Result<Value> {
    let largest = b.reduce(Reduction::Max, x, over)?;
    let shifted = b.sub(x, largest)?;
    let powers = b.unary(Unary::Exp, shifted)?;
    let sum = b.reduce(Reduction::Sum, powers, over)?;
    b.div(powers, sum)
}

/// ArgMax and ArgMin.
pub(super) fn arg(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Operand>> {
    let x = call.input(0)?;
    let over = axis(call.attributes.int_or("axis", 0)?, x.rank())?;
    let last = call.attributes.flag("select_last_index", false)?;
    let reduction = if call.node.op_type == "ArgMax" { Reduction::Max } else { Reduction::Min };
    let value = b.value(x)?;
    let place = place_of(b, value, over, reduction, last)?;
    let result = drop_axes(b, call, place, &[over])?;
    Ok(vec![b.operand(Kind::INT64, result)])
}

/// The number of the first or last element that is the largest or smallest of its axis, which remains with extent 1.
pub(super) fn place_of(
    b: &mut Builder,
    x: Value,
    over: usize,
    reduction: Reduction,
    last: bool,
) -> Result<Value> {
    let shape = b.shape(x);
    let extreme = b.reduce(reduction, x, &[over])?;
    let is_extreme = b.binary(Binary::Equal, x, extreme)?;
    let numbers = b.along(shape.len(), over, (0..shape[over]).map(|i| i as f64).collect())?;
    let elsewhere = b.scalar(if last { -1.0 } else { shape[over] as f64 })?;
    let numbers = b.select(is_extreme, numbers, elsewhere)?;
    b.reduce(if last { Reduction::Max } else { Reduction::Min }, numbers, &[over])
}

/// TopK: the largest, again and again.
pub(super) fn top_k(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Operand>> {
    let x = call.input(0)?;
    let k = match call.attributes.int("k")? {
        Some(k) => k as f64,
        None => call.fixed(1, "k")?.and_then(|k| k.data.first().copied()).context("there is no k")?,
    };
    let over = axis(call.attributes.int_or("axis", -1)?, x.rank())?;
    let largest = call.attributes.flag("largest", true)?;
    let extent = x.shape()[over];
    ensure!((1.0..=extent as f64).contains(&k), "the first {k} of {extent}");
    ensure!(k <= MOST_PLACES, "the first {k} of an axis, at most {MOST_PLACES} are supported");
    let (reduction, gone) =
        if largest { (Reduction::Max, f64::NEG_INFINITY) } else { (Reduction::Min, f64::INFINITY) };
    let gone = b.scalar(gone)?;
    let numbers = b.along(x.rank(), over, (0..extent).map(|i| i as f64).collect())?;
    let mut rest = b.value(x)?;
    let (mut values, mut places) = (vec![], vec![]);
    for _ in 0..k as usize {
        let place = place_of(b, rest, over, reduction, false)?;
        values.push(b.reduce(reduction, rest, &[over])?);
        let chosen = b.binary(Binary::Equal, place, numbers)?;
        rest = b.select(chosen, gone, rest)?;
        places.push(place);
    }
    let (values, places) = (b.concat(values, over)?, b.concat(places, over)?);
    Ok(vec![b.operand(x.kind, values), b.operand(Kind::INT64, places)])
}

/// CumSum: a product with a triangle of ones.
pub(super) fn cum_sum(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Operand>> {
    let x = call.input(0)?;
    let (over, triangle) = triangle(b, call)?;
    let value = b.value(x)?;
    let a: Vec<usize> = (0..x.rank()).collect();
    let mut out = a.clone();
    out[over] = x.rank();
    let result = b.push(Op::Contract { a, b: vec![x.rank(), over], out }, vec![value, triangle])?;
    same(b, call, result)
}

/// CumProd: a product of those values that a triangle keeps, the others being ones.
pub(super) fn cum_prod(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Operand>> {
    let x = call.input(0)?;
    let (over, triangle) = triangle(b, call)?;
    let (shape, extent) = (x.shape().to_vec(), x.shape()[over]);
    let value = b.value(x)?;
    // Axis `over` is the place of the result, the one after it what is multiplied.
    let value = b.reshape(value, [&shape[..over], &[1], &shape[over..]].concat())?;
    let mut aligned = vec![1; shape.len() + 1];
    (aligned[over], aligned[over + 1]) = (extent, extent);
    let triangle = b.reshape(triangle, aligned)?;
    let one = b.scalar(1.0)?;
    let kept = b.select(triangle, value, one)?;
    let result = b.reduce(Reduction::Product, kept, &[over + 1])?;
    let result = b.reshape(result, shape)?;
    same(b, call, result)
}

/// The axis of running sums, and ones where the second index counts for the first.
fn triangle(b: &mut Builder, call: &Call<'_>) -> Result<(usize, Value)> {
    let x = call.input(0)?;
    let over =
        call.fixed(1, "axis")?.and_then(|axis| axis.data.first().copied()).context("there is no axis")?;
    let over = axis(over as i64, x.rank())?;
    let [exclusive, reverse] =
        [call.attributes.flag("exclusive", false)?, call.attributes.flag("reverse", false)?];
    let extent = x.shape()[over];
    ensure!(extent <= LONGEST_SUM, "running sums of {extent} values, at most {LONGEST_SUM} are supported");
    let counts = |to: usize, from: usize| {
        let (to, from) = if reverse { (from, to) } else { (to, from) };
        f64::from(u8::from(from < to || (from == to && !exclusive)))
    };
    let ones = (0..extent * extent).map(|i| counts(i / extent, i % extent)).collect();
    Ok((over, b.constant(vec![extent, extent], ones)?))
}

/// LpNormalization: each row divided by its norm.
pub(super) fn lp_normalization(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Operand>> {
    let x = call.input(0)?;
    let over = axis(call.attributes.int_or("axis", -1)?, x.rank())?;
    let value = b.value(x)?;
    let norm = match call.attributes.int_or("p", 2)? {
        1 => {
            let magnitude = b.unary(Unary::Abs, value)?;
            b.reduce(Reduction::Sum, magnitude, &[over])?
        }
        2 => {
            let sum = sum_of_squares(b, value, &[over])?;
            b.unary(Unary::Sqrt, sum)?
        }
        p => bail!("p is {p}"),
    };
    // A row of zeros stays one.
    let zero = b.with(Binary::Equal, norm, 0.0)?;
    let divisor = b.add(norm, zero)?;
    let result = b.div(value, divisor)?;
    float(b, result)
}

/// Values of an axis of which the largest are searched one after the other.
const MOST_PLACES: f64 = 64.0;
/// Length of a running sum, which costs its square.
const LONGEST_SUM: usize = 2048;
