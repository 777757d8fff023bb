//! The record of a loop nest, decoded, and the rules that its views keep.

use core::ops::Deref;

use crate::layout::{MAX_AXES, f32_at, u16_at, u32_at};
use crate::step::{Activation, KIND_NEST, ValueType};

/// One axis of a loop nest; strides in values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Axis {
    /// Positions, at least 1.
    pub extent: u32,
    /// Stride of the first operand.
    pub a: i32,
    /// Stride of the second operand.
    pub b: i32,
    /// Stride of the result; zero for a reduced axis.
    pub out: i32,
}

/// What a loop nest computes from each pair of values; FORMAT.md says what each means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Function {
    /// `a`
    Identity = 0,
    /// `max(a, 0)`
    Relu = 1,
    /// Hyperbolic tangent.
    Tanh = 2,
    /// Logistic function.
    Sigmoid = 3,
    /// `|a|`
    Abs = 4,
    /// `e^a`
    Exp = 5,
    /// Natural logarithm.
    Log = 6,
    /// Square root.
    Sqrt = 7,
    /// The next integer down.
    Floor = 8,
    /// The next integer up.
    Ceil = 9,
    /// The nearest integer; of two, the even one.
    Round = 10,
    /// -1, 0 or 1.
    Sign = 11,
    /// Sine.
    Sin = 12,
    /// Cosine.
    Cos = 13,
    /// Tangent.
    Tan = 14,
    /// Inverse sine.
    Asin = 15,
    /// Inverse cosine.
    Acos = 16,
    /// Inverse tangent.
    Atan = 17,
    /// Hyperbolic sine.
    Sinh = 18,
    /// Hyperbolic cosine.
    Cosh = 19,
    /// Inverse hyperbolic sine.
    Asinh = 20,
    /// Inverse hyperbolic cosine.
    Acosh = 21,
    /// Inverse hyperbolic tangent.
    Atanh = 22,
    /// Error function.
    Erf = 23,
    /// `a + b`
    Add = 128,
    /// `a - b`
    Sub = 129,
    /// `a * b`
    Mul = 130,
    /// `a / b`
    Div = 131,
    /// The larger.
    Max = 132,
    /// The smaller.
    Min = 133,
    /// `a` to the power of `b`.
    Pow = 134,
    /// Remainder of `a / b`, with the sign of `a`.
    Rem = 135,
    /// 1 where `a < b`, else 0.
    Less = 136,
    /// 1 where `a <= b`, else 0.
    LessEqual = 137,
    /// 1 where `a == b`, else 0.
    Equal = 138,
    /// `a` where positive, else `b * a`.
    PRelu = 139,
    /// Writes `b` where `a` is not 0, and nothing elsewhere.
    Select = 140,
    /// The entry with index `b` of the table at `a`.
    Take = 141,
    /// `e^(a - b)`.
    ExpSub = 142,
}

/// The axes of one step, in order.
#[derive(Clone, Copy, Debug, Default)]
pub struct Axes {
    axes: [Axis; MAX_AXES + 1],
    len: usize,
}

/// How the values of the reduced axes become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Combine {
    /// `x + y`
    Sum = 0,
    /// `x * y`
    Product = 1,
    /// The larger.
    Max = 2,
    /// The smaller.
    Min = 3,
}

/// Where an operand is read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Operand {
    /// In the arena.
    Arena {
        /// Of the first value, in bytes, a multiple of 4.
        offset: u32,
    },
    /// In the arena, in half precision; strides count halves.
    ArenaF16 {
        /// Of the first value, in bytes, a multiple of 2.
        offset: u32,
    },
    /// In a tensor, whose rows follow each other without a gap.
    Tensor {
        /// Index of the tensor.
        index: u32,
        /// Of the first value, in values.
        start: u32,
    },
    /// One value for all positions; strides do not matter. It may be infinite.
    Scalar(f32),
}

