//! Firmware for QEMU's 32-bit RISC-V machine `virt`: a model in memory, a static arena, pictures on the serial port.

#![no_std]
#![no_main]

mod machine;
mod timer;

use core::fmt::Write;
use core::panic::PanicInfo;

use boards_common::{Device, End, kernels};
use machine::{Serial, exit, reset, usage};
use pocketgan_runtime::include_model;

include!(concat!(env!("OUT_DIR"), "/arena.rs"));

static MODEL: &[u8] = include_model!(concat!(env!("OUT_DIR"), "/model.pgan"));

static mut ARENA: [f32; ARENA_LEN] = [0.0; ARENA_LEN];

/// Called once by `start`.
extern "C" fn main() -> ! {
    let arena = &raw mut ARENA;
    // SAFETY: nothing else names the arena, and this function runs once.
    let arena = unsafe { &mut *arena };
    let (fast, exact) = kernels::<NESTS>();
    let device = Device { model: MODEL, port: Serial, clock: timer::Timer, arena, fast, exact, usage };
    match device.draw() {
        End::Reset => reset(),
        End::Exit => exit(true),
        End::Failed => exit(false),
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    // The serial port takes everything, and there is nobody else to tell.
    let _ = writeln!(Serial, "{info}");
    exit(false)
}
