//! USART1, polled, on pins PA9 and PA10 at 115,200 baud, from the 16 MHz that the chip starts with.

use embedded_io::{ErrorType, Read, Write};

/// The running USART.
pub(crate) struct Usart(());

impl Usart {
    /// Starts it.
    ///
    /// # Source
    /// ST RM0090, "STM32F405/415 reference manual", sections 7.3, 8.4 and 30.6.
    pub(crate) fn start() -> Self {
        // SAFETY: the addresses are registers of this chip (RM0090, table 1), and nothing else in this firmware uses these
        // peripherals.
        unsafe {
            AHB1_ENABLE.write_volatile(AHB1_ENABLE.read_volatile() | PORT_A);
            APB2_ENABLE.write_volatile(APB2_ENABLE.read_volatile() | USART_1);
            let alternate = PIN_MODES.read_volatile() & !(0b1111 << 18) | 0b1010 << 18;
            PIN_FUNCTIONS.write_volatile(PIN_FUNCTIONS.read_volatile() & !(0xff << 4) | 0x77 << 4);
            PIN_MODES.write_volatile(alternate);
            DIVIDER.write_volatile(CLOCK_HZ / BAUD);
            CONTROL.write_volatile(ENABLED | SENDS | RECEIVES);
        }
        Self(())
    }

    fn wait_for(&self, bit: u32) {
        // SAFETY: as in `start`; reading the status has no side effect.
        while unsafe { STATUS.read_volatile() } & bit == 0 {}
    }
}

impl ErrorType for Usart {
    type Error = core::convert::Infallible;
}

impl Read for Usart {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Self::Error> {
        let Some(byte) = bytes.first_mut() else { return Ok(0) };
        self.wait_for(HAS_RECEIVED);
        // SAFETY: as in `start`; reading takes the byte that has arrived, and clears an overrun.
        *byte = unsafe { DATA.read_volatile() } as u8;
        Ok(1)
    }
}

impl Write for Usart {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Self::Error> {
        for &byte in bytes {
            self.wait_for(IS_EMPTY);
            // SAFETY: as in `start`; there is room for a byte.
            unsafe { DATA.write_volatile(byte.into()) };
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Self::Error> {
        self.wait_for(IS_EMPTY);
        Ok(())
    }
}

// Reset and clock control.
const AHB1_ENABLE: *mut u32 = 0x4002_3830 as *mut u32;
const APB2_ENABLE: *mut u32 = 0x4002_3844 as *mut u32;
const PORT_A: u32 = 1;
const USART_1: u32 = 1 << 4;

// Port A: the modes of all pins, and the functions of pins 8 to 15, of which 7 is the USART.
const PIN_MODES: *mut u32 = 0x4002_0000 as *mut u32;
const PIN_FUNCTIONS: *mut u32 = 0x4002_0024 as *mut u32;

const STATUS: *mut u32 = 0x4001_1000 as *mut u32;
const DATA: *mut u32 = 0x4001_1004 as *mut u32;
const DIVIDER: *mut u32 = 0x4001_1008 as *mut u32;
const CONTROL: *mut u32 = 0x4001_100c as *mut u32;
const HAS_RECEIVED: u32 = 1 << 5;
const IS_EMPTY: u32 = 1 << 7;
const ENABLED: u32 = 1 << 13;
const SENDS: u32 = 1 << 3;
const RECEIVES: u32 = 1 << 2;
const CLOCK_HZ: u32 = 16_000_000;
const BAUD: u32 = 115_200;
