//! Pictures on displays, through embedded-graphics.
//!
//! A [`Sprite`] is a picture scaled to a rectangle, and a drawable: it goes to any display, in any colour that `Rgb888` converts
//! to. A [`Grid`] says where many lie, [`Dithered`] draws greys on a display that has few, and [`draw_in_bands`]
//! composes a scene without memory for a whole frame. All of it computes in integers, so that a picture has the same pixels on
//! every target; needs no memory; and takes any size and place, since only what the display shows is computed.
//!
//! ```
//! use embedded_graphics_core::Drawable;
//! use embedded_graphics_core::draw_target::DrawTarget;
//! use embedded_graphics_core::pixelcolor::{BinaryColor, Rgb565};
//! use pocketgan_runtime::Image;
//! use pocketgan_runtime::display::{Dithered, Filter, Sprite};
//!
//! fn on_colour_display<D: DrawTarget<Color = Rgb565>>(image: Image<'_>, display: &mut D) -> Result<(), D::Error> {
//!     Sprite::fitted(image, display.bounding_box(), Filter::Bilinear).draw(display)
//! }
//!
//! fn on_oled<D: DrawTarget<Color = BinaryColor>>(image: Image<'_>, display: &mut D) -> Result<(), D::Error> {
//!     Sprite::fitted(image, display.bounding_box(), Filter::Bilinear).draw(&mut Dithered::new(display))
//! }
//! ```

mod axis;
mod band;
mod clip;
mod dither;
mod grid;
mod sprite;

pub use band::{Band, draw_in_bands};
pub use dither::{Dithered, Levels};
pub use grid::Grid;
pub use sprite::{Filter, Sprite};
