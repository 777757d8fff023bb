//! Operators that move values without changing them: reshape, transpose, concat, split, expand, tile.

use anyhow::{Context, Result, bail, ensure};

use super::builder::Builder;
use super::call::{Call, axes, axis, same};
use super::operand::{Kind, Operand};
use super::tensor::{broadcast, count};

/// Identity, and Dropout, which is one when nothing is trained.
pub(super) fn identity(_: &mut Builder, call: &Call<'_>) -> Result<Vec<Operand>> {
    Ok(vec![call.input(0)?.clone()])
}

/// Dropout: what it reads, and a mask of ones.
pub(super) fn dropout(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Operand>> {
    let training = call.fixed_scalar(2, "training_mode")?.is_some_and(|mode| mode != 0.0);
    let ratio = call.fixed_scalar(1, "ratio")?.unwrap_or(0.5);
    ensure!(
        !training || ratio == 0.0,
        "it draws random numbers; export the model in evaluation mode: model.eval()"
    );
    let x = call.input(0)?.clone();
    if !call.wants(1) {
        return Ok(vec![x]);
    }
    let one = b.scalar(1.0)?;
    let mask = b.broadcast(one, x.shape().to_vec())?;
    let mask = b.operand(Kind::Bool, mask);
    Ok(vec![x, mask])
}

/// Reshape: 0 keeps an extent, -1 is what remains.
pub(super) fn reshape(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Operand>> {
    let x = call.input(0)?;
    let wanted = call.ints(1, "shape")?.context("there is no shape")?;
    let shape = resolve(x.shape(), &wanted, call.attributes.flag("allowzero", false)?)?;
    move_values(b, call, shape)
}

/// The shape that Reshape gives a tensor.
fn resolve(from: &[usize], wanted: &[i64], allow_zero: bool) -> Result<Vec<usize>> {
    let mut open = None;
    let mut shape = Vec::with_capacity(wanted.len());
    for (i, &extent) in wanted.iter().enumerate() {
        shape.push(match extent {
            0 if !allow_zero => *from.get(i).with_context(|| format!("0 at axis {i} of {from:?}"))?,
            -1 => {
                ensure!(open.replace(i).is_none(), "-1 twice in {wanted:?}");
                1
            }
            _ => usize::try_from(extent).ok().with_context(|| format!("shape {wanted:?}"))?,
        });
    }
    let have = count(from).context("too many values")?;
    if let Some(open) = open {
        let rest = count(&shape).context("too many values")?;
        ensure!(rest > 0 && have.is_multiple_of(rest), "{from:?} as {wanted:?}");
        shape[open] = have / rest;
    }
    ensure!(count(&shape) == Some(have), "{from:?} as {wanted:?}");
    Ok(shape)
}

/// The first input under another shape.
fn move_values(b: &mut Builder, call: &Call<'_>, shape: Vec<usize>) -> Result<Vec<Operand>> {
    let x = call.input(0)?;
    if x.is_empty() {
        return Ok(vec![Operand::empty(x.kind, shape)?]);
    }
    let value = b.value(x)?;
    let result = b.reshape(value, shape)?;
    same(b, call, result)
}

/// Flatten to a matrix.
pub(super) fn flatten(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Operand>> {
    let shape = call.input(0)?.shape();
    let at = call.attributes.int_or("axis", 1)?;
    let at = if at == shape.len() as i64 { shape.len() } else { axis(at, shape.len())? };
    let matrix = vec![shape[..at].iter().product(), shape[at..].iter().product()];
    move_values(b, call, matrix)
}

/// Squeeze: axes as an attribute, as an input, or all that are 1.
pub(super) fn squeeze(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Operand>> {
    let shape = call.input(0)?.shape();
    let gone = match call.ints(1, "axes")? {
        Some(gone) => axes(&gone, shape.len())?,
        None => (0..shape.len()).filter(|&i| shape[i] == 1).collect(),
    };
    ensure!(gone.iter().all(|&i| shape[i] == 1), "axes {gone:?} of {shape:?} are not all 1");
    let kept = (0..shape.len()).filter(|i| !gone.contains(i)).map(|i| shape[i]).collect();
    move_values(b, call, kept)
}

/// Unsqueeze: axes of the result.
pub(super) fn unsqueeze(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Operand>> {
    let mut shape = call.input(0)?.shape().to_vec();
    let new = call.ints(1, "axes")?.context("there are no axes")?;
    for i in axes(&new, shape.len() + new.len())? {
        shape.insert(i, 1);
    }
    move_values(b, call, shape)
}

/// Transpose; reversed without a permutation.
pub(super) fn transpose(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Operand>> {
    let x = call.input(0)?;
    let permutation = match call.attributes.ints("perm")? {
        Some(perm) => perm.iter().map(|&p| axis(p, x.rank())).collect::<Result<Vec<_>>>()?,
        None => (0..x.rank()).rev().collect(),
    };
    ensure!(permutation.len() == x.rank(), "permutation {permutation:?} of {:?}", x.shape());
    if x.is_empty() {
        let shape = permutation.iter().map(|&axis| x.shape()[axis]).collect();
        return Ok(vec![Operand::empty(x.kind, shape)?]);
    }
    let value = b.value(x)?;
    let result = b.transpose(value, permutation)?;
    same(b, call, result)
}

/// Concat; what is empty adds nothing.
pub(super) fn concat(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Operand>> {
    let parts = call.all()?;
    let rank = parts[0].rank();
    let at = axis(call.attributes.int("axis")?.unwrap_or(if call.opset < 4 { 1 } else { i64::MAX }), rank)?;
    let full: Vec<_> = parts.iter().filter(|part| !part.is_empty()).collect();
    if full.is_empty() {
        let mut shape = parts[0].shape().to_vec();
        shape[at] = parts.iter().map(|part| part.shape().get(at).copied().unwrap_or(0)).sum();
        ensure!(shape.contains(&0), "concat of {shape:?}");
        return Ok(vec![Operand::empty(parts[0].kind, shape)?]);
    }
    let values = full.into_iter().map(|part| b.value(part)).collect::<Result<Vec<_>>>()?;
    let result = b.concat(values, at)?;
    same(b, call, result)
}

/// Split into equal parts or into parts of given lengths.
pub(super) fn split(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Operand>> {
    let x = call.input(0)?;
    let at = axis(call.attributes.int_or("axis", 0)?, x.rank())?;
    let extent = x.shape()[at];
    let lengths = match call.ints(1, "split")? {
        Some(lengths) => lengths
            .iter()
            .map(|&len| usize::try_from(len).ok().with_context(|| format!("lengths {lengths:?}")))
            .collect::<Result<Vec<_>>>()?,
        None => {
            let parts = call.attributes.int_or("num_outputs", call.node.output.len() as i64)?;
            let parts = usize::try_from(parts).ok().filter(|&parts| (1..=extent.max(1)).contains(&parts));
            let parts = parts.with_context(|| format!("{extent} in so many parts"))?;
            let len = extent.div_ceil(parts);
            (0..parts).map(|i| len.min(extent.saturating_sub(i * len))).collect()
        }
    };
    let total = lengths.iter().try_fold(0_usize, |sum, &len| sum.checked_add(len));
    ensure!(total == Some(extent), "lengths {lengths:?} of an axis of {extent}");
    let mut results = Vec::with_capacity(lengths.len());
    let mut start = 0;
    for len in lengths {
        results.push(slice(b, x, at, start, 1, len)?);
        start += len;
    }
    Ok(results)
}

/// A slice that may be empty.
pub(super) fn slice(
    b: &mut Builder,
    x: &Operand,
    axis: usize,
    start: usize,
    step: isize,
    len: usize,
) -> Result<Operand> {
    let mut shape = x.shape().to_vec();
    shape[axis] = len;
    if shape.contains(&0) {
        return Operand::empty(x.kind, shape);
    }
    let value = b.value(x)?;
    let value = b.slice(value, axis, start, step, len)?;
    Ok(b.operand(x.kind, value))
}

/// Expand: broadcasting in both directions.
pub(super) fn expand(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Operand>> {
    let x = call.input(0)?;
    let wanted = extents(&call.fixed_ints(1, "shape")?.context("there is no shape")?)?;
    let shape = broadcast(x.shape(), &wanted)?;
    if shape.contains(&0) {
        return Ok(vec![Operand::empty(x.kind, shape)?]);
    }
    let value = b.value(x)?;
    let result = b.broadcast(value, shape)?;
    same(b, call, result)
}

/// A shape that an input gives.
pub(super) fn extents(values: &[i64]) -> Result<Vec<usize>> {
    let shape: Option<Vec<usize>> = values.iter().map(|&v| usize::try_from(v).ok()).collect();
    let shape = shape.filter(|shape| shape.len() <= 16 && count(shape).is_some());
    shape.with_context(|| format!("{:?} is no shape", &values[..values.len().min(16)]))
}

/// Tile: whole copies along each axis.
pub(super) fn tile(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Operand>> {
    let x = call.input(0)?;
    let times = extents(&call.fixed_ints(1, "repeats")?.context("there are no repeats")?)?;
    ensure!(times.len() == x.rank(), "repeats {times:?} of {:?}", x.shape());
    let extent = |(&extent, &times): (&usize, &usize)| extent.checked_mul(times);
    let shape: Option<Vec<usize>> = x.shape().iter().zip(&times).map(extent).collect();
    let shape = shape.filter(|shape| count(shape).is_some()).context("too many values")?;
    if shape.contains(&0) {
        return Ok(vec![Operand::empty(x.kind, shape)?]);
    }
    let mut value = b.value(x)?;
    for (i, &times) in times.iter().enumerate() {
        let mut shape = b.shape(value);
        if times == 1 {
            continue;
        }
        if shape[i] > 1 {
            shape.insert(i, 1);
            value = b.reshape(value, shape.clone())?;
        }
        shape[i] = times;
        value = b.broadcast(value, shape.clone())?;
        if shape.len() > x.rank() {
            let inner = shape.remove(i + 1);
            shape[i] *= inner;
            value = b.reshape(value, shape)?;
        }
    }
    same(b, call, value)
}

/// DepthToSpace and SpaceToDepth.
pub(super) fn depth_space(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Operand>> {
    let x = call.input(0)?;
    let [n, c, h, w] = x.shape()[..] else { bail!("{:?} is no [N, C, H, W]", x.shape()) };
    let size = call.attributes.int("blocksize")?.and_then(|size| usize::try_from(size).ok());
    let s = size.filter(|size| (1..=1024).contains(size)).context("blocksize is missing or unfit")?;
    let mut value = b.value(x)?;
    let result = if call.node.op_type == "SpaceToDepth" {
        ensure!(h.is_multiple_of(s) && w.is_multiple_of(s), "{h}x{w} in blocks of {s}");
        value = b.reshape(value, vec![n, c, h / s, s, w / s, s])?;
        value = b.transpose(value, vec![0, 3, 5, 1, 2, 4])?;
        b.reshape(value, vec![n, c * s * s, h / s, w / s])?
    } else {
        ensure!(c.is_multiple_of(s * s), "{c} channels in blocks of {s}");
        let (split, permutation) = match call.attributes.string_or("mode", "DCR")? {
            "DCR" => (vec![n, s, s, c / (s * s), h, w], vec![0, 3, 4, 1, 5, 2]),
            "CRD" => (vec![n, c / (s * s), s, s, h, w], vec![0, 1, 4, 2, 5, 3]),
            other => bail!("mode {other:?}"),
        };
        value = b.reshape(value, split)?;
        value = b.transpose(value, permutation)?;
        b.reshape(value, vec![n, c / (s * s), h * s, w * s])?
    };
    same(b, call, result)
}
