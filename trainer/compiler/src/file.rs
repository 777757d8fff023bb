//! Files that people name.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, ensure};

/// Most bytes of a `.pgan` file or a delta: their headers count them in 32 bits.
pub const MAX_MODEL_BYTES: u64 = u32::MAX as u64;
/// Most bytes of an ONNX file: protobuf counts them in 31 bits.
pub const MAX_ONNX_BYTES: u64 = i32::MAX as u64;

/// The whole of a file of at most `limit` bytes. What is named may be a device or a pipe, which need not end.
///
/// # Errors
/// When it cannot be read, or goes on after `limit` bytes.
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let context = || format!("reading {}", path.display());
    let file = File::open(path).with_context(context)?;
    let mut bytes = vec![];
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).with_context(context)?;
    ensure!(bytes.len() as u64 <= limit, "{} is longer than {limit} bytes", path.display());
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_is_short_enough() -> Result<()> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        let expected = std::fs::read(&path)?;
        let len = expected.len() as u64;
        assert_eq!(read(&path, len)?, expected);
        let error = read(&path, len - 1).unwrap_err().to_string();
        assert_eq!(error, format!("{} is longer than {} bytes", path.display(), len - 1));
        Ok(())
    }

    #[cfg(unix)]
    #[test]
    fn a_device_without_end_is_an_error() {
        let error = read(Path::new("/dev/zero"), 1000).unwrap_err().to_string();
        assert_eq!(error, "/dev/zero is longer than 1000 bytes");
    }
}