/// One loop nest; see FORMAT.md.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NestStep {
    /// Applied to each pair of values.
    pub function: Function,
    /// Joins the function's values over the reduced axes.
    pub combine: Combine,
    /// Which layer of the network this is a part of.
    pub layer: u16,
    /// Index of the first axis, the outermost.
    pub first_axis: u32,
    /// Number of axes, the table of [`Function::Take`] included.
    pub axis_count: u8,
    /// How many of the iterated axes are reduced, counted from the innermost.
    pub reduced: u8,
    /// The first operand.
    pub a: Operand,
    /// The second operand; `Scalar(0.0)` for a function of one.
    pub b: Operand,
    /// Added to the function's value, with the strides of `b`; only where nothing is reduced.
    pub shift: Option<Operand>,
    /// Applied last; only where nothing is reduced.
    pub activation: Activation,
    /// Arena offset of the result's first value, in bytes, a multiple of a value's size.
    pub output: u32,
    /// How the result's values are stored, in which its strides are counted.
    pub output_values: ValueType,
}

impl Function {
    /// Every function.
    pub const ALL: [Self; 39] = {
        use Function::*;
        [
            Identity, Relu, Tanh, Sigmoid, Abs, Exp, Log, Sqrt, Floor, Ceil, Round, Sign, Sin, Cos, Tan,
            Asin, Acos, Atan, Sinh, Cosh, Asinh, Acosh, Atanh, Erf, Add, Sub, Mul, Div, Max, Min, Pow, Rem,
            Less, LessEqual, Equal, PRelu, Select, Take, ExpSub,
        ]
    };

    /// Whether it has one operand only.
    pub fn is_unary(self) -> bool {
        (self as u8) < 128
    }

    fn decode(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|&function| function as u8 == code)
    }
}

impl Operand {
    fn decode(record: &[u8], at: usize) -> Option<Self> {
        let [x, y] = [at + 4, at + 8].map(|at| u32_at(record, at));
        match u32_at(record, at) {
            0 if y == 0 => Some(Self::Arena { offset: x }),
            1 => Some(Self::Tensor { index: x, start: y }),
            2 if y == 0 => Some(Self::Scalar(f32_at(record, at + 4))),
            3 if y == 0 => Some(Self::ArenaF16 { offset: x }),
            _ => None,
        }
    }

    #[cfg(feature = "alloc")]
    fn encode(self) -> [u8; 12] {
        let words = match self {
            Self::Arena { offset } => [0, offset, 0],
            Self::Tensor { index, start } => [1, index, start],
            Self::Scalar(value) => [2, value.to_bits(), 0],
            Self::ArenaF16 { offset } => [3, offset, 0],
        };
        bytemuck::cast(words.map(u32::to_le))
    }
}

impl Axis {
    pub(crate) fn decode(record: &[u8]) -> Self {
        let stride = |at| u32_at(record, at).cast_signed();
        Self { extent: u32_at(record, 0), a: stride(4), b: stride(8), out: stride(12) }
    }

    #[cfg(feature = "alloc")]
    pub(crate) fn encode(&self) -> [u8; crate::layout::AXIS_BYTES] {
        let words = [self.extent, self.a.cast_unsigned(), self.b.cast_unsigned(), self.out.cast_unsigned()];
        bytemuck::cast(words.map(u32::to_le))
    }
}

