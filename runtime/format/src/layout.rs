//! Positions and sizes of FORMAT.md as constants, and little-endian field access.

use core::ops::Range;

/// The format's version.
pub const VERSION: u16 = 2;
/// The file's address is a multiple of this.
pub const ALIGNMENT: usize = 16;
/// Values in a row of weights.
pub const PANEL: usize = 8;
/// Largest arena a file may ask for.
pub const MAX_ARENA_BYTES: u32 = 1 << 30;
/// Most axes that a loop nest iterates.
pub const MAX_AXES: usize = 8;
/// Most multiply-accumulates of one picture, and most iterations of its loop nests.
pub const MAX_MACS: u64 = 1 << 36;

pub(crate) const MAGIC: [u8; 4] = *b"PGAN";
pub(crate) const HEADER_BYTES: usize = 160;
pub(crate) const INPUT_BYTES: usize = 32;
pub(crate) const STEP_BYTES: usize = 64;
pub(crate) const TENSOR_BYTES: usize = 16;
pub(crate) const TAP_BYTES: usize = 4;
pub(crate) const AXIS_BYTES: usize = 16;
pub(crate) const LEARNING_RECORD_BYTES: usize = 48;
pub(crate) const MAX_INPUTS: u32 = 16;
/// Most steps of a file.
pub const MAX_STEPS: u32 = 4096;
pub(crate) const MAX_TENSORS: u32 = 8192;
/// Most taps of all steps of a file together.
pub const MAX_TAPS: u32 = 65536;
pub(crate) const MAX_AXIS_COUNT: u32 = 65536;
pub(crate) const MAX_EXTENT: u32 = 65535;
pub(crate) const MAX_METADATA_BYTES: u32 = 65536;
/// Most bytes of a file.
pub const MAX_FILE_BYTES: u32 = (1 << 31) - 1;
pub(crate) const MAX_TAP_REACH: u16 = 4096;

/// Where the header's fields start.
pub(crate) mod header {
    pub(crate) const VERSION: usize = 4;
    pub(crate) const HEADER_BYTES: usize = 6;
    pub(crate) const FILE_BYTES: usize = 8;
    pub(crate) const CRC32: usize = 12;
    pub(crate) const SHA256: usize = 16;
    pub(crate) const INPUT_COUNT: usize = 48;
    pub(crate) const HEIGHT: usize = 52;
    pub(crate) const WIDTH: usize = 56;
    pub(crate) const CHANNELS: usize = 60;
    pub(crate) const LOW: usize = 64;
    pub(crate) const HIGH: usize = 68;
    pub(crate) const ARENA_BYTES: usize = 72;
    pub(crate) const FINETUNE_ARENA_BYTES: usize = 76;
    pub(crate) const AXIS_COUNT: usize = 80;
    pub(crate) const OUTPUT: usize = 84;
    pub(crate) const MACS: usize = 88;
    pub(crate) const STEP_COUNT: usize = 96;
    pub(crate) const TENSOR_COUNT: usize = 100;
    pub(crate) const TAP_COUNT: usize = 104;
    pub(crate) const METADATA_BYTES: usize = 108;
    pub(crate) const WEIGHTS_BYTES: usize = 112;
    pub(crate) const LEARNING_BYTES: usize = 116;
    pub(crate) const RESERVED: usize = 120;
}

/// The bytes that the SHA-256 covers start here.
#[cfg(feature = "sha256")]
pub(crate) const DIGESTED: usize = header::INPUT_COUNT;

/// How long each section is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counts {
    pub(crate) inputs: u32,
    pub(crate) steps: u32,
    pub(crate) tensors: u32,
    pub(crate) taps: u32,
    pub(crate) axes: u32,
    pub(crate) metadata_bytes: u32,
    pub(crate) weights_bytes: u32,
    pub(crate) learning_bytes: u32,
}

/// Where each section lies, and the end of the file.
#[derive(Clone, Debug)]
pub(crate) struct Sections {
    pub(crate) inputs: Range<usize>,
    pub(crate) steps: Range<usize>,
    pub(crate) tensors: Range<usize>,
    pub(crate) taps: Range<usize>,
    pub(crate) axes: Range<usize>,
    pub(crate) metadata: Range<usize>,
    pub(crate) weights: Range<usize>,
    pub(crate) learning: Range<usize>,
    pub(crate) end: usize,
}

impl Counts {
    /// The counts are within their limits, weights and learning together within the file's, so that nothing overflows 32 bits.
    pub(crate) fn sections(&self) -> Sections {
        let mut end = HEADER_BYTES;
        let mut next = |count: u32, each: usize| {
            let start = end;
            let used = start + count as usize * each;
            end = pad(used);
            start..used
        };
        Sections {
            inputs: next(self.inputs, INPUT_BYTES),
            steps: next(self.steps, STEP_BYTES),
            tensors: next(self.tensors, TENSOR_BYTES),
            taps: next(self.taps, TAP_BYTES),
            axes: next(self.axes, AXIS_BYTES),
            metadata: next(self.metadata_bytes, 1),
            weights: next(self.weights_bytes, 1),
            learning: next(self.learning_bytes, 1),
            end,
        }
    }
}

/// The next multiple of 16.
pub(crate) fn pad(offset: usize) -> usize {
    offset.next_multiple_of(ALIGNMENT)
}

/// `N` bytes at `at`. Callers stay inside: `bytes` is a header or a whole record.
pub(crate) fn bytes_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    core::array::from_fn(|i| bytes.get(at + i).copied().unwrap_or(0))
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes_at(bytes, at))
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes_at(bytes, at))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes_at(bytes, at))
}

pub(crate) fn f32_at(bytes: &[u8], at: usize) -> f32 {
    f32::from_le_bytes(bytes_at(bytes, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_sections_fit_32_bits() {
        for learning_bytes in [0, 1, MAX_FILE_BYTES / 2, MAX_FILE_BYTES] {
            let counts = Counts {
                inputs: MAX_INPUTS,
                steps: MAX_STEPS,
                tensors: MAX_TENSORS,
                taps: MAX_TAPS,
                axes: MAX_AXIS_COUNT,
                metadata_bytes: MAX_METADATA_BYTES,
                weights_bytes: MAX_FILE_BYTES - learning_bytes,
                learning_bytes,
            };
            assert!(u32::try_from(counts.sections().end).is_ok(), "{learning_bytes} of learning");
        }
    }
}
