//! What a name of an ONNX graph stands for while the graph is imported.

use std::rc::Rc;

use anyhow::{Context, Result, bail};

use super::tensor::count;
use crate::graph::{MAX_VALUES, Value};
use crate::onnx::pb::tensor_proto::DataType;

/// How the numbers of a tensor are to be read; all of them are real numbers to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Half, single and double precision: `f32` here, rounding aside.
    Float,
    /// Floating point with 8 bits of precision.
    Bfloat16,
    /// 0 and 1.
    Bool,
    /// Integers of so many bits.
    Int { bits: u32, signed: bool },
}

/// A tensor that the file fixes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Constant {
    pub(super) shape: Vec<usize>,
    pub(super) data: Vec<f64>,
}

/// A tensor: fixed, computed, or lost because a node before it was refused.
#[derive(Clone, Debug)]
pub(super) struct Operand {
    pub(super) kind: Kind,
    pub(super) source: Source,
}

/// Where the numbers come from.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// Known now; may be empty.
    Constant(Rc<Constant>),
    /// A value of the graph and its shape.
    Value(Value, Vec<usize>),
    /// Nobody knows.
    Lost,
}

impl Kind {
    pub(super) const INT64: Self = Self::Int { bits: 64, signed: true };

    /// The kind of an element type.
    pub(super) fn of(data_type: i32) -> Result<Self> {
        let int = |bits, signed| Ok(Self::Int { bits, signed });
        match DataType::try_from(data_type) {
            Ok(DataType::Float | DataType::Float16 | DataType::Double) => Ok(Self::Float),
            Ok(DataType::Bfloat16) => Ok(Self::Bfloat16),
            Ok(DataType::Bool) => Ok(Self::Bool),
            Ok(DataType::Int4) => int(4, true),
            Ok(DataType::Int8) => int(8, true),
            Ok(DataType::Int16) => int(16, true),
            Ok(DataType::Int32) => int(32, true),
            Ok(DataType::Int64) => int(64, true),
            Ok(DataType::Uint4) => int(4, false),
            Ok(DataType::Uint8) => int(8, false),
            Ok(DataType::Uint16) => int(16, false),
            Ok(DataType::Uint32) => int(32, false),
            Ok(DataType::Uint64) => int(64, false),
            Ok(other) => bail!("tensors of type {} are not supported", other.as_str_name()),
            Err(_) => bail!("tensors of the element type {data_type} are not supported"),
        }
    }

    pub(super) fn is_int(self) -> bool {
        matches!(self, Self::Int { .. })
    }

    /// Smallest and largest number, of integers.
    pub(super) fn range(self) -> Option<[f64; 2]> {
        match self {
            Self::Int { bits, signed: true } => {
                Some([-(2_f64.powi(bits as i32 - 1)), 2_f64.powi(bits as i32 - 1) - 1.0])
            }
            Self::Int { bits, signed: false } => Some([0.0, 2_f64.powi(bits as i32) - 1.0]),
            _ => None,
        }
    }
}

impl Constant {
    pub(super) fn new(shape: Vec<usize>, data: Vec<f64>) -> Rc<Self> {
        debug_assert_eq!(shape.iter().product::<usize>(), data.len());
        Rc::new(Self { shape, data })
    }
}

impl Operand {
    pub(super) const LOST: Self = Self { kind: Kind::Float, source: Source::Lost };

    pub(super) fn constant(kind: Kind, shape: Vec<usize>, data: Vec<f64>) -> Self {
        Self { kind, source: Source::Constant(Constant::new(shape, data)) }
    }

    /// A tensor without elements.
    ///
    /// # Errors
    /// When its other axes exceed what a tensor holds.
    pub(super) fn empty(kind: Kind, shape: Vec<usize>) -> Result<Self> {
        debug_assert!(shape.contains(&0));
        count(&shape).with_context(|| format!("the tensor {shape:?} exceeds {MAX_VALUES} values"))?;
        Ok(Self::constant(kind, shape, vec![]))
    }

    pub(super) fn shape(&self) -> &[usize] {
        match &self.source {
            Source::Constant(constant) => &constant.shape,
            Source::Value(_, shape) => shape,
            Source::Lost => &[],
        }
    }

    pub(super) fn rank(&self) -> usize {
        self.shape().len()
    }

    pub(super) fn known(&self) -> Option<&Rc<Constant>> {
        match &self.source {
            Source::Constant(constant) => Some(constant),
            _ => None,
        }
    }

    pub(super) fn is_lost(&self) -> bool {
        matches!(self.source, Source::Lost)
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.is_lost() && self.shape().contains(&0)
    }
}
