//! A picture scaled to a rectangle.

use core::iter::Take;
use core::marker::PhantomData;

use embedded_graphics_core::Drawable;
use embedded_graphics_core::draw_target::DrawTarget;
use embedded_graphics_core::geometry::{Dimensions, Point, Size};
use embedded_graphics_core::pixelcolor::{PixelColor, Rgb888, RgbColor as _};
use embedded_graphics_core::primitives::Rectangle;

use super::axis::{Axis, MOST_TARGET, ONE, Sample};
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
    /// The picture stretched to `area`. Sides count up to 2^30 pixels, those of the picture up to 2^24 - 1.
    pub fn new(image: Image<'a>, area: Rectangle, filter: Filter) -> Self {
        let size = area.size.component_min(Size::new_equal(MOST_TARGET));
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
        let [width, height] = [visible.size.width, visible.size.height].map(|len| len as usize);
        target.fill_contiguous(&visible, Colours::new(image, rows.take(height), columns, width))
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

/// The colours of what is visible, row by row.
struct Colours<'a, C> {
    image: Image<'a>,
    rows: Take<Axis>,
    columns: Axis,
    width: usize,
    /// Where in them the next pixel lies.
    row: Sample,
    rest: Take<Axis>,
    /// The columns of the picture on both sides, for many pixels the same when enlarged.
    left: Column,
    right: Column,
    /// The last pixel, again for many the same.
    column: Sample,
    colour: C,
}

/// One column of the picture between two rows.
#[derive(Clone, Copy)]
struct Column {
    index: u32,
    /// Red, green and blue, up to `255 * ONE`.
    mixed: [u32; 3],
}

impl<'a, C: From<Rgb888>> Colours<'a, C> {
    fn new(image: Image<'a>, rows: Take<Axis>, columns: Axis, width: usize) -> Self {
        Self {
            image,
            rows,
            rest: columns.clone().take(0),
            columns,
            width,
            row: NOWHERE,
            left: NOTHING,
            right: NOTHING,
            column: NOWHERE,
            colour: Rgb888::BLACK.into(),
        }
    }

    #[cold]
    fn next_row(&mut self) -> Option<Sample> {
        self.row = self.rows.next()?;
        self.rest = self.columns.clone().take(self.width);
        (self.left, self.right, self.column) = (NOTHING, NOTHING, NOWHERE);
        self.rest.next()
    }

    fn mixed(&self, index: u32) -> Column {
        let Sample { low, high, weight } = self.row;
        let pixel = |row| self.image.pixel(row as usize, index as usize).unwrap_or_default().map(u32::from);
        let low = pixel(low);
        let high = if weight == 0 { low } else { pixel(high) };
        Column { index, mixed: mix(low, high, weight) }
    }
}

impl<C: Copy + From<Rgb888>> Iterator for Colours<'_, C> {
    type Item = C;

    #[inline]
    fn next(&mut self) -> Option<C> {
        let column = match self.rest.next() {
            Some(column) => column,
            None => self.next_row()?,
        };
        if self.column != column {
            self.column = column;
            let Sample { low, high, weight } = column;
            if self.left.index != low {
                self.left = if self.right.index == low { self.right } else { self.mixed(low) };
            }
            if self.right.index != high {
                self.right = if high == low { self.left } else { self.mixed(high) };
            }
            let mixed = mix(self.left.mixed, self.right.mixed, weight);
            let [r, g, b] = mixed.map(|sum| ((sum + ONE * ONE / 2) / (ONE * ONE)) as u8);
            self.colour = Rgb888::new(r, g, b).into();
        }
        Some(self.colour)
    }
}

/// `ONE` times what lies between two colours.
fn mix(low: [u32; 3], high: [u32; 3], weight: u32) -> [u32; 3] {
    core::array::from_fn(|channel| low[channel] * (ONE - weight) + high[channel] * weight)
}

/// Of no row and no column.
const NOWHERE: Sample = Sample { low: u32::MAX, high: u32::MAX, weight: 0 };
const NOTHING: Column = Column { index: u32::MAX, mixed: [0; 3] };
