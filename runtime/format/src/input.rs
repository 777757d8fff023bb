//! What a program is given before it runs.

use crate::layout::{MAX_EXTENT, u32_at};

/// What the values of an input are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Role {
    /// A latent vector: standard normal numbers.
    Latent = 0,
    /// A picture, within the range of black and white.
    Image = 1,
    /// The number of a class, one value.
    Label = 2,
    /// Anything else.
    Values = 3,
}

/// Values that whoever runs the program puts into the arena, before every run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Input {
    /// What the values are.
    pub role: Role,
    /// Arena offset in bytes, a multiple of 4.
    pub offset: u32,
    /// Height, width and channels; the values lie channels last, without gaps.
    pub shape: [u32; 3],
}

impl Input {
    /// Number of values.
    pub fn len(&self) -> u64 {
        // At most 2^48: the reader has bounded each extent.
        self.shape.iter().fold(1, |product: u64, &extent| product.saturating_mul(extent.into()))
    }

    /// Whether it has no value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// First and last-plus-one byte in the arena.
    pub(crate) fn span(&self) -> (u64, u64) {
        let start = u64::from(self.offset);
        (start, start.saturating_add(self.len().saturating_mul(4)))
    }

    /// Reads one record; `Err` names the field that has no meaning.
    pub(crate) fn decode(record: &[u8]) -> Result<Self, &'static str> {
        let role = match record.get(4) {
            Some(0) => Role::Latent,
            Some(1) => Role::Image,
            Some(2) => Role::Label,
            Some(3) => Role::Values,
            _ => return Err("role"),
        };
        let input = Self { role, offset: u32_at(record, 0), shape: [8, 12, 16].map(|at| u32_at(record, at)) };
        let label_of_many = role == Role::Label && input.shape != [1; 3];
        if label_of_many || input.shape.iter().any(|extent| !(1..=MAX_EXTENT).contains(extent)) {
            return Err("height, width, channels");
        }
        if !input.offset.is_multiple_of(4) {
            return Err("offset");
        }
        if record.iter().enumerate().any(|(at, &byte)| matches!(at, 5..8 | 20..) && byte != 0) {
            return Err("reserved");
        }
        Ok(input)
    }

    /// The record of this input.
    #[cfg(feature = "alloc")]
    pub(crate) fn encode(&self) -> [u8; crate::layout::INPUT_BYTES] {
        let mut record = [0; crate::layout::INPUT_BYTES];
        record[..4].copy_from_slice(&self.offset.to_le_bytes());
        record[4] = self.role as u8;
        for (i, extent) in self.shape.iter().enumerate() {
            record[8 + 4 * i..][..4].copy_from_slice(&extent.to_le_bytes());
        }
        record
    }
}
