//! How high the stack has grown: what is free is painted before anything large runs, and what is still painted was never used.

use core::arch::asm;

use boards_common::Usage;

unsafe extern "C" {
    // Of the linker script of aarch64-rt: where statics begin and end, and where the stack ends and begins to grow down.
    static data_begin: u64;
    static bss_end: u64;
    static boot_stack_begin: u64;
    static boot_stack_end: u64;
}

/// Paints what lies below the caller's frames.
pub(crate) fn paint() {
    let sp: usize;
    // SAFETY: only reads the stack pointer.
    unsafe { asm!("mov {}, sp", out(reg) sp, options(nomem, nostack, preserves_flags)) };
    for word in ((&raw const boot_stack_begin).addr()..sp - OWN).step_by(size_of::<u64>()) {
        // SAFETY: it lies in the stack, below all that is in use.
        unsafe { (word as *mut u64).write_volatile(PAINT) };
    }
}

/// RAM in use, and the most that the stack had since it was painted.
pub(crate) fn usage() -> Usage {
    let (bottom, top) = ((&raw const boot_stack_begin).addr(), (&raw const boot_stack_end).addr());
    let is_painted = |word: &usize| {
        // SAFETY: it lies in the stack.
        unsafe { (*word as *const u64).read_volatile() == PAINT }
    };
    let painted = (bottom..top).step_by(size_of::<u64>()).take_while(is_painted).count();
    Usage {
        static_bytes: (&raw const bss_end).addr() - (&raw const data_begin).addr(),
        stack_bytes: top - bottom - painted * size_of::<u64>(),
    }
}

/// Bytes that painting may use itself.
const OWN: usize = 512;

const PAINT: u64 = 0xaaaa_aaaa_aaaa_aaaa;
