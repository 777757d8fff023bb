//! Displays of embedded-graphics.

use embedded_graphics_core::draw_target::DrawTarget;
use embedded_graphics_core::geometry::Point;
use embedded_graphics_core::pixelcolor::Rgb888;
use pocketgan_runtime::Image;
use pocketgan_runtime::display::Sprite;

use crate::Display;

/// A display in colour: shows a picture in its middle, as large as whole pixels allow.
#[derive(Debug)]
pub struct Panel<T>(pub T);

impl<T: DrawTarget<Color: From<Rgb888>>> Display for Panel<T> {
    type Error = T::Error;

    fn show(&mut self, image: &Image<'_>) -> Result<(), T::Error> {
        let area = self.0.bounding_box();
        let [width, height] = [image.width, image.height].map(|extent| extent.max(1) as u32);
        let scale = (area.size.width / width).min(area.size.height / height).max(1);
        let middle = [(area.size.width, width), (area.size.height, height)]
            .map(|(of, extent)| of.saturating_sub(extent * scale) as i32 / 2);
        let position = area.top_left + Point::new(middle[0], middle[1]);
        Sprite::new(*image, position, scale).draw_as(&mut self.0)
    }
}