impl NestStep {
    /// The axes that are iterated: all but the table of [`Function::Take`]. `axes` are those of this step.
    pub fn iterated<'a>(&self, axes: &'a [Axis]) -> &'a [Axis] {
        match axes.split_last() {
            Some((_, iterated)) if self.function == Function::Take => iterated,
            _ => axes,
        }
    }

    /// Times that the function is computed. `axes` are those of this step.
    pub fn iterations(&self, axes: &[Axis]) -> u64 {
        let extents = self.iterated(axes).iter().map(|axis| u64::from(axis.extent));
        extents.fold(1, u64::saturating_mul)
    }

    /// Multiply-accumulates: the iterations, where products are reduced. `axes` are those of this step.
    pub fn macs(&self, axes: &[Axis]) -> u64 {
        if self.function == Function::Mul && self.reduced > 0 { self.iterations(axes) } else { 0 }
    }

    /// Reads one record; `Err` names the field that has no meaning.
    pub(crate) fn decode(record: &[u8]) -> Result<Self, &'static str> {
        let &[kind, function, _, _, combine, axis_count, reduced, output_values, ..] = record else {
            return Err("kind");
        };
        if kind != KIND_NEST {
            return Err("kind");
        }
        let &[_, activation, shifted, 0, 0, ..] = record.get(39..).unwrap_or(&[]) else {
            return Err("reserved");
        };
        let shift = record.get(48..60).unwrap_or(&[]);
        if shifted > 1
            || record.iter().skip(60).chain(shift.iter().filter(|_| shifted == 0)).any(|&byte| byte != 0)
        {
            return Err("reserved");
        }
        let combine = match combine {
            0 => Combine::Sum,
            1 => Combine::Product,
            2 => Combine::Max,
            3 => Combine::Min,
            _ => return Err("combine"),
        };
        Ok(Self {
            function: Function::decode(function).ok_or("function")?,
            combine,
            layer: u16_at(record, 2),
            first_axis: u32_at(record, 8),
            axis_count,
            reduced,
            a: Operand::decode(record, 16).ok_or("a")?,
            b: Operand::decode(record, 28).ok_or("b")?,
            shift: match shifted {
                0 => None,
                _ => Some(Operand::decode(record, 48).ok_or("shift")?),
            },
            activation: Activation::decode(activation, f32_at(record, 44))?,
            output: u32_at(record, 12),
            output_values: ValueType::decode(output_values).ok_or("output_values")?,
        })
    }

    /// The record of this step.
    #[cfg(feature = "alloc")]
    pub(crate) fn encode(&self) -> [u8; crate::layout::STEP_BYTES] {
        let mut record = [0; crate::layout::STEP_BYTES];
        let mut put = |at: usize, bytes: &[u8]| record[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &[KIND_NEST, self.function as u8]);
        put(2, &self.layer.to_le_bytes());
        put(4, &[self.combine as u8, self.axis_count, self.reduced, self.output_values as u8]);
        put(8, &self.first_axis.to_le_bytes());
        put(12, &self.output.to_le_bytes());
        put(16, &self.a.encode());
        put(28, &self.b.encode());
        let (activation, slope) = self.activation.encode();
        put(40, &[activation, self.shift.is_some().into()]);
        put(44, &slope.to_le_bytes());
        if let Some(shift) = self.shift {
            put(48, &shift.encode());
        }
        record
    }

    /// Checks the step against its axes, the arena and the tensors it names; `Err` names the field that is wrong.
    ///
    /// `tensor_len` gives the values of a tensor, if there is one of that index.
    pub(crate) fn check(
        &self,
        axes: &[Axis],
        arena_len: u64,
        tensor_len: impl Fn(u32) -> Option<u64>,
    ) -> Result<(), &'static str> {
        let takes = self.function == Function::Take;
        if axes.len() != self.axis_count.into() || (takes && axes.is_empty()) {
            return Err("axis_count");
        }
        let iterated = self.iterated(axes);
        let Some(kept) = iterated.len().checked_sub(self.reduced.into()) else { return Err("reduced") };
        if self.reduced > 0 && (takes || self.function == Function::Select) {
            return Err("reduced");
        }
        let plain = self.shift.is_none() && self.activation == Activation::Identity;
        if !plain && (self.reduced > 0 || takes || self.function == Function::Select) {
            return Err("activation");
        }
        let mut table_and_reduced = axes.iter().skip(kept);
        if iterated.len() > MAX_AXES
            || axes.iter().any(|axis| axis.extent == 0)
            || table_and_reduced.any(|axis| axis.out != 0 || (takes && axis.b != 0))
        {
            return Err("axes");
        }
        if self.function.is_unary() && !matches!(self.b, Operand::Scalar(b) if b.to_bits() == 0) {
            return Err("b");
        }
        let out = words(self.output, self.output_values, axes, |axis| axis.out, arena_len).ok_or("output")?;
        let in_place = |offset: u32, values: ValueType, stride: fn(&Axis) -> i32| {
            offset == self.output
                && values == self.output_values
                && self.reduced == 0
                && !takes
                && axes.iter().all(|axis| axis.extent == 1 || stride(axis) == axis.out)
                && writes_each_once(axes)
        };
        let strides: [fn(&Axis) -> i32; 3] = [|axis| axis.a, |axis| axis.b, |axis| axis.b];
        let operands = [self.a, self.b, self.shift.unwrap_or(Operand::Scalar(0.0))];
        for ((operand, stride), name) in operands.into_iter().zip(strides).zip(["a", "b", "shift"]) {
            match operand {
                Operand::Arena { offset } | Operand::ArenaF16 { offset } => {
                    let values = match operand {
                        Operand::ArenaF16 { .. } => ValueType::F16,
                        _ => ValueType::F32,
                    };
                    let (first, last) = words(offset, values, axes, stride, arena_len).ok_or(name)?;
                    if first <= out.1 && out.0 <= last && !in_place(offset, values, stride) {
                        return Err("output");
                    }
                }
                Operand::Tensor { index, start } => {
                    let len = tensor_len(index).ok_or(name)?;
                    range(start.into(), axes, stride, len).ok_or(name)?;
                }
                Operand::Scalar(_) => {}
            }
        }
        Ok(())
    }
}

