//! Firmware for the Netduino Plus 2: a model in flash, a static arena, and pictures that one asks for on USART1.

#![no_std]
#![no_main]

mod uart;

use core::panic::PanicInfo;

use boards_arm::{SysTick, draw};
use cortex_m::singleton;
use cortex_m_rt::entry;
use pocketgan_runtime::include_model;

include!(concat!(env!("OUT_DIR"), "/arena.rs"));

static MODEL: &[u8] = include_model!(concat!(env!("OUT_DIR"), "/model.pgan"));

#[entry]
fn main() -> ! {
    let arena = singleton!(: [f32; ARENA_LEN] = [0.0; ARENA_LEN]);
    let uart = uart::Usart::start();
    // An entry runs once, so that the arena is there.
    draw::<NESTS>(uart, MODEL, arena.map_or(&mut [], |arena| arena), SysTick::start(168))
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    boards_arm::fail(info)
}
