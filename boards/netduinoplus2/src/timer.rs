//! SysTick: 24 bits that count down at the 168 MHz that QEMU gives the core. Asked ten times a second or more, it never loses a turn.

use boards_common::Clock;
use cortex_m::Peripherals;
use cortex_m::peripheral::SYST;
use cortex_m::peripheral::syst::SystClkSource;

/// The running timer.
pub(crate) struct Timer {
    last: u32,
    ticks: u64,
}

impl Timer {
    /// Starts it from its largest value; without effect if the timer was taken before.
    pub(crate) fn start() -> Self {
        if let Some(Peripherals { mut SYST, .. }) = Peripherals::take() {
            SYST.set_clock_source(SystClkSource::Core);
            SYST.set_reload(MASK);
            SYST.clear_current();
            SYST.enable_counter();
        }
        Self { last: SYST::get_current(), ticks: 0 }
    }
}

impl Clock for Timer {
    fn now_us(&mut self) -> u64 {
        let now = SYST::get_current();
        self.ticks += u64::from(self.last.wrapping_sub(now) & MASK);
        self.last = now;
        self.ticks / TICKS_PER_US
    }
}

const MASK: u32 = 0xff_ffff;
const TICKS_PER_US: u64 = 168;
