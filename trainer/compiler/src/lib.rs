//! The compiler of pocketgan: a network as data, read from ONNX or made by the trainer, becomes a verified `.pgan` file.
//!
//! [`graph`] holds the network and computes it plainly, [`onnx`] reads and writes it, [`export`] compiles it. Nothing
//! here trains, so nothing here needs burn.
#![forbid(unsafe_code)]

pub mod export;
pub mod file;
pub mod graph;
pub mod onnx;
