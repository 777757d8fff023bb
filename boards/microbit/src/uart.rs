//! The UART on pins P0.24 and P0.25, at 115,200 baud, polled: the board's USB port.

use core::convert::Infallible;

use embedded_io::{ErrorType, Read, Write};

/// The running UART.
pub(crate) struct Uart(());

impl Uart {
    /// Starts it.
    ///
    /// # Source
    /// Nordic Semiconductor, "nRF51 Series Reference Manual" 3.0.1, sections 14 and 28.
    pub(crate) fn start() -> Self {
        // SAFETY: the addresses are registers of the UART and of its pins, and nothing else in this firmware uses them.
        unsafe {
            SEND_PIN_OUTPUT.write_volatile(1 << SEND_PIN);
            SEND_PIN_SELECT.write_volatile(SEND_PIN);
            RECEIVE_PIN_SELECT.write_volatile(RECEIVE_PIN);
            BAUD.write_volatile(BAUD_115_200);
            ENABLE.write_volatile(ENABLED);
            START_RECEIVING.write_volatile(1);
            START_SENDING.write_volatile(1);
        }
        Self(())
    }
}

impl ErrorType for Uart {
    type Error = Infallible;
}

impl Read for Uart {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Infallible> {
        let Some(byte) = bytes.first_mut() else { return Ok(0) };
        // SAFETY: as in `start`; the event is cleared before the byte is taken, so that the next one sets it again.
        *byte = unsafe {
            while RECEIVED.read_volatile() == 0 {}
            RECEIVED.write_volatile(0);
            RECEIVED_BYTE.read_volatile() as u8
        };
        Ok(1)
    }
}

impl Write for Uart {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        for &byte in bytes {
            // SAFETY: as in `start`; each byte is waited for before the next.
            unsafe {
                SENT.write_volatile(0);
                SENT_BYTE.write_volatile(byte.into());
                while SENT.read_volatile() == 0 {}
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

const SEND_PIN: u32 = 24;
const RECEIVE_PIN: u32 = 25;
const SEND_PIN_OUTPUT: *mut u32 = 0x5000_0518 as *mut u32;
const START_RECEIVING: *mut u32 = 0x4000_2000 as *mut u32;
const START_SENDING: *mut u32 = 0x4000_2008 as *mut u32;
const RECEIVED: *mut u32 = 0x4000_2108 as *mut u32;
const SENT: *mut u32 = 0x4000_211c as *mut u32;
const ENABLE: *mut u32 = 0x4000_2500 as *mut u32;
const SEND_PIN_SELECT: *mut u32 = 0x4000_250c as *mut u32;
const RECEIVE_PIN_SELECT: *mut u32 = 0x4000_2514 as *mut u32;
const RECEIVED_BYTE: *mut u32 = 0x4000_2518 as *mut u32;
const SENT_BYTE: *mut u32 = 0x4000_251c as *mut u32;
const BAUD: *mut u32 = 0x4000_2524 as *mut u32;
const BAUD_115_200: u32 = 0x01d7_e000;
const ENABLED: u32 = 4;
