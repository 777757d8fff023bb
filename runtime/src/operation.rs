//! From the file's steps to the kernels' operations: the one place where the words of the two leaves meet.

use half::f16;
use pocketgan_format::{self as format, Buffer, File, NestStep, Step, TapGemmStep, Tensor, ValueType};
use pocketgan_kernels::{self as kernels, Axis, Kernels, MAX_AXES, Nest, Panels, Pixels, Sample, TapGemm};

use crate::expansion::Expanded;

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

    /// Runs it for each of some samples, whose arenas of `arena_len` values follow each other.
    pub(crate) fn run(
        &self,
        kernels: &Kernels,
        expanded: Option<Expanded<'_>>,
        arenas: &mut [f32],
        arena_len: usize,
    ) {
        match self {
            &Self::TapGemm { ref gemm, input, output, values: ValueType::F32 } => {
                in_batches(arenas, arena_len, [input, output], |samples| match expanded {
                    Some(Expanded { kernels, form, weights }) => {
                        (kernels.tap_gemm)(&form, gemm, weights, samples);
                    }
                    None => (kernels.tap_gemm)(gemm, samples),
                });
            }
            &Self::TapGemm { ref gemm, input, output, values: ValueType::F16 } => {
                let halves: &mut [f16] = bytemuck::cast_slice_mut(arenas);
                in_batches(halves, 2 * arena_len, [input, output], |samples| match expanded {
                    Some(Expanded { kernels, form, weights }) => {
                        (kernels.tap_gemm_f16)(&form, gemm, weights, samples);
                    }
                    // `Generator::with_kernels` refused kernels without.
                    None => {
                        if let Some(run) = kernels.tap_gemm_f16 {
                            run(gemm, samples);
                        }
                    }
                });
            }
            Self::Nest { nest, axes, axis_count } => {
                let nest = Nest { axes: &axes[..*axis_count], ..*nest };
                // `Generator::with_kernels` refused kernels without.
                if let Some(run) = kernels.nest {
                    arenas.chunks_exact_mut(arena_len).for_each(|arena| run(&nest, arena));
                }
            }
        }
    }
}

#[cfg(feature = "rayon")]
impl Operation<'_> {
    /// [`run`](Self::run) on the threads of a pool: samples side by side, or parts of a single one.
    pub(crate) fn run_in(
        &self,
        pool: &rayon::ThreadPool,
        kernels: &Kernels,
        expanded: Option<Expanded<'_>>,
        arenas: &mut [f32],
        arena_len: usize,
    ) {
        use rayon::prelude::*;
        match self {
            _ if arenas.len() > arena_len => {
                let share = (arenas.len() / arena_len).div_ceil(pool.current_num_threads());
                pool.install(|| {
                    arenas
                        .par_chunks_mut(share * arena_len)
                        .for_each(|part| self.run(kernels, expanded, part, arena_len));
                });
            }
            &Self::TapGemm { ref gemm, input, output, values: ValueType::F32 } => {
                let sample = borrow(arenas, input, output);
                match expanded {
                    Some(Expanded { kernels, form, weights }) => {
                        crate::parallel::run(pool, gemm, sample, &|gemm, samples| {
                            (kernels.tap_gemm)(&form, gemm, weights, samples);
                        });
                    }
                    None => crate::parallel::run(pool, gemm, sample, &kernels.tap_gemm),
                }
            }
            &Self::TapGemm { ref gemm, input, output, values: ValueType::F16 } => {
                let sample = borrow(bytemuck::cast_slice_mut(arenas), input, output);
                match expanded {
                    Some(Expanded { kernels, form, weights }) => {
                        crate::parallel::run(pool, gemm, sample, &|gemm, samples| {
                            (kernels.tap_gemm_f16)(&form, gemm, weights, samples);
                        });
                    }
                    None => {
                        if let Some(run) = kernels.tap_gemm_f16 {
                            crate::parallel::run(pool, gemm, sample, &run);
                        }
                    }
                }
            }
            Self::Nest { .. } => self.run(kernels, None, arenas, arena_len),
        }
    }
}

/// Calls `run` for at most [`BATCH`] samples at a time, each of which reads its arena from `input` on and writes it from
/// `output` on.
fn in_batches<T: Default>(
    arenas: &mut [T],
    arena_len: usize,
    [input, output]: [usize; 2],
    run: impl Fn(&mut [Sample<'_, T>]),
) {
    // The largest arena that a file may have, 16 times, is more than 32 bits hold.
    for batch in arenas.chunks_mut(BATCH.saturating_mul(arena_len)) {
        let mut samples: [Sample<'_, T>; BATCH] = Default::default();
        let count = batch.len() / arena_len;
        for (sample, arena) in samples.iter_mut().zip(batch.chunks_exact_mut(arena_len)) {
            *sample = borrow(arena, input, output);
        }
        run(&mut samples[..count]);
    }
}

/// The arena from `input` on and from `output` on, the earlier one ending where the later starts: the file's reader has
/// checked that the two do not overlap.
fn borrow<T>(arena: &mut [T], input: usize, output: usize) -> Sample<'_, T> {
    if input < output {
        let (before, after) = arena.split_at_mut(output);
        Sample { input: &before[input..], output: after }
    } else {
        let (before, after) = arena.split_at_mut(input);
        Sample { input: after, output: &mut before[output..] }
    }
}

/// Samples whose positions a kernel sees at once: enough to fill its tiles where a sample has one position.
pub(crate) const BATCH: usize = 16;

fn tap_gemm<'a>(file: &File<'a>, step: &TapGemmStep) -> Option<Operation<'a>> {
    let gemm = gemm(file, step)?;
    let index = |buffer: &Buffer| (buffer.offset / step.values.bytes()) as usize;
    let (input, output) = (index(&step.input), index(&step.output));
    Some(Operation::TapGemm { gemm, input, output, values: step.values })
}

/// The operation of a step, without its place in the arena.
pub(crate) fn gemm<'a>(file: &File<'a>, step: &TapGemmStep) -> Option<TapGemm<'a>> {
    let weights = panels(file.tensor(step.weights as usize)?);
    let Tensor::F32(bias) = file.tensor(step.bias as usize)? else { return None };
    Some(TapGemm {
        taps: file.taps(step),
        weights,
        bias: bias.as_flattened(),
        accumulate: step.accumulate,
        activation: activation(step.activation),
        input: pixels(&step.input),
        output: pixels(&step.output),
        rows: step.rows.into(),
        cols: step.cols.into(),
        in_step: step.in_step.map(usize::from),
        out_step: step.out_step.map(usize::from),
        out_offset: step.out_offset.map(usize::from),
    })
}

/// Weights as they lie in a file or a delta.
pub(crate) fn panels(tensor: Tensor<'_>) -> Panels<'_> {
    match tensor {
        Tensor::F16(rows) => Panels::F16(rows),
        Tensor::F32(rows) => Panels::F32(rows),
    }
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
        shift: match step.shift {
            Some(shift) => Some(operand(file, shift)?),
            None => None,
        },
        activation: activation(step.activation),
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
        Stored::ExpSub => Function::ExpSub,
        Stored::Select => Function::Select,
        Stored::Take => Function::Take,
    }
}
