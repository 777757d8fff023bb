//! Ctrl-C and SIGTERM, for commands that have something to save before they end.

use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::LazyLock;

use anyhow::{Result, anyhow};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// Number of the last signal; 0 for none.
static SIGNAL: AtomicUsize = AtomicUsize::new(0);
/// Whether the next signal ends the program at once: one has come already, or nobody listens any more.
static ENDS_AT_ONCE: AtomicBool = AtomicBool::new(false);
/// Once for the process: handlers are never taken back.
static HANDLERS: LazyLock<std::io::Result<()>> = LazyLock::new(|| {
    for signal in [SIGINT, SIGTERM] {
        // In this order: the shutdown looks at what signals before this one have set.
        flag::register_conditional_shutdown(signal, 128 + signal, &ENDS_AT_ONCE)?;
        flag::register(signal, &ENDS_AT_ONCE)?;
        flag::register_usize(signal, &SIGNAL, signal as usize)?;
    }
    Ok(())
});

/// As long as it lives, the first Ctrl-C or SIGTERM only leaves a note here. The second one ends the program.
#[derive(Debug)]
pub struct Listener(());

impl Listener {
    /// Starts to listen.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn start() -> Result<Self> {
        HANDLERS.as_ref().map_err(|error| anyhow!("listening for Ctrl-C: {error}"))?;
        SIGNAL.store(0, Ordering::SeqCst);
        ENDS_AT_ONCE.store(false, Ordering::SeqCst);
        Ok(Self(()))
    }

    /// The signal that has come.
    pub fn signal(&self) -> Option<u8> {
        u8::try_from(SIGNAL.load(Ordering::SeqCst)).ok().filter(|&signal| signal != 0)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        ENDS_AT_ONCE.store(true, Ordering::SeqCst);
    }
}

/// The same as Ctrl-C, by a terminal that makes keys of signals. `before_end` comes before what ends at once.
pub fn raise(before_end: impl FnOnce()) {
    if ENDS_AT_ONCE.load(Ordering::SeqCst) {
        before_end();
    }
    // Fails for unknown signals only.
    let _ = signal_hook::low_level::raise(SIGINT);
}

/// The end of a command that a signal asked for, and that lost nothing.
#[derive(Debug)]
pub struct Interrupted {
    /// Number of the signal.
    pub signal: u8,
    /// What was saved, and how to go on.
    pub message: String,
}

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl core::error::Error for Interrupted {}
