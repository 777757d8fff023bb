//! Turns a folded graph into layers of tap GEMMs over channels-last buffers.

use anyhow::{Context, Result, bail};
use pocketgan_format::{Activation as StoredActivation, Buffer, Step, Tap, TapGemmStep, TensorData};

use super::arena::Lifetime;
use super::panels::{pack, pack_bias};
use super::phases::{self, Phase};
use super::quantize::WeightType;
use crate::graph::{Activation, Conv2dGeometry, Graph, Op, Tensor};

/// Layers in order; layer `i` reads value `i` and writes value `i + 1`. Value 0 is the latent vector.
#[derive(Debug)]
pub(crate) struct Layers<'g> {
    latent_dim: usize,
    layers: Vec<Layer<'g>>,
}

#[derive(Debug)]
struct Layer<'g> {
    name: &'g str,
    kind: Kind<'g>,
    bias: Option<&'g Tensor>,
    activation: StoredActivation,
    /// `[C, H, W]` of what is read and written. Buffers hold it as `[H, W, C]`.
    input: [usize; 3],
    output: [usize; 3],
}

#[derive(Debug)]
enum Kind<'g> {
    Dense(&'g Tensor),
    Conv2d(&'g Tensor, &'g Conv2dGeometry),
    ConvTranspose2d(&'g Tensor, &'g Conv2dGeometry),
}

/// Steps, and the tensors and taps they refer to.
pub(crate) type Tables = (Vec<Step>, Vec<TensorData>, Vec<Tap>);

/// Fuses activations and reshapes into the layer before them.
///
/// A reshape of a dense layer's output only renames its rows; any other reshape must lead into a dense layer, which
/// reads the flattened value.
pub(crate) fn lower(graph: &Graph) -> Result<Layers<'_>> {
    let shapes = graph.shapes()?;
    let mut layers: Vec<Layer> = Vec::new();
    let mut shape = [graph.latent_dim, 1, 1];
    for (node, output) in graph.nodes.iter().zip(shapes) {
        let refuse = |why: &str| Err(anyhow::anyhow!("{}: {why}", node.name));
        let (kind, bias) = match &node.op {
            Op::Dense { weight, bias } => (Kind::Dense(weight), bias.as_ref()),
            Op::Conv2d { weight, bias, geometry } => (Kind::Conv2d(weight, geometry), bias.as_ref()),
            Op::ConvTranspose2d { weight, bias, geometry } => {
                (Kind::ConvTranspose2d(weight, geometry), bias.as_ref())
            }
            Op::Activation(activation) => {
                let Some(layer) = layers.last_mut() else {
                    return refuse("an activation before the first layer cannot be exported");
                };
                if layer.activation != StoredActivation::Identity {
                    return refuse("a second activation after one layer cannot be exported");
                }
                layer.activation = stored(*activation);
                continue;
            }
            Op::Reshape(new) => {
                if let Some(Layer { kind: Kind::Dense(_), output, .. }) = layers.last_mut() {
                    *output = *new;
                }
                shape = *new;
                continue;
            }
            Op::BatchNorm { .. } => return refuse("batch normalization was not folded"),
        };
        let stored_shape = layers.last().map_or([graph.latent_dim, 1, 1], |layer| layer.output);
        let input = if matches!(kind, Kind::Dense(_)) { stored_shape } else { shape };
        if input != stored_shape {
            return refuse("a reshape before a convolution must follow a dense layer");
        }
        layers.push(Layer {
            name: &node.name,
            kind,
            bias,
            activation: StoredActivation::Identity,
            input,
            output,
        });
        shape = output;
    }
    match layers.last() {
        None => bail!("the graph has no layer with weights"),
        Some(last) if last.output != shape => {
            bail!("{}: the final reshape must follow a dense layer", last.name)
        }
        Some(_) => Ok(Layers { latent_dim: graph.latent_dim, layers }),
    }
}

impl Layers<'_> {
    /// The layers' names in order.
    pub(crate) fn names(&self) -> Vec<String> {
        self.layers.iter().map(|layer| layer.name.replace(',', " ")).collect()
    }

    /// When each value is alive; the picture to the end.
    pub(crate) fn lifetimes(&self) -> Vec<Lifetime> {
        let sizes =
            core::iter::once(self.latent_dim).chain(self.layers.iter().map(|l| l.output.iter().product()));
        sizes
            .enumerate()
            .map(|(i, values)| Lifetime { first: i, last: i + 1, bytes: values * size_of::<f32>() })
            .collect()
    }

    /// Steps whose buffers lie at `offsets`, one for each value.
    pub(crate) fn emit(&self, offsets: &[usize], weights: WeightType) -> Result<Tables> {
        let mut emitter = Emitter { weights, tables: Tables::default() };
        for (index, layer) in self.layers.iter().enumerate() {
            emitter
                .layer(index, layer, offsets[index], offsets[index + 1])
                .with_context(|| format!("{}: the layer exceeds a limit of the format", layer.name))?;
        }
        Ok(emitter.tables)
    }
}

struct Emitter {
    weights: WeightType,
    tables: Tables,
}

