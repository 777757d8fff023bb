//! The same program with other metadata, or with another way to learn.

use alloc::string::String;

use sha2::{Digest, Sha256};

use crate::layout::{DIGESTED, MAX_FILE_BYTES, MAX_METADATA_BYTES, header, pad};
use crate::writer::put;
use crate::{AlignedBytes, File, FormatError, Rule, Step, Tensor};

impl File<'_> {
    /// The file with `value` under `key`, in place of what was there. Every other byte stays, lengths and checksums apart.
    ///
    /// # Errors
    /// When the metadata would exceed its limit.
    ///
    /// # Panics
    /// When `key` has a `=` or either a newline.
    pub fn with_metadata(&self, key: &str, value: &str) -> Result<AlignedBytes, FormatError> {
        assert!(!key.contains(['=', '\n']) && !value.contains('\n'), "metadata is lines of key=value");
        let mut metadata = String::new();
        for line in self.metadata().lines() {
            if line.split('=').next() != Some(key) {
                metadata.extend([line, "\n"]);
            }
        }
        metadata.extend([key, "=", value, "\n"]);
        if metadata.len() > MAX_METADATA_BYTES as usize {
            return Err(FormatError::Header { field: "metadata_bytes" });
        }
        let (before, behind) = self.around_metadata();
        let behind_start = pad(before.len() + metadata.len());
        let mut file = AlignedBytes::zeroed(behind_start + behind.len());
        let bytes = file.as_mut_slice();
        put(bytes, 0, before);
        put(bytes, before.len(), metadata.as_bytes());
        put(bytes, behind_start, behind);
        put(bytes, header::METADATA_BYTES, &(metadata.len() as u32).to_le_bytes());
        seal(file)
    }

    /// The file with a way to learn, in place of the one that it had.
    ///
    /// # Errors
    /// What [`File::learning`] says of a discriminator or of steps that do not fit.
    pub fn with_learning(
        &self,
        rule: &Rule,
        discriminator: &File<'_>,
        finetune_arena_bytes: u32,
    ) -> Result<AlignedBytes, FormatError> {
        let (program, record) = (self.without_learning(), rule.encode());
        let discriminator = discriminator.bytes();
        let mut file = AlignedBytes::zeroed(program.len() + record.len() + discriminator.len());
        let bytes = file.as_mut_slice();
        put(bytes, 0, program);
        put(bytes, program.len(), &record);
        put(bytes, program.len() + record.len(), discriminator);
        let learning_bytes = length(record.len() + discriminator.len())?;
        put(bytes, header::LEARNING_BYTES, &learning_bytes.to_le_bytes());
        put(bytes, header::FINETUNE_ARENA_BYTES, &finetune_arena_bytes.to_le_bytes());
        let file = seal(file)?;
        File::parse(&file)?.learning()?;
        Ok(file)
    }
}

impl File<'_> {
    /// The file with one bias for each layer whose phases have equal ones, so that they stay equal when a device trains them.
    /// A bias that no step reads any more keeps its place.
    ///
    /// # Errors
    /// Never for a file that was read.
    pub fn with_tied_biases(&self) -> Result<AlignedBytes, FormatError> {
        let mut file = AlignedBytes::copy(self.bytes());
        let mut first: Option<(u16, u32)> = None;
        for (index, step) in self.steps().enumerate() {
            let Step::TapGemm(mut step) = step else { continue };
            let equal = |bias: u32| match (self.tensor(bias as usize), self.tensor(step.bias as usize)) {
                (Some(Tensor::F32(a)), Some(Tensor::F32(b))) => a == b,
                _ => false,
            };
            match first {
                Some((layer, bias)) if layer == step.layer && equal(bias) => step.bias = bias,
                _ => first = Some((step.layer, step.bias)),
            }
            put(file.as_mut_slice(), self.step_at(index), &step.encode());
        }
        seal(file)
    }
}

/// Enters length and checksums, and reads the file back.
pub(crate) fn seal(mut file: AlignedBytes) -> Result<AlignedBytes, FormatError> {
    let bytes = file.as_mut_slice();
    let len = length(bytes.len())?;
    put(bytes, header::FILE_BYTES, &len.to_le_bytes());
    let digest = Sha256::digest(&bytes[DIGESTED..]);
    put(bytes, header::SHA256, &digest);
    let crc = crate::header::crc32(bytes);
    put(bytes, header::CRC32, &crc.to_le_bytes());
    File::parse(&file)?;
    Ok(file)
}

fn length(bytes: usize) -> Result<u32, FormatError> {
    let refuse = FormatError::Header { field: "file_bytes" };
    u32::try_from(bytes).ok().filter(|&len| len <= MAX_FILE_BYTES).ok_or(refuse)
}
