//! Displays of embedded-graphics: pictures in a grid.

use embedded_graphics_core::Drawable;
use embedded_graphics_core::draw_target::DrawTarget;
use embedded_graphics_core::geometry::Size;
use embedded_graphics_core::pixelcolor::Rgb888;
use embedded_graphics_core::primitives::Rectangle;
use pocketgan_runtime::Image;
use pocketgan_runtime::display::{Filter, Grid, Sprite};

use crate::Display;

/// A display with room for a number of pictures, which are as large as it takes them.
#[derive(Debug)]
pub struct Screen<D> {
    target: D,
    grid: Grid,
    count: u32,
    /// Cell of the next picture.
    next: u32,
}

impl<D: DrawTarget<Color: From<Rgb888>>> Screen<D> {
    /// An empty one for `count` pictures, in about as many rows as columns.
    ///
    /// # Errors
    /// Those of the display.
    pub fn new(mut target: D, count: u32) -> Result<Self, D::Error> {
        target.clear(BACKGROUND.into())?;
        let area = target.bounding_box();
        let gap = area.size.width.min(area.size.height) / 64;
        let area = Rectangle::new(area.top_left + Size::new_equal(gap), area.size - Size::new_equal(2 * gap));
        let columns =
            (1..).find(|columns: &u32| columns.saturating_mul(*columns) >= count).unwrap_or(u32::MAX);
        Ok(Self { target, grid: Grid::new(area, columns, count.div_ceil(columns), gap), count, next: 0 })
    }

    /// The display, with what is on it.
    pub fn into_target(self) -> D {
        self.target
    }
}

impl<D: DrawTarget<Color: From<Rgb888>>> Display for Screen<D> {
    type Error = D::Error;

    /// Shows the picture in the next cell; after the last, in the first again.
    fn show(&mut self, image: &Image<'_>) -> Result<(), D::Error> {
        let cell = self.grid.cell(self.next);
        self.next = (self.next + 1) % self.count.max(1);
        Sprite::fitted(*image, cell, Filter::Bilinear).draw(&mut self.target)
    }
}

/// Between pictures and around them.
const BACKGROUND: Rgb888 = Rgb888::new(32, 32, 32);

#[cfg(test)]
mod tests {
    extern crate std;

    use core::convert::Infallible;
    use std::vec::Vec;

    use embedded_graphics_core::Pixel;
    use embedded_graphics_core::geometry::{OriginDimensions, Point};

    use super::*;

    /// Keeps what is filled, and no pixel.
    struct Areas(Size, Vec<Rectangle>);

    impl OriginDimensions for Areas {
        fn size(&self) -> Size {
            self.0
        }
    }

    impl DrawTarget for Areas {
        type Color = Rgb888;
        type Error = Infallible;

        fn draw_iter<I: IntoIterator<Item = Pixel<Rgb888>>>(&mut self, _: I) -> Result<(), Infallible> {
            unreachable!("sprites and backgrounds are rectangles")
        }

        fn fill_contiguous<I>(&mut self, area: &Rectangle, _: I) -> Result<(), Infallible>
        where
            I: IntoIterator<Item = Rgb888>,
        {
            self.1.push(*area);
            Ok(())
        }
    }

    fn shown(size: Size, count: u32, pictures: usize) -> Vec<Rectangle> {
        let image = Image { height: 4, width: 4, channels: 1, range: [0.0, 1.0], values: &[0.5; 16] };
        let Ok(mut screen) = Screen::new(Areas(size, Vec::new()), count);
        for _ in 0..pictures {
            let Ok(()) = screen.show(&image);
        }
        screen.into_target().1
    }

    #[test]
    fn five_pictures_are_three_and_two() {
        // A gap of 2 pixels: cells of (128 - 2 * 2 - 2 * 2) / 3 = 40 by (140 - 2 * 2 - 2) / 2 = 67.
        let square = |x, y| Rectangle::new(Point::new(x, y), Size::new(40, 40));
        let everything = Rectangle::new(Point::zero(), Size::new(128, 140));
        let cells = [square(2, 15), square(44, 15), square(86, 15), square(2, 84), square(44, 84)];
        let mut expected = std::vec![everything];
        expected.extend(cells);
        assert_eq!(shown(everything.size, 5, 5), expected);
        // The sixth takes the place of the first.
        expected.push(cells[0]);
        assert_eq!(shown(everything.size, 5, 6), expected);
    }

    #[test]
    fn a_single_picture_stands_in_the_middle_as_large_as_the_display_takes_it() {
        for (size, side, corner) in [((11, 7), 7, (2, 0)), ((4, 9), 4, (0, 2)), ((1, 1), 1, (0, 0))] {
            let size = Size::new(size.0, size.1);
            let square = Rectangle::new(corner.into(), Size::new_equal(side));
            assert_eq!(shown(size, 1, 2), [Rectangle::new(Point::zero(), size), square, square]);
        }
    }

    #[test]
    fn any_size_and_number_are_allowed() {
        for size in [0, 1, 63, 64, 1000] {
            for count in [0, 1, 2, 17, 1_000_000, u32::MAX] {
                assert!(shown(Size::new(size, 64), count, 3).len() <= 4);
            }
        }
    }
}
