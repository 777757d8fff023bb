//! The first CMSDK timer: 32 bits that count down at 25 MHz, enough for 171 seconds.

use boards_common::Clock;

/// The running timer.
pub(crate) struct Timer(());

impl Timer {
    /// Starts it from its largest value.
    pub(crate) fn start() -> Self {
        // SAFETY: the addresses are TIMER0's registers on this board (ARM DAI0386, table 4-1), and nothing else in
        // this firmware uses them.
        unsafe {
            RELOAD.write_volatile(u32::MAX);
            VALUE.write_volatile(u32::MAX);
            CTRL.write_volatile(CTRL_ENABLE);
        }
        Self(())
    }
}

impl Clock for Timer {
    fn now_us(&mut self) -> u64 {
        // SAFETY: as in `start`; reading has no side effect.
        let value = unsafe { VALUE.read_volatile() };
        u64::from(u32::MAX - value) / TICKS_PER_US
    }
}

const CTRL: *mut u32 = 0x4000_0000 as *mut u32;
const VALUE: *mut u32 = 0x4000_0004 as *mut u32;
const RELOAD: *mut u32 = 0x4000_0008 as *mut u32;
const CTRL_ENABLE: u32 = 1;
const TICKS_PER_US: u64 = 25;
