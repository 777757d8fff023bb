//! Rewrites a graph into fewer operations that compute the same.
//!
//! Batch normalization becomes part of the weights before it, and a transposed convolution over a single pixel, the
//! first layer of many generators, becomes the dense layer that it is.

use anyhow::{Context, Result, bail};

use crate::graph::{Conv2dGeometry, Graph, Node, Op, Tensor};

/// The graph without batch normalization.
///
/// # Errors
/// When a batch normalization does not follow a layer with weights.
pub fn fold(graph: &Graph) -> Result<Graph> {
    let shapes = graph.shapes()?;
    let mut nodes: Vec<Node> = Vec::with_capacity(graph.nodes.len());
    let mut input = [graph.latent_dim, 1, 1];
    for (node, shape) in graph.nodes.iter().zip(shapes) {
        match &node.op {
            Op::BatchNorm { gamma, beta, mean, variance, epsilon } => {
                let scale: Vec<f64> = gamma
                    .data
                    .iter()
                    .zip(&variance.data)
                    .map(|(&g, &v)| f64::from(g) / (f64::from(v) + f64::from(*epsilon)).sqrt())
                    .collect();
                let shift: Vec<f64> = beta
                    .data
                    .iter()
                    .zip(&mean.data)
                    .zip(&scale)
                    .map(|((&b, &m), s)| f64::from(b) - f64::from(m) * s)
                    .collect();
                let layer = nodes.iter_mut().rev().find(|n| !matches!(n.op, Op::Reshape(_)));
                let layer =
                    layer.with_context(|| format!("{}: nothing before it to fold into", node.name))?;
                scale_outputs(&mut layer.op, &scale, &shift).with_context(|| {
                    format!("{}: batch normalization after {} cannot be folded", node.name, layer.name)
                })?;
            }
            Op::ConvTranspose2d { weight, bias, geometry }
                if input[1..] == [1, 1] && geometry.groups == 1 =>
            {
                nodes.push(Node {
                    name: node.name.clone(),
                    op: dense_over_one_pixel(weight, bias.as_ref(), geometry, shape),
                });
                nodes.push(Node { name: format!("{}.reshape", node.name), op: Op::Reshape(shape) });
            }
            _ => nodes.push(node.clone()),
        }
        input = shape;
    }
    Ok(Graph { latent_dim: graph.latent_dim, nodes })
}

/// Multiplies output channel `n` by `scale[n]` and adds `shift[n]`, in f64. A dense layer with more outputs than
/// channels is about to be reshaped: each channel is a block of its outputs.
fn scale_outputs(op: &mut Op, scale: &[f64], shift: &[f64]) -> Result<()> {
    let channels = scale.len();
    let (weight, bias, outputs) = match op {
        Op::Dense { weight, bias } => {
            let outputs = weight.shape[0];
            (weight, bias, outputs)
        }
        Op::Conv2d { weight, bias, .. } => {
            let outputs = weight.shape[0];
            (weight, bias, outputs)
        }
        Op::ConvTranspose2d { weight, bias, geometry } => {
            let outputs = weight.shape[1] * geometry.groups;
            let per_group = weight.shape[1];
            let inputs_per_group = weight.shape[0] / geometry.groups;
            let kernel: usize = weight.shape[2..].iter().product();
            for (row, values) in weight.data.chunks_exact_mut(kernel).enumerate() {
                let group = row / per_group / inputs_per_group;
                let n = group * per_group + row % per_group;
                values.iter_mut().for_each(|v| *v = (f64::from(*v) * scale[n]) as f32);
            }
            shift_bias(bias, outputs, 1, scale, shift);
            return Ok(());
        }
        _ => bail!("it has no weights"),
    };
    if outputs % channels != 0 {
        bail!("{outputs} outputs do not divide into {channels} channels");
    }
    let block = outputs / channels;
    let row_len = weight.data.len() / outputs;
    for (row, values) in weight.data.chunks_exact_mut(row_len).enumerate() {
        values.iter_mut().for_each(|v| *v = (f64::from(*v) * scale[row / block]) as f32);
    }
    shift_bias(bias, outputs, block, scale, shift);
    Ok(())
}

fn shift_bias(bias: &mut Option<Tensor>, outputs: usize, block: usize, scale: &[f64], shift: &[f64]) {
    let old = bias.take().map_or_else(|| vec![0.0; outputs], |b| b.data);
    let folded = old
        .iter()
        .enumerate()
        .map(|(n, &b)| (f64::from(b) * scale[n / block] + shift[n / block]) as f32)
        .collect();
    *bias = Some(Tensor::new([outputs], folded));
}

/// Each output pixel of a transposed convolution over one pixel meets at most one kernel element.
fn dense_over_one_pixel(weight: &Tensor, bias: Option<&Tensor>, g: &Conv2dGeometry, shape: [usize; 3]) -> Op {
    let [n, height, width] = shape;
    let [inputs, kh, kw] = [weight.shape[0], weight.shape[2], weight.shape[3]];
    let mut dense = vec![0.0; n * height * width * inputs];
    for c in 0..inputs {
        for o in 0..n {
            for ky in 0..kh {
                for kx in 0..kw {
                    let y = (ky * g.dilation[0]).checked_sub(g.padding[0]).filter(|&y| y < height);
                    let x = (kx * g.dilation[1]).checked_sub(g.padding[1]).filter(|&x| x < width);
                    if let (Some(y), Some(x)) = (y, x) {
                        dense[((o * height + y) * width + x) * inputs + c] =
                            weight.data[((c * n + o) * kh + ky) * kw + kx];
                    }
                }
            }
        }
    }
    let outputs = n * height * width;
    let bias = bias.map(|b| {
        Tensor::new([outputs], (0..outputs).map(|i| b.data[i / (height * width)]).collect::<Vec<_>>())
    });
    Op::Dense { weight: Tensor::new([outputs, inputs], dense), bias }
}
