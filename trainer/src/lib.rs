//! Trains GANs, exports the generator as one small file, and measures both.
#![forbid(unsafe_code)]

pub mod export;
pub mod graph;
pub mod metrics;
pub mod onnx;
pub mod report;
