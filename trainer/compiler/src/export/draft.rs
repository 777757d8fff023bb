//! A program whose buffers have no place yet: steps, what they read and write, and for how long that is needed.

use anyhow::{Context, Result, bail, ensure};
use pocketgan_format::{
    Activation, Axis, Buffer, Combine, Function, MAX_FILE_BYTES, MAX_STEPS, MAX_TAPS, NestStep, Operand,
    Step, Tap, TapGemmStep, TensorData, ValueType,
};

use super::arena::{self, Lifetime};
use super::panels::rows;
use super::phases::Phase;
use super::quantize::WeightType;
use super::view::{Memory, View};

/// Steps in order, with arena offsets relative to the buffers they name.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    pub(crate) layers: Vec<String>,
    /// Name of the layer that the next step begins.
    next_layer: Option<String>,
    pub(crate) tensors: Vec<TensorData>,
    pub(crate) taps: Vec<Tap>,
    pub(crate) axes: Vec<Axis>,
    steps: Vec<(Step, Buffers)>,
    buffers: Vec<Option<Lifetime>>,
    lengths: Vec<usize>,
    /// How the values of each buffer are stored.
    types: Vec<ValueType>,
}

/// The buffers behind a step's operands.
#[derive(Debug, Default)]
struct Buffers {
    reads: [Option<usize>; 3],
    writes: usize,
}

/// A loop nest over `shape`, whose views all have that shape; the output's stride is 0 along `reduced` axes.
pub(crate) struct Nest<'a> {
    pub(crate) function: Function,
    pub(crate) combine: Combine,
    pub(crate) a: &'a View,
    /// None for functions of one value.
    pub(crate) b: Option<&'a View>,
    /// Added to the function's value; it has the strides of `b`.
    pub(crate) shift: Option<&'a View>,
    /// Applied last.
    pub(crate) activation: Activation,
    pub(crate) out: &'a View,
    pub(crate) reduced: &'a [usize],
    /// Elements of the table, and values from one to the next, of a gather.
    pub(crate) table: Option<(usize, isize)>,
}

impl Draft {
    /// A new buffer of so many values.
    pub(crate) fn buffer(&mut self, len: usize, values: ValueType) -> Memory {
        self.types.push(values);
        self.buffers.push(None);
        self.lengths.push(len);
        Memory::Buffer(self.lengths.len() - 1)
    }

    /// How the values behind a view are stored in the arena; what lies in the file is none of its concern.
    pub(crate) fn value_type(&self, memory: Memory) -> ValueType {
        match memory {
            Memory::Buffer(buffer) => self.types[buffer],
            Memory::Tensor(_) | Memory::Scalar(_) => ValueType::F32,
        }
    }

    /// Steps from here on belong to a layer of this name.
    pub(crate) fn layer(&mut self, name: &str) {
        // Commas separate the names in the file.
        self.next_layer = Some(name.replace(',', " "));
    }

    /// Whether nothing is computed yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Says that a buffer holds something from before the first step, or beyond the last.
    pub(crate) fn hold(&mut self, memory: Memory, until_end: bool) {
        if let Memory::Buffer(buffer) = memory {
            self.touch(buffer, if until_end { self.steps.len() } else { 0 });
        }
    }

    /// Adds values to the file, in rows of 8.
    pub(crate) fn tensor(&mut self, values: &[f32], weights: WeightType) -> Memory {
        self.tensors.push(rows(values, weights));
        Memory::Tensor(self.tensors.len() - 1)
    }

    /// Adds the weights and the bias of a layer; returns the index of the former, which the latter follows.
    pub(crate) fn layer_weights(&mut self, weights: TensorData, bias: &[f32]) -> Result<u32> {
        let index = u32::try_from(self.tensors.len())?;
        let new = [weights, rows(bias, WeightType::F32)];
        // What a file may hold is checked at each step: a layer may ask for more than fits into memory.
        let bytes: usize = self.tensors.iter().chain(&new).map(TensorData::byte_len).sum();
        ensure!(bytes <= MAX_FILE_BYTES as usize, "the weights exceed {MAX_FILE_BYTES} bytes");
        self.tensors.extend(new);
        Ok(index)
    }

