//! What can be wrong with a delta.

use core::fmt;

/// Why bytes are not a delta, or not one for this model.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum DeltaError {
    /// The first four bytes are not `PGDL`.
    BadMagic,
    /// The bytes do not start at a multiple of 16.
    Misaligned,
    /// Written by another version of the format.
    UnsupportedVersion {
        /// The delta's version.
        found: u16,
    },
    /// The bytes end too early. Lengths in bytes.
    Truncated {
        /// What the header promises.
        need: usize,
        /// What is there.
        have: usize,
    },
    /// The CRC-32 does not match: the delta is damaged.
    Damaged {
        /// The checksum in the header.
        stored: u32,
        /// The checksum of the bytes.
        computed: u32,
    },
    /// A header field is outside what DELTA.md allows.
    Header {
        /// The field's name in DELTA.md.
        field: &'static str,
    },
    /// A record's field is outside what DELTA.md allows.
    Record {
        /// Index of the record.
        index: usize,
        /// The field's name in DELTA.md, or `order`.
        field: &'static str,
    },
    /// A value is infinite or not a number, or becomes infinite in half precision.
    NotFinite {
        /// Index of the record.
        index: usize,
    },
    /// Learned from another model.
    OtherBase {
        /// First four bytes of the SHA-256 that it is bound to.
        learned_from: [u8; 4],
        /// First four bytes of the base's.
        base: [u8; 4],
    },
    /// The network has no such tensor.
    NoSuchTensor {
        /// Index of the record.
        index: usize,
        /// Index of the tensor.
        tensor: u32,
    },
    /// The network's tensor has other rows or another type.
    OtherShape {
        /// Index of the record.
        index: usize,
        /// Index of the tensor.
        tensor: u32,
    },
    /// A factor's tensor is the bias of no tap GEMM, or of one that accumulates.
    NotABias {
        /// Index of the record.
        index: usize,
        /// Index of the tensor.
        tensor: u32,
    },
    /// A loop nest reads a tensor that would be replaced.
    ReadByNest {
        /// Index of the step.
        step: usize,
        /// Index of the tensor.
        tensor: u32,
    },
    /// A step reads a tensor that factors for other layers would become part of, where a delta becomes part of a file.
    Shared {
        /// Index of the step.
        step: usize,
        /// Index of the tensor.
        tensor: u32,
    },
    /// The values are farther from the base's than the caller allows.
    TooFar {
        /// Relative distance, see [`Delta::distance`](super::Delta::distance).
        distance: f32,
        /// The caller's bound.
        max_distance: f32,
    },
    /// The buffer is too short for what is to be written. Lengths in bytes.
    BufferTooSmall {
        /// What is needed.
        need: usize,
        /// What the buffer has.
        have: usize,
    },
    /// There is no delta to take the mean of.
    NothingToMerge,
    /// A delta has not the records of the first.
    OtherRecords {
        /// Its index among the deltas.
        delta: usize,
    },
    /// There is no signature.
    Unsigned,
    /// The public key is no point of the curve.
    BadKey,
    /// The signature is not that of this key and these bytes.
    BadSignature,
}

impl fmt::Display for DeltaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::BadMagic => f.write_str("not a delta: it does not start with PGDL"),
            Self::Misaligned => {
                f.write_str("the delta's bytes must start at an address that is a multiple of 16")
            }
            Self::UnsupportedVersion { found } => {
                write!(f, "delta version {found}, this reader knows {}: learn again", super::VERSION)
            }
            Self::Truncated { need, have } => {
                write!(f, "the delta has {have} bytes of {need}: copy it again, to its end")
            }
            Self::Damaged { stored, computed } => write!(
                f,
                "the delta is damaged: its checksum is {stored:08x}, its bytes give {computed:08x}; copy it again"
            ),
            Self::Header { field } => write!(f, "header field {field} is not allowed"),
            Self::Record { index, field } => write!(f, "record {index}: {field} is not allowed"),
            Self::NotFinite { index } => {
                write!(f, "record {index} has values that are not finite: learn again, at a lower rate")
            }
            Self::OtherBase { learned_from, base } => {
                let [learned_from, base] = [learned_from, base].map(u32::from_be_bytes);
                write!(
                    f,
                    "the delta was learned from model {learned_from:08x}, this is {base:08x}: load that model, or learn again"
                )
            }
            Self::NoSuchTensor { index, tensor } => {
                write!(f, "record {index}: the model has no tensor {tensor}: make the delta from this model")
            }
            Self::OtherShape { index, tensor } => {
                write!(
                    f,
                    "record {index}: the model's tensor {tensor} has other rows or another type: make the delta from this model"
                )
            }
            Self::NotABias { index, tensor } => {
                write!(
                    f,
                    "record {index}: tensor {tensor} is no bias, or that of a layer that adds to what is there: give factors to other biases only"
                )
            }
            Self::ReadByNest { step, tensor } => {
                write!(f, "step {step}, a loop nest, reads tensor {tensor}: leave that tensor as it is")
            }
            Self::Shared { step, tensor } => {
                write!(
                    f,
                    "step {step} reads tensor {tensor} without the factors: keep the delta beside the file"
                )
            }
            Self::TooFar { distance, max_distance } => write!(
                f,
                "the delta is {distance} from its base, and {max_distance} is allowed: learn fewer steps, or allow more"
            ),
            Self::BufferTooSmall { need, have } => {
                write!(f, "the delta takes {need} bytes, the buffer has {have}")
            }
            Self::NothingToMerge => f.write_str("no delta to merge: give one at least"),
            Self::OtherRecords { delta } => {
                write!(f, "delta {delta} has other records than the first: merge deltas of one preset")
            }
            Self::Unsigned => {
                f.write_str("the delta has no signature: have it signed, or do not ask for one")
            }
            Self::BadKey => f.write_str("not an ed25519 public key: give the 32 bytes of one"),
            Self::BadSignature => {
                f.write_str("the signature is not of this key and delta: do not use the delta")
            }
        }
    }
}

impl core::error::Error for DeltaError {}
