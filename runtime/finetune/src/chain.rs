//! The part of a program that learns: layers in a row, each reading what the one before wrote.

use core::ops::Range;

use pocketgan_format::{self as format, Buffer, Step, TapGemmStep, ValueType};
use pocketgan_kernels::{Activation, TapGemm};
use pocketgan_runtime::Model;

use crate::TaskError;

/// Layers in a row.
#[derive(Clone, Copy, Debug)]
pub struct Chain<'m> {
    model: Model<'m>,
    layers: [Layer; MAX_LAYERS],
    count: usize,
}

/// Dense, convolution, or the phases of a transposed convolution, with its activation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Layer {
    first_step: u16,
    end_step: u16,
    /// Values that it reads.
    pub input_len: usize,
    /// Values that it writes.
    pub output_len: usize,
    /// Channels that it writes.
    pub channels: usize,
}

impl Layer {
    /// Its steps in the file.
    pub fn steps(&self) -> Range<usize> {
        self.first_step.into()..self.end_step.into()
    }
}

impl<'m> Chain<'m> {
    /// No layer yet.
    pub(crate) fn new(model: Model<'m>) -> Self {
        Self { model, layers: [Layer::default(); MAX_LAYERS], count: 0 }
    }

    /// Adds the layers that some consecutive steps make.
    ///
    /// # Errors
    /// When a step is no tap GEMM of single precision, does not read the whole of what the layer before wrote, or does not write
    /// what the layer's others leave; when an activation has no gradient; or when there are more than [`MAX_LAYERS`].
    pub(crate) fn follow(&mut self, steps: Range<usize>) -> Result<(), TaskError> {
        let mut last: Option<TapGemmStep> = None;
        // Pixels of the layer's output that none of its steps so far writes.
        let mut left = 0;
        let end = steps.end;
        for index in steps {
            let refused = TaskError::NotAChain { step: index };
            let step = self.step(index).ok_or(refused)?;
            let same = last.is_some_and(|last| last.layer == step.layer);
            let follows = match &last {
                None => true,
                // One stride, and another offset below it each time: no pixel is written twice.
                Some(last) if same => {
                    (last.input, last.output, last.out_step) == (step.input, step.output, step.out_step)
                        && last.activation == step.activation
                        && last.out_offset < step.out_offset
                }
                Some(last) => {
                    left == 0
                        && last.output.offset == step.input.offset
                        && packed_len(&last.output) == packed_len(&step.input)
                }
            };
            let [down, right] = step.out_step.map(u16::from);
            let follows = follows && step.out_offset[0] < down && step.out_offset[1] < right;
            let lens = packed_len(&step.input).zip(packed_len(&step.output));
            let (input_len, output_len) = lens.filter(|_| follows).ok_or(refused)?;
            if matches!(step.activation, format::Activation::LeakyRelu(slope) if slope <= 0.0) {
                return Err(TaskError::Slope { step: index });
            }
            if !same {
                left = usize::from(step.output.height) * usize::from(step.output.width);
                let first_step = index as u16;
                let slot = self.layers.get_mut(self.count).ok_or(TaskError::TooManyLayers)?;
                let channels = step.output.channels.into();
                *slot = Layer { first_step, end_step: first_step, input_len, output_len, channels };
                self.count += 1;
            }
            if let Some(layer) = self.layers[..self.count].last_mut() {
                layer.end_step = index as u16 + 1;
            }
            left -= usize::from(step.rows) * usize::from(step.cols);
            last = Some(step);
        }
        if left > 0 { Err(TaskError::NotAChain { step: end - 1 }) } else { Ok(()) }
    }

    /// Leaves out the last layer.
    pub(crate) fn pop(&mut self) {
        self.count = self.count.saturating_sub(1);
    }

    /// The layers in order.
    pub fn layers(&self) -> &[Layer] {
        &self.layers[..self.count]
    }

    /// The model whose steps these are.
    pub fn model(&self) -> &Model<'m> {
        &self.model
    }

    /// A step of the model, if it is a tap GEMM of single precision.
    pub fn step(&self, index: usize) -> Option<TapGemmStep> {
        step(&self.model, index)
    }

    /// The steps of a layer, and the operations that they are.
    pub fn operations(&self, layer: &Layer) -> impl Iterator<Item = (TapGemmStep, TapGemm<'m>)> {
        layer.steps().filter_map(|index| {
            let step = self.step(index)?;
            Some((step, self.model.tap_gemm(&step)?))
        })
    }

    /// The activation of a layer.
    pub fn activation(&self, layer: &Layer) -> Activation {
        self.operations(layer).next().map_or(Activation::Identity, |(_, gemm)| gemm.activation)
    }

    /// Values that the first layer reads; 0 without layers.
    pub fn input_len(&self) -> usize {
        self.layers().first().map_or(0, |layer| layer.input_len)
    }

    /// Values that all layers write.
    pub(crate) fn written(&self) -> usize {
        self.layers().iter().map(|layer| layer.output_len).sum()
    }
}

/// A step of a model, if it is a tap GEMM of single precision that adds to nothing.
pub(crate) fn step(model: &Model<'_>, index: usize) -> Option<TapGemmStep> {
    match model.file().steps().nth(index)? {
        Step::TapGemm(step) if step.values == ValueType::F32 && !step.accumulate => Some(step),
        _ => None,
    }
}

/// Values of a buffer without gaps; none of one with gaps.
fn packed_len(buffer: &Buffer) -> Option<usize> {
    (buffer.pixel_stride == buffer.channels).then(|| buffer.len())
}

/// Most layers of a chain.
pub const MAX_LAYERS: usize = 24;
