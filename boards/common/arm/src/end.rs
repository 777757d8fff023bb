//! How a program ends: the debugger or the emulator is told.

use core::panic::PanicInfo;

use boards_common::End;
use cortex_m::peripheral::SCB;
use cortex_m_semihosting::{debug, hprintln};

/// Ends the program as a conversation has ended.
pub fn finish(end: End) -> ! {
    match end {
        End::Reset => SCB::sys_reset(),
        End::Exit => exit(true),
        End::Failed => exit(false),
    }
}

/// Says what is wrong, for a panic handler.
pub fn fail(info: &PanicInfo<'_>) -> ! {
    hprintln!("{}", info);
    exit(false)
}

/// Without a debugger nothing ends, and the core sleeps.
fn exit(success: bool) -> ! {
    debug::exit(if success { debug::EXIT_SUCCESS } else { debug::EXIT_FAILURE });
    loop {
        cortex_m::asm::wfi();
    }
}
