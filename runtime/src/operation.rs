//! From the file's steps to the kernels' operations: the one place where the words of the two leaves meet.

use half::f16;
use pocketgan_format::{self as format, Buffer, File, NestStep, Step, TapGemmStep, Tensor, ValueType};
use pocketgan_kernels::{self as kernels, Axis, Kernels, MAX_AXES, Nest, Panels, Pixels, TapGemm};

/// One step, with what it refers to.
pub(crate) enum Operation<'a> {
    /// With where in the arena it reads and writes, counted in values, and how these are stored.
    TapGemm { gemm: TapGemm<'a>, input: usize, output: usize, values: ValueType },
    /// Its axes lie in `axes`, as many as it has.
    Nest { nest: Nest<'a>, axes: [Axis; MAX_AXES + 1], axis_count: usize },
}

impl<'a> Operation<'a> {
    /// `None` never happens: `File::parse` checked every tensor of every step.
    pub(crate) fn new(file: &File<'a>, step: &Step) -> Option<Self> {
        match step {
            Step::TapGemm(step) => tap_gemm(file, step),
            Step::Nest(step) => nest(file, step),
        }
    }

    /// Runs it. The file's reader has checked that input and output of a tap GEMM do not overlap.
    pub(crate) fn run(&self, kernels: &Kernels, arena: &mut [f32]) {
        match self {
            &Self::TapGemm { ref gemm, input, output, values: ValueType::F32 } => {
                let (read, write) = borrow(arena, input, output);
                (kernels.tap_gemm)(gemm, read, write);
            }
            &Self::TapGemm { ref gemm, input, output, values: ValueType::F16 } => {
                let (read, write) = borrow::<f16>(bytemuck::cast_slice_mut(arena), input, output);
                (kernels.tap_gemm_f16)(gemm, read, write);
            }
            Self::Nest { nest, axes, axis_count } => {
                // `Generator::with_kernels` refused kernels without.
                if let Some(run) = kernels.nest {
                    run(&Nest { axes: &axes[..*axis_count], ..*nest }, arena);
                }
            }
        }
    }
}

/// The arena from `input` on and from `output` on, the earlier one ending where the later starts.
fn borrow<T>(arena: &mut [T], input: usize, output: usize) -> (&[T], &mut [T]) {
    if input < output {
        let (before, after) = arena.split_at_mut(output);
        (&before[input..], after)
    } else {
        let (before, after) = arena.split_at_mut(input);
        (after, &mut before[output..])
    }
}

fn tap_gemm<'a>(file: &File<'a>, step: &TapGemmStep) -> Option<Operation<'a>> {
    let weights = match file.tensor(step.weights as usize)? {
        Tensor::F16(rows) => Panels::F16(rows),
        Tensor::F32(rows) => Panels::F32(rows),
    };
    let Tensor::F32(bias) = file.tensor(step.bias as usize)? else { return None };
    let gemm = TapGemm {
        taps: file.taps(step),
        weights,
        bias: bias.as_flattened(),
        activation: activation(step.activation),
        input: pixels(&step.input),
        output: pixels(&step.output),
        rows: step.rows.into(),
        cols: step.cols.into(),
        in_step: step.in_step.map(usize::from),
        out_step: step.out_step.map(usize::from),
        out_offset: step.out_offset.map(usize::from),
    };
    let index = |buffer: &Buffer| (buffer.offset / step.values.bytes()) as usize;
    let (input, output) = (index(&step.input), index(&step.output));
    Some(Operation::TapGemm { gemm, input, output, values: step.values })
}

fn nest<'a>(file: &File<'a>, step: &NestStep) -> Option<Operation<'a>> {
    let stored = file.axes(step);
    let mut axes = [Axis::default(); MAX_AXES + 1];
    for (axis, &format::Axis { extent, a, b, out }) in axes.iter_mut().zip(&*stored) {
        *axis = Axis { extent, a, b, out };
    }
    let nest = Nest {
        function: function(step.function),
        combine: combine(step.combine),
        axes: &[],
        reduced: step.reduced.into(),
        a: operand(file, step.a)?,
        b: operand(file, step.b)?,
        out: (step.output / step.output_values.bytes()) as usize,
        out_f16: step.output_values == ValueType::F16,
    };
    Some(Operation::Nest { nest, axes, axis_count: stored.len() })
}

