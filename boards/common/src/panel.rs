//! Displays of embedded-graphics.

use embedded_graphics_core::Drawable;
use embedded_graphics_core::draw_target::DrawTarget;
use embedded_graphics_core::pixelcolor::Rgb888;
use pocketgan_runtime::Image;
use pocketgan_runtime::display::{Filter, Sprite};

use crate::Display;

/// A display in colour: shows a picture in its middle, as large as it takes it.
#[derive(Debug)]
pub struct Panel<T>(pub T);

impl<T: DrawTarget<Color: From<Rgb888>>> Display for Panel<T> {
    type Error = T::Error;

    fn show(&mut self, image: &Image<'_>) -> Result<(), T::Error> {
        Sprite::fitted(*image, self.0.bounding_box(), Filter::Bilinear).draw(&mut self.0)
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
    fn pictures_stand_in_the_middle_as_large_as_the_display_takes_them() {
        let image = Image { height: 2, width: 2, channels: 1, range: [0.0, 1.0], values: &[1.0; 4] };
        for (size, side, corner) in [((11, 7), 7, (2, 0)), ((4, 9), 4, (0, 2)), ((1, 1), 1, (0, 0))] {
            let mut panel = Panel(Screen(Size::new(size.0, size.1), Vec::new()));
            let Ok(()) = panel.show(&image);
            let expected =
                (0..side).flat_map(|y| (0..side).map(move |x| Point::new(corner.0 + x, corner.1 + y)));
            assert_eq!(panel.0.1, expected.map(|point| (point, Rgb888::WHITE)).collect::<Vec<_>>());
        }
    }
}
