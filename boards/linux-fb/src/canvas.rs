//! Pixels in memory, and as PNG.

use core::convert::Infallible;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use anyhow::Result;
use embedded_graphics_core::Pixel;
use embedded_graphics_core::draw_target::DrawTarget;
use embedded_graphics_core::geometry::{OriginDimensions, Size};
use embedded_graphics_core::pixelcolor::{Rgb888, RgbColor as _};

/// A picture that is drawn on.
pub(crate) struct Canvas {
    size: Size,
    pixels: Vec<Rgb888>,
}

impl Canvas {
    pub(crate) fn new(size: Size) -> Self {
        Self { size, pixels: vec![Rgb888::BLACK; size.width as usize * size.height as usize] }
    }

    pub(crate) fn rows(&self) -> impl Iterator<Item = &[Rgb888]> {
        self.pixels.chunks_exact(self.size.width as usize)
    }

    pub(crate) fn write_png(&self, path: &Path) -> Result<()> {
        let mut out = BufWriter::new(File::create(path)?);
        let mut encoder = png::Encoder::new(&mut out, self.size.width, self.size.height);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_compression(png::Compression::High);
        let bytes: Vec<u8> = self.pixels.iter().flat_map(|pixel| [pixel.r(), pixel.g(), pixel.b()]).collect();
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&bytes)?;
        writer.finish()?;
        Ok(out.flush()?)
    }
}

impl OriginDimensions for Canvas {
    fn size(&self) -> Size {
        self.size
    }
}

impl DrawTarget for Canvas {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<Rgb888>>>(&mut self, pixels: I) -> Result<(), Infallible> {
        for Pixel(point, colour) in pixels {
            let Ok((x, y)) = <(u32, u32)>::try_from(point) else { continue };
            if x < self.size.width && y < self.size.height {
                self.pixels[y as usize * self.size.width as usize + x as usize] = colour;
            }
        }
        Ok(())
    }
}
