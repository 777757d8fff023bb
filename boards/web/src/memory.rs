//! Memory that is taken for ever, and the one cell that lives in it.

use core::cell::UnsafeCell;

/// `bytes` of new memory, 16-byte aligned and zero; none when there is no more.
#[cfg(target_arch = "wasm32")]
pub(crate) fn reserve(bytes: usize) -> Option<&'static mut [u8]> {
    use core::arch::wasm32::memory_grow;
    use core::{ptr, slice};

    let first_page = memory_grow::<0>(bytes.div_ceil(PAGE_BYTES));
    if first_page == usize::MAX {
        return None;
    }
    let start = ptr::with_exposed_provenance_mut(first_page * PAGE_BYTES);
    // SAFETY: the pages were added just now, zero, and nothing else knows them.
    Some(unsafe { slice::from_raw_parts_mut(start, bytes) })
}

/// None: a computer that only checks the code has no such memory.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn reserve(_: usize) -> Option<&'static mut [u8]> {
    None
}

/// As [`reserve`], `len` values.
pub(crate) fn reserve_values(len: usize) -> Option<&'static mut [f32]> {
    let bytes = reserve(len.checked_mul(size_of::<f32>())?)?;
    // SAFETY: the bytes are aligned for values, every pattern is a value, and they are given up.
    Some(unsafe { bytes.align_to_mut().1 })
}

/// A value that all functions of the module share.
pub(crate) struct Shared<T>(UnsafeCell<T>);

impl<T> Shared<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    /// The value.
    ///
    /// # Safety
    /// No other reference to it is in use.
    #[allow(clippy::mut_from_ref, reason = "what the caller promises")]
    pub(crate) unsafe fn get(&self) -> &mut T {
        // SAFETY: promised by the caller.
        unsafe { &mut *self.0.get() }
    }
}

// SAFETY: `get` is the only way in, and its callers promise that one at a time uses it.
unsafe impl<T> Sync for Shared<T> {}

/// One page of WebAssembly memory.
#[cfg(target_arch = "wasm32")]
const PAGE_BYTES: usize = 65536;
