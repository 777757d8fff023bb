//! Firmware for the MPS2 board with image AN386: a model in flash, a static arena, pictures on the debugger's console.

#![no_std]
#![no_main]

mod timer;

use core::panic::PanicInfo;

use boards_arm::draw;
use cortex_m::singleton;
use cortex_m_rt::entry;
use pocketgan_runtime::include_model;

include!(concat!(env!("OUT_DIR"), "/arena.rs"));

static MODEL: &[u8] = include_model!(concat!(env!("OUT_DIR"), "/model.pgan"));

#[entry]
fn main() -> ! {
    let arena = singleton!(: [f32; ARENA_LEN] = [0.0; ARENA_LEN]);
    // An entry runs once, so that the arena is there.
    draw(MODEL, &mut timer::Timer::start(), arena.map_or(&mut [], |arena| arena))
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    boards_arm::fail(info)
}
