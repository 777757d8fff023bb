//! The writer: a program in memory becomes the bytes of FORMAT.md.

use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Deref;

use half::f16;
use half::slice::HalfFloatSliceExt;
use sha2::{Digest, Sha256};

use crate::layout::{ALIGNMENT, Counts, HEADER_BYTES, MAGIC, PANEL, VERSION, header, pad};
use crate::{Axis, File, FormatError, Input, Step, Tap};

/// Everything a file says, before it is bytes.
#[derive(Clone, Debug, Default)]
pub struct Program {
    /// What is put into the arena before every run.
    pub inputs: Vec<Input>,
    /// Height, width and channels of the picture.
    pub output_shape: [u32; 3],
    /// The values that are black and white.
    pub range: [f32; 2],
    /// Peak RAM of one picture.
    pub arena_bytes: u32,
    /// Arena offset of the picture, in bytes.
    pub output_offset: u32,
    /// The steps in order.
    pub steps: Vec<Step>,
    /// What the steps refer to by index.
    pub tensors: Vec<TensorData>,
    /// What the steps refer to by index.
    pub taps: Vec<Tap>,
    /// What the steps refer to by index.
    pub axes: Vec<Axis>,
    /// Keys without `=`, values without a newline.
    pub metadata: Vec<(String, String)>,
}

/// Rows of 8 values.
#[derive(Clone, Debug, PartialEq)]
pub enum TensorData {
    /// Half precision.
    F16(Vec<[f16; PANEL]>),
    /// Single precision.
    F32(Vec<[f32; PANEL]>),
}

/// Bytes that start at a multiple of 16, as [`File::parse`] wants them.
#[derive(Debug)]
pub struct AlignedBytes {
    storage: Vec<u8>,
    start: usize,
    len: usize,
}

impl Program {
    /// The file, verified by reading it back.
    ///
    /// # Errors
    /// What [`File::parse`] says of a program that breaks a rule of FORMAT.md.
    pub fn to_bytes(&self) -> Result<AlignedBytes, FormatError> {
        let mut metadata = String::new();
        for (key, value) in &self.metadata {
            metadata.push_str(&key.replace(['=', '\n'], " "));
            metadata.push('=');
            metadata.push_str(&value.replace('\n', " "));
            metadata.push('\n');
        }
        let weights_bytes: usize = self.tensors.iter().map(|t| pad(t.byte_len())).sum();
        let count = |n: usize, field| u32::try_from(n).map_err(|_| FormatError::Header { field });
        let counts = Counts {
            inputs: count(self.inputs.len(), "input_count")?,
            steps: count(self.steps.len(), "step_count")?,
            tensors: count(self.tensors.len(), "tensor_count")?,
            taps: count(self.taps.len(), "tap_count")?,
            axes: count(self.axes.len(), "axis_count")?,
            metadata_bytes: count(metadata.len(), "metadata_bytes")?,
            weights_bytes: count(weights_bytes, "weights_bytes")?,
            learning_bytes: 0,
        };
        let sections = counts.sections();
        let file_bytes = count(sections.end, "file_bytes")?;

        let mut file = AlignedBytes::zeroed(sections.end);
        let bytes = file.as_mut_slice();
        self.put_header(bytes, file_bytes, &counts);
        put_each(&mut bytes[sections.inputs], self.inputs.iter().map(Input::encode));
        put_each(&mut bytes[sections.steps], self.steps.iter().map(Step::encode));
        put_each(&mut bytes[sections.axes], self.axes.iter().map(Axis::encode));
        let mut offset = 0;
        for (i, tensor) in self.tensors.iter().enumerate() {
            let at = sections.tensors.start + i * crate::layout::TENSOR_BYTES;
            put(bytes, at, &count(offset, "weights_bytes")?.to_le_bytes());
            put(bytes, at + 4, &count(tensor.rows(), "tensor rows")?.to_le_bytes());
            put(bytes, at + 8, &[u8::from(matches!(tensor, TensorData::F32(_)))]);
            tensor.put(&mut bytes[sections.weights.start + offset..]);
            offset += pad(tensor.byte_len());
        }
        put(bytes, sections.taps.start, bytemuck::cast_slice(&self.taps));
        put(bytes, sections.metadata.start, metadata.as_bytes());
        let digest = Sha256::digest(&bytes[crate::layout::DIGESTED..]);
        put(bytes, header::SHA256, &digest);
        let crc = crate::header::crc32(bytes);
        put(bytes, header::CRC32, &crc.to_le_bytes());
        File::parse(&file)?;
        Ok(file)
    }

