//! Firmware for QEMU's 64-bit ARM machine `virt`: a model in memory, a static arena, pictures on a framebuffer in RAM.

#![no_std]
#![no_main]

mod fw_cfg;

use core::panic::PanicInfo;

use aarch64_rt::{entry, initial_pagetable};
use boards_aarch64::{Uart, draw, fail, identity};
use pocketgan_runtime::include_model;

include!(concat!(env!("OUT_DIR"), "/arena.rs"));

static MODEL: &[u8] = include_model!(concat!(env!("OUT_DIR"), "/model.pgan"));

static mut ARENA: [f32; ARENA_LEN] = [0.0; ARENA_LEN];

// SAFETY: this machine's PL011, which `initial_pagetable` maps.
const UART: Uart = unsafe { Uart::new(0x0900_0000) };

// The first gigabyte has devices, the second is RAM.
initial_pagetable!(identity(1 << 30, 1 << 30..2 << 30));

entry!(main);

/// Called once by `entry`, with what the boot loader passes.
fn main(_: u64, _: u64, _: u64, _: u64) -> ! {
    let arena = &raw mut ARENA;
    // SAFETY: nothing else names the arena, and this function runs once.
    let arena = unsafe { &mut *arena };
    match fw_cfg::framebuffer() {
        Some(frame) => draw::<NESTS>(MODEL, arena, frame, UART),
        None => fail(UART, "this machine has no ramfb"),
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    fail(UART, info)
}
