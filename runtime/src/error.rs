//! What can go wrong before the first picture; nothing can afterwards.

use core::fmt;

use pocketgan_format::FormatError;

/// Why a file cannot be used.
pub type LoadError = FormatError;

/// The arena holds fewer values than the model needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArenaTooSmall {
    /// What the model needs, in bytes.
    pub need_bytes: usize,
    /// What the arena has, in bytes.
    pub have_bytes: usize,
}

impl fmt::Display for ArenaTooSmall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the arena has {} bytes, the model needs {}", self.have_bytes, self.need_bytes)
    }
}

impl core::error::Error for ArenaTooSmall {}
