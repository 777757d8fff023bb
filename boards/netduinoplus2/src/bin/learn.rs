//! Firmware that draws and learns as it is told on USART1.
#![no_std]
#![no_main]

#[path = "../uart.rs"]
mod uart;

use core::panic::PanicInfo;

use boards_arm::{Aligned, SysTick, learn};
use boards_common::Plan;
use cortex_m::singleton;
use cortex_m_rt::entry;
use pocketgan_runtime::include_model;

include!(concat!(env!("OUT_DIR"), "/learning.rs"));

static MODEL: &[u8] = include_model!(concat!(env!("OUT_DIR"), "/learning.pgan"));
static EXAMPLES: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/examples.raw"));

#[entry]
fn main() -> ! {
    let arena = singleton!(: Aligned<LEARNING_LEN> = Aligned([0.0; LEARNING_LEN]));
    let uart = uart::Usart::start();
    // An entry runs once, so that the arena is there.
    learn(
        uart,
        MODEL,
        EXAMPLES,
        arena.map_or(&mut [], |arena| &mut arena.0),
        SysTick::start(168),
        Plan::Small,
    )
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    boards_arm::fail(info)
}