impl Emitter {
    fn layer(&mut self, index: usize, layer: &Layer<'_>, input: usize, output: usize) -> Result<()> {
        let [in_c, in_h, in_w] = layer.input;
        let [out_c, out_h, out_w] = layer.output;
        let bias = |n: usize| layer.bias.map_or(0.0, |b| b.data[n]);
        match layer.kind {
            Kind::Dense(weight) => {
                let (inputs, outputs) = (in_c * in_h * in_w, out_c * out_h * out_w);
                let row = channels_first(layer.output);
                let col = channels_first(layer.input);
                let bias: Vec<f32> = (0..outputs).map(|n| bias(row(n))).collect();
                let tensor =
                    pack([outputs, 1, inputs], self.weights, |n, _, c| weight.data[row(n) * inputs + col(c)]);
                let pixel = |offset, channels| buffer(offset, [channels, 1, 1], channels);
                let buffers = (pixel(input, inputs)?, pixel(output, outputs)?);
                let phase = phases::conv2d(&Conv2dGeometry::square(1, 1, 0), [1, 1]);
                self.step(index, layer.activation, &phase, tensor, &bias, buffers)
            }
            Kind::Conv2d(weight, g) => {
                let (ci, no) = (in_c / g.groups, out_c / g.groups);
                let [kh, kw] = g.kernel_size;
                let phase = phases::conv2d(g, [out_h, out_w]);
                for group in 0..g.groups {
                    let buffers = (
                        buffer(input + 4 * group * ci, [ci, in_h, in_w], in_c)?,
                        buffer(output + 4 * group * no, [no, out_h, out_w], out_c)?,
                    );
                    let bias: Vec<f32> = (0..no).map(|n| bias(group * no + n)).collect();
                    let tensor = pack([no, phase.taps.len(), ci], self.weights, |n, tap, c| {
                        let [ky, kx] = phase.taps[tap].kernel;
                        weight.data[(((group * no + n) * ci + c) * kh + ky) * kw + kx]
                    });
                    self.step(index, layer.activation, &phase, tensor, &bias, buffers)?;
                }
                Ok(())
            }
            Kind::ConvTranspose2d(weight, g) => {
                let (ci, no) = (in_c / g.groups, out_c / g.groups);
                let [kh, kw] = g.kernel_size;
                for phase in phases::conv_transpose2d(g, [out_h, out_w]) {
                    for group in 0..g.groups {
                        let buffers = (
                            buffer(input + 4 * group * ci, [ci, in_h, in_w], in_c)?,
                            buffer(output + 4 * group * no, [no, out_h, out_w], out_c)?,
                        );
                        let bias: Vec<f32> = (0..no).map(|n| bias(group * no + n)).collect();
                        let tensor = pack([no, phase.taps.len().max(1), ci], self.weights, |n, tap, c| {
                            phase.taps.get(tap).map_or(0.0, |t| {
                                let [ky, kx] = t.kernel;
                                weight.data[(((group * ci + c) * no + n) * kh + ky) * kw + kx]
                            })
                        });
                        self.step(index, layer.activation, &phase, tensor, &bias, buffers)?;
                    }
                }
                Ok(())
            }
        }
    }

    fn step(
        &mut self,
        layer: usize,
        activation: StoredActivation,
        phase: &Phase,
        weights: TensorData,
        bias: &[f32],
        (input, output): (Buffer, Buffer),
    ) -> Result<()> {
        let (steps, tensors, taps) = &mut self.tables;
        let first_tap = u32::try_from(taps.len())?;
        for tap in &phase.taps {
            taps.push([i16::try_from(tap.offset[0])?, i16::try_from(tap.offset[1])?]);
        }
        if phase.taps.is_empty() {
            // The format wants a tap; its weights are zero.
            taps.push([0, 0]);
        }
        let tensor = u32::try_from(tensors.len())?;
        tensors.extend([weights, pack_bias(bias)]);
        steps.push(Step::TapGemm(TapGemmStep {
            activation,
            layer: u16::try_from(layer)?,
            first_tap,
            tap_count: u32::try_from(taps.len())? - first_tap,
            weights: tensor,
            bias: tensor + 1,
            input,
            output,
            rows: u16::try_from(phase.positions[0])?,
            cols: u16::try_from(phase.positions[1])?,
            in_step: [u8::try_from(phase.in_step[0])?, u8::try_from(phase.in_step[1])?],
            out_step: [u8::try_from(phase.out_step[0])?, u8::try_from(phase.out_step[1])?],
            out_offset: [u16::try_from(phase.out_offset[0])?, u16::try_from(phase.out_offset[1])?],
        }));
        Ok(())
    }
}

/// Maps an index into `[H, W, C]` to the same value's index in `[C, H, W]`.
fn channels_first([channels, height, width]: [usize; 3]) -> impl Fn(usize) -> usize {
    let pixels = height * width;
    move |i| (i % channels) * pixels + i / channels
}

fn buffer(offset: usize, [channels, height, width]: [usize; 3], pixel_stride: usize) -> Result<Buffer> {
    Ok(Buffer {
        offset: u32::try_from(offset)?,
        height: u16::try_from(height)?,
        width: u16::try_from(width)?,
        channels: u16::try_from(channels)?,
        pixel_stride: u16::try_from(pixel_stride)?,
    })
}

fn stored(activation: Activation) -> StoredActivation {
    match activation {
        Activation::Relu => StoredActivation::Relu,
        Activation::LeakyRelu(slope) => StoredActivation::LeakyRelu(slope),
        Activation::Tanh => StoredActivation::Tanh,
        Activation::Sigmoid => StoredActivation::Sigmoid,
    }
}
