//! An SSD1306 with 128 x 64 pixels that are on or off: greys become patterns.

use boards_common::Display;
use embassy_nrf::twim::Twim;
use embedded_graphics_core::Drawable;
use embedded_graphics_core::geometry::Dimensions;
use pocketgan_runtime::Image;
use pocketgan_runtime::display::{Dithered, Filter, Sprite};
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
        let sprite = Sprite::fitted(*image, self.0.bounding_box(), Filter::Bilinear);
        sprite.draw(&mut Dithered::new(&mut self.0)).map_err(|_| NoAnswer)?;
        self.0.flush().map_err(|_| NoAnswer)
    }
}
