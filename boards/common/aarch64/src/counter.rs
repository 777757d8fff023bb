//! The counter that every 64-bit ARM CPU has.

use core::arch::asm;

use boards_common::Clock;

/// The virtual counter, always running.
#[derive(Debug)]
pub struct Counter;

impl Clock for Counter {
    fn now_us(&mut self) -> u64 {
        let (count, frequency): (u64, u64);
        // SAFETY: both registers can be read at every exception level above 0, without an effect.
        unsafe {
            asm!("isb", "mrs {}, cntvct_el0", out(reg) count);
            asm!("mrs {}, cntfrq_el0", out(reg) frequency, options(nomem, nostack));
        }
        // Start-up code of the board sets the frequency; QEMU does.
        let frequency = frequency.max(1);
        let [seconds, rest] = [count / frequency, count % frequency];
        seconds * 1_000_000 + rest * 1_000_000 / frequency
    }
}
