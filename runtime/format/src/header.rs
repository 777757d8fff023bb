//! The first 160 bytes, and the checksum.

use crate::layout::{
    ALIGNMENT, Counts, HEADER_BYTES, MAGIC, MAX_ARENA_BYTES, MAX_AXIS_COUNT, MAX_EXTENT, MAX_FILE_BYTES,
    MAX_INPUTS, MAX_METADATA_BYTES, MAX_STEPS, MAX_TAPS, MAX_TENSORS, Sections, VERSION, f32_at, header,
    u16_at, u32_at,
};
use crate::{FormatError, checksum};

/// Checks everything in the header, and the checksum; returns the file's own bytes.
pub(crate) fn check(bytes: &[u8]) -> Result<(&[u8], Sections), FormatError> {
    let truncated = |need: usize| FormatError::Truncated { need, have: bytes.len() };
    if !bytes.starts_with(&MAGIC) {
        return Err(FormatError::BadMagic);
    }
    if !bytes.as_ptr().addr().is_multiple_of(ALIGNMENT) {
        return Err(FormatError::Misaligned);
    }
    if bytes.len() < HEADER_BYTES {
        return Err(truncated(HEADER_BYTES));
    }
    let version = u16_at(bytes, header::VERSION);
    if version != VERSION {
        return Err(FormatError::UnsupportedVersion { found: version });
    }
    let file_bytes = u32_at(bytes, header::FILE_BYTES);
    if file_bytes > MAX_FILE_BYTES || (file_bytes as usize) < HEADER_BYTES {
        return Err(FormatError::Header { field: "file_bytes" });
    }
    let bytes = bytes.get(..file_bytes as usize).ok_or(truncated(file_bytes as usize))?;
    let stored = u32_at(bytes, header::CRC32);
    let computed = crc32(bytes);
    if stored != computed {
        return Err(FormatError::Damaged { stored, computed });
    }

    let field = |field| Err(FormatError::Header { field });
    let u32_field = |at| u32_at(bytes, at);
    if usize::from(u16_at(bytes, header::HEADER_BYTES)) != HEADER_BYTES {
        return field("header_bytes");
    }
    if bytes.iter().take(HEADER_BYTES).skip(header::RESERVED).any(|&b| b != 0) {
        return field("reserved");
    }
    // Weights and learning are no longer than the file together, so that the end of all sections fits 32 bits.
    let behind_weights = file_bytes.saturating_sub(u32_field(header::WEIGHTS_BYTES));
    let fields = [
        ("input_count", header::INPUT_COUNT, 1, MAX_INPUTS),
        ("step_count", header::STEP_COUNT, 1, MAX_STEPS),
        ("tensor_count", header::TENSOR_COUNT, 0, MAX_TENSORS),
        ("tap_count", header::TAP_COUNT, 0, MAX_TAPS),
        ("axis_count", header::AXIS_COUNT, 0, MAX_AXIS_COUNT),
        ("metadata_bytes", header::METADATA_BYTES, 0, MAX_METADATA_BYTES),
        ("weights_bytes", header::WEIGHTS_BYTES, 0, file_bytes),
        ("height", header::HEIGHT, 1, MAX_EXTENT),
        ("width", header::WIDTH, 1, MAX_EXTENT),
        ("channels", header::CHANNELS, 1, MAX_EXTENT),
        ("arena_bytes", header::ARENA_BYTES, 4, MAX_ARENA_BYTES),
        ("learning_bytes", header::LEARNING_BYTES, 0, behind_weights),
    ];
    for (name, at, least, most) in fields {
        if !(least..=most).contains(&u32_field(at)) {
            return field(name);
        }
    }
    let (low, high) = (f32_at(bytes, header::LOW), f32_at(bytes, header::HIGH));
    if !low.is_finite() || !high.is_finite() || low >= high {
        return field("low, high");
    }
    let arena = u64::from(u32_field(header::ARENA_BYTES));
    let picture = [header::HEIGHT, header::WIDTH, header::CHANNELS].map(|at| u64::from(u32_field(at)));
    let offset = u32_field(header::OUTPUT);
    if !offset.is_multiple_of(4) || u64::from(offset) + 4 * picture.iter().product::<u64>() > arena {
        return field("output");
    }
    if !arena.is_multiple_of(4) {
        return field("arena_bytes");
    }
    let weights_bytes = u32_field(header::WEIGHTS_BYTES);
    if !(weights_bytes as usize).is_multiple_of(ALIGNMENT) {
        return field("weights_bytes");
    }
    // Who cannot learn needs no memory for it.
    let learning_bytes = u32_field(header::LEARNING_BYTES);
    let most = if learning_bytes == 0 { 0 } else { MAX_ARENA_BYTES };
    if u32_field(header::FINETUNE_ARENA_BYTES) > most {
        return field("finetune_arena_bytes");
    }
    let counts = Counts {
        inputs: u32_field(header::INPUT_COUNT),
        steps: u32_field(header::STEP_COUNT),
        tensors: u32_field(header::TENSOR_COUNT),
        taps: u32_field(header::TAP_COUNT),
        axes: u32_field(header::AXIS_COUNT),
        metadata_bytes: u32_field(header::METADATA_BYTES),
        weights_bytes,
        learning_bytes,
    };
    let sections = counts.sections();
    if sections.end != bytes.len() {
        return field("file_bytes");
    }
    Ok((bytes, sections))
}

/// The checksum of FORMAT.md: everything but the field that holds it.
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    let parts = [bytes.get(..header::CRC32), bytes.get(header::SHA256..)];
    checksum::crc32(parts.into_iter().flatten())
}
