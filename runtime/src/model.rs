//! The verified view of a file in flash or RAM.

use pocketgan_format::{Activation, Buffer, File, Step, Tensor};
use pocketgan_kernels::{self as kernels, Panels, Pixels, TapGemm};

use crate::LoadError;

/// A generator, ready to run. Borrows the file; copies nothing.
#[derive(Clone, Copy, Debug)]
pub struct Model<'a> {
    file: File<'a>,
}

/// One operation and where in the arena it reads and writes, counted in values.
pub(crate) struct Operation<'a> {
    pub(crate) gemm: TapGemm<'a>,
    pub(crate) input: usize,
    pub(crate) output: usize,
}

impl<'a> Model<'a> {
    /// Verifies the file in one pass. `bytes` start at a multiple of 16 (see [`include_model!`](crate::include_model)).
    ///
    /// # Errors
    /// Says what is wrong with the file. Nothing can fail because of it afterwards.
    pub fn load(bytes: &'a [u8]) -> Result<Self, LoadError> {
        File::parse(bytes).map(|file| Self { file })
    }

    /// The file behind the model, for its tables and metadata.
    pub fn file(&self) -> &File<'a> {
        &self.file
    }

    /// Arena that one picture needs, in `f32` values.
    pub fn arena_len(&self) -> usize {
        self.file.arena_bytes() / size_of::<f32>()
    }

    /// Length of the latent vector.
    pub fn latent_dim(&self) -> usize {
        self.file.latent_dim()
    }

    /// Height, width and channels of the picture.
    pub fn output_shape(&self) -> [usize; 3] {
        self.file.output_shape()
    }

    /// The values that are black and white.
    pub fn range(&self) -> [f32; 2] {
        self.file.range()
    }

    /// Where the latent vector lies in the arena, in values.
    pub(crate) fn input(&self) -> core::ops::Range<usize> {
        let start = self.file.input_offset() / size_of::<f32>();
        start..start + self.latent_dim()
    }

    /// Where the picture lies in the arena, in values.
    pub(crate) fn output(&self) -> core::ops::Range<usize> {
        let start = self.file.output_offset() / size_of::<f32>();
        start..start + self.output_shape().iter().product::<usize>()
    }

    /// The operations in order.
    pub(crate) fn operations(&self) -> impl Iterator<Item = Operation<'a>> + use<'a> {
        let file = self.file;
        file.steps().filter_map(move |step| operation(&file, &step))
    }
}

/// `None` never happens: `File::parse` checked both tensors of every step.
fn operation<'a>(file: &File<'a>, step: &Step) -> Option<Operation<'a>> {
    let weights = match file.tensor(step.weights as usize)? {
        Tensor::F16(rows) => Panels::F16(rows),
        Tensor::F32(rows) => Panels::F32(rows),
    };
    let Tensor::F32(bias) = file.tensor(step.bias as usize)? else { return None };
    let gemm = TapGemm {
        taps: file.taps(step),
        weights,
        bias: bias.as_flattened(),
        activation: match step.activation {
            Activation::Identity => kernels::Activation::Identity,
            Activation::Relu => kernels::Activation::Relu,
            Activation::LeakyRelu(slope) => kernels::Activation::LeakyRelu(slope),
            Activation::Tanh => kernels::Activation::Tanh,
            Activation::Sigmoid => kernels::Activation::Sigmoid,
        },
        input: pixels(&step.input),
        output: pixels(&step.output),
        rows: step.rows.into(),
        cols: step.cols.into(),
        in_step: step.in_step.map(usize::from),
        out_step: step.out_step.map(usize::from),
        out_offset: step.out_offset.map(usize::from),
    };
    let index = |buffer: &Buffer| buffer.offset as usize / size_of::<f32>();
    Some(Operation { gemm, input: index(&step.input), output: index(&step.output) })
}

fn pixels(buffer: &Buffer) -> Pixels {
    Pixels {
        height: buffer.height.into(),
        width: buffer.width.into(),
        channels: buffer.channels.into(),
        pixel_stride: buffer.pixel_stride.into(),
    }
}
