//! Fine-tuning.
#![no_std]
#![forbid(unsafe_code)]

pub mod store;
