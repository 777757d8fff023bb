//! How a program ends: the debugger or the emulator is told.

use core::panic::PanicInfo;

use cortex_m_semihosting::{debug, hprintln};

/// Ends the program. Without a debugger nothing does, and the core sleeps.
pub fn end(success: bool) -> ! {
    debug::exit(if success { debug::EXIT_SUCCESS } else { debug::EXIT_FAILURE });
    loop {
        cortex_m::asm::wfi();
    }
}

/// Says what is wrong, for a panic handler.
pub fn fail(info: &PanicInfo<'_>) -> ! {
    hprintln!("{}", info);
    end(false)
}
