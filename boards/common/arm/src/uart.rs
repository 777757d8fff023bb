//! ARM's UART for its FPGA images (CMSDK), polled.

use embedded_io::{ErrorType, Read, Write};

/// A UART of 8 bits at 115,200 baud.
#[derive(Debug)]
pub struct Uart {
    base: *mut u32,
}

impl Uart {
    /// Starts the UART at an address, whose clock has `clock_hz`.
    ///
    /// # Safety
    /// A CMSDK UART has its registers there, and nobody else uses it.
    ///
    /// # Source
    /// ARM DDI0479, "Cortex-M System Design Kit Technical Reference Manual", section 4.3.
    pub unsafe fn start(base: usize, clock_hz: u32) -> Self {
        let base = base as *mut u32;
        // SAFETY: the caller says what lies there.
        unsafe {
            base.add(DIVIDER).write_volatile((clock_hz / BAUD).max(16));
            base.add(CONTROL).write_volatile(SENDS | RECEIVES);
        }
        Self { base }
    }

    fn state(&self) -> u32 {
        // SAFETY: `start` was told that a UART lies there; reading its state has no side effect.
        unsafe { self.base.add(STATE).read_volatile() }
    }
}

impl ErrorType for Uart {
    type Error = core::convert::Infallible;
}

impl Read for Uart {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Self::Error> {
        let Some(byte) = bytes.first_mut() else { return Ok(0) };
        while self.state() & HAS_RECEIVED == 0 {}
        // SAFETY: as in `state`; reading takes the byte that has arrived.
        *byte = unsafe { self.base.add(DATA).read_volatile() } as u8;
        Ok(1)
    }
}

impl Write for Uart {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Self::Error> {
        for &byte in bytes {
            while self.state() & IS_FULL != 0 {}
            // SAFETY: as in `state`; there is room for a byte.
            unsafe { self.base.add(DATA).write_volatile(byte.into()) };
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Self::Error> {
        while self.state() & IS_FULL != 0 {}
        Ok(())
    }
}

// Registers, in words from the base.
const DATA: usize = 0;
const STATE: usize = 1;
const CONTROL: usize = 2;
const DIVIDER: usize = 4;

const IS_FULL: u32 = 1;
const HAS_RECEIVED: u32 = 1 << 1;
const SENDS: u32 = 1;
const RECEIVES: u32 = 1 << 1;
const BAUD: u32 = 115_200;
