//! An SSD1306 with 128 x 64 pixels that are on or off: greys become patterns.

use boards_common::Display;
use embassy_nrf::twim::Twim;
use embedded_graphics_core::draw_target::DrawTarget;
use embedded_graphics_core::geometry::{Point, Size};
use embedded_graphics_core::pixelcolor::BinaryColor;
use embedded_graphics_core::primitives::Rectangle;
use pocketgan_runtime::Image;
use ssd1306::mode::{BufferedGraphicsMode, DisplayConfig};
use ssd1306::prelude::{DisplayRotation, DisplaySize128x64, I2CInterface};
use ssd1306::{I2CDisplayInterface, Ssd1306};

type Driver<'d> = Ssd1306<I2CInterface<Twim<'d>>, DisplaySize128x64, BufferedGraphicsMode<DisplaySize128x64>>;

/// The display, and its picture in memory.
pub(crate) struct Oled<'d>(Driver<'d>);

/// The display did not answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NoAnswer;

impl<'d> Oled<'d> {
    /// Starts the display at the usual address.
    pub(crate) fn start(bus: Twim<'d>) -> Result<Self, NoAnswer> {
        let interface = I2CDisplayInterface::new(bus);
        let mut driver = Ssd1306::new(interface, DisplaySize128x64, DisplayRotation::Rotate0)
            .into_buffered_graphics_mode();
        driver.init().map_err(|_| NoAnswer)?;
        Ok(Self(driver))
    }
}

impl Display for Oled<'_> {
    type Error = NoAnswer;

    fn show(&mut self, image: &Image<'_>) -> Result<(), NoAnswer> {
        let scale = (WIDTH / image.width.max(1)).min(HEIGHT / image.height.max(1)).max(1);
        let (width, height) = (image.width * scale, image.height * scale);
        let position =
            Point::new(WIDTH.saturating_sub(width) as i32 / 2, HEIGHT.saturating_sub(height) as i32 / 2);
        let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (y, x))).map(|(y, x)| {
            let [r, g, b] = image.pixel(y / scale, x / scale).unwrap_or_default().map(u32::from);
            // Luma of ITU-R BT.601.
            let grey = (299 * r + 587 * g + 114 * b) / 1000;
            // The middle of the threshold's share of 256 levels.
            BinaryColor::from(grey >= u32::from(BAYER[y % 4][x % 4]) * 16 + 8)
        });
        let area = Rectangle::new(position, Size::new(width as u32, height as u32));
        self.0.fill_contiguous(&area, pixels).map_err(|_| NoAnswer)?;
        self.0.flush().map_err(|_| NoAnswer)
    }
}

const WIDTH: usize = 128;
const HEIGHT: usize = 64;

/// The order in which the pixels of a square come on as it brightens.
///
/// # Source
/// Bayer 1973, "An optimum method for two-level rendition of continuous-tone pictures", IEEE ICC.
const BAYER: [[u8; 4]; 4] = [[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]];
