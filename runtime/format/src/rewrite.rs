//! The same program with other metadata.

use alloc::string::String;

use sha2::{Digest, Sha256};

use crate::layout::{DIGESTED, MAX_METADATA_BYTES, header, pad};
use crate::writer::put;
use crate::{AlignedBytes, File, FormatError};

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
        let (before, weights) = self.around_metadata();
        let weights_start = pad(before.len() + metadata.len());
        let mut file = AlignedBytes::zeroed(weights_start + weights.len());
        let bytes = file.as_mut_slice();
        put(bytes, 0, before);
        put(bytes, before.len(), metadata.as_bytes());
        put(bytes, weights_start, weights);
        // The parsed file was shorter than 2^31 bytes, and metadata is at most 2^16.
        let len = bytes.len() as u32;
        put(bytes, header::FILE_BYTES, &len.to_le_bytes());
        put(bytes, header::METADATA_BYTES, &(metadata.len() as u32).to_le_bytes());
        let digest = Sha256::digest(&bytes[DIGESTED..]);
        put(bytes, header::SHA256, &digest);
        let crc = crate::header::crc32(bytes);
        put(bytes, header::CRC32, &crc.to_le_bytes());
        File::parse(&file)?;
        Ok(file)
    }
}
