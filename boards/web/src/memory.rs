//! The module's memory, which is taken from the front and given back from the end, and the one cell that lives beside it.

use core::cell::UnsafeCell;

/// How much of the memory is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark(usize);

/// `bytes` of memory, 16-byte aligned, with anything in them; none when there is no more. What is not written takes no memory
/// of the computer's.
///
/// # Safety
/// No other function of this file runs.
pub(crate) unsafe fn take(bytes: usize) -> Option<&'static mut [u8]> {
    // SAFETY: promised by the caller.
    let taken = unsafe { TAKEN.get() };
    let bytes_taken = bytes.checked_next_multiple_of(ALIGNMENT)?;
    let all = taken.checked_add(bytes_taken)?;
    let start = heap(all)?;
    let place = core::ptr::with_exposed_provenance_mut::<u8>(start.checked_add(*taken)?);
    *taken = all;
    // SAFETY: `heap` says that there is so much, every pattern is a byte, and what is taken is not taken again before it is
    // given back.
    Some(unsafe { core::slice::from_raw_parts_mut(place, bytes) })
}

/// As [`take`], `len` values.
///
/// # Safety
/// As for [`take`].
pub(crate) unsafe fn take_values(len: usize) -> Option<&'static mut [f32]> {
    // SAFETY: promised by the caller.
    let bytes = unsafe { take(len.checked_mul(size_of::<f32>())?) }?;
    // SAFETY: the bytes are aligned for values, every pattern is a value, and they are given up.
    Some(unsafe { bytes.align_to_mut().1 })
}

/// What is taken now.
///
/// # Safety
/// No other function of this file runs.
#[cfg(feature = "full")]
pub(crate) unsafe fn mark() -> Mark {
    // SAFETY: promised by the caller.
    Mark(unsafe { *TAKEN.get() })
}

/// Gives back all that was taken since `mark`.
///
/// # Safety
/// No other function of this file runs, and nothing of what was taken since is used any more.
pub(crate) unsafe fn release(mark: Mark) {
    // SAFETY: promised by the caller.
    let taken = unsafe { TAKEN.get() };
    *taken = mark.0.min(*taken);
}

impl Mark {
    /// Nothing is taken.
    pub(crate) const NOTHING: Self = Self(0);
}

/// Where the memory starts, once it has so many bytes.
#[cfg(target_arch = "wasm32")]
fn heap(bytes: usize) -> Option<usize> {
    use core::arch::wasm32::{memory_grow, memory_size};

    /// Page from which on memory is ours, and pages that are; nobody else makes it grow.
    static PAGES: Shared<Option<(usize, usize)>> = Shared::new(None);

    // SAFETY: the callers promise that one at a time runs.
    let (first, count) = unsafe { PAGES.get() }.get_or_insert_with(|| (memory_size::<0>(), 0));
    let need = bytes.div_ceil(PAGE_BYTES);
    if need > *count {
        if memory_grow::<0>(need - *count) == usize::MAX {
            return None;
        }
        *count = need;
    }
    first.checked_mul(PAGE_BYTES)
}

/// None: a computer that only checks the code has no such memory.
#[cfg(not(target_arch = "wasm32"))]
fn heap(_: usize) -> Option<usize> {
    None
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

/// Bytes that are taken, from the start of the memory on.
static TAKEN: Shared<usize> = Shared::new(0);

/// As files and vectors want it.
const ALIGNMENT: usize = 16;

/// One page of WebAssembly memory.
#[cfg(target_arch = "wasm32")]
const PAGE_BYTES: usize = 65536;
