//! What a device learned: the tensors that moved, bound to the model they moved from. `DELTA.md` beside this crate defines
//! every byte.
//!
//! In: bytes. Out: a verified view of them ([`Delta`]), or, the other way, bytes from values in single precision. Nothing here
//! allocates, because devices write deltas too.

#[cfg(feature = "alloc")]
mod apply;
mod check;
mod error;
mod merge;
#[cfg(feature = "ed25519")]
pub mod signature;
mod write;

use core::fmt;

pub use error::DeltaError;
pub use write::LearnedTensor;

use crate::layout::{ALIGNMENT, MAX_FILE_BYTES, PANEL, bytes_at, f32_at, u16_at, u32_at, u64_at};
use crate::{Preset, Tensor, ValueType, checksum};

/// A verified delta, borrowed.
#[derive(Clone, Copy)]
pub struct Delta<'a> {
    /// The file, and its signature if it has one.
    bytes: &'a [u8],
}

/// What a delta says of how it was learned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DeltaSummary {
    /// The SHA-256 in the base's header, see [`File::sha256`](crate::File::sha256).
    pub base: [u8; 32],
    /// Of the random numbers that learning drew.
    pub seed: u64,
    /// Updates of the weights; of merged deltas their sum.
    pub steps: u32,
    /// Pictures learned from; of merged deltas their sum.
    pub examples: u32,
    /// Losses of the first step.
    pub first: Losses,
    /// Losses of the last step.
    pub last: Losses,
    /// Of how many deltas it is the mean; at least 1.
    pub merged: u32,
    /// Which tensors were free to move.
    pub preset: Preset,
}

/// Losses of one step.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Losses {
    /// The discriminator's.
    pub discriminator: f32,
    /// The generator's.
    pub generator: f32,
}

/// What one record of a delta changes. Their order is that of the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// Whose tensor.
    pub network: Network,
    /// Index in that network's file.
    pub tensor: u32,
    /// What the values do to it.
    pub change: Change,
}

/// Whose tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Network {
    /// The base.
    Generator = 0,
    /// What it learned against.
    Discriminator = 1,
}

/// What values do to a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Change {
    /// Replace it.
    Replace = 0,
    /// Multiply, before the activation, each output channel of the layers whose bias it is.
    Factor = 1,
}

impl<'a> Delta<'a> {
    /// Verifies `bytes` against DELTA.md, without allocation or recursion, in time proportional to their length. They start
    /// at a multiple of 16; bytes after the delta's end are ignored, so that it may lie in a larger flash sector.
    ///
    /// What it changes is another question: [`check`](Self::check) asks it of a base.
    ///
    /// # Errors
    /// The first thing that is wrong with the bytes.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, DeltaError> {
        let bytes = verify(bytes)?;
        if !bytes.as_ptr().addr().is_multiple_of(ALIGNMENT) {
            return Err(DeltaError::Misaligned);
        }
        Ok(Self { bytes })
    }

    /// The delta's own bytes, its signature included.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// How it was learned.
    pub fn summary(&self) -> DeltaSummary {
        // `parse` decoded it.
        DeltaSummary::decode(self.bytes).unwrap_or_else(|_| unreachable!("parse decoded the header"))
    }

    /// Whether a signature follows. Whose it is, `verify` says.
    pub fn is_signed(&self) -> bool {
        self.bytes.len() > self.unsigned().len()
    }

    /// Every target with its new values, in order.
    pub fn changes(&self) -> impl Iterator<Item = (Target, Tensor<'a>)> + Clone + use<'a> {
        let bytes = self.unsigned();
        let mut at = data_start(bytes);
        records(bytes).map_while(move |record| {
            let record = Record::decode(record).ok()?;
            let values = bytes.get(at..)?.get(..record.byte_len() as usize)?;
            at += values.len();
            Some((record.target, record.view(values)?))
        })
    }

    /// The values of a target, if it is among the changes.
    pub fn find(&self, target: Target) -> Option<Tensor<'a>> {
        // Most tensors are not: the records are sorted, so that this costs little before any offset is summed up.
        let bytes = self.unsigned();
        let table = bytes.get(HEADER_BYTES..data_start(bytes))?;
        let (mut low, mut high) = (0, table.len() / RECORD_BYTES);
        while low < high {
            let middle = low.midpoint(high);
            let found = Record::decode(table.get(middle * RECORD_BYTES..)?.get(..RECORD_BYTES)?).ok()?.target;
            match found.cmp(&target) {
                core::cmp::Ordering::Less => low = middle + 1,
                core::cmp::Ordering::Equal => return self.changes().nth(middle).map(|(_, values)| values),
                core::cmp::Ordering::Greater => high = middle,
            }
        }
        None
    }

    /// The bytes that a signature covers.
    fn unsigned(&self) -> &'a [u8] {
        self.bytes.get(..u32_at(self.bytes, header::FILE_BYTES) as usize).unwrap_or(self.bytes)
    }
}

