//! Notes: what the program says on stderr besides errors and warnings, unless it is to be quiet.

use core::sync::atomic::{AtomicBool, Ordering};

/// For the whole process, as stderr is.
static QUIET: AtomicBool = AtomicBool::new(false);

/// From now on there are neither notes nor progress.
pub fn be_quiet() {
    QUIET.store(true, Ordering::Relaxed);
}

/// Whether there are neither notes nor progress.
pub fn is_quiet() -> bool {
    QUIET.load(Ordering::Relaxed)
}

/// `eprintln!` for notes.
macro_rules! note {
    ($($text:tt)*) => {
        if !$crate::cli::note::is_quiet() {
            eprintln!($($text)*)
        }
    };
}
pub(crate) use note;
