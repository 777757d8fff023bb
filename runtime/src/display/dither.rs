//! Greys on displays that have few.

use embedded_graphics_core::Pixel;
use embedded_graphics_core::draw_target::DrawTarget;
use embedded_graphics_core::geometry::{Dimensions, Point};
use embedded_graphics_core::pixelcolor::{BinaryColor, Gray2, Gray4, Gray8, GrayColor, PixelColor};
use embedded_graphics_core::primitives::{PointsIter, Rectangle};

/// A display with few levels of grey as one with 256, by a fixed pattern of 8x8 thresholds.
///
/// What a pixel becomes depends on its place and its grey alone: it needs no memory, pictures may come in any order or in
/// bands, and what does not change does not flicker. Black and white stay as they are, so that text does too. The mean over
/// 8x8 pixels is that of the greys to 1/128 of a step; no gamma is taken into account.
///
/// # Source
/// Bayer 1973, "An optimum method for two-level rendition of continuous-tone pictures", IEEE International Conference on
/// Communications.
#[derive(Debug)]
pub struct Dithered<'a, D> {
    display: &'a mut D,
}

/// A colour with a few levels of grey.
pub trait Levels: PixelColor {
    /// How many there are, black and white included; at least 2.
    const COUNT: u8;

    /// The level with this number, of which 0 is black.
    fn level(number: u8) -> Self;
}

impl<'a, D> Dithered<'a, D> {
    /// Draws to `display`.
    pub fn new(display: &'a mut D) -> Self {
        Self { display }
    }
}

impl<D: Dimensions> Dimensions for Dithered<'_, D> {
    fn bounding_box(&self) -> Rectangle {
        self.display.bounding_box()
    }
}

impl<C: Levels, D: DrawTarget<Color = C>> DrawTarget for Dithered<'_, D> {
    type Color = Gray8;
    type Error = D::Error;

    fn draw_iter<I: IntoIterator<Item = Pixel<Gray8>>>(&mut self, pixels: I) -> Result<(), D::Error> {
        let pixels = pixels.into_iter().map(|Pixel(point, grey)| Pixel(point, dither(point, grey)));
        self.display.draw_iter(pixels)
    }

    fn fill_contiguous<I>(&mut self, area: &Rectangle, colours: I) -> Result<(), D::Error>
    where
        I: IntoIterator<Item = Gray8>,
    {
        let colours = area.points().zip(colours).map(|(point, grey)| dither(point, grey));
        self.display.fill_contiguous(area, colours)
    }
}

impl Levels for BinaryColor {
    const COUNT: u8 = 2;

    fn level(number: u8) -> Self {
        (number > 0).into()
    }
}

impl Levels for Gray2 {
    const COUNT: u8 = 4;

    fn level(number: u8) -> Self {
        Self::new(number)
    }
}

impl Levels for Gray4 {
    const COUNT: u8 = 16;

    fn level(number: u8) -> Self {
        Self::new(number)
    }
}

/// The level below, or the one above where what is left exceeds the threshold of the place.
fn dither<C: Levels>(point: Point, grey: Gray8) -> C {
    let scaled = u32::from(grey.luma()) * u32::from(C::COUNT - 1);
    let (below, rest) = (scaled / 255, scaled % 255);
    // `rest / 255 > (threshold + 1/2) / 64`; the right side is odd, so that there is no tie.
    let above = 128 * rest > 255 * (2 * threshold(point) + 1);
    C::level((below + u32::from(above)) as u8)
}

/// The threshold of a place: each of 0 to 63 once in 8x8 places, those that follow each other far apart.
///
/// Bits of `x ^ y` and `y` alternate, the lowest first.
fn threshold(point: Point) -> u32 {
    let (x, y) = (point.x as u32, point.y as u32);
    let bit = |value: u32, bit: u32| value >> bit & 1;
    (0..3).fold(0, |sum, place| sum << 2 | bit(x ^ y, place) << 1 | bit(y, place))
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    fn tile() -> impl Iterator<Item = Point> {
        (-5..3).flat_map(|y| (10..18).map(move |x| Point::new(x, y)))
    }

    /// The matrix in Bayer's paper, by its recursion: four copies of four times the smaller one, plus 0, 2, 3, 1.
    #[test]
    fn thresholds_are_those_of_the_recursion() {
        fn recursion(x: u32, y: u32, size: u32) -> u32 {
            if size == 1 {
                return 0;
            }
            let half = size / 2;
            let quarter = [[0, 2], [3, 1]][(y / half) as usize][(x / half) as usize];
            4 * recursion(x % half, y % half, half) + quarter
        }
        for (x, y) in (0..8).flat_map(|y| (0..8).map(move |x| (x, y))) {
            assert_eq!(threshold(Point::new(x, y)), recursion(x as u32, y as u32, 8));
            assert_eq!(threshold(Point::new(x - 8, y + 16)), threshold(Point::new(x, y)));
        }
    }

    /// Of 64 places those are lit whose `(threshold + 1/2) / 64` is below the rest of the grey: `64 * rest` of them, rounded,
    /// so that the mean is off by at most half of 1/64.
    #[test]
    fn the_mean_is_the_grey() {
        fn check<C: Levels>(number: impl Fn(C) -> u32) {
            for grey in 0..=255 {
                let sum: u32 = tile().map(|point| number(dither(point, Gray8::new(grey)))).sum();
                let steps = f64::from(grey) / 255.0 * f64::from(C::COUNT - 1);
                assert!((f64::from(sum) / 64.0 - steps).abs() <= 1.0 / 128.0, "{grey}: {sum} of 64");
            }
        }
        check::<BinaryColor>(|colour| u32::from(colour.is_on()));
        check::<Gray2>(|colour| u32::from(colour.luma()));
        check::<Gray4>(|colour| u32::from(colour.luma()));
    }

    #[test]
    fn black_white_and_every_level_stay() {
        for level in 0..4 {
            let grey = Gray8::from(Gray2::new(level));
            assert!(tile().all(|point| dither::<Gray2>(point, grey) == Gray2::new(level)));
        }
        let lit: Vec<bool> = [0, 255]
            .into_iter()
            .flat_map(|grey| tile().map(move |point| dither::<BinaryColor>(point, Gray8::new(grey)).is_on()))
            .collect();
        assert_eq!(lit[..64], [false; 64]);
        assert_eq!(lit[64..], [true; 64]);
    }
}