impl fmt::Debug for Delta<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delta")
            .field("summary", &self.summary())
            .field("changes", &self.changes().count())
            .field("bytes", &self.bytes.len())
            .finish_non_exhaustive()
    }
}

impl DeltaSummary {
    fn decode(bytes: &[u8]) -> Result<Self, DeltaError> {
        let field = |field| Err(DeltaError::Header { field });
        let loss = |at: usize| f32_at(bytes, at);
        let losses = |at: usize| Losses { discriminator: loss(at), generator: loss(at + 4) };
        let [first, last] = [header::LOSSES, header::LOSSES + 8].map(losses);
        let all = [first.discriminator, first.generator, last.discriminator, last.generator];
        if !all.iter().all(|loss| loss.is_finite()) {
            return field("losses");
        }
        let merged = u32_at(bytes, header::MERGED);
        if merged == 0 {
            return field("merged");
        }
        let code = bytes.get(header::PRESET);
        let mut presets = Preset::ALL.into_iter();
        let Some(preset) = presets.find(|&preset| Some(&(preset as u8)) == code) else {
            return field("preset");
        };
        Ok(Self {
            base: bytes_at(bytes, header::BASE),
            seed: u64_at(bytes, header::SEED),
            steps: u32_at(bytes, header::STEPS),
            examples: u32_at(bytes, header::EXAMPLES),
            first,
            last,
            merged,
            preset,
        })
    }
}

/// One line of the table.
#[derive(Clone, Copy)]
struct Record {
    target: Target,
    /// Of 8 values each.
    rows: u32,
    stored: ValueType,
}

impl Record {
    /// `Err` names the field that has no meaning.
    fn decode(record: &[u8]) -> Result<Self, &'static str> {
        let &[_, _, _, _, _, _, _, _, network, kind, stored, ref reserved @ ..] = record else {
            return Err("reserved");
        };
        let network = match network {
            0 => Network::Generator,
            1 => Network::Discriminator,
            _ => return Err("network"),
        };
        let change = match kind {
            0 => Change::Replace,
            1 => Change::Factor,
            _ => return Err("kind"),
        };
        let stored = match (stored, change) {
            (0, Change::Replace) => ValueType::F16,
            (1, _) => ValueType::F32,
            _ => return Err("type"),
        };
        let rows = u32_at(record, 4);
        if rows == 0 {
            return Err("rows");
        }
        if reserved.iter().any(|&byte| byte != 0) {
            return Err("reserved");
        }
        Ok(Self { target: Target { network, tensor: u32_at(record, 0), change }, rows, stored })
    }

    fn encode(&self) -> [u8; RECORD_BYTES] {
        let [a, b, c, d] = self.target.tensor.to_le_bytes();
        let [e, f, g, h] = self.rows.to_le_bytes();
        let stored = u8::from(self.stored == ValueType::F32);
        let Target { network, change, .. } = self.target;
        [a, b, c, d, e, f, g, h, network as u8, change as u8, stored, 0, 0, 0, 0, 0]
    }

    /// Size of its values. At most 2^37, so that all of them together stay below 2^50.
    fn byte_len(&self) -> u64 {
        u64::from(self.rows) * PANEL as u64 * u64::from(self.stored.bytes())
    }

    /// The values in place; `None` where they are not aligned.
    fn view<'a>(&self, values: &'a [u8]) -> Option<Tensor<'a>> {
        match self.stored {
            ValueType::F16 => bytemuck::try_cast_slice(values).ok().map(Tensor::F16),
            ValueType::F32 => bytemuck::try_cast_slice(values).ok().map(Tensor::F32),
        }
    }

    fn is_finite(&self, values: &[u8]) -> bool {
        match self.stored {
            ValueType::F16 => {
                values.chunks_exact(2).all(|value| u16_at(value, 0) & F16_INFINITY != F16_INFINITY)
            }
            ValueType::F32 => values.chunks_exact(4).all(|value| f32_at(value, 0).is_finite()),
        }
    }
}

