//! ConvTranspose: a two-dimensional one where the weights are known, else zeros between the values and a convolution.

use anyhow::{Context, Result, ensure};

use super::builder::Builder;
use super::call::{Call, same};
use super::convolution::{add_bias, computed, groups};
use super::operand::Operand;
use super::spatial::{Spatial, halves, split};
use crate::graph::{Conv2dGeometry, Op, Tensor, Value};

/// ConvTranspose of one to any number of spatial axes.
pub(super) fn conv_transpose(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Operand>> {
    let (x, w) = (call.input(0)?, call.input(1)?);
    let ([_, channels], spatial) = split(x.shape())?;
    ensure!(w.rank() == x.rank() && w.shape()[0] == channels, "weights {:?} for {:?}", w.shape(), x.shape());
    let groups = groups(call)?;
    ensure!(channels.is_multiple_of(groups), "{channels} channels in {groups} groups");
    let (geometry, extra) = read(call, spatial, &w.shape()[2..])?;
    let value = b.value(x)?;
    let known_bias = call.optional(2).is_none_or(|bias| bias.known().is_some());
    let simple = geometry.pads.iter().flatten().all(|&pad| pad >= 0) && spatial.len() <= 2;
    let weight = if known_bias && simple && x.known().is_none() { b.weight(w)? } else { None };
    let result = match weight {
        Some(weight) => {
            let bias = call.optional(2).map_or(Ok(None), |bias| b.weight(bias))?;
            known(b, value, weight, bias, &geometry, &extra, groups)?
        }
        None => {
            let weight = b.value(w)?;
            let result = spread(b, value, weight, &geometry, &extra, groups)?;
            match call.optional(2) {
                Some(bias) => add_bias(b, result, bias)?,
                None => result,
            }
        }
    };
    same(b, call, result)
}

/// The geometry, with what is cut off as `pads`, and what is added at the end besides.
fn read(call: &Call<'_>, input: &[usize], kernel: &[usize]) -> Result<(Spatial, Vec<usize>)> {
    let a = &call.attributes;
    let rank = input.len();
    let mut spatial = Spatial::read(a, input, Some(kernel))?;
    let mut extra: Vec<usize> = match a.ints("output_padding")? {
        Some(extra) => extra
            .iter()
            .map(|&e| usize::try_from(e).ok().filter(|&e| e <= 1 << 20))
            .collect::<Option<_>>()
            .with_context(|| format!("output_padding {extra:?}"))?,
        None => vec![0; rank],
    };
    ensure!(extra.len() == rank, "output_padding {extra:?} for {rank} axes");
    let auto_pad = a.string_or("auto_pad", "NOTSET")?;
    let wanted = match a.ints("output_shape")? {
        // Some exporters give the batch and the channels, too.
        Some(shape) if shape.len() == rank + 2 => Some(shape[2..].to_vec()),
        Some(shape) => Some(shape.to_vec()),
        None if auto_pad.starts_with("SAME") => {
            Some(input.iter().zip(&spatial.stride).map(|(&i, &s)| (i * s) as i64).collect())
        }
        None => None,
    };
    let Some(wanted) = wanted else { return Ok((spatial, extra)) };
    ensure!(
        wanted.len() == rank && wanted.iter().all(|w| (1..=1 << 24).contains(w)),
        "output_shape {wanted:?}"
    );
    for i in 0..rank {
        let full = ((input[i] - 1) * spatial.stride[i] + spatial.span(i) + extra[i]) as i64;
        let total = full - wanted[i];
        if total < 0 {
            // More than the kernel reaches: only the bias stands there.
            extra[i] += total.unsigned_abs() as usize;
        }
        spatial.pads[i] = halves(total.max(0), auto_pad == "SAME_UPPER");
    }
    Ok((spatial, extra))
}

fn known(
    b: &mut Builder,
    x: Value,
    weight: Tensor,
    bias: Option<Tensor>,
    g: &Spatial,
    extra: &[usize],
    groups: usize,
) -> Result<Value> {
    let (shape, weights) = (b.shape(x), weight.shape.clone());
    // One spatial axis is the last of two.
    let two = |values: &[usize], other: usize| -> [usize; 2] {
        if let [value] = values { [other, *value] } else { [values[0], values[1]] }
    };
    let extents = two(&shape[2..], 1);
    let x = b.reshape(x, vec![shape[0], shape[1], extents[0], extents[1]])?;
    let kernel_size = two(&g.kernel, 1);
    let weight = Tensor::new([weights[0], weights[1], kernel_size[0], kernel_size[1]], weight.data);
    let [before, after] = [0, 1].map(|side| {
        two(&g.pads.iter().map(|pads| pads[side].unsigned_abs() as usize).collect::<Vec<_>>(), 0)
    });
    let geometry = Conv2dGeometry {
        kernel_size,
        stride: two(&g.stride, 1),
        padding: [before[0], before[1], after[0], after[1]],
        dilation: two(&g.dilation, 1),
        groups,
        output_padding: two(extra, 0),
    };
    let y = b.push(Op::ConvTranspose2d { weight, bias, geometry }, vec![x])?;
    let out = b.shape(y);
    if g.kernel.len() == 1 { b.reshape(y, vec![out[0], out[1], out[3]]) } else { Ok(y) }
}

/// As a convolution over the values with zeros between them, the kernel reversed.
fn spread(
    b: &mut Builder,
    x: Value,
    weight: Value,
    g: &Spatial,
    extra: &[usize],
    groups: usize,
) -> Result<Value> {
    let (mut x, mut weight) = (x, weight);
    let rank = g.kernel.len();
    for i in 0..rank {
        let axis = i + 2;
        let (extent, stride) = (b.shape(x)[axis], g.stride[i]);
        if stride > 1 && extent > 1 {
            let mut shape = b.shape(x);
            shape.insert(axis + 1, 1);
            x = b.reshape(x, shape.clone())?;
            x = b.pad(x, axis + 1, [0, stride as i64 - 1], None)?;
            shape.remove(axis + 1);
            shape[axis] = extent * stride;
            x = b.reshape(x, shape)?;
            x = b.slice(x, axis, 0, 1, (extent - 1) * stride + 1)?;
        }
        weight = b.slice(weight, axis, g.kernel[i] - 1, -1, g.kernel[i])?;
    }
    // [in, out / groups, ..] becomes [out, in / groups, ..].
    let shape = b.shape(weight);
    let (inputs, outputs) = (shape[0] / groups, shape[1]);
    weight = b.reshape(weight, [&[groups, inputs, outputs], &shape[2..]].concat())?;
    let order: Vec<usize> = [0, 2, 1].into_iter().chain(3..3 + rank).collect();
    weight = b.transpose(weight, order)?;
    weight = b.reshape(weight, [&[groups * outputs, inputs], &shape[2..]].concat())?;
    let pads = (0..rank)
        .map(|i| {
            let reach = g.span(i) as i64 - 1;
            [reach - g.pads[i][0], reach - g.pads[i][1] + extra[i] as i64]
        })
        .collect();
    let plain =
        Spatial { kernel: g.kernel.clone(), stride: vec![1; rank], dilation: g.dilation.clone(), pads };
    computed(b, x, weight, &plain, groups)
}
