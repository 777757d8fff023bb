//! Why something was refused, for the page to show.

use core::fmt::{self, Write};

/// The last reason, cut off where it is longer.
#[derive(Debug)]
pub(crate) struct Text {
    bytes: [u8; 256],
    len: usize,
}

impl Text {
    pub(crate) const EMPTY: Self = Self { bytes: [0; 256], len: 0 };

    /// Puts a reason in place of the one before.
    pub(crate) fn set(&mut self, reason: impl fmt::Display) {
        self.len = 0;
        // What does not fit is cut off.
        let _ = write!(self, "{reason}");
    }

    pub(crate) fn as_str(&self) -> &str {
        core::str::from_utf8(&self.bytes[..self.len]).unwrap_or("")
    }
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.bytes.len() - self.len;
        let fits = (0..=text.len().min(room)).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        self.bytes[self.len..][..fits].copy_from_slice(&text.as_bytes()[..fits]);
        self.len += fits;
        if fits == text.len() { Ok(()) } else { Err(fmt::Error) }
    }
}