/// Everything but the alignment; returns the delta's own bytes.
fn verify(bytes: &[u8]) -> Result<&[u8], DeltaError> {
    let truncated = |need: usize| DeltaError::Truncated { need, have: bytes.len() };
    if !bytes.starts_with(&MAGIC) {
        return Err(DeltaError::BadMagic);
    }
    if bytes.len() < HEADER_BYTES {
        return Err(truncated(HEADER_BYTES));
    }
    let version = u16_at(bytes, header::VERSION);
    if version != VERSION {
        return Err(DeltaError::UnsupportedVersion { found: version });
    }
    let file_bytes = u32_at(bytes, header::FILE_BYTES);
    if file_bytes > MAX_FILE_BYTES || (file_bytes as usize) < HEADER_BYTES {
        return Err(DeltaError::Header { field: "file_bytes" });
    }
    let file = bytes.get(..file_bytes as usize).ok_or(truncated(file_bytes as usize))?;
    let (stored, computed) = (u32_at(file, header::CRC32), crc32(file));
    if stored != computed {
        return Err(DeltaError::Damaged { stored, computed });
    }

    let field = |field| Err(DeltaError::Header { field });
    if usize::from(u16_at(file, header::HEADER_BYTES)) != HEADER_BYTES {
        return field("header_bytes");
    }
    let signature_bytes = match file.get(header::SIGNED) {
        Some(0) => 0,
        Some(1) => SIGNATURE_BYTES,
        _ => return field("signed"),
    };
    if file.iter().take(HEADER_BYTES).skip(header::RESERVED).any(|&byte| byte != 0) {
        return field("reserved");
    }
    DeltaSummary::decode(file)?;
    if !(1..=MAX_RECORDS).contains(&u32_at(file, header::TENSOR_COUNT)) {
        return field("tensor_count");
    }
    check_records(file)?;
    let need = file.len() + signature_bytes;
    bytes.get(..need).ok_or(truncated(need))
}

/// The records are sound and in order, and their values finite and the whole rest of the file.
fn check_records(file: &[u8]) -> Result<(), DeltaError> {
    let mut rest = file.get(data_start(file)..).ok_or(DeltaError::Header { field: "tensor_count" })?;
    let mut last = None;
    for (index, record) in records(file).enumerate() {
        let refuse = |field| DeltaError::Record { index, field };
        let record = Record::decode(record).map_err(refuse)?;
        if last >= Some(record.target) {
            return Err(refuse("order"));
        }
        last = Some(record.target);
        let len = usize::try_from(record.byte_len()).ok().filter(|&len| len <= rest.len());
        let (values, behind) = rest.split_at(len.ok_or(refuse("rows"))?);
        if !record.is_finite(values) {
            return Err(DeltaError::NotFinite { index });
        }
        rest = behind;
    }
    if rest.is_empty() { Ok(()) } else { Err(DeltaError::Header { field: "file_bytes" }) }
}

/// The lines of the table.
fn records(file: &[u8]) -> core::slice::ChunksExact<'_, u8> {
    file.get(HEADER_BYTES..data_start(file)).unwrap_or(&[]).chunks_exact(RECORD_BYTES)
}

/// Where the table ends. Callers have checked the count, or it leaves the file.
fn data_start(file: &[u8]) -> usize {
    HEADER_BYTES + u32_at(file, header::TENSOR_COUNT).min(MAX_RECORDS) as usize * RECORD_BYTES
}

/// The checksum of DELTA.md: everything but the field that holds it.
fn crc32(file: &[u8]) -> u32 {
    let parts = [file.get(..header::CRC32), file.get(header::CRC32 + 4..)];
    checksum::crc32(parts.into_iter().flatten())
}

const MAGIC: [u8; 4] = *b"PGDL";
const VERSION: u16 = 1;
const HEADER_BYTES: usize = 128;
const RECORD_BYTES: usize = 16;
const SIGNATURE_BYTES: usize = 64;
/// As many as a file has tensors.
const MAX_RECORDS: u32 = crate::layout::MAX_TENSORS;
/// All bits of the exponent.
const F16_INFINITY: u16 = 0x7c00;

/// Where the header's fields start.
mod header {
    pub(super) const VERSION: usize = 4;
    pub(super) const HEADER_BYTES: usize = 6;
    pub(super) const FILE_BYTES: usize = 8;
    pub(super) const CRC32: usize = 12;
    pub(super) const BASE: usize = 16;
    pub(super) const SEED: usize = 48;
    pub(super) const STEPS: usize = 56;
    pub(super) const EXAMPLES: usize = 60;
    pub(super) const LOSSES: usize = 64;
    pub(super) const TENSOR_COUNT: usize = 80;
    pub(super) const MERGED: usize = 84;
    pub(super) const PRESET: usize = 88;
    pub(super) const SIGNED: usize = 89;
    pub(super) const RESERVED: usize = 90;
}
