//! Firmware for the MPS2 board with image AN500: a model in flash, a static arena, and pictures that one asks for on UART0.

#![no_std]
#![no_main]

use core::panic::PanicInfo;

use boards_arm::{SysTick, Uart, draw};
use cortex_m::singleton;
use cortex_m_rt::entry;
use pocketgan_runtime::include_model;

include!(concat!(env!("OUT_DIR"), "/arena.rs"));

static MODEL: &[u8] = include_model!(concat!(env!("OUT_DIR"), "/model.pgan"));

#[entry]
fn main() -> ! {
    let arena = singleton!(: [f32; ARENA_LEN] = [0.0; ARENA_LEN]);
    // SAFETY: that is UART0 on this board (ARM DAI0500), and nothing else in this firmware uses it.
    let uart = unsafe { Uart::start(0x4000_4000, 25_000_000) };
    // An entry runs once, so that the arena is there.
    draw::<NESTS>(uart, MODEL, arena.map_or(&mut [], |arena| arena), SysTick::start(25))
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    boards_arm::fail(info)
}
