//! Operators whose result the file fixes: constants, shapes, ranges.

use anyhow::{Context, Result, bail, ensure};

use super::builder::Builder;
use super::call::Call;
use super::operand::{Kind, Operand};
use super::shape_ops::extents;
use super::tensor::{count, decode, element_count};
use crate::onnx::pb;

/// Constant, in all its forms.
pub(super) fn constant(_: &mut Builder, call: &Call<'_>) -> Result<Vec<Operand>> {
    let a = &call.attributes;
    let scalar = |kind, value| Operand::constant(kind, vec![], vec![value]);
    let operand = if let Some(tensor) = a.tensor("value")? {
        decode(tensor)?
    } else if let Some(value) = a.float("value_float")? {
        scalar(Kind::Float, f64::from(value))
    } else if let Some(value) = a.int("value_int")? {
        scalar(Kind::INT64, value as f64)
    } else if let Some(values) = a.floats("value_floats")? {
        Operand::constant(Kind::Float, vec![values.len()], values.iter().map(|&v| f64::from(v)).collect())
    } else if let Some(values) = a.ints("value_ints")? {
        Operand::constant(Kind::INT64, vec![values.len()], values.iter().map(|&v| v as f64).collect())
    } else if let Some(sparse) = a.find("sparse_value").and_then(|attribute| attribute.sparse_tensor.as_ref())
    {
        dense(sparse)?
    } else {
        bail!("a constant that is no tensor of numbers")
    };
    Ok(vec![operand])
}

/// A sparse tensor with its zeros.
pub(super) fn dense(sparse: &pb::SparseTensorProto) -> Result<Operand> {
    let values = decode(sparse.values.as_ref().context("a sparse tensor without values")?)?;
    let indices = decode(sparse.indices.as_ref().context("a sparse tensor without indices")?)?;
    let (shape, count) = element_count(&sparse.dims)?;
    ensure!(count <= MAX_FILL, "a sparse tensor of {count} values");
    let (Some(from), Some(at)) = (values.known(), indices.known()) else { bail!("a sparse tensor") };
    let width = match at.shape[..] {
        [_] => 1,
        [_, width] => width,
        _ => bail!("indices {:?} of a sparse tensor", at.shape),
    };
    ensure!(
        width > 0
            && at.data.len() / width == from.data.len()
            && (at.shape.len() == 1 || width == shape.len()),
        "indices {:?} for {} values",
        at.shape,
        from.data.len()
    );
    let mut data = vec![0.0; count];
    // One number counts through all values, several through an axis each.
    let all = [count];
    let extents = if at.shape.len() == 1 { &all[..] } else { &shape };
    for (index, &value) in at.data.chunks_exact(width).zip(&from.data) {
        let inside = |(&i, &extent)| (0.0..extent as f64).contains(&i);
        ensure!(index.iter().zip(extents).all(inside), "index {index:?} of a sparse tensor {shape:?}");
        let offset = index.iter().zip(extents).fold(0, |offset, (&i, &extent)| offset * extent + i as usize);
        data[offset] = value;
    }
    Ok(Operand::constant(values.kind, shape, data))
}

