//! The reader: one pass over the bytes, after which nothing about them can fail.

use core::fmt;

use crate::layout::{
    self, ALIGNMENT, HEADER_BYTES, MAGIC, MAX_ARENA_BYTES, MAX_FILE_BYTES, MAX_MACS, MAX_METADATA_BYTES,
    MAX_STEPS, MAX_TAP_REACH, MAX_TAPS, MAX_TENSORS, PANEL, STEP_BYTES, Sections, TENSOR_BYTES, VERSION,
    f32_at, header, u16_at, u32_at, u64_at,
};
use crate::{Buffer, FormatError, Step, Tap, Tensor};

/// A verified `.pgan` file, borrowed.
#[derive(Clone, Copy)]
pub struct File<'a> {
    bytes: &'a [u8],
    taps: &'a [Tap],
    metadata: &'a str,
    sections: Sections,
}

impl<'a> File<'a> {
    /// Verifies `bytes` against FORMAT.md, without allocation or recursion, in time proportional to their length.
    /// Bytes after the file's end are ignored, so that a file may lie in a larger flash sector.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, FormatError> {
        let (bytes, sections) = check_header(bytes)?;
        let section = |from: usize, to: usize| bytes.get(from..to).unwrap_or(&[]);
        let tap_bytes = u32_at(bytes, header::TAP_COUNT) as usize * layout::TAP_BYTES;
        let metadata_bytes = u32_at(bytes, header::METADATA_BYTES) as usize;
        let taps: &[Tap] = bytemuck::try_cast_slice(section(sections.taps, sections.taps + tap_bytes))
            .map_err(|_| FormatError::Misaligned)?;
        let metadata = core::str::from_utf8(section(sections.metadata, sections.metadata + metadata_bytes))
            .map_err(|_| FormatError::Metadata)?;
        let steps_end = sections.steps + u32_at(bytes, header::STEP_COUNT) as usize * STEP_BYTES;
        let tensors_end = sections.tensors + u32_at(bytes, header::TENSOR_COUNT) as usize * TENSOR_BYTES;
        let gaps = [
            section(steps_end, sections.tensors),
            section(tensors_end, sections.taps),
            section(sections.taps + tap_bytes, sections.metadata),
            section(sections.metadata + metadata_bytes, sections.weights),
        ];
        if gaps.iter().any(|gap| gap.iter().any(|&b| b != 0)) {
            return Err(FormatError::Header { field: "padding" });
        }
        let file = Self { bytes, taps, metadata, sections };
        file.check_tensors()?;
        file.check_taps()?;
        file.check_steps()?;
        Ok(file)
    }

    /// Size of the file: what it takes in flash.
    pub fn flash_bytes(&self) -> usize {
        self.sections.end
    }

    /// Peak RAM of one picture.
    pub fn arena_bytes(&self) -> usize {
        self.u32(header::ARENA_BYTES) as usize
    }

    /// Length of the latent vector.
    pub fn latent_dim(&self) -> usize {
        self.u32(header::LATENT_DIM) as usize
    }

    /// Height, width and channels of the picture.
    pub fn output_shape(&self) -> [usize; 3] {
        [header::HEIGHT, header::WIDTH, header::CHANNELS].map(|at| self.u32(at) as usize)
    }

    /// The values that are black and white.
    pub fn range(&self) -> [f32; 2] {
        [f32_at(self.bytes, header::LOW), f32_at(self.bytes, header::HIGH)]
    }

    /// Arena offset of the latent vector, in bytes.
    pub fn input_offset(&self) -> usize {
        self.u32(header::INPUT) as usize
    }

    /// Arena offset of the picture, in bytes.
    pub fn output_offset(&self) -> usize {
        self.u32(header::OUTPUT) as usize
    }

    /// Multiply-accumulates of one picture.
    pub fn macs(&self) -> u64 {
        u64_at(self.bytes, header::MACS)
    }

    /// The SHA-256 in the header: the model's name.
    pub fn sha256(&self) -> [u8; 32] {
        layout::bytes_at(self.bytes, header::SHA256)
    }

    /// Whether the SHA-256 in the header is that of the bytes.
    #[cfg(feature = "sha256")]
    pub fn verify_sha256(&self) -> bool {
        use sha2::{Digest, Sha256};
        self.bytes.get(layout::DIGESTED..).is_some_and(|bytes| Sha256::digest(bytes)[..] == self.sha256())
    }

    /// The steps in order.
    pub fn steps(&self) -> impl ExactSizeIterator<Item = Step> + Clone + use<'a> {
        let file = *self;
        (0..self.u32(header::STEP_COUNT) as usize)
            .map(move |index| file.decode_step(index).expect("parse decoded every step"))
    }

    /// Number of steps.
    pub fn step_count(&self) -> usize {
        self.u32(header::STEP_COUNT) as usize
    }

    /// The taps of one of this file's steps.
    pub fn taps(&self, step: &Step) -> &'a [Tap] {
        let first = step.first_tap as usize;
        self.taps.get(first..first + step.tap_count as usize).unwrap_or(&[])
    }

    /// Number of tensors.
    pub fn tensor_count(&self) -> usize {
        self.u32(header::TENSOR_COUNT) as usize
    }

    /// The tensor with this index; `None` past the last.
    pub fn tensor(&self, index: usize) -> Option<Tensor<'a>> {
        if index >= self.tensor_count() {
            return None;
        }
        let record = self.bytes.get(self.sections.tensors + index * TENSOR_BYTES..)?;
        let start = self.sections.weights.checked_add(u32_at(record, 0) as usize)?;
        let rows = u32_at(record, 4) as usize;
        let take = |row_bytes: usize| self.bytes.get(start..start.checked_add(rows.checked_mul(row_bytes)?)?);
        match record.get(8)? {
            0 => bytemuck::try_cast_slice(take(2 * PANEL)?).ok().map(Tensor::F16),
            1 => bytemuck::try_cast_slice(take(4 * PANEL)?).ok().map(Tensor::F32),
            _ => None,
        }
    }

    /// Lines of `key=value`.
    pub fn metadata(&self) -> &'a str {
        self.metadata
    }

    /// The metadata under `key`.
    pub fn get(&self, key: &str) -> Option<&'a str> {
        self.metadata.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
    }

    fn u32(&self, at: usize) -> u32 {
        u32_at(self.bytes, at)
    }

    fn decode_step(&self, index: usize) -> Result<Step, &'static str> {
        let start = self.sections.steps + index * STEP_BYTES;
        Step::decode(self.bytes.get(start..start + STEP_BYTES).unwrap_or(&[]))
    }

    fn check_tensors(&self) -> Result<(), FormatError> {
        for index in 0..self.tensor_count() {
            let error = FormatError::Tensor { index };
            let start = self.sections.tensors + index * TENSOR_BYTES;
            let record = self.bytes.get(start..start + TENSOR_BYTES).ok_or(error)?;
            let aligned = (u32_at(record, 0) as usize).is_multiple_of(ALIGNMENT);
            let reserved_zero = record.iter().skip(9).all(|&b| b == 0);
            if !aligned || !reserved_zero || self.tensor(index).is_none() {
                return Err(error);
            }
        }
        Ok(())
    }

    fn check_taps(&self) -> Result<(), FormatError> {
        let far = |tap: &Tap| tap.iter().any(|v| v.unsigned_abs() > MAX_TAP_REACH);
        match self.taps.iter().position(far) {
            Some(index) => Err(FormatError::Tap { index }),
            None => Ok(()),
        }
    }

    fn check_steps(&self) -> Result<(), FormatError> {
        let mut macs = 0_u64;
        let mut layer = 0;
        for index in 0..self.step_count() {
            let step = self.decode_step(index).map_err(|field| FormatError::Step { index, field })?;
            self.check_step(&step).map_err(|field| FormatError::Step { index, field })?;
            let first = index == 0 && step.layer != 0;
            if first || step.layer < layer || step.layer - layer > 1 {
                return Err(FormatError::Step { index, field: "layer" });
            }
            layer = step.layer;
            macs = macs.saturating_add(step.macs());
        }
        if macs != self.macs() || macs > MAX_MACS {
            return Err(FormatError::Header { field: "macs" });
        }
        Ok(())
    }

    fn check_step(&self, step: &Step) -> Result<(), &'static str> {
        let taps_end = u64::from(step.first_tap) + u64::from(step.tap_count);
        if step.tap_count == 0 || taps_end > self.taps.len() as u64 {
            return Err("taps");
        }
        let input = self.check_buffer(&step.input).ok_or("input")?;
        let output = self.check_buffer(&step.output).ok_or("output")?;
        if input.0 < output.1 && output.0 < input.1 {
            return Err("output.offset");
        }
        let positions = [(0, step.rows, step.output.height), (1, step.cols, step.output.width)];
        for (axis, count, extent) in positions {
            if count == 0 || step.in_step[axis] == 0 || step.out_step[axis] == 0 {
                return Err("rows, cols or steps");
            }
            let last =
                u32::from(step.out_offset[axis]) + (u32::from(count) - 1) * u32::from(step.out_step[axis]);
            if last >= u32::from(extent) {
                return Err("out_offset");
            }
        }
        let panels = usize::from(step.output.channels).div_ceil(PANEL);
        let rows = panels as u64 * u64::from(step.tap_count) * u64::from(step.input.channels);
        let weights = self.tensor(step.weights as usize).ok_or("weights")?;
        if weights.rows() as u64 != rows {
            return Err("weights");
        }
        match self.tensor(step.bias as usize) {
            Some(Tensor::F32(bias)) if bias.len() == panels => Ok(()),
            _ => Err("bias"),
        }
    }

    /// First and last-plus-one byte in the arena, if the buffer lies inside it.
    fn check_buffer(&self, buffer: &Buffer) -> Option<(u64, u64)> {
        if buffer.is_empty() || buffer.pixel_stride < buffer.channels || !buffer.offset.is_multiple_of(4) {
            return None;
        }
        let pixels = u64::from(buffer.height) * u64::from(buffer.width);
        let values = (pixels - 1) * u64::from(buffer.pixel_stride) + u64::from(buffer.channels);
        let start = u64::from(buffer.offset);
        let end = start + 4 * values;
        (end <= self.arena_bytes() as u64).then_some((start, end))
    }
}

