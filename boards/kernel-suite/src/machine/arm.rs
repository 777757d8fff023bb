//! Cortex-M machines: semihosting for text and status, the system timer for instructions.

use core::arch::asm;
use core::fmt::{self, Write};

use cortex_m::Peripherals;
use cortex_m::peripheral::SYST;
use cortex_m::peripheral::syst::SystClkSource;
use cortex_m_rt::entry;
use cortex_m_semihosting::{debug, hio};

#[entry]
fn main() -> ! {
    let mut timer = Peripherals::take().expect("this is the start").SYST;
    timer.set_clock_source(SystClkSource::Core);
    timer.set_reload(LAST_TICK);
    timer.clear_current();
    timer.enable_counter();
    crate::start()
}

/// Prints to the console of whoever runs the emulator.
pub fn print(text: fmt::Arguments<'_>) {
    if let Ok(mut out) = hio::hstdout() {
        // Nobody is left to tell.
        let _ = out.write_fmt(text);
    }
}

/// Ends the machine.
pub fn exit(success: bool) -> ! {
    debug::exit(if success { debug::EXIT_SUCCESS } else { debug::EXIT_FAILURE });
    loop {
        cortex_m::asm::wfi();
    }
}

/// Instructions that `work` executes, under `-icount shift=0`: at most 400 million.
///
/// The timer's clock differs between machines, and is measured on a loop of two instructions.
pub fn instructions(work: impl FnOnce()) -> u64 {
    const KNOWN: usize = 2_000_000;
    let known_ticks = ticks(|| {
        // SAFETY: counts a register down.
        unsafe {
            asm!("2:", "subs {n}, #1", "bne 2b", n = inout(reg) KNOWN / 2 => _, options(nomem, nostack));
        }
    });
    (ticks(work) * KNOWN as u64 + known_ticks / 2) / known_ticks
}

/// Ticks of the timer, which counts down.
fn ticks(work: impl FnOnce()) -> u64 {
    let start = SYST::get_current();
    work();
    u64::from(start.wrapping_sub(SYST::get_current()) & LAST_TICK)
}

/// The timer has 24 bits.
const LAST_TICK: u32 = 0xff_ffff;
