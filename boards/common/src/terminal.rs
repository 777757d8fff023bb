//! A serial line as lines of text.

use core::fmt;

use embedded_io::{Read, Write};

/// Text in and out of a serial line, or of whatever is one.
#[derive(Debug)]
pub(crate) struct Terminal<P> {
    port: P,
}

/// A line of input.
#[derive(Debug)]
pub(crate) struct Line {
    bytes: [u8; LINE_BYTES],
    len: usize,
}

/// The other side is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Closed;

impl<P: Read + Write> Terminal<P> {
    pub(crate) fn new(port: P) -> Self {
        Self { port }
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Closed> {
        let mut byte = [0];
        self.port.read_exact(&mut byte).map_err(|_| Closed)?;
        Ok(byte[0])
    }

    /// The next line that is not empty; what does not fit is cut. A zero, which ends a frame that came late, empties it.
    pub(crate) fn line(&mut self) -> Result<Line, Closed> {
        let mut line = Line { bytes: [0; LINE_BYTES], len: 0 };
        loop {
            match self.byte()? {
                b'\n' | b'\r' if line.len > 0 => return Ok(line),
                b'\n' | b'\r' => {}
                0 => line.len = 0,
                BACKSPACE | DELETE => line.len = line.len.saturating_sub(1),
                byte => {
                    if let Some(place) = line.bytes.get_mut(line.len) {
                        *place = byte;
                        line.len += 1;
                    }
                }
            }
        }
    }

    /// Says something, on a line of its own.
    pub(crate) fn say(&mut self, text: fmt::Arguments<'_>) -> Result<(), Closed> {
        fmt::Write::write_fmt(self, format_args!("{text}\n")).map_err(|_| Closed)?;
        self.port.flush().map_err(|_| Closed)
    }
}

impl<P: Write> fmt::Write for Terminal<P> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.port.write_all(text.as_bytes()).map_err(|_| fmt::Error)
    }
}

impl Line {
    /// The line, or what of it is text.
    pub(crate) fn text(&self) -> &str {
        let bytes = &self.bytes[..self.len];
        bytes.utf8_chunks().next().map_or("", |chunk| chunk.valid())
    }
}

/// Longer than every command.
const LINE_BYTES: usize = 64;
const BACKSPACE: u8 = 0x08;
const DELETE: u8 = 0x7f;
