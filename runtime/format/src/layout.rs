//! Positions and sizes of FORMAT.md as constants, and little-endian field access.

/// The format's version.
pub const VERSION: u16 = 1;
/// The file's address is a multiple of this.
pub const ALIGNMENT: usize = 16;
/// Values in a row of weights.
pub const PANEL: usize = 8;
/// Largest arena a file may ask for.
pub const MAX_ARENA_BYTES: u32 = 1 << 30;
/// Most multiply-accumulates of one picture.
pub const MAX_MACS: u64 = 1 << 36;

pub(crate) const MAGIC: [u8; 4] = *b"PGAN";
pub(crate) const HEADER_BYTES: usize = 160;
pub(crate) const STEP_BYTES: usize = 64;
pub(crate) const TENSOR_BYTES: usize = 16;
pub(crate) const TAP_BYTES: usize = 4;
pub(crate) const MAX_STEPS: u32 = 4096;
pub(crate) const MAX_TENSORS: u32 = 8192;
pub(crate) const MAX_TAPS: u32 = 65536;
pub(crate) const MAX_METADATA_BYTES: u32 = 65536;
pub(crate) const MAX_FILE_BYTES: u32 = (1 << 31) - 1;
pub(crate) const MAX_TAP_REACH: u16 = 4096;

/// Where the header's fields start.
pub(crate) mod header {
    pub(crate) const VERSION: usize = 4;
    pub(crate) const HEADER_BYTES: usize = 6;
    pub(crate) const FILE_BYTES: usize = 8;
    pub(crate) const CRC32: usize = 12;
    pub(crate) const SHA256: usize = 16;
    pub(crate) const LATENT_DIM: usize = 48;
    pub(crate) const HEIGHT: usize = 52;
    pub(crate) const WIDTH: usize = 56;
    pub(crate) const CHANNELS: usize = 60;
    pub(crate) const LOW: usize = 64;
    pub(crate) const HIGH: usize = 68;
    pub(crate) const ARENA_BYTES: usize = 72;
    pub(crate) const FINETUNE_ARENA_BYTES: usize = 76;
    pub(crate) const INPUT: usize = 80;
    pub(crate) const OUTPUT: usize = 84;
    pub(crate) const MACS: usize = 88;
    pub(crate) const STEP_COUNT: usize = 96;
    pub(crate) const TENSOR_COUNT: usize = 100;
    pub(crate) const TAP_COUNT: usize = 104;
    pub(crate) const METADATA_BYTES: usize = 108;
    pub(crate) const WEIGHTS_BYTES: usize = 112;
    pub(crate) const RESERVED: usize = 116;
}

/// The bytes that the SHA-256 covers start here.
#[cfg(feature = "sha256")]
pub(crate) const DIGESTED: usize = header::LATENT_DIM;

/// Start of each section, and the end of the file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sections {
    pub(crate) steps: usize,
    pub(crate) tensors: usize,
    pub(crate) taps: usize,
    pub(crate) metadata: usize,
    pub(crate) weights: usize,
    pub(crate) end: usize,
}

impl Sections {
    /// The counts are within their limits, so that nothing overflows 32 bits.
    pub(crate) fn new(steps: u32, tensors: u32, taps: u32, metadata_bytes: u32, weights_bytes: u32) -> Self {
        let after = |start: usize, count: u32, each: usize| pad(start + count as usize * each);
        let tensors_at = after(HEADER_BYTES, steps, STEP_BYTES);
        let taps_at = after(tensors_at, tensors, TENSOR_BYTES);
        let metadata = after(taps_at, taps, TAP_BYTES);
        let weights = after(metadata, metadata_bytes, 1);
        let end = weights + weights_bytes as usize;
        Self { steps: HEADER_BYTES, tensors: tensors_at, taps: taps_at, metadata, weights, end }
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