fn operand<'a>(file: &File<'a>, operand: format::Operand) -> Option<kernels::Operand<'a>> {
    Some(match operand {
        format::Operand::Arena { offset } => {
            kernels::Operand::Arena((offset / ValueType::F32.bytes()) as usize)
        }
        format::Operand::ArenaF16 { offset } => {
            kernels::Operand::ArenaF16((offset / ValueType::F16.bytes()) as usize)
        }
        format::Operand::Tensor { index, start } => match file.tensor(index as usize)? {
            Tensor::F16(rows) => kernels::Operand::F16(rows.as_flattened(), start as usize),
            Tensor::F32(rows) => kernels::Operand::F32(rows.as_flattened(), start as usize),
        },
        format::Operand::Scalar(value) => kernels::Operand::Scalar(value),
    })
}

fn pixels(buffer: &Buffer) -> Pixels {
    Pixels {
        height: buffer.height.into(),
        width: buffer.width.into(),
        channels: buffer.channels.into(),
        pixel_stride: buffer.pixel_stride.into(),
    }
}

fn activation(activation: format::Activation) -> kernels::Activation {
    match activation {
        format::Activation::Identity => kernels::Activation::Identity,
        format::Activation::Relu => kernels::Activation::Relu,
        format::Activation::LeakyRelu(slope) => kernels::Activation::LeakyRelu(slope),
        format::Activation::Tanh => kernels::Activation::Tanh,
        format::Activation::Sigmoid => kernels::Activation::Sigmoid,
    }
}

fn combine(combine: format::Combine) -> kernels::Combine {
    match combine {
        format::Combine::Sum => kernels::Combine::Sum,
        format::Combine::Product => kernels::Combine::Product,
        format::Combine::Max => kernels::Combine::Max,
        format::Combine::Min => kernels::Combine::Min,
    }
}

fn function(function: format::Function) -> kernels::Function {
    use format::Function as Stored;
    use kernels::Function;
    match function {
        Stored::Identity => Function::Identity,
        Stored::Relu => Function::Relu,
        Stored::Tanh => Function::Tanh,
        Stored::Sigmoid => Function::Sigmoid,
        Stored::Abs => Function::Abs,
        Stored::Exp => Function::Exp,
        Stored::Log => Function::Log,
        Stored::Sqrt => Function::Sqrt,
        Stored::Floor => Function::Floor,
        Stored::Ceil => Function::Ceil,
        Stored::Round => Function::Round,
        Stored::Sign => Function::Sign,
        Stored::Sin => Function::Sin,
        Stored::Cos => Function::Cos,
        Stored::Tan => Function::Tan,
        Stored::Asin => Function::Asin,
        Stored::Acos => Function::Acos,
        Stored::Atan => Function::Atan,
        Stored::Sinh => Function::Sinh,
        Stored::Cosh => Function::Cosh,
        Stored::Asinh => Function::Asinh,
        Stored::Acosh => Function::Acosh,
        Stored::Atanh => Function::Atanh,
        Stored::Erf => Function::Erf,
        Stored::Add => Function::Add,
        Stored::Sub => Function::Sub,
        Stored::Mul => Function::Mul,
        Stored::Div => Function::Div,
        Stored::Max => Function::Max,
        Stored::Min => Function::Min,
        Stored::Pow => Function::Pow,
        Stored::Rem => Function::Rem,
        Stored::Less => Function::Less,
        Stored::LessEqual => Function::LessEqual,
        Stored::Equal => Function::Equal,
        Stored::PRelu => Function::PRelu,
        Stored::Select => Function::Select,
        Stored::Take => Function::Take,
    }
}
