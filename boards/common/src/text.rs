//! Pictures as text, for boards whose only display is a console.
//!
//! Everything printed is rounded so coarsely that the order of additions in a kernel does not show: the same lines
//! come out on every target.

use core::fmt::{self, Write};

use pocketgan_runtime::Image;

use crate::Display;

/// A display that writes a thumbnail and a few means for each picture.
pub struct TextDisplay<W> {
    out: W,
    shown: u64,
    limit: u64,
}

impl<W: Write> TextDisplay<W> {
    /// A display that writes to `out`.
    pub fn new(out: W) -> Self {
        Self::with_limit(out, u64::MAX)
    }

    /// A display that writes only the first `limit` pictures.
    pub fn with_limit(out: W, limit: u64) -> Self {
        Self { out, shown: 0, limit }
    }
}

impl<W: Write> Display for TextDisplay<W> {
    type Error = fmt::Error;

    fn show(&mut self, image: &Image<'_>) -> fmt::Result {
        if self.shown >= self.limit {
            return Ok(());
        }
        let (height, width) = (image.height, image.width);
        writeln!(self.out, "image {}: {height} x {width} x {}", self.shown, image.channels)?;
        self.shown += 1;
        let (mid_row, mid_col) = (height / 2, width / 2);
        writeln!(
            self.out,
            "mean {:.3}, quarters {:.3} {:.3} {:.3} {:.3}",
            mean(image, [0, height], [0, width]),
            mean(image, [0, mid_row], [0, mid_col]),
            mean(image, [0, mid_row], [mid_col, width]),
            mean(image, [mid_row, height], [0, mid_col]),
            mean(image, [mid_row, height], [mid_col, width]),
        )?;
        // A character is about twice as high as it is wide.
        let cell_width = width.div_ceil(COLUMNS).max(1);
        let cell_height = 2 * cell_width;
        for top in (0..height).step_by(cell_height) {
            for left in (0..width).step_by(cell_width) {
                let rows = [top, height.min(top + cell_height)];
                let cols = [left, width.min(left + cell_width)];
                self.out.write_char(ink(mean(image, rows, cols), image.range))?;
            }
            self.out.write_char('\n')?;
        }
        Ok(())
    }
}

/// Mean of all channels over a rectangle given by first and one-past-last row and column.
fn mean(image: &Image<'_>, [top, bottom]: [usize; 2], [left, right]: [usize; 2]) -> f32 {
    let mut sum = 0.0;
    for row in top..bottom {
        let start = (row * image.width + left) * image.channels;
        let end = (row * image.width + right) * image.channels;
        sum += image.values[start..end].iter().sum::<f32>();
    }
    sum / ((bottom - top) * (right - left) * image.channels).max(1) as f32
}

/// The character for a value, dark to light.
fn ink(value: f32, [low, high]: [f32; 2]) -> char {
    let level = (value - low) / (high - low) * RAMP.len() as f32;
    char::from(RAMP[(level.max(0.0) as usize).min(RAMP.len() - 1)])
}

/// Widest thumbnail, in characters.
const COLUMNS: usize = 32;

/// Characters from dark to light.
const RAMP: &[u8] = b" .:-=+*#%@";

#[cfg(test)]
mod tests {
    extern crate std;

    use std::string::String;

    use super::*;

    #[test]
    fn a_picture_becomes_its_thumbnail() {
        // Two rows of four pixels make one line: the left half dark, the right half light.
        let values = [-1.0, -1.0, 1.0, 1.0, -1.0, -1.0, 1.0, 1.0];
        let image = Image { height: 2, width: 4, channels: 1, range: [-1.0, 1.0], values: &values };
        let mut out = String::new();
        TextDisplay::new(&mut out).show(&image).expect("a string takes everything");
        let expected = "image 0: 2 x 4 x 1\nmean 0.000, quarters -1.000 1.000 -1.000 1.000\n  @@\n";
        assert_eq!(out, expected);
    }

    #[test]
    fn ink_covers_the_range() {
        let inks = [-2.0, -1.0, 0.01, 1.0, 2.0, f32::NAN].map(|value| ink(value, [-1.0, 1.0]));
        assert_eq!(inks, [' ', ' ', '+', '@', '@', ' ']);
    }
}
