//! RISC-V `virt`: a serial port for text, the test device for the status, the counter of retired instructions.

use core::arch::{asm, global_asm};
use core::fmt::{self, Write};

global_asm!(
    ".section .text.boot",
    ".global _start",
    "_start:",
    "la sp, __stack_top",
    // The floating-point unit is off at reset.
    "li t0, 0x2000",
    "csrs mstatus, t0",
    "j {main}",
    main = sym main,
);

extern "C" fn main() -> ! {
    crate::start()
}

/// Prints to the serial port.
pub fn print(text: fmt::Arguments<'_>) {
    // The port takes everything.
    let _ = Port.write_fmt(text);
}

struct Port;

impl Write for Port {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            // SAFETY: the transmit register of the machine's only serial port, which nothing else uses.
            unsafe { SERIAL.write_volatile(byte) }
        }
        Ok(())
    }
}

/// Ends the machine.
pub fn exit(success: bool) -> ! {
    // SAFETY: the register of the machine's test device, which ends it.
    unsafe { TEST.write_volatile(if success { 0x5555 } else { 0x1_3333 }) }
    #[allow(clippy::empty_loop, reason = "the machine has ended")]
    loop {}
}

/// Instructions that `work` executes.
pub fn instructions(work: impl FnOnce()) -> u64 {
    let start = retired();
    work();
    retired().wrapping_sub(start)
}

fn retired() -> u64 {
    loop {
        let (low, high, again): (u32, u32, u32);
        // SAFETY: reads counters that every RISC-V machine mode has.
        unsafe {
            asm!("csrr {high}, minstreth", "csrr {low}, minstret", "csrr {again}, minstreth",
                high = out(reg) high, low = out(reg) low, again = out(reg) again, options(nomem, nostack));
        }
        if high == again {
            return u64::from(high) << 32 | u64::from(low);
        }
    }
}

const SERIAL: *mut u8 = 0x1000_0000 as *mut u8;
const TEST: *mut u32 = 0x10_0000 as *mut u32;
