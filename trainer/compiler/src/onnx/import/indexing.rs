//! Slices and look-ups by number.

use anyhow::{Context, Result, ensure};

use super::builder::Builder;
use super::call::{Call, axis, same};
use super::constants::MAX_FILL;
use super::operand::{Kind, Operand};
use super::shape_ops::slice;
use crate::graph::{Binary, Value};

/// Slice: bounds as attributes or as inputs, counted from either end, also backwards.
pub(super) fn slices(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Operand>> {
    let x = call.input(0)?;
    let rank = x.rank();
    let starts = call.ints(1, "starts")?.context("there are no starts")?;
    let ends = call.ints(2, "ends")?.context("there are no ends")?;
    let axes = match call.ints(3, "axes")? {
        Some(axes) => axes.iter().map(|&a| axis(a, rank)).collect::<Result<Vec<_>>>()?,
        None => (0..starts.len()).collect(),
    };
    let steps = call.fixed_ints(4, "steps")?.unwrap_or_else(|| vec![1; starts.len()]);
    let agree = [ends.len(), axes.len(), steps.len()].iter().all(|&len| len == starts.len());
    ensure!(
        agree && axes.iter().all(|&a| a < rank),
        "starts {starts:?}, ends {ends:?}, axes {axes:?}, steps {steps:?}"
    );
    let mut result = x.clone();
    for (i, &at) in axes.iter().enumerate() {
        let (start, step, len) = bounds(starts[i], ends[i], steps[i], x.shape()[at])?;
        result = slice(b, &result, at, start, step, len)?;
    }
    Ok(vec![result])
}

/// First element, step and number of elements.
fn bounds(start: i64, end: i64, step: i64, extent: usize) -> Result<(usize, isize, usize)> {
    ensure!(step != 0, "a step of 0");
    let extent = i128::try_from(extent)?;
    let [start, end, step] = [start, end, step].map(i128::from);
    let [start, end] = [start, end].map(|at| if at < 0 { at + extent } else { at });
    let (start, end) = match step > 0 {
        true => (start.clamp(0, extent), end.clamp(0, extent)),
        false => (start.clamp(-1, extent - 1), end.clamp(-1, extent - 1)),
    };
    let len = if step > 0 { (end - start + step - 1) / step } else { (start - end - step - 1) / -step };
    let len = usize::try_from(len.max(0))?;
    // Of one element any step will do, and a long one does not fit everywhere.
    let step = if len <= 1 { 1 } else { isize::try_from(step)? };
    Ok((usize::try_from(start.max(0))?, step, len))
}

/// Gather: elements of an axis.
pub(super) fn gather(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Operand>> {
    let (x, indices) = (call.input(0)?, call.input(1)?);
    let at = axis(call.attributes.int_or("axis", 0)?, x.rank())?;
    let extent = x.shape()[at];
    let shape = [&x.shape()[..at], indices.shape(), &x.shape()[at + 1..]].concat();
    if shape.contains(&0) {
        return Ok(vec![Operand::empty(x.kind, shape)?]);
    }
    let value = b.value(x)?;
    let result = match indices.known() {
        Some(constant) => {
            let numbers = constant.data.iter().map(|&i| number(i, extent)).collect::<Result<Vec<_>>>()?;
            let result = b.take(value, at, &numbers)?;
            b.reshape(result, shape)?
        }
        None => {
            let indices = from_start(b, indices, extent)?;
            b.gather(value, indices, at)?
        }
    };
    same(b, call, result)
}

/// A number of an element, which may count from the end.
fn number(index: f64, extent: usize) -> Result<usize> {
    let from_start = if index < 0.0 { index + extent as f64 } else { index };
    ensure!((0.0..extent as f64).contains(&from_start), "index {index} of {extent}");
    Ok(from_start as usize)
}

/// Computed numbers of elements, counted from the start.
fn from_start(b: &mut Builder, indices: &Operand, extent: usize) -> Result<Value> {
    let value = b.value(indices)?;
    if b.is_label(value) || matches!(indices.kind, Kind::Int { signed: false, .. }) {
        return Ok(value);
    }
    let negative = b.with(Binary::Less, value, 0.0)?;
    let offset = b.with(Binary::Mul, negative, extent as f64)?;
    b.add(value, offset)
}

/// GatherElements: an element for each element of the indices.
pub(super) fn gather_elements(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Operand>> {
    let (x, indices) = (call.input(0)?, call.input(1)?);
    let at = axis(call.attributes.int_or("axis", 0)?, x.rank())?;
    let (from, to) = (x.shape().to_vec(), indices.shape().to_vec());
    ensure!(from.len() == to.len(), "{to:?} indices into {from:?}");
    ensure!((0..from.len()).all(|i| i == at || to[i] <= from[i]), "{to:?} indices into {from:?}");
    if to.contains(&0) {
        return Ok(vec![Operand::empty(x.kind, to)?]);
    }
    let offsets = offsets(&to, &from, at)?;
    let inner: usize = from[at + 1..].iter().product();
    let value = b.value(x)?;
    let flat = b.reshape(value, vec![from.iter().product()])?;
    let chosen = from_start(b, indices, from[at])?;
    let chosen = b.with(Binary::Mul, chosen, inner as f64)?;
    let offsets = b.constant(to, offsets)?;
    let places = b.add(chosen, offsets)?;
    let result = b.gather(flat, places, 0)?;
    same(b, call, result)
}

/// For each element of a tensor of shape `of`, its place in one of shape `inside` if its index along `axis` were 0.
fn offsets(of: &[usize], inside: &[usize], axis: usize) -> Result<Vec<f64>> {
    let count: usize = of.iter().product();
    ensure!(
        count <= MAX_FILL && inside.iter().product::<usize>() <= MAX_PLACES,
        "too many elements to look up"
    );
    Ok((0..count)
        .map(|i| {
            let (mut rest, mut place, mut stride) = (i, 0, 1);
            for a in (0..of.len()).rev() {
                place += if a == axis { 0 } else { rest % of[a] * stride };
                rest /= of[a];
                stride *= inside[a];
            }
            place as f64
        })
        .collect())
}

/// GatherND: slices by tuples of numbers.
pub(super) fn gather_nd(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Operand>> {
    let (x, indices) = (call.input(0)?, call.input(1)?);
    let batch = usize::try_from(call.attributes.int_or("batch_dims", 0)?).context("batch_dims")?;
    let (from, of) = (x.shape().to_vec(), indices.shape().to_vec());
    let &width = of.last().context("indices without axes")?;
    ensure!(
        batch < of.len() && batch + width <= from.len() && of[..batch] == from[..batch],
        "{of:?} indices into {from:?} after {batch} axes"
    );
    let (slices, inner) = from.split_at(batch + width);
    let rows: usize = slices.iter().product();
    ensure!(rows <= MAX_PLACES, "{rows} slices to choose from");
    let strides = strides(&slices[batch..]);
    let value = b.value(x)?;
    let table = b.reshape(value, [&[rows], inner].concat())?;
    let tuples = b.value(indices)?;
    let mut places = None;
    for (i, &stride) in strides.iter().enumerate() {
        let part = b.slice(tuples, of.len() - 1, i, 1, 1)?;
        let part = b.operand(indices.kind, part);
        let part = from_start(b, &part, slices[batch + i])?;
        let part = b.with(Binary::Mul, part, stride as f64)?;
        places = Some(if let Some(places) = places { b.add(places, part)? } else { part });
    }
    let mut places = b.reshape(places.context("tuples of nothing")?, of[..of.len() - 1].to_vec())?;
    if batch > 0 {
        let per_batch: usize = slices[batch..].iter().product();
        let mut shape = vec![1; of.len() - 1];
        shape[..batch].copy_from_slice(&from[..batch]);
        let count: usize = from[..batch].iter().product();
        let first = b.constant(shape, (0..count).map(|i| (i * per_batch) as f64).collect())?;
        places = b.add(places, first)?;
    }
    let result = b.gather(table, places, 0)?;
    same(b, call, result)
}

/// Elements from one index to the next along each axis.
pub(super) fn strides(shape: &[usize]) -> Vec<usize> {
    (0..shape.len()).map(|axis| shape[axis + 1..].iter().product()).collect()
}

/// OneHot.
pub(super) fn one_hot(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Operand>> {
    let indices = call.input(0)?;
    let depth = call.fixed(1, "depth")?.and_then(|depth| depth.data.first().copied());
    let depth = depth
        .filter(|&depth| (1.0..=MAX_FILL as f64).contains(&depth))
        .context("depth is missing or unfit")?;
    let at = axis(call.attributes.int_or("axis", -1)?, indices.rank() + 1)?;
    let value = b.value(indices)?;
    let values = call.value(b, 2)?;
    ensure!(b.shape(values) == [2], "values of shape {:?}", b.shape(values));
    let chosen = from_start(b, &b.operand(Kind::INT64, value), depth as usize)?;
    let mut shape = b.shape(chosen);
    shape.insert(at, 1);
    let chosen = b.reshape(chosen, shape)?;
    let numbers = b.along(indices.rank() + 1, at, (0..depth as usize).map(|i| i as f64).collect())?;
    let hot = b.binary(Binary::Equal, chosen, numbers)?;
    let [off, on] = [b.slice(values, 0, 0, 1, 1)?, b.slice(values, 0, 1, 1, 1)?];
    let [off, on] = [b.reshape(off, vec![])?, b.reshape(on, vec![])?];
    let result = b.select(hot, on, off)?;
    Ok(vec![b.operand(call.input(2)?.kind, result)])
}

/// Compress with a condition that is known.
pub(super) fn compress(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Operand>> {
    let x = call.input(0)?;
    let condition = call.fixed(1, "condition")?.context("there is no condition")?;
    let chosen: Vec<usize> = (0..condition.data.len()).filter(|&i| condition.data[i] != 0.0).collect();
    let mut value = b.value(x)?;
    let at = match call.attributes.int("axis")? {
        Some(at) => axis(at, x.rank())?,
        None => {
            value = b.reshape(value, vec![x.shape().iter().product()])?;
            0
        }
    };
    let mut shape = b.shape(value);
    if chosen.is_empty() {
        shape[at] = 0;
        return Ok(vec![Operand::empty(x.kind, shape)?]);
    }
    ensure!(chosen.iter().all(|&i| i < shape[at]), "a condition of {} for {shape:?}", condition.data.len());
    let result = b.take(value, at, &chosen)?;
    same(b, call, result)
}

/// ReverseSequence with known lengths: the first elements of each row, backwards.
pub(super) fn reverse_sequence(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Operand>> {
    let x = call.input(0)?;
    let lengths = call.fixed(1, "sequence_lens")?.context("there are no sequence_lens")?;
    let [batch, time] =
        [("batch_axis", 1), ("time_axis", 0)].map(|(name, at)| call.attributes.int_or(name, at));
    let (batch, time) = (batch?, time?);
    ensure!(
        x.rank() >= 2 && [(0, 1), (1, 0)].contains(&(batch, time)),
        "batch_axis {batch}, time_axis {time}"
    );
    let (rows, columns) = (x.shape()[0], x.shape()[1]);
    ensure!(
        lengths.data.len() == x.shape()[batch as usize],
        "{} lengths for {:?}",
        lengths.data.len(),
        x.shape()
    );
    ensure!(rows * columns <= MAX_FILL, "{rows}x{columns} elements to reverse");
    let source = |i: usize| {
        let index = [i / columns, i % columns];
        let (own, at) = (index[batch as usize], index[time as usize]);
        let len = lengths.data[own].clamp(0.0, x.shape()[time as usize] as f64) as usize;
        let from = if at < len { len - 1 - at } else { at };
        if time == 0 { from * columns + own } else { own * columns + from }
    };
    let value = b.value(x)?;
    let flat = b.reshape(value, [&[rows * columns], &x.shape()[2..]].concat())?;
    let result = b.take(flat, 0, &(0..rows * columns).map(source).collect::<Vec<_>>())?;
    let result = b.reshape(result, x.shape().to_vec())?;
    same(b, call, result)
}

/// Trilu: one side of a diagonal.
pub(super) fn trilu(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Operand>> {
    let x = call.input(0)?;
    if x.is_empty() {
        return Ok(vec![x.clone()]);
    }
    let &[.., rows, columns] = x.shape() else { anyhow::bail!("{:?} holds no matrix", x.shape()) };
    let k = call.fixed_scalar(1, "k")?.unwrap_or(0.0);
    let upper = call.attributes.flag("upper", true)?;
    ensure!(rows.saturating_mul(columns) <= MAX_FILL, "a matrix of {rows}x{columns}");
    let kept = |i: usize| {
        let diagonal = (i % columns) as f64 - (i / columns) as f64 - k;
        if upper { diagonal >= 0.0 } else { diagonal <= 0.0 }
    };
    let value = b.value(x)?;
    let mask = (0..rows * columns).map(|i| f64::from(u8::from(kept(i)))).collect();
    let mask = b.constant(vec![rows, columns], mask)?;
    let zero = b.scalar(0.0)?;
    let result = b.select(mask, value, zero)?;
    same(b, call, result)
}

/// Places that a number held in `f32` can name.
pub(super) const MAX_PLACES: usize = 1 << 24;
