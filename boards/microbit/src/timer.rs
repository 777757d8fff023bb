//! TIMER0: 32 bits that count microseconds, enough for 71 minutes. The nRF51 has no SysTick.

use boards_common::Clock;

/// The running timer.
pub(crate) struct Timer(());

impl Timer {
    /// Starts it from zero.
    ///
    /// # Source
    /// Nordic Semiconductor, "nRF51 Series Reference Manual" 3.0.1, section 18.2.
    pub(crate) fn start() -> Self {
        // SAFETY: the addresses are TIMER0's registers, and nothing else in this firmware uses them.
        unsafe {
            MODE.write_volatile(0);
            BITS.write_volatile(BITS_32);
            PRESCALER.write_volatile(MEGAHERTZ_16_TO_1);
            CLEAR.write_volatile(1);
            START.write_volatile(1);
        }
        Self(())
    }
}

impl Clock for Timer {
    fn now_us(&mut self) -> u64 {
        // SAFETY: as in `start`; capturing copies the counter to the register that is then read.
        unsafe {
            CAPTURE.write_volatile(1);
            u64::from(CAPTURED.read_volatile())
        }
    }
}

const START: *mut u32 = 0x4000_8000 as *mut u32;
const CLEAR: *mut u32 = 0x4000_800c as *mut u32;
const CAPTURE: *mut u32 = 0x4000_8040 as *mut u32;
const MODE: *mut u32 = 0x4000_8504 as *mut u32;
const BITS: *mut u32 = 0x4000_8508 as *mut u32;
const PRESCALER: *mut u32 = 0x4000_8510 as *mut u32;
const CAPTURED: *mut u32 = 0x4000_8540 as *mut u32;
const BITS_32: u32 = 3;
const MEGAHERTZ_16_TO_1: u32 = 4;