impl Axes {
    /// As many of `records` as a step may have.
    pub(crate) fn decode<'a>(records: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut axes = Self::default();
        for (axis, record) in axes.axes.iter_mut().zip(records) {
            *axis = Axis::decode(record);
            axes.len += 1;
        }
        axes
    }
}

impl Deref for Axes {
    type Target = [Axis];

    fn deref(&self) -> &[Axis] {
        self.axes.get(..self.len).unwrap_or(&[])
    }
}

/// The first and the last word of the arena that a view at `offset` bytes touches, if it stays inside.
fn words(
    offset: u32,
    values: ValueType,
    axes: &[Axis],
    stride: fn(&Axis) -> i32,
    arena_len: u64,
) -> Option<(u64, u64)> {
    let per_word = u64::from(4 / values.bytes());
    let start = offset.is_multiple_of(values.bytes()).then_some(u64::from(offset / values.bytes()))?;
    let (least, greatest) = range(start, axes, stride, per_word * arena_len)?;
    Some((least / per_word, greatest / per_word))
}

/// The least and the greatest index of a view, if it stays inside `0..len`.
fn range(start: u64, axes: &[Axis], stride: fn(&Axis) -> i32, len: u64) -> Option<(u64, u64)> {
    let (mut below, mut above) = (0_u64, 0_u64);
    for axis in axes {
        // Less than 2^63 each; a sum that saturates lies outside anyway.
        let reach = u64::from(axis.extent.saturating_sub(1)) * u64::from(stride(axis).unsigned_abs());
        let side = if stride(axis) < 0 { &mut below } else { &mut above };
        *side = side.saturating_add(reach);
    }
    let (least, greatest) = (start.checked_sub(below)?, start.saturating_add(above));
    (greatest < len).then_some((least, greatest))
}

/// Whether the result's view is seen to name no value twice: every stride is longer than all shorter ones reach together.
fn writes_each_once(axes: &[Axis]) -> bool {
    let length = |(i, axis): (usize, &Axis)| (axis.out.unsigned_abs(), i);
    axes.iter().enumerate().filter(|(_, axis)| axis.extent > 1).all(|this| {
        let shorter = axes.iter().enumerate().filter(|&other| length(other) < length(this));
        let reach = shorter.fold(0_u64, |sum, (_, axis)| {
            sum.saturating_add(u64::from(axis.out.unsigned_abs()) * u64::from(axis.extent.saturating_sub(1)))
        });
        u64::from(this.1.out.unsigned_abs()) > reach
    })
}
