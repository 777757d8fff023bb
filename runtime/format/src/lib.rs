//! Reads and writes `.pgan` files; `FORMAT.md` beside this crate defines every byte.
//!
//! In: bytes. Out: a verified view of them ([`File`]), or, the other way, bytes from a `Program`. This crate knows no
//! tensor library and computes nothing but checksums.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(any(test, feature = "alloc"))]
extern crate alloc;

#[cfg(target_endian = "big")]
compile_error!("a .pgan file is little-endian and used in place");

mod checksum;
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
pub use error::FormatError;
pub use file::File;
pub use input::{Input, Role};
pub use layout::{ALIGNMENT, MAX_ARENA_BYTES, MAX_AXES, MAX_MACS, PANEL, VERSION};
pub use learning::{Learning, Preset, Rule};
pub use nest::{Axes, Axis, Combine, Function, NestStep, Operand};
pub use step::{Activation, Buffer, Step, Tap, TapGemmStep, Tensor, ValueType};
#[cfg(feature = "alloc")]
pub use writer::{AlignedBytes, Program, TensorData};
