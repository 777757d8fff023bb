//! Conv: a two-dimensional one where the weights are known, else windows and a product.

use anyhow::{Context, Result, ensure};

use super::builder::Builder;
use super::call::{Call, same};
use super::operand::Operand;
use super::spatial::{Spatial, split};
use crate::graph::{Conv2dGeometry, Op, Tensor, Value};

/// Conv of one to any number of spatial axes.
pub(super) fn conv(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Operand>> {
    let (x, w) = (call.input(0)?, call.input(1)?);
    let (_, spatial) = split(x.shape())?;
    ensure!(w.rank() == x.rank(), "weights {:?} for {:?}", w.shape(), x.shape());
    let geometry = Spatial::read(&call.attributes, spatial, Some(&w.shape()[2..]))?;
    let groups = groups(call)?;
    let value = b.value(x)?;
    let known_bias = call.optional(2).is_none_or(|bias| bias.known().is_some());
    let layer = known_bias && x.known().is_none() && (1..=3).contains(&spatial.len());
    let weight = if layer { b.weight(w)? } else { None };
    let result = match weight {
        Some(weight) => {
            let bias = call.optional(2).map_or(Ok(None), |bias| b.weight(bias))?;
            known(b, value, weight, bias, &geometry, groups)?
        }
        None => {
            let weight = b.value(w)?;
            let result = computed(b, value, weight, &geometry, groups)?;
            match call.optional(2) {
                Some(bias) => add_bias(b, result, bias)?,
                None => result,
            }
        }
    };
    same(b, call, result)
}

pub(super) fn groups(call: &Call<'_>) -> Result<usize> {
    let groups = usize::try_from(call.attributes.int_or("group", 1)?).ok();
    groups.filter(|&groups| groups > 0).context("group is not positive")
}

/// Adds a value to each channel.
pub(super) fn add_bias(b: &mut Builder, x: Value, bias: &Operand) -> Result<Value> {
    let rank = b.shape(x).len();
    let bias = b.value(bias)?;
    let mut shape = vec![1; rank];
    shape[1] = b.shape(bias).iter().product();
    let bias = b.reshape(bias, shape)?;
    b.add(x, bias)
}

/// Convolution with weights that the file fixes, of one to three spatial axes.
pub(super) fn known(
    b: &mut Builder,
    x: Value,
    weight: Tensor,
    bias: Option<Tensor>,
    g: &Spatial,
    groups: usize,
) -> Result<Value> {
    // What is negative is cut off first; a convolution only adds.
    let mut x = x;
    let mut pads = g.pads.clone();
    for (i, pads) in pads.iter_mut().enumerate() {
        let cut = pads.map(|pad| pad.min(0));
        x = b.pad(x, i + 2, cut, None)?;
        *pads = pads.map(|pad| pad.max(0));
    }
    let shape = b.shape(x);
    let (n, out) = (shape[0], weight.shape[0]);
    match g.kernel.len() {
        1 => {
            let x = b.reshape(x, vec![n, shape[1], 1, shape[2]])?;
            let weight = Tensor::new([out, weight.shape[1], 1, g.kernel[0]], weight.data);
            let geometry =
                flat(&[1, g.kernel[0]], &[1, g.stride[0]], &[1, g.dilation[0]], &[[0, 0], pads[0]], groups);
            let y = b.push(Op::Conv2d { weight, bias, geometry }, vec![x])?;
            let width = b.shape(y)[3];
            b.reshape(y, vec![n, out, width])
        }
        2 => {
            let geometry = flat(&g.kernel, &g.stride, &g.dilation, &pads, groups);
            b.push(Op::Conv2d { weight, bias, geometry }, vec![x])
        }
        _ => {
            // Slices along the first axis become channels: what the kernel sees of it is one picture.
            x = b.pad(x, 2, pads[0], None)?;
            x = b.window(x, 2, g.kernel[0], g.stride[0], g.dilation[0])?;
            let shape = b.shape(x);
            let [_, c, d, h, w, k] = shape[..] else { anyhow::bail!("{shape:?} is no [N, C, D, H, W, K]") };
            x = b.transpose(x, vec![0, 2, 1, 5, 3, 4])?;
            x = b.reshape(x, vec![n * d, c * k, h, w])?;
            let weight = Tensor::new([out, weight.shape[1] * k, g.kernel[1], g.kernel[2]], weight.data);
            let geometry = flat(&g.kernel[1..], &g.stride[1..], &g.dilation[1..], &pads[1..], groups);
            x = b.push(Op::Conv2d { weight, bias, geometry }, vec![x])?;
            let shape = b.shape(x);
            x = b.reshape(x, vec![n, d, out, shape[2], shape[3]])?;
            b.transpose(x, vec![0, 2, 1, 3, 4])
        }
    }
}

fn flat(
    kernel: &[usize],
    stride: &[usize],
    dilation: &[usize],
    pads: &[[i64; 2]],
    groups: usize,
) -> Conv2dGeometry {
    let pad = |axis: usize, side: usize| pads[axis][side].unsigned_abs() as usize;
    Conv2dGeometry {
        kernel_size: [kernel[0], kernel[1]],
        stride: [stride[0], stride[1]],
        padding: [pad(0, 0), pad(1, 0), pad(0, 1), pad(1, 1)],
        dilation: [dilation[0], dilation[1]],
        groups,
        output_padding: [0; 2],
    }
}

/// Convolution with weights that the model computes.
pub(super) fn computed(
    b: &mut Builder,
    x: Value,
    weight: Value,
    g: &Spatial,
    groups: usize,
) -> Result<Value> {
    let mut x = x;
    let rank = g.kernel.len();
    for (i, &pads) in g.pads.iter().enumerate() {
        x = b.pad(x, i + 2, pads, None)?;
    }
    for i in 0..rank {
        x = b.window(x, i + 2, g.kernel[i], g.stride[i], g.dilation[i])?;
    }
    let (shape, weights) = (b.shape(x), b.shape(weight));
    let [n, c, out] = [shape[0], shape[1], weights[0]];
    let fits = c.is_multiple_of(groups) && out.is_multiple_of(groups) && weights[1] == c / groups;
    ensure!(fits, "weights {weights:?} in {groups} groups on {c} channels");
    x = b.reshape(x, [&[n, groups, c / groups], &shape[2..]].concat())?;
    let weight = b.reshape(weight, [&[groups, out / groups], &weights[1..]].concat())?;
    // Labels: batch 0, group 1, channel 2, output 3, then places, then kernel.
    let places: Vec<usize> = (4..4 + rank).collect();
    let kernel: Vec<usize> = (4 + rank..4 + 2 * rank).collect();
    let y = b.push(
        Op::Contract {
            a: [&[0, 1, 2], &places[..], &kernel[..]].concat(),
            b: [&[1, 3, 2], &kernel[..]].concat(),
            out: [&[0, 1, 3], &places[..]].concat(),
        },
        vec![x, weight],
    )?;
    let extents = b.shape(y)[3..].to_vec();
    b.reshape(y, [&[n, out], &extents[..]].concat())
}
