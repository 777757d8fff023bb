//! What the Cortex-M boards that learn share: the program, files through semihosting, ARM's UART, and the height of the stack.
//!
//! Emulators have no flash controller, so that a file stands for flash here. Firmware for a real board gives its HAL's
//! `NorFlash` to `boards_common::Device` instead, and needs nothing of this crate.

#![no_std]

mod file;
mod learn;
mod stack;
mod uart;

pub use file::File;
pub use learn::{Aligned, learn};
pub use uart::Uart;
