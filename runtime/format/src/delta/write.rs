//! The writer: values in single precision become the bytes of DELTA.md.

use half::f16;

use super::{
    Delta, DeltaError, DeltaSummary, HEADER_BYTES, MAGIC, MAX_RECORDS, RECORD_BYTES, Record, Target, VERSION,
    crc32, header, verify,
};
use crate::layout::{MAX_FILE_BYTES, PANEL};
use crate::{Change, ValueType};

/// A tensor that learning moved.
#[derive(Clone, Copy, Debug)]
pub struct LearnedTensor<'v> {
    /// What it changes.
    pub target: Target,
    /// The type of the network's tensor: how the values are stored, rounded to nearest even. Factors are stored as `f32`.
    pub stored: ValueType,
    /// Whole rows of 8, padding included.
    pub values: &'v [f32],
}

impl LearnedTensor<'_> {
    fn record(&self) -> Record {
        let stored = stored(self.target, self.stored);
        // A slice of 2^35 values exceeds the limit of a file, which is checked before this number is used.
        let rows = u32::try_from(self.values.len() / PANEL).unwrap_or(u32::MAX);
        Record { target: self.target, rows, stored }
    }
}

impl Delta<'_> {
    /// The size of what [`encode`](Self::encode) writes, in bytes; more than any buffer has where that is too much for a
    /// delta.
    pub fn encoded_bytes<'v>(learned: impl IntoIterator<Item = LearnedTensor<'v>>) -> usize {
        Self::planned_bytes(learned.into_iter().map(|learned| {
            let LearnedTensor { target, stored, values } = learned;
            (target, stored, values.len() / PANEL)
        }))
    }

    /// The same of tensors that are not learned yet: target, type and rows of 8 of each.
    pub fn planned_bytes(tensors: impl IntoIterator<Item = (Target, ValueType, usize)>) -> usize {
        let bytes = tensors.into_iter().fold(HEADER_BYTES as u64, |bytes, (target, of_network, rows)| {
            let row = PANEL as u64 * u64::from(stored(target, of_network).bytes());
            let values = (rows as u64).saturating_mul(row);
            bytes.saturating_add(RECORD_BYTES as u64).saturating_add(values)
        });
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }

    /// Writes a delta of what was learned, in the order of targets, to the start of `out`, which may start anywhere; returns
    /// its length in bytes.
    ///
    /// # Errors
    /// When `out` is too short, when targets are not strictly increasing or too many, and when a value or a loss is not
    /// finite. What stands in `out` then is of no use.
    ///
    /// # Panics
    /// When values are not whole rows of 8.
    pub fn encode<'v>(
        summary: &DeltaSummary,
        learned: impl Iterator<Item = LearnedTensor<'v>> + Clone,
        out: &mut [u8],
    ) -> Result<usize, DeltaError> {
        let (need, have) = (Self::encoded_bytes(learned.clone()), out.len());
        let count = learned.clone().take(MAX_RECORDS as usize + 1).count();
        let out = out.get_mut(..need).ok_or(DeltaError::BufferTooSmall { need, have })?;
        let (head, data) = out.split_at_mut(HEADER_BYTES + count.min(MAX_RECORDS as usize) * RECORD_BYTES);
        put_header(head, summary, need, count)?;
        let (_, table) = head.split_at_mut(HEADER_BYTES);
        let mut rest = data;
        for (learned, record) in learned.zip(table.chunks_exact_mut(RECORD_BYTES)) {
            assert!(learned.values.len().is_multiple_of(PANEL), "values are not whole rows of 8");
            record.copy_from_slice(&learned.record().encode());
            let (values, behind) = rest.split_at_mut(learned.record().byte_len() as usize);
            put_values(values, learned.record().stored, learned.values.iter(), |&v| f16::from_f32(v), |&v| v);
            rest = behind;
        }
        seal(out)
    }
}

/// How a target's values are stored.
fn stored(target: Target, of_network: ValueType) -> ValueType {
    if target.change == Change::Factor { ValueType::F32 } else { of_network }
}

/// Writes values as they are stored; how to round them is the caller's choice.
pub(super) fn put_values<V>(
    bytes: &mut [u8],
    stored: ValueType,
    values: impl Iterator<Item = V>,
    half: impl Fn(V) -> f16,
    single: impl Fn(V) -> f32,
) {
    match stored {
        ValueType::F16 => {
            for (bytes, value) in bytes.chunks_exact_mut(2).zip(values) {
                bytes.copy_from_slice(&half(value).to_le_bytes());
            }
        }
        ValueType::F32 => {
            for (bytes, value) in bytes.chunks_exact_mut(4).zip(values) {
                bytes.copy_from_slice(&single(value).to_le_bytes());
            }
        }
    }
}

/// Everything in the header but the checksum.
pub(super) fn put_header(
    bytes: &mut [u8],
    summary: &DeltaSummary,
    file_bytes: usize,
    count: usize,
) -> Result<(), DeltaError> {
    if file_bytes > MAX_FILE_BYTES as usize {
        return Err(DeltaError::Header { field: "file_bytes" });
    }
    if count > MAX_RECORDS as usize {
        return Err(DeltaError::Header { field: "tensor_count" });
    }
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    put(0, &[0; HEADER_BYTES]);
    put(0, &MAGIC);
    put(header::VERSION, &VERSION.to_le_bytes());
    put(header::HEADER_BYTES, &(HEADER_BYTES as u16).to_le_bytes());
    put(header::BASE, &summary.base);
    put(header::SEED, &summary.seed.to_le_bytes());
    let losses = [summary.first, summary.last].map(|losses| [losses.discriminator, losses.generator]);
    for (i, loss) in losses.as_flattened().iter().enumerate() {
        put(header::LOSSES + 4 * i, &loss.to_le_bytes());
    }
    for (at, value) in [
        (header::FILE_BYTES, file_bytes as u32),
        (header::STEPS, summary.steps),
        (header::EXAMPLES, summary.examples),
        (header::TENSOR_COUNT, count as u32),
        (header::MERGED, summary.merged),
    ] {
        put(at, &value.to_le_bytes());
    }
    put(header::PRESET, &[summary.preset as u8]);
    Ok(())
}

/// Writes the checksum of a whole file and reads it back, so that nothing is written that would not be read.
pub(super) fn seal(file: &mut [u8]) -> Result<usize, DeltaError> {
    let crc = crc32(file);
    file[header::CRC32..header::CRC32 + 4].copy_from_slice(&crc.to_le_bytes());
    verify(file).map(<[u8]>::len)
}
