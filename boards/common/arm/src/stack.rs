//! How high the stack has grown: free memory is painted at the start, and what is still painted was never used.

use boards_common::Usage;
use cortex_m::register::msp;

unsafe extern "C" {
    // Of cortex-m-rt's linker script: where statics begin, where they end, and where the stack begins to grow down.
    static __sdata: u32;
    static __sheap: u32;
    static _stack_start: u32;
}

/// Paints what is free.
pub(crate) fn paint() {
    let end = msp::read() as usize - MARGIN_BYTES;
    for word in (lowest()..end).step_by(size_of::<u32>()) {
        // SAFETY: it lies between the statics and the stack, by a margin for this function's own frame, and holds nothing.
        unsafe { (word as *mut u32).write_volatile(PAINT) };
    }
}

/// RAM in use, and the most that the stack had.
pub(crate) fn usage() -> Usage {
    let top = (&raw const _stack_start).addr();
    let is_painted = |word: &usize| {
        // SAFETY: it lies in RAM, in what was painted or in the stack above.
        unsafe { (*word as *const u32).read_volatile() == PAINT }
    };
    let painted = (lowest()..top).step_by(size_of::<u32>()).take_while(is_painted).count();
    Usage {
        static_bytes: (&raw const __sheap).addr() - (&raw const __sdata).addr(),
        stack_bytes: top - lowest() - painted * size_of::<u32>(),
    }
}

/// The lowest word that is painted: the first after the statics, or the first that any stack should reach.
fn lowest() -> usize {
    let top = (&raw const _stack_start).addr();
    (&raw const __sheap).addr().next_multiple_of(size_of::<u32>()).max(top - MOST_BYTES)
}

const PAINT: u32 = 0xc0de_d00d;
const MARGIN_BYTES: usize = 256;

/// Painting all of 4 MB would take a while.
const MOST_BYTES: usize = 64 * 1024;
