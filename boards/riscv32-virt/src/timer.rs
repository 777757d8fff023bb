//! The machine timer: 64 bits that count up at 10 MHz.

use boards_common::Clock;

/// Always running.
pub(crate) struct Timer;

impl Clock for Timer {
    fn now_us(&mut self) -> u64 {
        loop {
            // SAFETY: the addresses are the halves of this machine's `mtime`; reading has no side effect.
            let [high, low, again] =
                unsafe { [HIGH.read_volatile(), LOW.read_volatile(), HIGH.read_volatile()] };
            // The low half may have turned over in between.
            if high == again {
                return (u64::from(high) << 32 | u64::from(low)) / TICKS_PER_US;
            }
        }
    }
}

const LOW: *const u32 = 0x0200_bff8 as *const u32;
const HIGH: *const u32 = 0x0200_bffc as *const u32;
const TICKS_PER_US: u64 = 10;
