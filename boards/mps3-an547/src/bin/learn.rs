//! Firmware that draws and learns as it is told on UART0.
#![no_std]
#![no_main]

use core::panic::PanicInfo;

use boards_arm::{Aligned, SysTick, Uart, learn};
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
    // SAFETY: that is UART0 on this board, as the secure side sees it (ARM DAI0547, table 3-4), and nothing else in this
    // firmware uses it.
    let uart = unsafe { Uart::start(0x5930_3000, 25_000_000) };
    // An entry runs once, so that the arena is there.
    learn(uart, MODEL, EXAMPLES, arena.map_or(&mut [], |arena| &mut arena.0), SysTick::start(32), Plan::Full)
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    boards_arm::fail(info)
}
