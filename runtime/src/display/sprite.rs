//! A picture scaled to a rectangle.

use core::marker::PhantomData;

use embedded_graphics_core::Drawable;
use embedded_graphics_core::draw_target::DrawTarget;
use embedded_graphics_core::geometry::{Dimensions, Point, Size};
use embedded_graphics_core::pixelcolor::{PixelColor, Rgb888};
use embedded_graphics_core::primitives::Rectangle;

use super::axis::{Axis, ONE, Sample};
use super::clip::clip;
use crate::Image;

/// How a picture is scaled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// Every pixel of the display shows the nearest of the picture's: squares, when enlarged.
    Nearest,
    /// Every pixel of the display mixes the four around it, in 256 steps. Below half the size some are passed over.
    Bilinear,
}

/// A picture scaled to a rectangle, drawn in any colour `C` that `Rgb888` converts to.
///
/// It is computed as it is drawn, from top to bottom in one `fill_contiguous`, and only where the display's bounding box is:
/// on a target from `DrawTargetExt::clipped`, a band of rows costs that band.
#[derive(Clone, Copy, Debug)]
pub struct Sprite<'a, C> {
    image: Image<'a>,
    area: Rectangle,
    filter: Filter,
    colour: PhantomData<C>,
}

impl<'a, C> Sprite<'a, C> {
    /// The picture stretched to `area`, whose sides count up to `i32::MAX`, where coordinates end.
    pub fn new(image: Image<'a>, area: Rectangle, filter: Filter) -> Self {
        let size = area.size.component_min(Size::new_equal(i32::MAX as u32));
        Self { image, area: Rectangle::new(area.top_left, size), filter, colour: PhantomData }
    }

    /// The picture with its proportions, as large as `area` takes it, in the middle.
    pub fn fitted(image: Image<'a>, area: Rectangle, filter: Filter) -> Self {
        let size = fit(&image, area.size);
        let margin = (area.size - size) / 2;
        let place = |start: i32, margin: u32| start.saturating_add_unsigned(margin);
        let corner = Point::new(place(area.top_left.x, margin.width), place(area.top_left.y, margin.height));
        Self::new(image, Rectangle::new(corner, size), filter)
    }
}

impl<C> Dimensions for Sprite<'_, C> {
    fn bounding_box(&self) -> Rectangle {
        self.area
    }
}

impl<C: PixelColor + From<Rgb888>> Drawable for Sprite<'_, C> {
    type Color = C;
    type Output = ();

    fn draw<D: DrawTarget<Color = C>>(&self, target: &mut D) -> Result<(), D::Error> {
        let Self { image, area, filter, .. } = *self;
        let visible = clip(&area, &target.bounding_box());
        let Some(visible) = visible.filter(|_| image.height > 0 && image.width > 0) else {
            return Ok(());
        };
        let first_row = visible.top_left.y.abs_diff(area.top_left.y);
        let first_column = visible.top_left.x.abs_diff(area.top_left.x);
        let rows = Axis::new(image.height, area.size.height, first_row, filter);
        let columns = Axis::new(image.width, area.size.width, first_column, filter);
        let colours = rows
            .take(visible.size.height as usize)
            .flat_map(|rows| Row::new(image, rows, columns.clone()).take(visible.size.width as usize));
        target.fill_contiguous(&visible, colours.map(C::from))
    }
}

/// The largest size with the picture's proportions, rounded, and at least a pixel where there is one.
fn fit(image: &Image<'_>, area: Size) -> Size {
    let bounded = |len: usize| (len as u64).min(u64::from(u32::MAX));
    let (height, width) = (bounded(image.height), bounded(image.width));
    let (most_height, most_width) = (u64::from(area.height), u64::from(area.width));
    if height == 0 || width == 0 || area.height == 0 || area.width == 0 {
        return Size::zero();
    }
    // Products of two 32-bit numbers, and half of one: below 2^64. A quotient is no more than the side it is made for.
    let scaled = |side: u64, by: u64, of: u64| ((side * by + of / 2) / of).max(1) as u32;
    if most_width * height <= most_height * width {
        Size::new(area.width, scaled(most_width, height, width))
    } else {
        Size::new(scaled(most_height, width, height), area.height)
    }
}

/// The colours of one row of the display.
struct Row<'a> {
    image: Image<'a>,
    rows: Sample,
    columns: Axis,
    /// The columns of the picture on both sides, mixed from two rows; the same for many pixels when enlarged.
    left: Column,
    right: Column,
}

/// One column of the picture between two rows.
#[derive(Clone, Copy)]
struct Column {
    index: usize,
    /// Red, green and blue, each of 255 * [`ONE`].
    mixed: [u32; 3],
}

impl<'a> Row<'a> {
    fn new(image: Image<'a>, rows: Sample, columns: Axis) -> Self {
        let none = Column { index: usize::MAX, mixed: [0; 3] };
        Self { image, rows, columns, left: none, right: none }
    }

    fn column(&self, index: usize) -> Column {
        let Sample { low, high, weight } = self.rows;
        let pixel = |row| self.image.pixel(row, index).unwrap_or_default().map(u32::from);
        let low = pixel(low);
        let high = if weight == 0 { low } else { pixel(high) };
        Column { index, mixed: mix(low, high, weight) }
    }
}

impl Iterator for Row<'_> {
    type Item = Rgb888;

    fn next(&mut self) -> Option<Rgb888> {
        let Sample { low, high, weight } = self.columns.next()?;
        if self.left.index != low {
            self.left = if self.right.index == low { self.right } else { self.column(low) };
        }
        if self.right.index != high {
            self.right = if high == low { self.left } else { self.column(high) };
        }
        let [r, g, b] = mix(self.left.mixed, self.right.mixed, weight)
            .map(|sum| ((sum + ONE * ONE / 2) / (ONE * ONE)) as u8);
        Some(Rgb888::new(r, g, b))
    }
}

/// `ONE` times what lies between two colours.
fn mix(low: [u32; 3], high: [u32; 3], weight: u32) -> [u32; 3] {
    core::array::from_fn(|channel| low[channel] * (ONE - weight) + high[channel] * weight)
}