/// ConstantOfShape.
pub(super) fn constant_of_shape(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Operand>> {
    let shape = extents(&call.fixed_ints(0, "shape")?.context("there is no shape")?)?;
    let value = match call.attributes.tensor("value")? {
        Some(tensor) => decode(tensor)?,
        None => Operand::constant(Kind::Float, vec![1], vec![0.0]),
    };
    let number = *value.known().and_then(|value| value.data.first()).context("the value is empty")?;
    let len = count(&shape).context("too many values")?;
    if len <= MAX_FILL {
        return Ok(vec![Operand::constant(value.kind, shape, vec![number; len])]);
    }
    let scalar = b.scalar(number)?;
    let result = b.broadcast(scalar, shape)?;
    Ok(vec![b.operand(value.kind, result)])
}

/// Shape, or a part of it.
pub(super) fn shape(_: &mut Builder, call: &Call<'_>) -> Result<Vec<Operand>> {
    let shape = call.input(0)?.shape();
    let rank = shape.len() as i64;
    let bound = |value: i64| (if value < 0 { value + rank } else { value }).clamp(0, rank) as usize;
    let start = bound(call.attributes.int_or("start", 0)?.max(-rank));
    let end = bound(call.attributes.int_or("end", rank)?.max(-rank - 1));
    let part: Vec<f64> = shape.get(start..end).unwrap_or(&[]).iter().map(|&extent| extent as f64).collect();
    Ok(vec![Operand::constant(Kind::INT64, vec![part.len()], part)])
}

/// Size: how many values there are.
pub(super) fn size(_: &mut Builder, call: &Call<'_>) -> Result<Vec<Operand>> {
    let count: usize = call.input(0)?.shape().iter().product();
    Ok(vec![Operand::constant(Kind::INT64, vec![], vec![count as f64])])
}

/// Range.
pub(super) fn range(_: &mut Builder, call: &Call<'_>) -> Result<Vec<Operand>> {
    let number = |i, what| call.fixed_scalar(i, what)?.with_context(|| format!("{what} is missing"));
    let (start, limit, delta) = (number(0, "start")?, number(1, "limit")?, number(2, "delta")?);
    let len = ((limit - start) / delta).ceil().max(0.0);
    ensure!(len.is_finite() && len <= MAX_FILL as f64, "{len} values from {start} to {limit} by {delta}");
    let values: Vec<f64> = (0..len as usize).map(|i| start + i as f64 * delta).collect();
    Ok(vec![Operand::constant(call.input(0)?.kind, vec![values.len()], values)])
}

/// EyeLike: ones on a diagonal.
pub(super) fn eye_like(_: &mut Builder, call: &Call<'_>) -> Result<Vec<Operand>> {
    let x = call.input(0)?;
    let &[rows, columns] = x.shape() else { bail!("{:?} is no matrix", x.shape()) };
    let kind = match call.attributes.int("dtype")? {
        Some(data_type) => Kind::of(i32::try_from(data_type).unwrap_or_default())?,
        None => x.kind,
    };
    ensure!(rows.saturating_mul(columns) <= MAX_FILL, "{rows}x{columns} ones and zeros");
    let k = call.attributes.int_or("k", 0)?;
    let on = |i: usize| i128::from((i % columns) as i64) - i128::from((i / columns) as i64) == i128::from(k);
    let data = (0..rows * columns).map(|i| f64::from(u8::from(on(i)))).collect();
    Ok(vec![Operand::constant(kind, vec![rows, columns], data)])
}

/// NonZero of a tensor that is known.
pub(super) fn non_zero(_: &mut Builder, call: &Call<'_>) -> Result<Vec<Operand>> {
    let x = call.fixed(0, "the tensor whose non-zero values are counted")?.context("there is no input")?;
    let found: Vec<usize> = (0..x.data.len()).filter(|&i| x.data[i] != 0.0).collect();
    let mut data = Vec::with_capacity(found.len() * x.shape.len());
    for axis in 0..x.shape.len() {
        let inner: usize = x.shape[axis + 1..].iter().product();
        data.extend(found.iter().map(|&i| (i / inner % x.shape[axis]) as f64));
    }
    Ok(vec![Operand::constant(Kind::INT64, vec![x.shape.len(), found.len()], data)])
}

/// HannWindow, HammingWindow, BlackmanWindow.
pub(super) fn signal_window(_: &mut Builder, call: &Call<'_>) -> Result<Vec<Operand>> {
    let size = call.fixed_scalar(0, "size")?.context("there is no size")?;
    ensure!((0.0..=MAX_FILL as f64).contains(&size), "a window of {size}");
    let periods = if call.attributes.flag("periodic", true)? { size } else { size - 1.0 };
    let coefficients: &[f64] = match &*call.node.op_type {
        "HannWindow" => &[0.5, 0.5],
        "HammingWindow" => &[25.0 / 46.0, 21.0 / 46.0],
        _ => &[0.42, 0.5, 0.08],
    };
    let value = |i: usize| {
        let term = |(k, c): (usize, &f64)| {
            let angle = core::f64::consts::TAU * (k * i) as f64 / periods;
            if k % 2 == 0 { c * angle.cos() } else { -c * angle.cos() }
        };
        coefficients.iter().enumerate().map(term).sum()
    };
    let data: Vec<f64> = (0..size as usize).map(value).collect();
    Ok(vec![Operand::constant(Kind::Float, vec![data.len()], data)])
}

/// Values of a constant that is made here.
pub(super) const MAX_FILL: usize = 1 << 22;
