//! What can be wrong with a file.

use core::fmt;

/// Why bytes are not a `.pgan` file that can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FormatError {
    /// The first four bytes are not `PGAN`.
    BadMagic,
    /// The bytes do not start at a multiple of 16.
    Misaligned,
    /// Written by another version of the format.
    UnsupportedVersion {
        /// The file's version.
        found: u16,
    },
    /// The bytes end too early. Lengths in bytes.
    Truncated {
        /// What the header promises.
        need: usize,
        /// What is there.
        have: usize,
    },
    /// The CRC-32 does not match: the file is damaged.
    Damaged {
        /// The checksum in the header.
        stored: u32,
        /// The checksum of the bytes.
        computed: u32,
    },
    /// A header field is outside what FORMAT.md allows.
    Header {
        /// The field's name in FORMAT.md.
        field: &'static str,
    },
    /// An input's field is outside what FORMAT.md allows.
    Input {
        /// Index of the input.
        index: usize,
        /// The field's name in FORMAT.md.
        field: &'static str,
    },
    /// A step's field is outside what FORMAT.md allows.
    Step {
        /// Index of the step.
        index: usize,
        /// The field's name in FORMAT.md.
        field: &'static str,
    },
    /// A tensor does not lie inside the weights.
    Tensor {
        /// Index of the tensor.
        index: usize,
    },
    /// A tap is outside -4096..=4096.
    Tap {
        /// Index of the tap.
        index: usize,
    },
    /// The metadata is not UTF-8.
    Metadata,
    /// The learning section says what FORMAT.md does not allow.
    Learning {
        /// The field's name in FORMAT.md.
        field: &'static str,
    },
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::BadMagic => f.write_str("not a .pgan file: it does not start with PGAN"),
            Self::Misaligned => {
                f.write_str("the file's bytes must start at an address that is a multiple of 16")
            }
            Self::UnsupportedVersion { found } => {
                write!(
                    f,
                    "format version {found}, this reader knows {}: export the model again",
                    crate::VERSION
                )
            }
            Self::Truncated { need, have } => write!(f, "the file has {have} bytes of {need}"),
            Self::Damaged { stored, computed } => {
                write!(f, "the file is damaged: its checksum is {stored:08x}, its bytes give {computed:08x}")
            }
            Self::Header { field } => write!(f, "header field {field} is not allowed"),
            Self::Input { index, field } => write!(f, "input {index}: field {field} is not allowed"),
            Self::Step { index, field } => write!(f, "step {index}: field {field} is not allowed"),
            Self::Tensor { index } => write!(f, "tensor {index} does not lie inside the weights"),
            Self::Tap { index } => write!(f, "tap {index} is out of range"),
            Self::Metadata => f.write_str("the metadata is not UTF-8"),
            Self::Learning { field } => write!(f, "learning: {field} is not allowed"),
        }
    }
}

impl core::error::Error for FormatError {}
