//! A heap for tests: memory is handed out in one direction, and is whole again when the last of it is given back.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;
use core::ptr;

/// The heap of a program with one thread and no interrupts.
pub struct Heap {
    /// Bytes that are in use, or were before the last was given back.
    used: Cell<usize>,
    /// Allocations that were not given back.
    live: Cell<usize>,
}

unsafe extern "C" {
    // Of the linker's script.
    static mut _heap_start: u8;
    static mut _heap_end: u8;
}

impl Heap {
    /// All memory free.
    #[allow(clippy::new_without_default, reason = "a static needs a constant")]
    pub const fn new() -> Self {
        Self { used: Cell::new(0), live: Cell::new(0) }
    }
}

// SAFETY: the programs of this package have one thread, and enable no interrupt.
unsafe impl Sync for Heap {}

// SAFETY: what is handed out lies between the script's addresses, which nothing else uses, is aligned, and lies past all
// that is in use.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let (heap, end) = (&raw mut _heap_start, &raw mut _heap_end);
        let start = (heap.addr() + self.used.get()).next_multiple_of(layout.align()) - heap.addr();
        match start.checked_add(layout.size()) {
            Some(used) if used <= end.addr() - heap.addr() => {
                self.used.set(used);
                self.live.set(self.live.get() + 1);
                heap.wrapping_add(start)
            }
            _ => ptr::null_mut(),
        }
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {
        self.live.set(self.live.get() - 1);
        if self.live.get() == 0 {
            self.used.set(0);
        }
    }
}
