//! Layers with weights: dense, convolution, transposed convolution.

use anyhow::{Context, Result, bail, ensure};
use pocketgan_format::{Activation, Buffer, ValueType};

use super::Lowering;
use crate::export::panels::pack;
use crate::export::phases::{self, Phase};
use crate::export::view::{Memory, View, natural_order};
use crate::graph::{Binary, Conv2dGeometry, Node, Op, Tensor, Value};

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
        let DenseOutput { view: output, values, pixels, activation } = self.dense_output(value, vectors);
        // Channels last: pixel by pixel, where the rows are those of one channel after the other.
        let row = |i: usize| i % (n / pixels) * pixels + i / (n / pixels);
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
        let weights = self.draft.layer_weights(tensor, &bias)?;
        self.draft.gemm(activation, &phase, weights, buffers, false)?;
        for value in values {
            self.places[value.index()] = Some(output.clone());
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

    /// Where a dense layer writes: its own result, or, channels last, the picture that the only reader reshapes it to.
    fn dense_output(&mut self, value: Value, vectors: usize) -> DenseOutput {
        let picture = self.only_reader(value).and_then(|(reader, node)| match &node.op {
            Op::Reshape(shape) if vectors == 1 && shape.len() == 4 && shape[0] == 1 => Some(reader),
            _ => None,
        });
        let result = picture.unwrap_or(value);
        let (last, activation) = self.fused(result);
        let shape = self.graph.shape(result).to_vec();
        let (order, pixels) = match picture {
            Some(_) => (natural_order(&shape), shape[2] * shape[3]),
            None => ((0..shape.len()).collect(), 1),
        };
        let view = self.allocate(&shape, &order, self.activations);
        DenseOutput { view, values: [result, last], pixels, activation }
    }

    /// Whether a layer with weights can read the view as it is stored.
    pub(super) fn is_activation(&self, view: &View) -> bool {
        matches!(view.memory, Memory::Buffer(_)) && self.draft.value_type(view.memory) == self.activations
    }

    /// One step for a convolution, one for each phase of a transposed one; times the groups and the batch.
    pub(super) fn convolution(&mut self, value: Value, node: &Node) -> Result<()> {
        self.draft.layer(&node.name);
        let mut input = self.view(node.inputs[0])?;
        if pixels(&input.slice(0, 0, 1, 1)).is_none() || !self.is_activation(&input) {
            input = self.copy(&input, &natural_order(&input.shape), self.activations)?;
        }
        let residual = self.residual(value, &input);
        let sum = residual.as_ref().map_or(value, |(sum, _)| *sum);
        let (mut last, mut activation) = self.fused(sum);
        let shuffle = match node.op {
            // A sum lies where the picture does that was there, pixel by pixel.
            Op::Conv2d { ref geometry, .. } if geometry.groups == 1 && residual.is_none() => {
                self.shuffle(last)
            }
            _ => None,
        };
        let mut values = vec![value, sum, last];
        if let Some(shuffle) = &shuffle {
            values.extend(&shuffle.values);
            last = shuffle.value;
            if activation == Activation::Identity {
                (last, activation) = self.fused(last);
            }
        }
        values.push(last);
        let order = natural_order(self.graph.shape(last));
        let output = match &residual {
            Some((_, there)) => there.clone(),
            None => self.destination(last, &[&input], &order, self.activations),
        };
        let batch: Vec<(Pixels, Pixels)> = (0..input.shape[0])
            .map(|i| Some((pixels(&input.slice(0, i, 1, 1))?, pixels(&output.slice(0, i, 1, 1))?)))
            .collect::<Option<_>>()
            .context("pictures lie channels last")?;
        let out_size = [self.graph.shape(value)[2], self.graph.shape(value)[3]];
        let (weight, bias, g, transposed, phases) = match &node.op {
            Op::Conv2d { weight, bias, geometry: g } => {
                (weight, bias, g, false, vec![phases::conv2d(g, out_size)])
            }
            Op::ConvTranspose2d { weight, bias, geometry: g } => {
                // Not only when a step is made: beyond it, the phases alone may not fit into memory.
                ensure!(g.stride.iter().all(|&s| s <= phases::LARGEST_STRIDE), "a stride exceeds 255");
                (weight, bias, g, true, phases::conv_transpose2d(g, out_size))
            }
            _ => bail!("not a convolution"),
        };
        let (ci, no) = (input.shape[1] / g.groups, self.graph.shape(value)[1] / g.groups);
        // The output channels of each phase, the same in every group.
        let phases: Vec<(Phase, Vec<usize>)> = match &shuffle {
            Some(shuffle) => shuffle.phases(&phases[0]),
            None => phases.into_iter().map(|phase| (phase, (0..no).collect())).collect(),
        };
        let [kh, kw] = g.kernel_size;
        let at = |group: usize, n: usize, c: usize, [ky, kx]: [usize; 2]| {
            let plane = if transposed { (group * ci + c) * no + n } else { (group * no + n) * ci + c };
            weight.data[(plane * kh + ky) * kw + kx]
        };
        for (phase, channels) in &phases {
            for group in 0..g.groups {
                // A phase may meet no kernel element; its one tap then has weights of zero.
                let tensor =
                    pack([channels.len(), phase.taps.len().max(1), ci], self.weights, |n, tap, c| {
                        phase.taps.get(tap).map_or(0.0, |t| at(group, channels[n], c, t.kernel))
                    });
                let of_channel = |n: &usize| bias.as_ref().map_or(0.0, |bias| bias.data[group * no + n]);
                let bias: Vec<f32> = channels.iter().map(of_channel).collect();
                let weights = self.draft.layer_weights(tensor, &bias)?;
                for (read, write) in &batch {
                    let buffers = [
                        read.group(group, g.groups, self.activations)?,
                        write.group(group, g.groups, self.activations)?,
                    ];
                    self.draft.gemm(activation, phase, weights, buffers, residual.is_some())?;
                }
            }
        }
        for value in values {
            self.places[value.index()] = Some(output.clone());
        }
        Ok(())
    }

    /// The sum of a convolution with a picture that is there already and that nobody else reads again: the convolution adds
    /// to it, where it lies.
    fn residual(&self, value: Value, input: &View) -> Option<(Value, View)> {
        let (sum, node) =
            self.only_reader(value).filter(|(_, node)| matches!(node.op, Op::Binary(Binary::Add)))?;
        let other = *node.inputs.iter().find(|&&input| input != value)?;
        let there = self.places[other.index()].clone()?;
        let fits = there.shape == self.graph.shape(value)
            && there.memory != input.memory
            && self.is_activation(&there)
            && !self.destinations.contains_key(&sum)
            && (0..there.shape[0]).all(|i| pixels(&there.slice(0, i, 1, 1)).is_some())
            && self.is_last_reader(value, there.memory, Some(sum));
        fits.then_some((sum, there))
    }
}

/// Where a dense layer writes, and what that is.
struct DenseOutput {
    view: View,
    /// The values that lie there afterwards: the layer's or a reshape's, and perhaps an activation's.
    values: [Value; 2],
    /// Of the picture that the outputs are; 1 where they are none.
    pixels: usize,
    activation: Activation,
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
