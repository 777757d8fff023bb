//! Counts the instructions that each layer of a model takes, for every implementation that this machine has.
//!
//! Prints a line for each: implementation, layer, multiplications with inputs that exist, instructions.
#![no_std]
#![no_main]

use kernel_suite as _;
kernel_suite::firmware!();
#[unsafe(no_mangle)]
fn firmware() {}
