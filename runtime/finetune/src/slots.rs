//! The tensors that move, and where each lies among the values that an optimizer sees as one vector.

use core::ops::Range;

use pocketgan_format::{Change, Delta, File, LearnedTensor, PANEL, Target, Tensor, ValueType};
use pocketgan_kernels::f16_to_f32;
use pocketgan_runtime::Model;

use crate::TaskError;
use crate::chain::{Chain, Layer};

/// What moves of one network.
#[derive(Clone, Copy, Debug)]
pub struct Slots {
    slots: [Slot; MAX_SLOTS],
    count: usize,
    len: usize,
}

/// One tensor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slot {
    /// Index in the file: of the weights, or of the bias.
    pub tensor: u32,
    /// What of it moves.
    pub kind: Kind,
    /// Where it starts in the vector; a multiple of 8.
    pub start: usize,
    /// Rows of 8 values.
    pub rows: usize,
}

/// What of a tensor moves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// Panels of weights, with their padding.
    #[default]
    Weights,
    /// One value for each channel.
    Bias,
    /// A factor for each channel that the layers with this bias write, applied after it.
    Factor,
    /// Weights of a single channel, one after the other, where the file has panels of one.
    Column,
}

impl Slot {
    /// Where it lies in the vector.
    pub fn range(&self) -> Range<usize> {
        self.start..self.start + self.rows * PANEL
    }

    /// What a delta of the generator changes, if it holds this slot.
    pub(crate) fn target(&self) -> Target {
        let change = if self.kind == Kind::Factor { Change::Factor } else { Change::Replace };
        Target { network: pocketgan_format::Network::Generator, tensor: self.tensor, change }
    }

    /// The type of the file's tensor.
    fn stored(&self, file: &File<'_>) -> ValueType {
        match file.tensor(self.tensor as usize) {
            Some(Tensor::F16(_)) => ValueType::F16,
            _ => ValueType::F32,
        }
    }

    fn learned<'a>(&self, delta: &Delta<'a>) -> Option<Tensor<'a>> {
        delta.changes().find(|(target, _)| *target == self.target()).map(|(_, values)| values)
    }
}

impl Slots {
    pub(crate) const EMPTY: Self = Self {
        slots: [Slot { tensor: 0, kind: Kind::Weights, start: 0, rows: 0 }; MAX_SLOTS],
        count: 0,
        len: 0,
    };

    /// Adds the tensors of a layer: its biases, and its weights or factors for them.
    pub(crate) fn add(&mut self, chain: &Chain<'_>, layer: &Layer, factors: bool) -> Result<(), TaskError> {
        for (step, gemm) in chain.operations(layer) {
            let bias_rows = gemm.bias.len() / PANEL;
            if factors {
                self.push(step.bias, Kind::Factor, bias_rows)?;
            } else {
                let rows = bias_rows * gemm.taps.len() * gemm.input.channels;
                self.push(step.weights, Kind::Weights, rows)?;
            }
            self.push(step.bias, Kind::Bias, bias_rows)?;
        }
        Ok(())
    }

    /// Adds a tensor, unless it is there: the phases of a layer share their bias.
    pub(crate) fn push(&mut self, tensor: u32, kind: Kind, rows: usize) -> Result<(), TaskError> {
        if self.find(tensor, kind).is_some() {
            return Ok(());
        }
        let slot = self.slots.get_mut(self.count).ok_or(TaskError::TooManyTensors)?;
        *slot = Slot { tensor, kind, start: self.len, rows };
        self.count += 1;
        self.len += rows * PANEL;
        Ok(())
    }

    /// Where a tensor lies in the vector, if it moves.
    pub fn find(&self, tensor: u32, kind: Kind) -> Option<Range<usize>> {
        self.iter().find(|slot| (slot.tensor, slot.kind) == (tensor, kind)).map(Slot::range)
    }

    /// In the order of the vector.
    pub fn iter(&self) -> core::slice::Iter<'_, Slot> {
        self.slots[..self.count].iter()
    }

    /// Each slot with its values, in the order of a delta.
    pub(crate) fn learned<'v>(
        &self,
        model: &Model<'v>,
        values: &'v [f32],
    ) -> impl Iterator<Item = LearnedTensor<'v>> + Clone {
        let (slots, file) = (*self, *model.file());
        let mut last: Option<Target> = None;
        core::iter::from_fn(move || {
            let next = slots.iter().filter(|slot| last.is_none_or(|last| slot.target() > last));
            let next = next.min_by_key(|slot| slot.target())?;
            last = Some(next.target());
            let stored = next.stored(&file);
            Some(LearnedTensor { target: next.target(), stored, values: &values[next.range()] })
        })
    }

    /// Size of a delta of all slots.
    pub(crate) fn delta_bytes(&self, model: &Model<'_>) -> usize {
        let file = model.file();
        Delta::planned_bytes(self.iter().map(|slot| (slot.target(), slot.stored(file), slot.rows)))
    }

    /// Length of the vector, padding included.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing moves.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The values that the model has, at their places in the vector: the file's, or its delta's.
    pub(crate) fn read(&self, model: &Model<'_>, mut each: impl FnMut(usize, f32)) {
        for slot in self.iter() {
            let mut put = |i: usize, value: f32| each(slot.start + i, value);
            let learned = model.delta().and_then(|delta| slot.learned(delta));
            let stored = || model.file().tensor(slot.tensor as usize);
            match (slot.kind, learned.or_else(stored)) {
                (Kind::Factor, _) if learned.is_none() => slot.range().for_each(|i| put(i - slot.start, 1.0)),
                (Kind::Column, Some(Tensor::F16(rows))) => {
                    rows.iter().enumerate().for_each(|(i, row)| put(i, f16_to_f32(row[0])));
                }
                (Kind::Column, Some(Tensor::F32(rows))) => {
                    rows.iter().enumerate().for_each(|(i, row)| put(i, row[0]));
                }
                (_, Some(Tensor::F16(rows))) => {
                    rows.as_flattened().iter().enumerate().for_each(|(i, &value)| put(i, f16_to_f32(value)));
                }
                (_, Some(Tensor::F32(rows))) => {
                    rows.as_flattened().iter().enumerate().for_each(|(i, &value)| put(i, value));
                }
                (_, None) => {}
            }
        }
    }
}

impl<'a> IntoIterator for &'a Slots {
    type Item = &'a Slot;
    type IntoIter = core::slice::Iter<'a, Slot>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Most tensors of a network that move.
pub const MAX_SLOTS: usize = 64;
