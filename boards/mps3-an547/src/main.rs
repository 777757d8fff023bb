//! Firmware for the MPS3 board with image AN547: a model in flash, a static arena, and pictures that one asks for on UART0.

#![no_std]
#![no_main]

use core::panic::PanicInfo;

use boards_arm::{SysTick, Uart, draw};
use cortex_m::singleton;
use cortex_m_rt::entry;

include!(concat!(env!("OUT_DIR"), "/arena.rs"));

/// At an address that a model may have.
#[repr(C, align(16))]
struct Aligned<T>(T);

// SAFETY: `memory.x` gives the section a place in external memory, where nothing else lies.
#[unsafe(link_section = ".model")]
static MODEL: Aligned<[u8; include_bytes!(concat!(env!("OUT_DIR"), "/model.pgan")).len()]> =
    Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/model.pgan")));

#[entry]
fn main() -> ! {
    let arena = singleton!(: [f32; ARENA_LEN] = [0.0; ARENA_LEN]);
    // SAFETY: that is UART0 on this board, as the secure side sees it (ARM DAI0547, table 3-4), and nothing else in this
    // firmware uses it.
    let uart = unsafe { Uart::start(0x5930_3000, 25_000_000) };
    // An entry runs once, so that the arena is there.
    draw::<NESTS>(uart, &MODEL.0, arena.map_or(&mut [], |arena| arena), SysTick::start(32))
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    boards_arm::fail(info)
}
