//! How high the stack has grown: start-up paints what is free, and what is still painted was never used.

use boards_common::Usage;
use cortex_m_rt::STACK_PAINT_VALUE;

unsafe extern "C" {
    // Of cortex-m-rt's linker script: where statics begin and end, where the stack begins to grow down, and where it has to
    // end.
    static __sdata: u32;
    static __sheap: u32;
    static _stack_start: u32;
    static _stack_end: u32;
}

/// RAM in use, and the most that the stack had.
pub(crate) fn usage() -> Option<Usage> {
    let (top, bottom) = ((&raw const _stack_start).addr(), (&raw const _stack_end).addr());
    let is_painted = |word: &usize| {
        // SAFETY: it lies in RAM, where there is nothing but the stack.
        unsafe { (*word as *const u32).read_volatile() == STACK_PAINT_VALUE }
    };
    let painted = (bottom..top).step_by(size_of::<u32>()).take_while(is_painted).count();
    Some(Usage {
        static_bytes: (&raw const __sheap).addr() - (&raw const __sdata).addr(),
        stack_bytes: top - bottom - painted * size_of::<u32>(),
    })
}