    /// Appends a tap GEMM with weights from [`layer_weights`](Self::layer_weights), which adds to what lies in the output if it
    /// accumulates. The buffers' offsets are in bytes from the start of `input` and `output`.
    pub(crate) fn gemm(
        &mut self,
        activation: Activation,
        phase: &Phase,
        weights: u32,
        [input, output]: [(Memory, Buffer); 2],
        accumulate: bool,
    ) -> Result<()> {
        let first_tap = u32::try_from(self.taps.len())?;
        let taps = self.taps.len().saturating_add(phase.taps.len());
        ensure!(taps <= MAX_TAPS as usize, "more than {MAX_TAPS} taps");
        for tap in &phase.taps {
            self.taps.push([i16::try_from(tap.offset[0])?, i16::try_from(tap.offset[1])?]);
        }
        if phase.taps.is_empty() {
            // The format wants a tap; its weights are zero.
            self.taps.push([0, 0]);
        }
        let pair = |[a, b]: [usize; 2]| -> Result<[u8; 2]> { Ok([u8::try_from(a)?, u8::try_from(b)?]) };
        let (Memory::Buffer(reads), Memory::Buffer(writes)) = (input.0, output.0) else {
            bail!("a tap GEMM works in the arena");
        };
        ensure!(self.types[reads] == self.types[writes], "a tap GEMM reads and writes values of one type");
        let step = TapGemmStep {
            accumulate,
            activation,
            layer: 0,
            first_tap,
            tap_count: u32::try_from(self.taps.len())? - first_tap,
            weights,
            bias: weights + 1,
            input: input.1,
            output: output.1,
            rows: u16::try_from(phase.positions[0])?,
            cols: u16::try_from(phase.positions[1])?,
            in_step: pair(phase.in_step).context("a stride exceeds 255")?,
            out_step: pair(phase.out_step).context("a stride exceeds 255")?,
            out_offset: [u16::try_from(phase.out_offset[0])?, u16::try_from(phase.out_offset[1])?],
            values: self.types[writes],
        };
        self.push(Step::TapGemm(step), Buffers { reads: [Some(reads), None, None], writes })
    }

    /// Appends a loop nest.
    pub(crate) fn nest(&mut self, nest: &Nest<'_>) -> Result<()> {
        let first_axis = u32::try_from(self.axes.len())?;
        let (mut axes, reduced) = loops(nest)?;
        if let Some((extent, stride)) = nest.table {
            axes.push(Axis { extent: u32::try_from(extent)?, a: i32::try_from(stride)?, b: 0, out: 0 });
        }
        let axis_count = u8::try_from(axes.len())?;
        self.axes.extend(axes);
        let (a, reads_a) = self.operand(nest.a)?;
        let (b, reads_b) = nest.b.map_or(Ok((Operand::Scalar(0.0), None)), |b| self.operand(b))?;
        let (shift, reads_shift) = match nest.shift.map(|shift| self.operand(shift)).transpose()? {
            Some((shift, reads)) => (Some(shift), reads),
            None => (None, None),
        };
        let Memory::Buffer(writes) = nest.out.memory else { bail!("a loop nest writes to the arena") };
        let step = NestStep {
            shift,
            activation: nest.activation,
            function: nest.function,
            combine: nest.combine,
            layer: 0,
            first_axis,
            axis_count,
            reduced,
            a,
            b,
            output: self.offset(nest.out)?,
            output_values: self.types[writes],
        };
        self.push(Step::Nest(step), Buffers { reads: [reads_a, reads_b, reads_shift], writes })
    }

    /// Gives every buffer its place; returns the steps, the arena's size in bytes, and each buffer's offset.
    pub(crate) fn place(&mut self) -> Result<(Vec<Step>, usize, Vec<usize>)> {
        let lifetimes: Vec<Lifetime> =
            self.buffers.iter().map(|l| l.unwrap_or(Lifetime { first: 0, last: 0, bytes: 0 })).collect();
        let plan = arena::plan(&lifetimes);
        let offset =
            |buffer: usize| u32::try_from(plan.offsets[buffer]).context("the arena exceeds 2^32 bytes");
        let place = |operand: &mut Operand, buffer: Option<usize>| -> Result<()> {
            if let (
                Operand::Arena { offset: relative } | Operand::ArenaF16 { offset: relative },
                Some(buffer),
            ) = (operand, buffer)
            {
                *relative += offset(buffer)?;
            }
            Ok(())
        };
        let mut steps = Vec::with_capacity(self.steps.len());
        for (step, Buffers { reads, writes }) in core::mem::take(&mut self.steps) {
            steps.push(match step {
                Step::TapGemm(mut step) => {
                    step.input.offset += offset(reads[0].context("a tap GEMM reads the arena")?)?;
                    step.output.offset += offset(writes)?;
                    Step::TapGemm(step)
                }
                Step::Nest(mut step) => {
                    place(&mut step.a, reads[0])?;
                    place(&mut step.b, reads[1])?;
                    if let Some(shift) = &mut step.shift {
                        place(shift, reads[2])?;
                    }
                    step.output += offset(writes)?;
                    Step::Nest(step)
                }
            });
        }
        Ok((steps, plan.bytes, plan.offsets))
    }

