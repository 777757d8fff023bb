//! What the Cortex-M boards share: the programs that draw and learn, files through semihosting, ARM's timer and UART, and the
//! height of the stack.
//!
//! Emulators have no flash controller, so that a file stands for flash here. Firmware for a real board gives its HAL's
//! `NorFlash` to `boards_common::Device` instead, and needs nothing of this crate.

#![no_std]

mod draw;
mod end;
mod file;
mod learn;
mod stack;
mod sys_tick;
mod uart;

pub use draw::draw;
pub use end::{fail, finish};
pub use file::File;
pub use learn::{Aligned, learn};
pub use sys_tick::SysTick;
pub use uart::Uart;
