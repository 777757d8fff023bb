//! The reader: one pass over the bytes, after which nothing about them can fail.

use core::fmt;
use core::ops::Range;

use crate::layout::{
    self, ALIGNMENT, AXIS_BYTES, INPUT_BYTES, MAX_MACS, MAX_TAP_REACH, PANEL, STEP_BYTES, TENSOR_BYTES,
    f32_at, header, u32_at, u64_at,
};
use crate::{
    Axes, Buffer, FormatError, Input, Learning, NestStep, Role, Step, Tap, TapGemmStep, Tensor, ValueType,
};

/// A verified `.pgan` file, borrowed.
#[derive(Clone, Copy)]
pub struct File<'a> {
    bytes: &'a [u8],
    inputs: &'a [u8],
    steps: &'a [u8],
    tensors: &'a [u8],
    taps: &'a [Tap],
    axes: &'a [u8],
    metadata: &'a str,
    weights: &'a [u8],
    learning: &'a [u8],
}

impl<'a> File<'a> {
    /// Verifies `bytes` against FORMAT.md, without allocation or recursion, in time proportional to their length.
    /// Bytes after the file's end are ignored, so that a file may lie in a larger flash sector. What the file says of learning is
    /// verified by [`learning`](Self::learning), so that firmware which does not learn has no code for it.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, FormatError> {
        let (bytes, sections) = crate::header::check(bytes)?;
        let section = |range: Range<usize>| bytes.get(range).unwrap_or(&[]);
        let used = [
            &sections.inputs,
            &sections.steps,
            &sections.tensors,
            &sections.taps,
            &sections.axes,
            &sections.metadata,
            &sections.weights,
            &sections.learning,
        ];
        let mut end = layout::HEADER_BYTES;
        for range in used {
            if section(end..range.start).iter().any(|&byte| byte != 0) {
                return Err(FormatError::Header { field: "padding" });
            }
            end = range.end;
        }
        let file = Self {
            bytes,
            inputs: section(sections.inputs),
            steps: section(sections.steps),
            tensors: section(sections.tensors),
            taps: bytemuck::try_cast_slice(section(sections.taps)).map_err(|_| FormatError::Misaligned)?,
            axes: section(sections.axes),
            metadata: core::str::from_utf8(section(sections.metadata)).map_err(|_| FormatError::Metadata)?,
            weights: section(sections.weights),
            learning: section(sections.learning),
        };
        file.check_inputs()?;
        file.check_tensors()?;
        file.check_taps()?;
        file.check_steps()?;
        Ok(file)
    }

    /// Size of the file: what it takes in flash.
    pub fn flash_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The whole file.
    #[cfg(feature = "alloc")]
    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Peak RAM of one picture.
    pub fn arena_bytes(&self) -> usize {
        self.u32(header::ARENA_BYTES) as usize
    }

    /// RAM in which the generator can learn, see [`learning`](Self::learning); 0 where it cannot.
    pub fn finetune_arena_bytes(&self) -> usize {
        self.u32(header::FINETUNE_ARENA_BYTES) as usize
    }

    /// Whether the file has a learning section.
    pub(crate) fn can_learn(&self) -> bool {
        !self.learning.is_empty()
    }

    /// Verifies how the generator learns on a device, if it does.
    ///
    /// # Errors
    /// The first thing that is wrong with that section, the discriminator in it included.
    pub fn learning(&self) -> Result<Option<Learning<'a>>, FormatError> {
        if !self.can_learn() {
            return Ok(None);
        }
        Learning::parse(self, self.learning).map(Some)
    }

    /// What is put into the arena before every run.
    pub fn inputs(&self) -> impl ExactSizeIterator<Item = Input> + Clone + use<'a> {
        let records = self.inputs.chunks_exact(INPUT_BYTES);
        // Not `expect`, which would bring `Debug` and the tables of Unicode into firmware.
        records
            .map(|record| Input::decode(record).unwrap_or_else(|_| unreachable!("parse decoded every input")))
    }

    /// The name of an input, if it has one.
    pub fn input_name(&self, index: usize) -> Option<&'a str> {
        self.get("inputs")?.split(',').nth(index).filter(|name| !name.is_empty())
    }

    /// Length of the first latent vector; 0 where there is none.
    pub fn latent_dim(&self) -> usize {
        self.inputs().find(|input| input.role == Role::Latent).map_or(0, |input| input.len() as usize)
    }

    /// Height, width and channels of the picture.
    pub fn output_shape(&self) -> [usize; 3] {
        [header::HEIGHT, header::WIDTH, header::CHANNELS].map(|at| self.u32(at) as usize)
    }

    /// The values that are black and white.
    pub fn range(&self) -> [f32; 2] {
        [f32_at(self.bytes, header::LOW), f32_at(self.bytes, header::HIGH)]
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
        let records = self.steps.chunks_exact(STEP_BYTES);
        records
            .map(|record| Step::decode(record).unwrap_or_else(|_| unreachable!("parse decoded every step")))
    }

    /// Number of steps.
    pub fn step_count(&self) -> usize {
        self.steps.len() / STEP_BYTES
    }

    /// Multiply-accumulates of one of this file's steps.
    pub fn step_macs(&self, step: &Step) -> u64 {
        match step {
            Step::TapGemm(step) => step.macs(),
            Step::Nest(step) => step.macs(&self.axes(step)),
        }
    }

    /// The taps of one of this file's steps.
    pub fn taps(&self, step: &TapGemmStep) -> &'a [Tap] {
        let first = step.first_tap as usize;
        self.taps.get(first..first + step.tap_count as usize).unwrap_or(&[])
    }

    /// The axes of one of this file's steps.
    pub fn axes(&self, step: &NestStep) -> Axes {
        let records = self.axes.chunks_exact(AXIS_BYTES);
        Axes::decode(records.skip(step.first_axis as usize).take(step.axis_count.into()))
    }

    /// Number of tensors.
    pub fn tensor_count(&self) -> usize {
        self.tensors.len() / TENSOR_BYTES
    }

    /// The tensor with this index; `None` past the last.
    pub fn tensor(&self, index: usize) -> Option<Tensor<'a>> {
        let record = self.tensors.chunks_exact(TENSOR_BYTES).nth(index)?;
        let start = u32_at(record, 0) as usize;
        let rows = u32_at(record, 4) as usize;
        let take =
            |row_bytes: usize| self.weights.get(start..start.checked_add(rows.checked_mul(row_bytes)?)?);
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

    /// What lies before the metadata, and what lies behind it.
    #[cfg(feature = "alloc")]
    pub(crate) fn around_metadata(&self) -> (&'a [u8], &'a [u8]) {
        let offset = |section: &[u8]| section.as_ptr().addr() - self.bytes.as_ptr().addr();
        let (before, behind) = (
            ..offset(self.metadata.as_bytes()),
            layout::pad(offset(self.metadata.as_bytes()) + self.metadata.len())..,
        );
        (self.bytes.get(before).unwrap_or(&[]), self.bytes.get(behind).unwrap_or(&[]))
    }

    /// Where the values of a tensor start.
    #[cfg(feature = "alloc")]
    pub(crate) fn tensor_at(&self, index: usize) -> usize {
        let weights = self.weights.as_ptr().addr() - self.bytes.as_ptr().addr();
        let record = self.tensors.chunks_exact(TENSOR_BYTES).nth(index);
        weights + record.map_or(0, |record| u32_at(record, 0) as usize)
    }

    /// Where the record of a step starts.
    #[cfg(feature = "alloc")]
    pub(crate) fn step_at(&self, index: usize) -> usize {
        self.steps.as_ptr().addr() - self.bytes.as_ptr().addr() + index * STEP_BYTES
    }

    /// The part that runs, without the learning section.
    #[cfg(feature = "alloc")]
    pub(crate) fn without_learning(&self) -> &'a [u8] {
        self.bytes.get(..self.bytes.len() - self.learning.len()).unwrap_or(&[])
    }

    fn u32(&self, at: usize) -> u32 {
        u32_at(self.bytes, at)
    }

    fn check_inputs(&self) -> Result<(), FormatError> {
        for (index, record) in self.inputs.chunks_exact(INPUT_BYTES).enumerate() {
            let refuse = |field| FormatError::Input { index, field };
            let (start, end) = Input::decode(record).map_err(refuse)?.span();
            // Those before are decoded already.
            let apart = |other: Input| other.span().1 <= start || end <= other.span().0;
            if end > self.arena_bytes() as u64 || !self.inputs().take(index).all(apart) {
                return Err(refuse("offset"));
            }
        }
        Ok(())
    }

    fn check_tensors(&self) -> Result<(), FormatError> {
        for (index, record) in self.tensors.chunks_exact(TENSOR_BYTES).enumerate() {
            let aligned = (u32_at(record, 0) as usize).is_multiple_of(ALIGNMENT);
            let reserved_zero = record.iter().skip(9).all(|&b| b == 0);
            if !aligned || !reserved_zero || self.tensor(index).is_none() {
                return Err(FormatError::Tensor { index });
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
        let (mut macs, mut iterations) = (0_u64, 0_u64);
        let mut layer = 0;
        for (index, record) in self.steps.chunks_exact(STEP_BYTES).enumerate() {
            let refuse = |field| FormatError::Step { index, field };
            let step = Step::decode(record).map_err(refuse)?;
            let first = index == 0 && step.layer() != 0;
            if first || step.layer() < layer || step.layer() - layer > 1 {
                return Err(refuse("layer"));
            }
            layer = step.layer();
            match &step {
                Step::TapGemm(step) => self.check_tap_gemm(step),
                Step::Nest(step) => {
                    let axes = self.axes(step);
                    iterations = iterations.saturating_add(step.iterations(&axes));
                    let tensor_len =
                        |index: u32| self.tensor(index as usize).map(|t| (t.rows() * PANEL) as u64);
                    step.check(&axes, self.arena_bytes() as u64 / 4, tensor_len)
                }
            }
            .map_err(refuse)?;
            macs = macs.saturating_add(self.step_macs(&step));
            if iterations > MAX_MACS {
                return Err(refuse("axes"));
            }
        }
        if macs != self.macs() || macs > MAX_MACS {
            return Err(FormatError::Header { field: "macs" });
        }
        Ok(())
    }

    fn check_tap_gemm(&self, step: &TapGemmStep) -> Result<(), &'static str> {
        let taps_end = u64::from(step.first_tap) + u64::from(step.tap_count);
        if step.tap_count == 0 || taps_end > self.taps.len() as u64 {
            return Err("taps");
        }
        let input = self.check_buffer(&step.input, step.values).ok_or("input")?;
        let output = self.check_buffer(&step.output, step.values).ok_or("output")?;
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
    fn check_buffer(&self, buffer: &Buffer, values: ValueType) -> Option<(u64, u64)> {
        let aligned = buffer.offset.is_multiple_of(values.bytes());
        if buffer.is_empty() || buffer.pixel_stride < buffer.channels || !aligned {
            return None;
        }
        let pixels = u64::from(buffer.height) * u64::from(buffer.width);
        let len = (pixels - 1) * u64::from(buffer.pixel_stride) + u64::from(buffer.channels);
        let start = u64::from(buffer.offset);
        let end = start + u64::from(values.bytes()) * len;
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