    fn push(&mut self, mut step: Step, buffers: Buffers) -> Result<()> {
        self.layers.extend(self.next_layer.take());
        let last = u16::try_from(self.layers.len().saturating_sub(1)).context("more than 65,535 layers")?;
        match &mut step {
            Step::TapGemm(step) => step.layer = last,
            Step::Nest(step) => step.layer = last,
        }
        let index = self.steps.len();
        ensure!(index < MAX_STEPS as usize, "more than {MAX_STEPS} steps");
        buffers.reads.into_iter().flatten().chain([buffers.writes]).for_each(|b| self.touch(b, index));
        self.steps.push((step, buffers));
        Ok(())
    }

    fn touch(&mut self, buffer: usize, step: usize) {
        let bytes = self.types[buffer].bytes() as usize * self.lengths[buffer];
        let lifetime = self.buffers[buffer].get_or_insert(Lifetime { first: step, last: step, bytes });
        lifetime.first = lifetime.first.min(step);
        lifetime.last = lifetime.last.max(step);
    }

    /// Of a view's first value, in bytes from the start of its buffer.
    pub(crate) fn offset(&self, view: &View) -> Result<u32> {
        let bytes = self.value_type(view.memory).bytes() as usize * view.start;
        u32::try_from(bytes).context("a buffer exceeds 2^32 bytes")
    }

    fn operand(&self, view: &View) -> Result<(Operand, Option<usize>)> {
        Ok(match view.memory {
            Memory::Buffer(buffer) => {
                let offset = self.offset(view)?;
                let operand = match self.types[buffer] {
                    ValueType::F32 => Operand::Arena { offset },
                    ValueType::F16 => Operand::ArenaF16 { offset },
                };
                (operand, Some(buffer))
            }
            Memory::Tensor(index) => {
                let start = u32::try_from(view.start)?;
                (Operand::Tensor { index: u32::try_from(index)?, start }, None)
            }
            Memory::Scalar(bits) => (Operand::Scalar(f32::from_bits(bits)), None),
        })
    }
}

/// The loops of a nest, outer to inner: those that the output has in its order in memory, then the reduced ones in the
/// order of what is read. The shift goes along with the second operand. Loops of one iteration vanish, and two that run through memory as one become one.
fn loops(nest: &Nest<'_>) -> Result<(Vec<Axis>, u8)> {
    // Where the second operand is one value, or missing, its strides are the shift's.
    let second = nest.b.filter(|b| !matches!(b.memory, Memory::Scalar(_))).or(nest.shift).or(nest.b);
    let is_reduced = |axis: &usize| nest.reduced.contains(axis);
    let outer = nest.out.order().into_iter().filter(|axis| !is_reduced(axis));
    let inner = nest.a.order().into_iter().filter(is_reduced);
    let mut merged: Vec<(Axis, bool)> = Vec::new();
    for axis in outer.chain(inner) {
        let stride = |view: &View| match view.memory {
            Memory::Scalar(_) => Ok(0),
            _ => i32::try_from(view.strides[axis]).context("a stride exceeds 31 bits"),
        };
        let next = Axis {
            extent: u32::try_from(nest.a.shape[axis])?,
            a: stride(nest.a)?,
            b: second.map_or(Ok(0), stride)?,
            out: if is_reduced(&axis) { 0 } else { stride(nest.out)? },
        };
        if next.extent == 1 {
            continue;
        }
        match merged.last_mut() {
            Some((last, reduced)) if *reduced == is_reduced(&axis) && continues(last, &next) => {
                *last = Axis { extent: last.extent * next.extent, ..next };
            }
            _ => merged.push((next, is_reduced(&axis))),
        }
    }
    ensure!(
        merged.len() <= MAX_AXES,
        "{} loops that cannot be merged, the format allows {MAX_AXES}",
        merged.len()
    );
    let reduced = merged.iter().filter(|(_, reduced)| *reduced).count();
    Ok((merged.into_iter().map(|(axis, _)| axis).collect(), u8::try_from(reduced)?))
}

/// Whether the outer loop goes on where the inner one ends.
fn continues(outer: &Axis, inner: &Axis) -> bool {
    let extent = i64::from(inner.extent);
    [(outer.a, inner.a), (outer.b, inner.b), (outer.out, inner.out)]
        .into_iter()
        .all(|(outer, inner)| i64::from(outer) == i64::from(inner) * extent)
        && u64::from(outer.extent) * u64::from(inner.extent) <= u64::from(u32::MAX)
}

/// Loops of one step.
const MAX_AXES: usize = 8;
