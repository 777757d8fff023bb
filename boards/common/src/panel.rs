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

#[cfg(test)]
mod tests {
    extern crate std;

    use core::convert::Infallible;
    use std::vec::Vec;

    use embedded_graphics_core::geometry::{OriginDimensions, Size};
    use embedded_graphics_core::pixelcolor::Rgb888;
    use embedded_graphics_core::prelude::*;

    use super::*;

    /// A display of some size, and the pixels that were set.
    struct Screen(Size, Vec<(Point, Rgb888)>);

    impl OriginDimensions for Screen {
        fn size(&self) -> Size {
            self.0
        }
    }

    impl DrawTarget for Screen {
        type Color = Rgb888;
        type Error = Infallible;

        fn draw_iter<I: IntoIterator<Item = Pixel<Rgb888>>>(&mut self, pixels: I) -> Result<(), Infallible> {
            self.1.extend(pixels.into_iter().map(|Pixel(point, colour)| (point, colour)));
            Ok(())
        }
    }

    #[test]
    fn pictures_stand_in_the_middle_as_large_as_whole_pixels_allow() {
        let image =
            Image { height: 2, width: 2, channels: 1, range: [0.0, 1.0], values: &[0.0, 1.0, 1.0, 0.0] };
        // Three pixels for one in both directions, then none: it is cut.
        for (size, scale, corner) in [((11, 7), 3, (2, 0)), ((1, 1), 1, (0, 0))] {
            let mut panel = Panel(Screen(Size::new(size.0, size.1), Vec::new()));
            let Ok(()) = panel.show(&image);
            let expected = (0..2 * scale).flat_map(|y| (0..2 * scale).map(move |x| (x, y))).map(|(x, y)| {
                let light = (x / scale + y / scale) % 2 == 1;
                let point = Point::new(corner.0 + x, corner.1 + y);
                (point, if light { Rgb888::WHITE } else { Rgb888::BLACK })
            });
            assert_eq!(panel.0.1, expected.collect::<Vec<_>>());
        }
    }
}
