//! SysTick: 24 bits that count down with the core.

use boards_common::Clock;
use cortex_m::Peripherals;
use cortex_m::peripheral::SYST;
use cortex_m::peripheral::syst::SystClkSource;

/// The running timer. Asked once in every 2^24 turns of the core, it never loses any: twice a second at 32 MHz, ten times at
/// 168 MHz.
#[derive(Debug)]
pub struct SysTick {
    ticks_per_us: u64,
    last: u32,
    ticks: u64,
}

impl SysTick {
    /// Starts it on a core with so many turns in a microsecond; without effect if the timer was taken before.
    pub fn start(ticks_per_us: u64) -> Self {
        if let Some(Peripherals { mut SYST, .. }) = Peripherals::take() {
            SYST.set_clock_source(SystClkSource::Core);
            SYST.set_reload(MASK);
            SYST.clear_current();
            SYST.enable_counter();
        }
        Self { ticks_per_us, last: SYST::get_current(), ticks: 0 }
    }
}

impl Clock for SysTick {
    fn now_us(&mut self) -> u64 {
        let now = SYST::get_current();
        self.ticks += u64::from(self.last.wrapping_sub(now) & MASK);
        self.last = now;
        self.ticks / self.ticks_per_us.max(1)
    }
}

const MASK: u32 = 0xff_ffff;