    fn step_macs(&self, step: &Step) -> u64 {
        match step {
            Step::TapGemm(step) => step.macs(),
            Step::Nest(step) => {
                let first = step.first_axis as usize;
                let axes = self.axes.get(first..first + usize::from(step.axis_count));
                axes.map_or(0, |axes| step.macs(axes))
            }
        }
    }

    fn put_header(&self, bytes: &mut [u8], file_bytes: u32, counts: &Counts) {
        let [height, width, channels] = self.output_shape;
        put(bytes, 0, &MAGIC);
        put(bytes, header::VERSION, &VERSION.to_le_bytes());
        put(bytes, header::HEADER_BYTES, &(HEADER_BYTES as u16).to_le_bytes());
        for (at, value) in [
            (header::FILE_BYTES, file_bytes),
            (header::INPUT_COUNT, counts.inputs),
            (header::HEIGHT, height),
            (header::WIDTH, width),
            (header::CHANNELS, channels),
            (header::LOW, self.range[0].to_bits()),
            (header::HIGH, self.range[1].to_bits()),
            (header::ARENA_BYTES, self.arena_bytes),
            (header::AXIS_COUNT, counts.axes),
            (header::OUTPUT, self.output_offset),
            (header::STEP_COUNT, counts.steps),
            (header::TENSOR_COUNT, counts.tensors),
            (header::TAP_COUNT, counts.taps),
            (header::METADATA_BYTES, counts.metadata_bytes),
            (header::WEIGHTS_BYTES, counts.weights_bytes),
        ] {
            put(bytes, at, &value.to_le_bytes());
        }
        let macs = self.steps.iter().fold(0_u64, |sum, step| sum.saturating_add(self.step_macs(step)));
        put(bytes, header::MACS, &macs.to_le_bytes());
    }
}

impl TensorData {
    /// Rows of 8 values.
    pub fn rows(&self) -> usize {
        match self {
            Self::F16(rows) => rows.len(),
            Self::F32(rows) => rows.len(),
        }
    }

    /// Size without padding.
    pub fn byte_len(&self) -> usize {
        match self {
            Self::F16(rows) => size_of_val(&rows[..]),
            Self::F32(rows) => size_of_val(&rows[..]),
        }
    }

    fn put(&self, bytes: &mut [u8]) {
        match self {
            Self::F16(rows) => {
                put(bytes, 0, bytemuck::cast_slice(rows.as_flattened().reinterpret_cast()));
            }
            Self::F32(rows) => put(bytes, 0, bytemuck::cast_slice(rows.as_flattened())),
        }
    }
}

impl AlignedBytes {
    /// A copy of `bytes`, aligned.
    pub fn copy(bytes: &[u8]) -> Self {
        let mut copy = Self::zeroed(bytes.len());
        copy.as_mut_slice().copy_from_slice(bytes);
        copy
    }

    /// The bytes, to be changed in place.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.storage[self.start..self.start + self.len]
    }

    pub(crate) fn zeroed(len: usize) -> Self {
        let storage = alloc::vec![0; len + ALIGNMENT - 1];
        // The storage never grows, so that its address and this offset stay.
        let start = storage.as_ptr().addr().next_multiple_of(ALIGNMENT) - storage.as_ptr().addr();
        Self { storage, start, len }
    }
}

impl Deref for AlignedBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.storage[self.start..self.start + self.len]
    }
}

pub(crate) fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

fn put_each<const N: usize>(section: &mut [u8], records: impl Iterator<Item = [u8; N]>) {
    for (bytes, record) in section.chunks_exact_mut(N).zip(records) {
        bytes.copy_from_slice(&record);
    }
}
