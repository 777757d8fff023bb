//! Firmware for the Raspberry Pi 3B: a model in memory, a static arena, pictures on the framebuffer.

#![no_std]
#![no_main]

mod mailbox;

use core::arch::global_asm;
use core::panic::PanicInfo;

use aarch64_rt::{
    DEFAULT_MAIR, DEFAULT_SCTLR, DEFAULT_TCR_EL1, DEFAULT_TCR_EL2, DEFAULT_TCR_EL3, entry, initial_pagetable,
};
use boards_aarch64::{Uart, draw, fail, identity};
use embedded_graphics_core::geometry::Size;
use pocketgan_runtime::include_model;

include!(concat!(env!("OUT_DIR"), "/arena.rs"));

static MODEL: &[u8] = include_model!(concat!(env!("OUT_DIR"), "/model.pgan"));

static mut ARENA: [f32; ARENA_LEN] = [0.0; ARENA_LEN];

// SAFETY: this board's PL011, which `initial_pagetable` maps.
const UART: Uart = unsafe { Uart::new(0x3f20_1000) };

// The program lies in the first half of RAM. In the second are the framebuffer, which the GPU reads past the caches, and, at
// its end, devices.
initial_pagetable!(
    identity(2 << 20, 0..512 << 20),
    DEFAULT_MAIR,
    DEFAULT_SCTLR,
    gigabyte(DEFAULT_TCR_EL1),
    gigabyte(DEFAULT_TCR_EL2),
    gigabyte(DEFAULT_TCR_EL3)
);

/// 30 bits of address, for which tables begin at the level of 2 MiB.
const fn gigabyte(control: u64) -> u64 {
    control & !0b11_1111 | (64 - 30)
}

// QEMU starts all four cores, where the boot loader of a board starts one.
global_asm!(
    ".section .init.start, \"ax\"",
    ".global start",
    "start:",
    "mrs x9, mpidr_el1",
    "tst x9, #3",
    "b.eq entry",
    "1: wfe",
    "b 1b",
);

entry!(main);

/// Called once by `entry`, with what the boot loader passes.
fn main(_: u64, _: u64, _: u64, _: u64) -> ! {
    let arena = &raw mut ARENA;
    // SAFETY: nothing else names the arena, and this function runs once.
    let arena = unsafe { &mut *arena };
    match mailbox::framebuffer(Size::new(640, 480)) {
        Some(frame) => draw::<NESTS>(MODEL, arena, frame, UART),
        None => fail(UART, "the GPU gives no framebuffer"),
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    fail(UART, info)
}
