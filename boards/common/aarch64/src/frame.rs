//! Pixels in memory.

use core::convert::Infallible;

use embedded_graphics_core::Pixel;
use embedded_graphics_core::draw_target::DrawTarget;
use embedded_graphics_core::geometry::{OriginDimensions, Size};
use embedded_graphics_core::pixelcolor::{IntoStorage, Rgb888};

/// A framebuffer of 32 bits a pixel: blue in the lowest byte, then green and red.
#[derive(Debug)]
pub struct Frame {
    pixels: *mut u32,
    size: Size,
    /// From one row to the next, in pixels.
    stride: usize,
}

impl Frame {
    /// The framebuffer that begins at `pixels`.
    ///
    /// # Safety
    /// `size.height` rows of `stride` pixels are mapped there, and nothing else of this program names them; `stride` is at least
    /// `size.width`.
    pub const unsafe fn new(pixels: *mut u32, size: Size, stride: usize) -> Self {
        Self { pixels, size, stride }
    }
}

impl OriginDimensions for Frame {
    fn size(&self) -> Size {
        self.size
    }
}

impl DrawTarget for Frame {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<Rgb888>>>(&mut self, pixels: I) -> Result<(), Infallible> {
        for Pixel(point, colour) in pixels {
            let Ok((x, y)) = <(u32, u32)>::try_from(point) else { continue };
            if x < self.size.width && y < self.size.height {
                let index = y as usize * self.stride + x as usize;
                // SAFETY: in a row, and the row in the framebuffer, which `new`'s caller has mapped.
                unsafe { self.pixels.add(index).write_volatile(colour.into_storage()) };
            }
        }
        Ok(())
    }
}
