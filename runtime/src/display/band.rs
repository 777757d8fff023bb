//! Scenes without memory for a whole frame.

use core::convert::Infallible;

use embedded_graphics_core::Pixel;
use embedded_graphics_core::draw_target::DrawTarget;
use embedded_graphics_core::geometry::{Dimensions, Point, Size};
use embedded_graphics_core::pixelcolor::PixelColor;
use embedded_graphics_core::primitives::Rectangle;

use super::clip::clip;

/// A few rows of a display in memory, with the display's coordinates.
#[derive(Debug)]
pub struct Band<'a, C> {
    area: Rectangle,
    /// `[area.size.height, area.size.width]`
    pixels: &'a mut [C],
}

/// Draws what a display shows of `area` band by band, each composed in `pixels` and sent in one `fill_contiguous`.
///
/// `draw` runs once for each band, must draw the same scene each time, and finds in the band what was there before: a scene
/// that does not cover everything begins with `band.clear(..)`. Nothing flickers, since each pixel is sent once.
///
/// # Shapes
/// `pixels`: any number; whole rows of `area` make the best use of it, less than one makes bands of parts of a row, and none
/// draws nothing.
///
/// # Errors
/// Those of the display.
pub fn draw_in_bands<C: PixelColor, D: DrawTarget<Color = C>>(
    display: &mut D,
    area: &Rectangle,
    pixels: &mut [C],
    mut draw: impl FnMut(&mut Band<'_, C>) -> Result<(), Infallible>,
) -> Result<(), D::Error> {
    let most = u32::try_from(pixels.len()).unwrap_or(u32::MAX);
    let Some(visible) = clip(area, &display.bounding_box()).filter(|_| most > 0) else {
        return Ok(());
    };
    let width = visible.size.width.min(most);
    let height = (most / width).min(visible.size.height);
    for top in (0..visible.size.height).step_by(height as usize) {
        for left in (0..visible.size.width).step_by(width as usize) {
            // Inside what is visible, whose coordinates are `i32`.
            let corner = visible.top_left + Size::new(left, top);
            let size = Size::new(width.min(visible.size.width - left), height.min(visible.size.height - top));
            let area = Rectangle::new(corner, size);
            let pixels = &mut pixels[..size.width as usize * size.height as usize];
            let Ok(()) = draw(&mut Band { area, pixels });
            display.fill_contiguous(&area, pixels.iter().copied())?;
        }
    }
    Ok(())
}

impl<C> Band<'_, C> {
    /// Where in `pixels` a place of the display lies.
    fn index(&self, point: Point) -> Option<usize> {
        let Rectangle { top_left, size } = self.area;
        let distance = |from: i32, to: i32| u32::try_from(i64::from(to) - i64::from(from)).ok();
        let column = distance(top_left.x, point.x).filter(|&column| column < size.width)?;
        let row = distance(top_left.y, point.y).filter(|&row| row < size.height)?;
        Some(row as usize * size.width as usize + column as usize)
    }
}

impl<C> Dimensions for Band<'_, C> {
    fn bounding_box(&self) -> Rectangle {
        self.area
    }
}

impl<C: PixelColor> DrawTarget for Band<'_, C> {
    type Color = C;
    type Error = Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<C>>>(&mut self, pixels: I) -> Result<(), Infallible> {
        for Pixel(point, colour) in pixels {
            if let Some(pixel) = self.index(point).and_then(|index| self.pixels.get_mut(index)) {
                *pixel = colour;
            }
        }
        Ok(())
    }

    /// Rows at a time, which text and shapes use.
    fn fill_solid(&mut self, area: &Rectangle, colour: C) -> Result<(), Infallible> {
        let Some(area) = clip(area, &self.area) else { return Ok(()) };
        let start = self.index(area.top_left).unwrap_or(0);
        let rows = self.pixels[start..].chunks_mut(self.area.size.width as usize);
        for row in rows.take(area.size.height as usize) {
            row[..area.size.width as usize].fill(colour);
        }
        Ok(())
    }
}
