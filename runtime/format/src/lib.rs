//! Reads and writes `.pgan` files and deltas of them; `FORMAT.md` and `DELTA.md` beside this crate define every byte.
//!
//! In: bytes. Out: a verified view of them ([`File`], [`Delta`]), or, the other way, bytes from a `Program` or from
//! each [`LearnedTensor`]. This crate knows no tensor library and computes nothing but checksums and how far a delta leads.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(any(test, feature = "alloc"))]
extern crate alloc;

#[cfg(target_endian = "big")]
compile_error!("a .pgan file is little-endian and used in place");

mod checksum;
mod delta;
mod error;
mod file;
mod header;
mod input;
mod layout;
mod learning;
mod nest;
#[cfg(feature = "alloc")]
mod rewrite;
mod step;
#[cfg(feature = "alloc")]
mod writer;

pub use checksum::crc32;
#[cfg(feature = "ed25519")]
pub use delta::signature;
pub use delta::{Change, Delta, DeltaError, DeltaSummary, LearnedTensor, Losses, Network, Target};
pub use error::FormatError;
pub use file::File;
pub use input::{Input, Role};
pub use layout::{
    ALIGNMENT, MAX_ARENA_BYTES, MAX_AXES, MAX_FILE_BYTES, MAX_MACS, MAX_STEPS, MAX_TAPS, PANEL, VERSION,
};
pub use learning::{Learning, Preset, Rule};
pub use nest::{Axes, Axis, Combine, Function, NestStep, Operand};
pub use step::{Activation, Buffer, Step, Tap, TapGemmStep, Tensor, ValueType};
#[cfg(feature = "alloc")]
pub use writer::{AlignedBytes, Program, TensorData};
