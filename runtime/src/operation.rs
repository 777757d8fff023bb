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
        // Expanded weights are those of all channels, and no form is that of some.
        let in_parts = |gemm| expanded.filter(|_| !crate::parallel::lone_position(gemm));
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
                match in_parts(gemm) {
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
                match in_parts(gemm) {
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

#[cfg(all(test, feature = "rayon"))]
mod tests {
    use std::vec::Vec;

    use pocketgan_kernels::{Activation, PANEL, dispatch, reference};

    use super::*;

    /// WebAssembly has a form for such an operation; here it is another's, which only says that it runs.
    #[test]
    fn channels_on_threads_do_not_take_the_weights_of_all() {
        const N: usize = 1024;
        let square = Pixels { height: 16, width: 16, channels: 64, pixel_stride: 64 };
        let around: Vec<_> = (0..9).map(|i| [i / 3 - 1, i % 3 - 1]).collect();
        let weights: Vec<_> = (0..N / PANEL * N).map(|i| [f16::from_f32((i % 7) as f32); PANEL]).collect();
        let bias = [0.5; N];
        let convolution = TapGemm {
            taps: &around,
            weights: Panels::F16(&weights[..8 * 9 * 64]),
            bias: &bias[..64],
            accumulate: false,
            activation: Activation::Identity,
            input: square,
            output: square,
            rows: 16,
            cols: 16,
            in_step: [1, 1],
            out_step: [1, 1],
            out_offset: [0, 0],
        };
        let expansion = dispatch::expansion(&dispatch::best());
        let form = expansion.and_then(|kernels| (kernels.form)(&convolution).map(|form| (kernels, form)));
        let Some((kernels, form)) = form else {
            std::println!("skipped: this CPU has no expanded weights");
            return;
        };
        let kernels = pocketgan_kernels::ExpansionKernels {
            tap_gemm: |_, gemm, _, _| assert_eq!(gemm.bias.len(), N, "the weights of all channels"),
            ..kernels
        };
        let line = Pixels { height: 1, width: 1, channels: N, pixel_stride: N };
        let taps = &[[0, 0]];
        let weights = Panels::F16(&weights);
        let gemm = TapGemm {
            taps,
            weights,
            bias: &bias,
            input: line,
            output: line,
            rows: 1,
            cols: 1,
            ..convolution
        };
        let operation = Operation::TapGemm { gemm, input: 0, output: N, values: ValueType::F32 };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().expect("two threads can be had");
        let (mut arena, mut expected) = ([1.0; 2 * N], [1.0; 2 * N]);
        operation.run(&reference::KERNELS, None, &mut expected, 2 * N);
        let expanded = Some(Expanded { kernels, form, weights: &[] });
        operation.run_in(&pool, &reference::KERNELS, expanded, &mut arena, 2 * N);
        assert_eq!(arena, expected);
    }
}