impl fmt::Debug for File<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File")
            .field("flash_bytes", &self.flash_bytes())
            .field("arena_bytes", &self.arena_bytes())
            .field("latent_dim", &self.latent_dim())
            .field("output_shape", &self.output_shape())
            .field("steps", &self.step_count())
            .finish_non_exhaustive()
    }
}

/// Checks everything in the header, and the checksum; returns the file's own bytes.
fn check_header(bytes: &[u8]) -> Result<(&[u8], Sections), FormatError> {
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
    let counts = [
        ("step_count", header::STEP_COUNT, 1, MAX_STEPS),
        ("tensor_count", header::TENSOR_COUNT, 1, MAX_TENSORS),
        ("tap_count", header::TAP_COUNT, 1, MAX_TAPS),
        ("metadata_bytes", header::METADATA_BYTES, 0, MAX_METADATA_BYTES),
        ("weights_bytes", header::WEIGHTS_BYTES, 0, MAX_FILE_BYTES),
        ("latent_dim", header::LATENT_DIM, 1, u32::from(u16::MAX)),
        ("height", header::HEIGHT, 1, u32::from(u16::MAX)),
        ("width", header::WIDTH, 1, u32::from(u16::MAX)),
        ("arena_bytes", header::ARENA_BYTES, 4, MAX_ARENA_BYTES),
        ("finetune_arena_bytes", header::FINETUNE_ARENA_BYTES, 0, 0),
    ];
    for (name, at, least, most) in counts {
        if !(least..=most).contains(&u32_field(at)) {
            return field(name);
        }
    }
    if !matches!(u32_field(header::CHANNELS), 1 | 3) {
        return field("channels");
    }
    let (low, high) = (f32_at(bytes, header::LOW), f32_at(bytes, header::HIGH));
    if !low.is_finite() || !high.is_finite() || low >= high {
        return field("low, high");
    }
    let arena = u64::from(u32_field(header::ARENA_BYTES));
    let latent_bytes = 4 * u64::from(u32_field(header::LATENT_DIM));
    let picture = [header::HEIGHT, header::WIDTH, header::CHANNELS].map(|at| u64::from(u32_field(at)));
    let picture_bytes = 4 * picture.iter().product::<u64>();
    for (name, at, len) in [("input", header::INPUT, latent_bytes), ("output", header::OUTPUT, picture_bytes)]
    {
        let offset = u32_field(at);
        if !offset.is_multiple_of(4) || u64::from(offset) + len > arena {
            return field(name);
        }
    }
    if !arena.is_multiple_of(4) {
        return field("arena_bytes");
    }
    let weights_bytes = u32_field(header::WEIGHTS_BYTES);
    if !(weights_bytes as usize).is_multiple_of(ALIGNMENT) {
        return field("weights_bytes");
    }
    let sections = Sections::new(
        u32_field(header::STEP_COUNT),
        u32_field(header::TENSOR_COUNT),
        u32_field(header::TAP_COUNT),
        u32_field(header::METADATA_BYTES),
        weights_bytes,
    );
    if sections.end != bytes.len() {
        return field("file_bytes");
    }
    Ok((bytes, sections))
}

/// The checksum of FORMAT.md: everything but the field that holds it.
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    const CRC: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);
    let mut digest = CRC.digest();
    digest.update(bytes.get(..header::CRC32).unwrap_or(&[]));
    digest.update(bytes.get(header::SHA256..).unwrap_or(&[]));
    digest.finalize()
}
