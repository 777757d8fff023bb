//! ARM's PL011 UART, with the pins and the speed that whoever started the program gave it.

use core::fmt;

/// The serial port.
#[derive(Clone, Copy, Debug)]
pub struct Uart {
    base: usize,
}

impl Uart {
    /// The port whose registers begin at `base`.
    ///
    /// # Safety
    /// There is a PL011, and this address is mapped.
    pub const unsafe fn new(base: usize) -> Self {
        Self { base }
    }
}

impl fmt::Write for Uart {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let data = self.base as *mut u32;
        let flags = (self.base + FLAGS) as *const u32;
        for byte in text.bytes() {
            // SAFETY: `new`'s caller says that these are registers of a PL011.
            unsafe {
                while flags.read_volatile() & TRANSMIT_FULL != 0 {}
                data.write_volatile(byte.into());
            }
        }
        Ok(())
    }
}

const FLAGS: usize = 0x18;
const TRANSMIT_FULL: u32 = 1 << 5;
