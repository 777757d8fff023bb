//! Pooling: windows over padded values, and a reduction of what each sees.

use anyhow::{Context, Result, bail, ensure};

use super::builder::Builder;
use super::call::{Call, same};
use super::indexing::MAX_PLACES;
use super::operand::{Kind, Operand};
use super::spatial::{Spatial, split};
use crate::graph::{Binary, Reduction, Unary, Value};

/// MaxPool, AveragePool, LpPool.
pub(super) fn pool(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Operand>> {
    let x = call.input(0)?;
    let (_, spatial) = split(x.shape())?;
    let mut geometry = Spatial::read(&call.attributes, spatial, None)?;
    let stated = geometry.pads.clone();
    if call.attributes.flag("ceil_mode", false)? {
        for (i, &extent) in spatial.iter().enumerate() {
            geometry.pads[i][1] += beyond(&geometry, extent, i);
        }
    }
    let over: Vec<usize> = (x.rank()..x.rank() + spatial.len()).collect();
    let value = b.value(x)?;
    let result = match &*call.node.op_type {
        "MaxPool" => return max(b, call, value, &geometry),
        "AveragePool" => {
            let windows = windows(b, value, &geometry, 0.0)?;
            let sum = b.reduce(Reduction::Sum, windows, &over)?;
            // How many values each window sees: those of the input, or with its stated padding.
            let whole = call.attributes.flag("count_include_pad", false)?;
            let counted: Vec<[i64; 2]> = if whole { stated } else { vec![[0, 0]; spatial.len()] };
            let mut average = drop_windows(b, sum, x.rank())?;
            for (i, &extent) in spatial.iter().enumerate() {
                let counts = counts(&geometry, extent, i, counted[i]);
                average = match counts.iter().all(|&count| count == counts[0]) {
                    true => b.with(Binary::Div, average, counts[0])?,
                    false => {
                        let counts = b.along(x.rank(), i + 2, counts)?;
                        b.div(average, counts)?
                    }
                };
            }
            average
        }
        "LpPool" => {
            let p = power(call)?;
            let value = raise(b, value, p)?;
            let windows = windows(b, value, &geometry, 0.0)?;
            let sum = b.reduce(Reduction::Sum, windows, &over)?;
            let sum = drop_windows(b, sum, x.rank())?;
            root(b, sum, p)?
        }
        other => bail!("{other} is no pooling"),
    };
    same(b, call, result)
}

/// The padding at the end with which the last window is whole, unless it would start in padding.
fn beyond(g: &Spatial, extent: usize, axis: usize) -> i64 {
    let [before, after] = g.pads[axis];
    let (span, stride) = (g.span(axis) as i64, g.stride[axis] as i64);
    let padded = extent as i64 + before + after;
    let mut windows = ((padded - span).max(0) + stride - 1) / stride + 1;
    if (windows - 1) * stride >= extent as i64 + before {
        windows -= 1;
    }
    ((windows - 1) * stride + span - padded).max(0)
}

/// How many elements each window sees along an axis, of those that `counted` padding adds.
fn counts(g: &Spatial, extent: usize, axis: usize, counted: [i64; 2]) -> Vec<f64> {
    let [before, after] = g.pads[axis];
    let padded = extent as i64 + before + after;
    let windows = (padded - g.span(axis) as i64).max(0) / g.stride[axis] as i64 + 1;
    (0..windows)
        .map(|window| {
            let first = window * g.stride[axis] as i64 - before;
            let places = (0..g.kernel[axis] as i64).map(|k| first + k * g.dilation[axis] as i64);
            let inside = places.filter(|place| (-counted[0]..extent as i64 + counted[1]).contains(place));
            // A window that sees nothing has the sum 0, whatever it is divided by.
            (inside.count() as f64).max(1.0)
        })
        .collect()
}

/// `[N, C, ..]` becomes `[N, C, places.., kernel..]`.
fn windows(b: &mut Builder, x: Value, g: &Spatial, fill: f64) -> Result<Value> {
    let mut x = x;
    for (i, &pads) in g.pads.iter().enumerate() {
        if pads != [0, 0] {
            let fill = b.scalar(fill)?;
            x = b.pad(x, i + 2, pads, Some(fill))?;
        }
    }
    for i in 0..g.kernel.len() {
        x = b.window(x, i + 2, g.kernel[i], g.stride[i], g.dilation[i])?;
    }
    Ok(x)
}

fn drop_windows(b: &mut Builder, x: Value, rank: usize) -> Result<Value> {
    let mut shape = b.shape(x);
    shape.truncate(rank);
    b.reshape(x, shape)
}

fn max(b: &mut Builder, call: &Call<'_>, x: Value, g: &Spatial) -> Result<Vec<Operand>> {
    let shape = b.shape(x);
    let over: Vec<usize> = (shape.len()..shape.len() + g.kernel.len()).collect();
    let seen = windows(b, x, g, f64::NEG_INFINITY)?;
    let largest = b.reduce(Reduction::Max, seen, &over)?;
    let result = drop_windows(b, largest, shape.len())?;
    let mut results = same(b, call, result)?;
    if call.wants(1) {
        // The place of each largest value in the whole tensor: the first, where there are several.
        let count: usize = shape.iter().product();
        ensure!(count <= MAX_PLACES, "places among {count} values");
        let column_major = call.attributes.flag("storage_order", false)?;
        let numbers: Vec<f64> = (0..count).map(|i| place(i, &shape, column_major)).collect();
        let numbers = b.constant(shape.clone(), numbers)?;
        let numbers = windows(b, numbers, g, f64::INFINITY)?;
        let is_largest = b.binary(Binary::Equal, seen, largest)?;
        let beyond = b.scalar(f64::INFINITY)?;
        let numbers = b.select(is_largest, numbers, beyond)?;
        let first = b.reduce(Reduction::Min, numbers, &over)?;
        let first = drop_windows(b, first, shape.len())?;
        results.push(b.operand(Kind::INT64, first));
    }
    Ok(results)
}

/// The number of an element, its spatial axes counted from the first or from the last.
fn place(index: usize, shape: &[usize], column_major: bool) -> f64 {
    if !column_major {
        return index as f64;
    }
    let inner: usize = shape[2..].iter().product();
    let (mut rest, mut place) = (index % inner, 0);
    for axis in (2..shape.len()).rev() {
        let before: usize = shape[2..axis].iter().product();
        place += rest % shape[axis] * before;
        rest /= shape[axis];
    }
    (index / inner * inner + place) as f64
}

/// GlobalAveragePool, GlobalMaxPool, GlobalLpPool.
pub(super) fn global(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Operand>> {
    let x = call.input(0)?;
    let over: Vec<usize> = (2..x.rank()).collect();
    let value = b.value(x)?;
    let result = match &*call.node.op_type {
        "GlobalAveragePool" => b.mean(value, &over)?,
        "GlobalMaxPool" => b.reduce(Reduction::Max, value, &over)?,
        _ => {
            let p = power(call)?;
            let powers = raise(b, value, p)?;
            let sum = b.reduce(Reduction::Sum, powers, &over)?;
            root(b, sum, p)?
        }
    };
    same(b, call, result)
}

fn power(call: &Call<'_>) -> Result<f64> {
    let p = call.attributes.int_or("p", 2)?;
    (1..=64).contains(&p).then_some(p as f64).with_context(|| format!("p is {p}"))
}

fn raise(b: &mut Builder, x: Value, p: f64) -> Result<Value> {
    if p == 2.0 {
        return b.mul(x, x);
    }
    let magnitude = b.unary(Unary::Abs, x)?;
    b.with(Binary::Pow, magnitude, p)
}

fn root(b: &mut Builder, x: Value, p: f64) -> Result<Value> {
    if p == 2.0 { b.unary(Unary::Sqrt, x) } else { b.with(Binary::Pow, x, 1.0 / p) }
}
