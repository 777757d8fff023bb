//! Layers with weights: dense, convolution, transposed convolution.

use anyhow::{Context, Result, bail};
use pocketgan_format::{Buffer, ValueType};

use super::Lowering;
use crate::export::panels::pack;
use crate::export::phases;
use crate::export::view::{Memory, View, natural_order};
use crate::graph::{Conv2dGeometry, Node, Op, Tensor, Value};

impl Lowering<'_> {
    /// One position for each vector along the last axis.
    pub(super) fn dense(
        &mut self,
        value: Value,
        node: &Node,
        weight: &Tensor,
        bias: Option<&Tensor>,
    ) -> Result<()> {
        let (n, k) = (weight.shape[0], weight.shape[1]);
        let vectors = self.graph.shape(value).iter().product::<usize>() / n;
        self.draft.layer(&node.name);
        let (input, column) = self.dense_input(node, [vectors, k])?;
        let (done, output, row, activation) = self.dense_output(value, vectors);
        let tensor = pack([n, 1, k], self.weights, |i, _, c| {
            weight.data[row(i) * k + column.as_ref().map_or(c, |p| p[c])]
        });
        let bias: Vec<f32> = (0..n).map(|i| bias.map_or(0.0, |b| b.data[row(i)])).collect();
        let phase = phases::conv2d(&Conv2dGeometry::square(1, 1, 0), [1, vectors]);
        let buffers = [
            (
                input.memory,
                buffer(self.draft.offset(&input)?, [k, 1, vectors], input.strides[0].unsigned_abs())?,
            ),
            (output.memory, buffer(self.draft.offset(&output)?, [n, 1, vectors], n)?),
        ];
        self.draft.gemm(activation, &phase, tensor, &bias, buffers)?;
        for (value, view) in done {
            self.places[value.index()] = Some(view);
        }
        Ok(())
    }

    /// What a dense layer reads, as `[vectors, k]`, and for each place in memory the column it stands for, if that is
    /// not the place itself.
    fn dense_input(&mut self, node: &Node, shape: [usize; 2]) -> Result<(View, Option<Vec<usize>>)> {
        let input = node.inputs[0];
        let [vectors, k] = shape;
        let Some(view) = self.places[input.index()].clone() else {
            // A reshape left to us: what it reads, in the order of memory.
            let reshape = self.graph.node(input).context("an input has a place")?;
            let source = self.view(reshape.inputs[0])?;
            let mut columns = vec![0; k];
            for (column, place) in row_major_places(&source).enumerate() {
                columns[place] = column;
            }
            let view = View { shape: shape.into(), strides: vec![k as isize, 1], ..source };
            return Ok((view, Some(columns)));
        };
        let rows = view.reshape(&shape).filter(|v| {
            let vectors_apart = vectors == 1 || v.strides[0] >= k as isize;
            self.is_activation(v) && vectors_apart && (k == 1 || v.strides[1] == 1)
        });
        let mut rows = match rows {
            Some(rows) => rows,
            None => {
                let order: Vec<usize> = (0..view.shape.len()).collect();
                let copy = self.copy(&view, &order, self.activations)?;
                copy.reshape(&shape).context("a packed copy has any shape")?
            }
        };
        if vectors == 1 {
            rows.strides[0] = k as isize;
        }
        Ok((rows, None))
    }

    /// Where a dense layer writes, which row of the weights each written value is, and the values that exist afterwards:
    /// its own, or those of a reshape into a picture and of an activation that follow it. The picture lies channels
    /// last, for which only the rows change places.
    #[allow(clippy::type_complexity, reason = "four things that belong together once")]
    fn dense_output(
        &mut self,
        value: Value,
        vectors: usize,
    ) -> (Vec<(Value, View)>, View, Box<dyn Fn(usize) -> usize>, pocketgan_format::Activation) {
        let picture = self.only_reader(value).and_then(|(reader, node)| match &node.op {
            Op::Reshape(shape) if vectors == 1 && shape.len() == 4 && shape[0] == 1 => Some((reader, shape)),
            _ => None,
        });
        let Some((reshape, shape)) = picture else {
            let (last, activation) = self.fused(value);
            let order: Vec<usize> = (0..self.graph.shape(value).len()).collect();
            let view = self.allocate(self.graph.shape(value), &order, self.activations);
            return (vec![(value, view.clone()), (last, view.clone())], view, Box::new(|i| i), activation);
        };
        let (channels, pixels) = (shape[1], shape[2] * shape[3]);
        let shape = shape.clone();
        let (last, activation) = self.fused(reshape);
        let view = self.allocate(&shape, &natural_order(&shape), self.activations);
        let row = move |i: usize| i % channels * pixels + i / channels;
        (vec![(reshape, view.clone()), (last, view.clone())], view, Box::new(row), activation)
    }

    /// Whether a layer with weights can read the view as it is stored.
    fn is_activation(&self, view: &View) -> bool {
        matches!(view.memory, Memory::Buffer(_)) && self.draft.value_type(view.memory) == self.activations
    }

    /// One step for a convolution, one for each phase of a transposed one; times the groups and the batch.
    pub(super) fn convolution(&mut self, value: Value, node: &Node) -> Result<()> {
        self.draft.layer(&node.name);
        let mut input = self.view(node.inputs[0])?;
        if pixels(&input.slice(0, 0, 1, 1)).is_none() || !self.is_activation(&input) {
            input = self.copy(&input, &natural_order(&input.shape), self.activations)?;
        }
        let (last, activation) = self.fused(value);
        let order = natural_order(self.graph.shape(value));
        let output = self.destination(last, &[&input], &order, self.activations);
        for batch in 0..input.shape[0] {
            let read = pixels(&input.slice(0, batch, 1, 1)).context("a copy lies channels last")?;
            let write = pixels(&output.slice(0, batch, 1, 1)).context("the output lies channels last")?;
            match &node.op {
                Op::Conv2d { weight, bias, geometry: g } => {
                    let phase = phases::conv2d(g, [write.height, write.width]);
                    let [kh, kw] = g.kernel_size;
                    for group in 0..g.groups {
                        let (ci, no) = (read.channels / g.groups, write.channels / g.groups);
                        let tensor = pack([no, phase.taps.len(), ci], self.weights, |n, tap, c| {
                            let [ky, kx] = phase.taps[tap].kernel;
                            weight.data[(((group * no + n) * ci + c) * kh + ky) * kw + kx]
                        });
                        let buffers = [
                            read.group(group, g.groups, self.activations)?,
                            write.group(group, g.groups, self.activations)?,
                        ];
                        let bias = group_bias(bias.as_ref(), group, no);
                        self.draft.gemm(activation, &phase, tensor, &bias, buffers)?;
                    }
                }
                Op::ConvTranspose2d { weight, bias, geometry: g } => {
                    let [kh, kw] = g.kernel_size;
                    for phase in phases::conv_transpose2d(g, [write.height, write.width]) {
                        for group in 0..g.groups {
                            let (ci, no) = (read.channels / g.groups, write.channels / g.groups);
                            let tensor =
                                pack([no, phase.taps.len().max(1), ci], self.weights, |n, tap, c| {
                                    phase.taps.get(tap).map_or(0.0, |t| {
                                        let [ky, kx] = t.kernel;
                                        weight.data[(((group * ci + c) * no + n) * kh + ky) * kw + kx]
                                    })
                                });
                            let buffers = [
                                read.group(group, g.groups, self.activations)?,
                                write.group(group, g.groups, self.activations)?,
                            ];
                            let bias = group_bias(bias.as_ref(), group, no);
                            self.draft.gemm(activation, &phase, tensor, &bias, buffers)?;
                        }
                    }
                }
                _ => bail!("not a convolution"),
            }
        }
        self.places[value.index()] = Some(output.clone());
        self.places[last.index()] = Some(output);
        Ok(())
    }
}

