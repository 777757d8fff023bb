//! The records of the tables, decoded.

use half::f16;

use crate::layout::{STEP_BYTES, f32_at, u16_at, u32_at};
use crate::{NestStep, PANEL};

/// Rows down and columns to the right: `[dy, dx]`.
pub type Tap = [i16; 2];

/// The function applied to each output value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activation {
    /// `x`
    Identity,
    /// `max(x, 0)`
    Relu,
    /// `x` where positive, else `slope * x`
    LeakyRelu(f32),
    /// Hyperbolic tangent.
    Tanh,
    /// Logistic function.
    Sigmoid,
}

/// Channels-last pixels in the arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffer {
    /// Arena offset in bytes, a multiple of a value's size.
    pub offset: u32,
    /// Rows.
    pub height: u16,
    /// Columns.
    pub width: u16,
    /// Values of each pixel that belong to this buffer.
    pub channels: u16,
    /// Values from one pixel to the next.
    pub pixel_stride: u16,
}

/// One operation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step {
    /// Dense, convolution, and each phase of a transposed convolution.
    TapGemm(TapGemmStep),
    /// Everything else.
    Nest(NestStep),
}

/// One tap GEMM; see FORMAT.md.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TapGemmStep {
    /// Applied last.
    pub activation: Activation,
    /// Whether what lies in the output is added to the sum.
    pub accumulate: bool,
    /// Which layer of the network this is a part of.
    pub layer: u16,
    /// Index of the first tap.
    pub first_tap: u32,
    /// Number of taps.
    pub tap_count: u32,
    /// Tensor index of the weights.
    pub weights: u32,
    /// Tensor index of the bias.
    pub bias: u32,
    /// What is read.
    pub input: Buffer,
    /// What is written.
    pub output: Buffer,
    /// Positions computed, down.
    pub rows: u16,
    /// Positions computed, across.
    pub cols: u16,
    /// Input pixels from one position to the next, down and across.
    pub in_step: [u8; 2],
    /// Output pixels from one position to the next, down and across.
    pub out_step: [u8; 2],
    /// First output pixel, down and across.
    pub out_offset: [u16; 2],
    /// How the values of input and output are stored.
    pub values: ValueType,
}

/// How values are stored: activations in the arena, or a tensor's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum ValueType {
    /// Single precision.
    #[default]
    F32 = 0,
    /// Half precision; arithmetic is in single precision.
    F16 = 1,
}

/// Rows of 8 values, in place.
#[derive(Clone, Copy, Debug)]
pub enum Tensor<'a> {
    /// Half precision.
    F16(&'a [[f16; PANEL]]),
    /// Single precision.
    F32(&'a [[f32; PANEL]]),
}

pub(crate) const KIND_TAP_GEMM: u8 = 1;
pub(crate) const KIND_NEST: u8 = 2;

impl Step {
    /// Which layer of the network this is a part of.
    pub fn layer(&self) -> u16 {
        match self {
            Self::TapGemm(step) => step.layer,
            Self::Nest(step) => step.layer,
        }
    }

    /// Reads one record; `Err` names the field that has no meaning.
    pub(crate) fn decode(record: &[u8]) -> Result<Self, &'static str> {
        match record.first() {
            Some(&KIND_NEST) => NestStep::decode(record).map(Self::Nest),
            _ => TapGemmStep::decode(record).map(Self::TapGemm),
        }
    }

    /// The record of this step.
    #[cfg(feature = "alloc")]
    pub(crate) fn encode(&self) -> [u8; STEP_BYTES] {
        match self {
            Self::TapGemm(step) => step.encode(),
            Self::Nest(step) => step.encode(),
        }
    }
}

impl Activation {
    /// `Err` names the field that has no meaning.
    pub(crate) fn decode(code: u8, slope: f32) -> Result<Self, &'static str> {
        let activation = match code {
            0 => Self::Identity,
            1 => Self::Relu,
            2 => Self::LeakyRelu(slope),
            3 => Self::Tanh,
            4 => Self::Sigmoid,
            _ => return Err("activation"),
        };
        if !slope.is_finite() || (!matches!(activation, Self::LeakyRelu(_)) && slope.to_bits() != 0) {
            return Err("slope");
        }
        Ok(activation)
    }

    /// Code and slope.
    #[cfg(feature = "alloc")]
    pub(crate) fn encode(self) -> (u8, f32) {
        match self {
            Self::Identity => (0, 0.0),
            Self::Relu => (1, 0.0),
            Self::LeakyRelu(slope) => (2, slope),
            Self::Tanh => (3, 0.0),
            Self::Sigmoid => (4, 0.0),
        }
    }
}

impl ValueType {
    /// Size of one value.
    pub fn bytes(self) -> u32 {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
        }
    }

    pub(crate) fn decode(code: u8) -> Option<Self> {
        [Self::F32, Self::F16].into_iter().find(|&value_type| value_type as u8 == code)
    }
}

