//! Start-up, the serial port, and the device that ends the emulation.

use core::arch::global_asm;
use core::fmt;

global_asm!(
    // The assembler does not hear of the target's features when the whole program is compiled as one.
    ".attribute arch, \"rv32imafc\"",
    ".section .text.start",
    ".global start",
    "start:",
    "la sp, stack_top",
    // mstatus.FS: floating point on.
    "li t0, 0x6000",
    "csrs mstatus, t0",
    "la t0, bss_start",
    "la t1, bss_end",
    "1: bgeu t0, t1, 2f",
    "sw zero, 0(t0)",
    "addi t0, t0, 4",
    "j 1b",
    "2: call {main}",
    main = sym crate::main,
);

/// The serial port.
pub(crate) struct Serial;

impl fmt::Write for Serial {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            // SAFETY: the address is the transmit register of this machine's UART, which QEMU never lets overflow.
            unsafe { UART.write_volatile(byte) };
        }
        Ok(())
    }
}

/// Ends the emulation with status 0 or 1.
pub(crate) fn exit(success: bool) -> ! {
    let code = if success { 0x5555 } else { 1 << 16 | 0x3333 };
    // SAFETY: the address is this machine's test device, which takes any value.
    unsafe { TEST.write_volatile(code) };
    loop {
        core::hint::spin_loop();
    }
}

const UART: *mut u8 = 0x1000_0000 as *mut u8;
const TEST: *mut u32 = 0x10_0000 as *mut u32;
