//! Pictures as embedded-graphics drawables.

use embedded_graphics_core::Drawable;
use embedded_graphics_core::draw_target::DrawTarget;
use embedded_graphics_core::geometry::{Point, Size};
use embedded_graphics_core::pixelcolor::{PixelColor, Rgb888};
use embedded_graphics_core::primitives::Rectangle;

use crate::Image;

/// A picture at a place on a display, each pixel enlarged to a square.
#[derive(Clone, Copy, Debug)]
pub struct Sprite<'a> {
    /// What is drawn.
    pub image: Image<'a>,
    /// Upper left corner.
    pub position: Point,
    /// Edge of a square; at least 1.
    pub scale: u32,
}

impl<'a> Sprite<'a> {
    /// The picture at `position`, `scale` times as large.
    pub fn new(image: Image<'a>, position: Point, scale: u32) -> Self {
        Self { image, position, scale: scale.max(1) }
    }

    /// Draws in any colour that `Rgb888` converts to, in one `fill_contiguous`.
    ///
    /// # Errors
    /// Those of the display.
    pub fn draw_as<C, D>(&self, display: &mut D) -> Result<(), D::Error>
    where
        C: PixelColor + From<Rgb888>,
        D: DrawTarget<Color = C>,
    {
        let scale = self.scale as usize;
        let Image { height, width, .. } = self.image;
        let area = Rectangle::new(self.position, Size::new((width * scale) as u32, (height * scale) as u32));
        let colours =
            (0..height * scale).flat_map(|y| (0..width * scale).map(move |x| (y, x))).map(|(y, x)| {
                let [r, g, b] = self.image.pixel(y / scale, x / scale).unwrap_or_default();
                C::from(Rgb888::new(r, g, b))
            });
        display.fill_contiguous(&area, colours)
    }
}

impl Drawable for Sprite<'_> {
    type Color = Rgb888;
    type Output = ();

    fn draw<D: DrawTarget<Color = Rgb888>>(&self, target: &mut D) -> Result<(), D::Error> {
        self.draw_as(target)
    }
}
