//! Start-up, the serial port, and the device that ends the emulation.

use core::arch::global_asm;
use core::convert::Infallible;
use core::fmt;

use boards_common::Usage;
use embedded_io::{ErrorType, Read, Write};

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
    // Painted, so that `usage` finds how high the stack has grown.
    "2: la t0, stack_bottom",
    "li t1, {painted}",
    "3: bgeu t0, sp, 4f",
    "sw t1, 0(t0)",
    "addi t0, t0, 4",
    "j 3b",
    "4: call {main}",
    painted = const PAINTED,
    main = sym crate::main,
);

unsafe extern "C" {
    // Of the linker script: the first address of RAM after the code, where statics end, and where the stack has to end and
    // begins to grow down.
    static data_start: u32;
    static bss_end: u32;
    static stack_bottom: u32;
    static stack_top: u32;
}

/// RAM in use, and the most that the stack had.
pub(crate) fn usage() -> Option<Usage> {
    let (bottom, top) = ((&raw const stack_bottom).addr(), (&raw const stack_top).addr());
    let is_painted = |word: &usize| {
        // SAFETY: it lies in RAM, where there is nothing but the stack.
        unsafe { (*word as *const u32).read_volatile() == PAINTED }
    };
    let painted = (bottom..top).step_by(size_of::<u32>()).take_while(is_painted).count();
    Some(Usage {
        static_bytes: (&raw const bss_end).addr() - (&raw const data_start).addr(),
        stack_bytes: top - bottom - painted * size_of::<u32>(),
    })
}

/// The serial port.
pub(crate) struct Serial;

impl ErrorType for Serial {
    type Error = Infallible;
}

impl Read for Serial {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Infallible> {
        let Some(byte) = bytes.first_mut() else { return Ok(0) };
        // SAFETY: the addresses are registers of this machine's UART; reading takes the byte that has arrived.
        *byte = unsafe {
            while UART_STATUS.read_volatile() & HAS_RECEIVED == 0 {}
            UART.read_volatile()
        };
        Ok(1)
    }
}

impl Write for Serial {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        for &byte in bytes {
            // SAFETY: the address is the transmit register of this machine's UART, which QEMU never lets overflow.
            unsafe { UART.write_volatile(byte) };
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// For a panic, which has no port.
impl fmt::Write for Serial {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.write_all(text.as_bytes()).map_err(|error| match error {})
    }
}

/// Starts again.
pub(crate) fn reset() -> ! {
    end(0x7777)
}

/// Ends the emulation with status 0 or 1.
pub(crate) fn exit(success: bool) -> ! {
    end(if success { 0x5555 } else { 1 << 16 | 0x3333 })
}

fn end(code: u32) -> ! {
    // SAFETY: the address is this machine's test device, which takes any value.
    unsafe { TEST.write_volatile(code) };
    loop {
        core::hint::spin_loop();
    }
}

const UART: *mut u8 = 0x1000_0000 as *mut u8;
const UART_STATUS: *const u8 = 0x1000_0005 as *const u8;
const HAS_RECEIVED: u8 = 1;
const TEST: *mut u32 = 0x10_0000 as *mut u32;
const PAINTED: u32 = 0xcccc_cccc;
