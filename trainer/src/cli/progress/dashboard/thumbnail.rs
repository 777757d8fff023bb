//! A picture in half blocks, two pixels to a cell: the upper one is the colour of the character, the lower one that of
//! its background.

use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Color;
use ratatui::widgets::Widget;

/// A sample grid. Where there is little room, it is drawn as the upper left part of it, so that its images can be told.
#[derive(Debug)]
pub(in super::super) struct Samples {
    /// Step after which they were drawn.
    pub(in super::super) step: usize,
    /// The grid.
    pub(in super::super) grid: RgbImage,
    /// Pixels from one image to the next, a line between them included.
    pub(in super::super) pitch: u32,
}

impl Samples {
    /// The part that is shown in `room` pixels, no larger than it is.
    pub(super) fn thumbnail(&self, room: [u32; 2]) -> RgbImage {
        let (width, height) = self.grid.dimensions();
        let [width, height] = [(width, room[0]), (height, room[1])].map(|(size, room)| {
            // Images of half their size are still legible.
            let count = (room / self.pitch.div_ceil(2).max(1)).max(1);
            count.saturating_mul(self.pitch).saturating_sub(1).clamp(1, size.max(1))
        });
        let scale =
            (f64::from(room[0]) / f64::from(width)).min(f64::from(room[1]) / f64::from(height)).min(1.0);
        let scaled = |size: u32| ((f64::from(size) * scale) as u32).max(1);
        let part = imageops::crop_imm(&self.grid, 0, 0, width, height).to_image();
        imageops::resize(&part, scaled(width), scaled(height), FilterType::Triangle)
    }
}

impl Widget for &Samples {
    fn render(self, area: Rect, buffer: &mut Buffer) {
        if area.is_empty() {
            return;
        }
        let picture = self.thumbnail([u32::from(area.width), 2 * u32::from(area.height)]);
        let colour = |&Rgb([r, g, b]): &Rgb<u8>| Color::Rgb(r, g, b);
        for (y, row) in (0..picture.height()).step_by(2).zip(area.rows()) {
            for (x, cell) in (0..picture.width()).zip(row.columns()) {
                let below = picture.get_pixel_checked(x, y + 1).map_or(Color::Reset, colour);
                buffer[cell.as_position()]
                    .set_symbol("▀")
                    .set_fg(colour(picture.get_pixel(x, y)))
                    .set_bg(below);
            }
        }
    }
}
