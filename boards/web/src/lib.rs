//! The runtime as a WebAssembly module without imports; with the feature `full` it expands weights, learns, and
//! draws with deltas.
//!
//! `open` makes room for a file; copy it there and `load` it. Fill the inputs that [`Facts`] names, or have `seed` do it,
//! and `draw`. Another `open` forgets everything and uses the same memory. All addresses are offsets into the module's
//! memory. `pkg/engine.js` does all that.
//!
//! # Safety
//! Of every function: none other runs. A module has one thread, so that only a caller that ignores a trap could break it.

#![cfg_attr(target_arch = "wasm32", no_std)]

#[cfg(feature = "full")]
pub mod learning;
mod memory;
mod session;
mod text;

use core::ptr;

use self::memory::{Mark, Shared};
pub use self::session::Facts;
use self::session::{Arithmetic, Session};
use self::text::Text;

/// Forgets everything, and makes room for a file of so many bytes; null when there is no memory.
///
/// # Safety
/// That of the module.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn open(bytes: usize) -> *mut u8 {
    // SAFETY: promised by the caller.
    let page = unsafe { PAGE.get() };
    page.forget();
    // SAFETY: promised by the caller; `forget` left nothing that uses memory.
    let room = unsafe {
        memory::release(Mark::NOTHING);
        memory::take(bytes)
    };
    let Some(room) = room else {
        page.error.set("there is no memory for the file");
        return ptr::null_mut();
    };
    let start = room.as_mut_ptr();
    page.file = Some((start, bytes));
    start
}

/// Loads the file that was copied to where [`open`] said. Returns the address of its [`Facts`]; null when it is refused, see
/// [`error`].
///
/// # Safety
/// That of the module; and the file does not change any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn load() -> *const Facts {
    // SAFETY: promised by the caller.
    let page = unsafe { PAGE.get() };
    let Some((start, len)) = page.file.take() else { return ptr::null() };
    // SAFETY: `open` took this memory, which is given back only after the session has ended.
    let file: &'static [u8] = unsafe { core::slice::from_raw_parts(start, len) };
    // SAFETY: promised by the caller.
    match unsafe { Session::new(file) } {
        Ok(session) => &raw const page.session.insert(session).facts,
        Err(refusal) => {
            page.error.set(refusal);
            ptr::null()
        }
    }
}

/// Sets the latent vectors of a picture to what a seed draws.
///
/// # Safety
/// That of the module.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seed(picture: usize, seed: u64) {
    // SAFETY: promised by the caller.
    if let Some(session) = unsafe { &mut PAGE.get().session } {
        session.seed(picture, seed);
    }
}

/// Draws the first `count` pictures of their inputs, as many as there is room for; in exact arithmetic if `exact` is not 0.
/// Returns the address of the first one's values, `f32`, channels last; null without a model.
///
/// # Safety
/// That of the module.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn draw(count: usize, exact: u32) -> *const f32 {
    // SAFETY: promised by the caller.
    let page = unsafe { PAGE.get() };
    let Some(session) = &mut page.session else { return ptr::null() };
    let arithmetic = if exact == 0 { Arithmetic::Fast } else { Arithmetic::Exact };
    session.draw(count, arithmetic).unwrap_or_else(|error| {
        page.error.set(error);
        ptr::null()
    })
}

/// Draws in exact arithmetic the picture of which the file speaks. Returns its checksum, plus 2^32 when it is as the file
/// says; 0 without a model.
///
/// # Safety
/// That of the module.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn check() -> f64 {
    // SAFETY: promised by the caller.
    let verdict = unsafe { &mut PAGE.get().session }.as_mut().and_then(|session| session.check().ok());
    verdict.map_or(0.0, |verdict| {
        f64::from(verdict.drawn.crc32) + if verdict.holds() { 4_294_967_296.0 } else { 0.0 }
    })
}

/// Address of the last reason why something was refused, UTF-8.
///
/// # Safety
/// That of the module.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn error() -> *const u8 {
    // SAFETY: promised by the caller.
    unsafe { PAGE.get().error.as_str().as_ptr() }
}

/// Its bytes.
///
/// # Safety
/// That of the module.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn error_len() -> usize {
    // SAFETY: promised by the caller.
    unsafe { PAGE.get().error.as_str().len() }
}

/// All that the module holds.
struct Page {
    /// Room for a file that is not loaded yet.
    file: Option<(*mut u8, usize)>,
    session: Option<Session>,
    #[cfg(feature = "full")]
    learning: learning::Learning,
    error: Text,
}

impl Page {
    /// Ends all that uses memory.
    fn forget(&mut self) {
        #[cfg(feature = "full")]
        self.learning.forget();
        (self.file, self.session) = (None, None);
    }
}

static PAGE: Shared<Page> = Shared::new(Page {
    file: None,
    session: None,
    #[cfg(feature = "full")]
    learning: learning::Learning::NONE,
    error: Text::EMPTY,
});

#[cfg(target_arch = "wasm32")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}