impl Buffer {
    /// Values from the first to the last that belong to the buffer.
    pub fn len(&self) -> usize {
        let pixels = usize::from(self.height) * usize::from(self.width);
        pixels.saturating_sub(1) * usize::from(self.pixel_stride) + usize::from(self.channels)
    }

    /// Whether it has no pixel or no channel.
    pub fn is_empty(&self) -> bool {
        self.height == 0 || self.width == 0 || self.channels == 0
    }

    fn decode(bytes: &[u8], at: usize) -> Self {
        Self {
            offset: u32_at(bytes, at),
            height: u16_at(bytes, at + 4),
            width: u16_at(bytes, at + 6),
            channels: u16_at(bytes, at + 8),
            pixel_stride: u16_at(bytes, at + 10),
        }
    }
}

impl TapGemmStep {
    /// Multiply-accumulates, those of taps that fall outside included.
    pub fn macs(&self) -> u64 {
        let positions = u64::from(self.rows) * u64::from(self.cols);
        let products = u64::from(self.input.channels) * u64::from(self.output.channels);
        // 2^32 * 2^32 * 2^16 may exceed 64 bits; such a step exceeds every limit anyway.
        positions.saturating_mul(products).saturating_mul(u64::from(self.tap_count))
    }

    /// Reads one record; `Err` names the field that has no meaning.
    pub(crate) fn decode(record: &[u8]) -> Result<Self, &'static str> {
        let &[kind, activation, ..] = record else { return Err("kind") };
        if kind != KIND_TAP_GEMM {
            return Err("kind");
        }
        let activation = Activation::decode(activation, f32_at(record, 4))?;
        let [.., values, accumulate, a, b] = record else { return Err("reserved") };
        if *accumulate > 1 || [a, b] != [&0; 2] {
            return Err("reserved");
        }
        let values = ValueType::decode(*values).ok_or("values")?;
        let byte = |at: usize| record.get(at).copied().unwrap_or(0);
        Ok(Self {
            activation,
            accumulate: *accumulate == 1,
            layer: u16_at(record, 2),
            first_tap: u32_at(record, 8),
            tap_count: u32_at(record, 12),
            weights: u32_at(record, 16),
            bias: u32_at(record, 20),
            input: Buffer::decode(record, 24),
            output: Buffer::decode(record, 36),
            rows: u16_at(record, 48),
            cols: u16_at(record, 50),
            in_step: [byte(52), byte(53)],
            out_step: [byte(54), byte(55)],
            out_offset: [u16_at(record, 56), u16_at(record, 58)],
            values,
        })
    }

    /// The record of this step.
    #[cfg(feature = "alloc")]
    pub(crate) fn encode(&self) -> [u8; STEP_BYTES] {
        let mut record = [0; STEP_BYTES];
        let mut put = |at: usize, bytes: &[u8]| record[at..at + bytes.len()].copy_from_slice(bytes);
        let (code, slope) = self.activation.encode();
        put(0, &[KIND_TAP_GEMM, code]);
        put(2, &self.layer.to_le_bytes());
        put(4, &slope.to_le_bytes());
        let words = [self.first_tap, self.tap_count, self.weights, self.bias];
        for (i, word) in words.iter().enumerate() {
            put(8 + 4 * i, &word.to_le_bytes());
        }
        for (at, buffer) in [(24, &self.input), (36, &self.output)] {
            put(at, &buffer.offset.to_le_bytes());
            let extents = [buffer.height, buffer.width, buffer.channels, buffer.pixel_stride];
            for (i, extent) in extents.iter().enumerate() {
                put(at + 4 + 2 * i, &extent.to_le_bytes());
            }
        }
        put(48, &self.rows.to_le_bytes());
        put(50, &self.cols.to_le_bytes());
        put(52, &self.in_step);
        put(54, &self.out_step);
        put(56, &self.out_offset[0].to_le_bytes());
        put(58, &self.out_offset[1].to_le_bytes());
        put(60, &[self.values as u8, self.accumulate.into()]);
        record
    }
}

impl Tensor<'_> {
    /// Rows of 8 values.
    pub fn rows(&self) -> usize {
        match self {
            Self::F16(rows) => rows.len(),
            Self::F32(rows) => rows.len(),
        }
    }

    /// How its values are stored.
    pub fn value_type(&self) -> ValueType {
        match self {
            Self::F16(_) => ValueType::F16,
            Self::F32(_) => ValueType::F32,
        }
    }

    /// Size in the file.
    pub fn bytes(&self) -> usize {
        match self {
            Self::F16(rows) => size_of_val(*rows),
            Self::F32(rows) => size_of_val(*rows),
        }
    }
}

const _: () = assert!(STEP_BYTES == 64);