/// A picture channels last.
struct Pixels {
    memory: Memory,
    start: usize,
    height: usize,
    width: usize,
    channels: usize,
    stride: usize,
}

/// The picture that a view `[1, C, H, W]` of a buffer is, if its channels lie side by side and its pixels in order.
fn pixels(view: &View) -> Option<Pixels> {
    let &[1, channels, height, width] = &view.shape[..] else { return None };
    let [_, of_channel, of_row, of_pixel] = view.strides[..] else { return None };
    let stride = match (width, height) {
        (2.., _) => of_pixel,
        (_, 2..) => of_row,
        _ => channels as isize,
    };
    let fits = matches!(view.memory, Memory::Buffer(_))
        && (channels == 1 || of_channel == 1)
        && stride >= channels as isize
        && (height == 1 || of_row == stride * width as isize);
    let Memory::Buffer(_) = view.memory else { return None };
    fits.then_some(Pixels {
        memory: view.memory,
        start: view.start,
        height,
        width,
        channels,
        stride: stride.unsigned_abs(),
    })
}

impl Pixels {
    /// The channels of one group.
    fn group(&self, group: usize, groups: usize, values: ValueType) -> Result<(Memory, Buffer)> {
        let channels = self.channels / groups;
        let start = values.bytes() as usize * (self.start + group * channels);
        let start = u32::try_from(start).context("a buffer exceeds 2^32 bytes")?;
        Ok((self.memory, buffer(start, [channels, self.height, self.width], self.stride)?))
    }
}

fn buffer(offset: u32, [channels, height, width]: [usize; 3], pixel_stride: usize) -> Result<Buffer> {
    let extent = |v: usize| u16::try_from(v).with_context(|| format!("an extent of {v} exceeds 65,535"));
    Ok(Buffer {
        offset,
        height: extent(height)?,
        width: extent(width)?,
        channels: extent(channels)?,
        pixel_stride: extent(pixel_stride)?,
    })
}

fn group_bias(bias: Option<&Tensor>, group: usize, outputs: usize) -> Vec<f32> {
    bias.map_or_else(|| vec![0.0; outputs], |b| b.data[group * outputs..][..outputs].to_vec())
}

/// For each element in row-major order, its place from the start of the view.
fn row_major_places(view: &View) -> impl Iterator<Item = usize> {
    (0..view.len()).map(|mut index| {
        let mut place = 0;
        for (extent, stride) in view.shape.iter().zip(&view.strides).rev() {
            place += index % extent * stride.unsigned_abs();
            index /= extent;
        }
        place
    })
}
