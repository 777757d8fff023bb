//! What this computer gives as a board: standard input and output, and a clock.

#![forbid(unsafe_code)]

use std::io::{self, Read, Write};
use std::time::Instant;

use boards_common::Clock;

/// Standard input and output.
#[derive(Debug)]
pub struct Standard;

impl Read for Standard {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        io::stdin().read(bytes)
    }
}

impl Write for Standard {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::stdout().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stdout().flush()
    }
}

/// The time since it was made.
#[derive(Debug)]
pub struct Started(Instant);

impl Started {
    /// Starts now.
    pub fn now() -> Self {
        Self(Instant::now())
    }
}

impl Clock for Started {
    fn now_us(&mut self) -> u64 {
        u64::try_from(self.0.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}
