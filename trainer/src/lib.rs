//! Trains GANs, exports the generator as one small file, and measures both.
#![forbid(unsafe_code)]

pub mod benchmark;
pub mod checkpoint;
pub mod classifier;
pub mod cli;
pub mod config;
pub mod dataset;
pub mod device;
pub mod encoder;
pub mod finetune;
pub mod grid;
pub mod method;
pub mod metrics;
pub mod network;
pub mod objective;
pub mod plan;
pub mod regularizer;
pub mod report;
pub mod training;
pub mod translation;
pub mod weights;
