//! Pictures on displays: against plain definitions, on displays that refuse what is drawn twice or outside, and as PNG.

use core::convert::Infallible;
use core::iter;
use std::fs;
use std::path::PathBuf;

use embedded_graphics::mock_display::MockDisplay;
use embedded_graphics::mono_font::MonoTextStyle;
use embedded_graphics::mono_font::ascii::FONT_4X6;
use embedded_graphics::pixelcolor::{Bgr888, BinaryColor, Gray2, Gray8, Rgb565, Rgb888};
use embedded_graphics::prelude::*;
use embedded_graphics::primitives::Rectangle;
use embedded_graphics::text::{Baseline, Text};
use embedded_graphics_simulator::{OutputSettings, SimulatorDisplay};
use pocketgan_format::AlignedBytes;
use pocketgan_runtime::display::{Dithered, Filter, Grid, Sprite, draw_in_bands};
use pocketgan_runtime::{Generator, Image, Latent, Model};
use rand_core::{Rng as _, SeedableRng as _};
use rand_xoshiro::Xoshiro256PlusPlus;

const FILTERS: [Filter; 2] = [Filter::Nearest, Filter::Bilinear];

fn area(x: i32, y: i32, width: u32, height: u32) -> Rectangle {
    Rectangle::new(Point::new(x, y), Size::new(width, height))
}

/// A picture whose values are its bytes.
fn picture(height: usize, width: usize, channels: usize, values: &[f32]) -> Image<'_> {
    Image { height, width, channels, range: [0.0, 255.0], values }
}

fn noise(len: usize, seed: u64) -> Vec<f32> {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
    (0..len).map(|_| f32::from(random.next_u32() as u8)).collect()
}

/// What a sprite draws on a display of `size`, without anything below it.
fn drawn<C>(size: Size, sprite: &Sprite<'_, C>) -> SimulatorDisplay<C>
where
    C: PixelColor + From<Rgb888> + From<BinaryColor>,
{
    let mut display = SimulatorDisplay::new(size);
    let Ok(()) = sprite.draw(&mut display);
    display
}

#[test]
fn pixels_become_squares_and_edges_are_cut() {
    let values = [0.0, 17.0, 34.0, 51.0, 68.0, 85.0].map(|value| value * 3.0);
    let image = picture(2, 3, 1, &values);
    let mut display = MockDisplay::<Gray8>::new();
    let Ok(()) = Sprite::new(image, area(1, 1, 6, 4), Filter::Nearest).draw(&mut display);
    // The display would panic at a pixel outside.
    let Ok(()) = Sprite::new(image, area(-3, 6, 6, 2), Filter::Nearest).draw(&mut display);
    let Ok(()) = Sprite::new(image, area(61, 63, 6, 4), Filter::Nearest).draw(&mut display);
    let mut expected = MockDisplay::from_pattern(&[
        "        ", //
        " 003366 ", //
        " 003366 ", //
        " 99CCFF ", //
        " 99CCFF ", //
        "        ", //
        "366     ", //
        "CFF     ", //
    ]);
    for (x, grey) in [(61, 0x00), (62, 0x00), (63, 0x33)] {
        expected.set_pixel(Point::new(x, 63), Some(Gray8::new(grey)));
    }
    display.assert_eq(&expected);
}

/// Between the centres of the outermost pixels a linear picture is linear at any size, and constant beyond. A weight is the
/// exact one less than 1/256, and the sum of all is rounded once: `(|across| + |down|) / 256 + 1/2`.
#[test]
fn ramps_stay_ramps() {
    for (height, width) in [(2, 2), (5, 9), (28, 28)] {
        for (base, across, down) in [(0_i32, 7_i32, 2_i32), (200, -5, 0), (10, 0, 8)] {
            let at = |x: f64, y: f64| f64::from(base) + f64::from(across) * x + f64::from(down) * y;
            let values: Vec<f32> = (0..height * width)
                .map(|pixel| at((pixel % width) as f64, (pixel / width) as f64) as f32)
                .collect();
            let image = picture(height, width, 1, &values);
            for (rows, columns) in [(1, 1), (3, 2), (28, 29), (64, 64), (100, 240)] {
                let size = Size::new(columns, rows);
                let display =
                    drawn(size, &Sprite::<Gray8>::new(image, area(0, 0, columns, rows), Filter::Bilinear));
                let place = |pixel: i32, source: usize, target: u32| {
                    let centre = (f64::from(pixel) + 0.5) * source as f64 / f64::from(target) - 0.5;
                    centre.clamp(0.0, source as f64 - 1.0)
                };
                let bound = f64::from(across.abs() + down.abs()) / 256.0 + 0.5;
                for point in display.bounding_box().points() {
                    let exact = at(place(point.x, width, columns), place(point.y, height, rows));
                    let grey = f64::from(display.get_pixel(point).luma());
                    assert!((grey - exact).abs() <= bound, "{point:?} of {size:?}: {grey}, not {exact}");
                }
            }
        }
    }
}

/// The definition, one pixel at a time, in fractions of 256.
fn defined(image: &Image<'_>, size: Size, point: Point, filter: Filter) -> Rgb888 {
    let axis = |pixel: i32, source: usize, target: u32| {
        let position = 256 * (2 * pixel as usize + 1) * source / (2 * target as usize);
        match filter {
            Filter::Nearest => [(position / 256, 256), (0, 0)],
            Filter::Bilinear => {
                let position = position.max(128) - 128;
                let (low, weight) = (position / 256, position % 256);
                [(low, 256 - weight), ((low + 1).min(source - 1), weight)]
            }
        }
    };
    let mut sums = [0; 3];
    for (row, row_weight) in axis(point.y, image.height, size.height) {
        for (column, column_weight) in axis(point.x, image.width, size.width) {
            let rgb = image.pixel(row, column).expect("in the picture");
            for (sum, value) in sums.iter_mut().zip(rgb) {
                *sum += row_weight * column_weight * usize::from(value);
            }
        }
    }
    let [r, g, b] = sums.map(|sum| ((sum + 32768) / 65536) as u8);
    Rgb888::new(r, g, b)
}

#[test]
fn every_size_is_as_defined_in_every_colour() {
    const SEED: u64 = 5;
    println!("seed {SEED}");
    for (height, width, channels) in [(1, 1, 1), (7, 5, 3), (28, 28, 1), (3, 64, 3)] {
        let values = noise(height * width * channels, SEED);
        let image = picture(height, width, channels, &values);
        for size in [(1, 1), (5, 7), (28, 28), (63, 20), (130, 97)].map(|(w, h)| Size::new(w, h)) {
            for filter in FILTERS {
                let whole = Rectangle::new(Point::zero(), size);
                let rgb888 = drawn(size, &Sprite::<Rgb888>::new(image, whole, filter));
                let bgr888 = drawn(size, &Sprite::<Bgr888>::new(image, whole, filter));
                let rgb565 = drawn(size, &Sprite::<Rgb565>::new(image, whole, filter));
                let gray8 = drawn(size, &Sprite::<Gray8>::new(image, whole, filter));
                for point in whole.points() {
                    let colour = defined(&image, size, point, filter);
                    assert_eq!(rgb888.get_pixel(point), colour, "{point:?} of {size:?}");
                    assert_eq!(bgr888.get_pixel(point), colour.into());
                    assert_eq!(rgb565.get_pixel(point), colour.into());
                    assert_eq!(gray8.get_pixel(point), colour.into());
                }
            }
        }
    }
}

#[test]
fn fitted_pictures_keep_their_proportions_in_the_middle() {
    let fitted = |height, width, place| {
        let image = picture(height, width, 1, &[]);
        Sprite::<Gray8>::fitted(image, place, Filter::Nearest).bounding_box()
    };
    assert_eq!(fitted(28, 28, area(0, 0, 240, 135)), area(52, 0, 135, 135));
    assert_eq!(fitted(28, 28, area(-9, 7, 64, 128)), area(-9, 39, 64, 64));
    assert_eq!(fitted(32, 64, area(0, 0, 100, 100)), area(0, 25, 100, 50));
    // 10 * 2 / 3 = 6.67
    assert_eq!(fitted(3, 2, area(0, 0, 10, 10)), area(1, 0, 7, 10));
    assert_eq!(fitted(1, 1000, area(0, 0, 10, 10)), area(0, 4, 10, 1));
    assert_eq!(fitted(0, 7, area(0, 0, 10, 10)).size, Size::zero());
    assert_eq!(fitted(7, 7, area(0, 0, 10, 0)).size, Size::zero());
}

/// A display as large as coordinates go, which looks at the first pixels only.
struct Plane;

impl Dimensions for Plane {
    fn bounding_box(&self) -> Rectangle {
        area(i32::MIN, i32::MIN, u32::MAX, u32::MAX)
    }
}

impl DrawTarget for Plane {
    type Color = Rgb565;
    type Error = Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<Rgb565>>>(&mut self, pixels: I) -> Result<(), Infallible> {
        pixels.into_iter().take(100).for_each(drop);
        Ok(())
    }
}

/// Displays of the library panic at a pixel that is outside or drawn twice.
#[test]
fn no_size_or_place_is_too_much() {
    let values = [9.0; 6];
    let pictures = [
        picture(0, 0, 1, &[]),
        picture(1, 1, 1, &values),
        picture(2, 3, 1, &values),
        picture(2, 1, 3, &values),
        // More than the values hold, which no generator gives.
        picture(usize::MAX, usize::MAX, usize::MAX, &values),
        picture(3, 3, 0, &values),
    ];
    let sides = [0, 1, 5, 64, 1_000_000, i32::MAX as u32, u32::MAX];
    let places = [i32::MIN, -1_000_000, -3, 0, 63, 64, i32::MAX];
    for (image, filter) in pictures.into_iter().flat_map(|image| FILTERS.map(|filter| (image, filter))) {
        for (width, height) in sides.into_iter().flat_map(|w| sides.map(|h| (w, h))) {
            for (x, y) in places.into_iter().flat_map(|x| places.map(|y| (x, y))) {
                let place = area(x, y, width, height);
                for sprite in [Sprite::new(image, place, filter), Sprite::fitted(image, place, filter)] {
                    let Ok(()) = sprite.draw(&mut Plane);
                }
            }
        }
    }
    for (x, y) in [(-70, 0), (-3, -3), (0, 60), (63, 63), (64, 64), (i32::MIN, i32::MAX)] {
        for side in [0, 1, 7, 1_000_000, u32::MAX] {
            let mut display = MockDisplay::<Rgb565>::new();
            let Ok(()) =
                Sprite::new(pictures[2], area(x, y, side, side), Filter::Bilinear).draw(&mut display);
        }
    }
}

/// A picture, text over it and a bar that leaves the area.
fn scene<C, D>(image: Image<'_>, target: &mut D) -> Result<(), D::Error>
where
    C: PixelColor + From<Rgb888> + From<BinaryColor>,
    D: DrawTarget<Color = C>,
{
    target.clear(BinaryColor::Off.into())?;
    Sprite::new(image, area(-4, 3, 50, 40), Filter::Bilinear).draw(target)?;
    let style = MonoTextStyle::new(&FONT_4X6, BinaryColor::On.into());
    Text::with_baseline("pocketgan", Point::new(2, 7), style, Baseline::Top).draw(target)?;
    target.fill_solid(&area(20, 30, 500, 5), BinaryColor::On.into())
}

#[test]
fn bands_are_the_whole() {
    let values = noise(11 * 9 * 3, 7);
    let image = picture(9, 11, 3, &values);
    let size = Size::new(61, 43);
    let mut whole = SimulatorDisplay::<Rgb565>::new(size);
    let Ok(()) = scene(image, &mut whole);
    for len in [1, 2, 60, 61, 62, 122, 488, 61 * 43, 10_000] {
        let mut banded = SimulatorDisplay::<Rgb565>::new(size);
        let mut pixels = vec![Rgb565::MAGENTA; len];
        let Ok(()) =
            draw_in_bands(&mut banded, &area(-9, 0, 5000, 43), &mut pixels, |band| scene(image, band));
        assert!(banded == whole, "{len} pixels");
    }
    let mut dithered = SimulatorDisplay::<BinaryColor>::new(size);
    let Ok(()) = scene(image, &mut Dithered::new(&mut dithered));
    for len in [1, 100, 300] {
        let mut banded = SimulatorDisplay::<BinaryColor>::new(size);
        let everything = banded.bounding_box();
        let mut pixels = vec![BinaryColor::On; len];
        let Ok(()) = draw_in_bands(&mut banded, &everything, &mut pixels, |band| {
            scene(image, &mut Dithered::new(band))
        });
        assert!(banded == dithered, "{len} pixels");
    }
}

/// A display that says no at the second rectangle.
struct Broken(u32);

impl OriginDimensions for Broken {
    fn size(&self) -> Size {
        Size::new(8, 8)
    }
}

impl DrawTarget for Broken {
    type Color = Gray8;
    type Error = u32;

    fn draw_iter<I: IntoIterator<Item = Pixel<Gray8>>>(&mut self, pixels: I) -> Result<(), u32> {
        pixels.into_iter().for_each(drop);
        self.0 += 1;
        if self.0 == 2 { Err(self.0) } else { Ok(()) }
    }
}

#[test]
fn bands_stop_at_an_error_and_need_memory() {
    let mut display = Broken(0);
    let everything = display.bounding_box();
    let mut drawn = 0;
    let mut draw = |pixels: &mut [Gray8]| {
        drawn = 0;
        let result = draw_in_bands(&mut display, &everything, pixels, |_| {
            drawn += 1;
            Ok(())
        });
        (result, drawn)
    };
    assert_eq!(draw(&mut []), (Ok(()), 0));
    assert_eq!(draw(&mut [Gray8::BLACK; 16]), (Err(2), 2));
    assert_eq!(draw(&mut [Gray8::BLACK; 16]), (Ok(()), 4));
}

#[test]
fn rows_alone_are_those_of_the_whole() {
    let values = noise(6 * 6, 8);
    let sprite = Sprite::<Gray8>::new(picture(6, 6, 1, &values), area(3, 2, 50, 50), Filter::Bilinear);
    let whole = drawn(Size::new(64, 64), &sprite);
    let mut rows = SimulatorDisplay::<Gray8>::new(Size::new(64, 64));
    for top in (0..64).step_by(7) {
        let Ok(()) = sprite.draw(&mut rows.clipped(&area(0, top, 64, 7)));
    }
    assert!(rows == whole);
}

/// Draws digits of seeds 0, 1, ... into the cells.
fn digits<C: PixelColor + From<Rgb888>, D: DrawTarget<Color = C, Error = Infallible>>(
    display: &mut D,
    grid: Grid,
    count: u32,
) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/mnist-dcgan28/mnist-dcgan28.pgan");
    let bytes = AlignedBytes::copy(&fs::read(path).expect("the model is there"));
    let model = Model::load(&bytes).expect("a sound model");
    let mut arena = vec![0.0; model.arena_len()];
    let mut generator = Generator::exact(&model, &mut arena).expect("as long as it asks for");
    for index in 0..count {
        let image = generator.generate(Latent::from_seed(index.into()));
        let Ok(()) = Sprite::fitted(image, grid.cell(index), Filter::Bilinear).draw(display);
    }
}

/// Compares with a picture under `tests/golden`. To make one anew, delete it: the test writes what is missing, and fails once.
fn same_as_golden<C>(name: &str, display: &SimulatorDisplay<C>)
where
    C: PixelColor + From<Rgb888> + Into<Rgb888>,
{
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if !path.exists() {
        let picture = display.to_rgb_output_image(&OutputSettings::default());
        picture.save_png(&path).expect("the folder is there");
        panic!("{} is new: look at it", path.display());
    }
    let golden = SimulatorDisplay::<C>::load_png(&path).expect("a PNG");
    assert_eq!(golden.size(), display.size(), "{name}");
    let points = display.bounding_box().points();
    let other = points.filter(|&point| golden.get_pixel(point) != display.get_pixel(point)).count();
    assert_eq!(other, 0, "pixels unlike those of {name}");
}

#[test]
fn an_oled_shows_two_digits() {
    let mut display = SimulatorDisplay::<BinaryColor>::new(Size::new(128, 64));
    let grid = Grid::new(display.bounding_box(), 2, 1, 0);
    digits(&mut Dithered::new(&mut display), grid, 2);
    same_as_golden("oled.png", &display);
}

#[test]
fn electronic_paper_shows_four_digits() {
    let mut display = SimulatorDisplay::<Gray2>::new(Size::new(80, 80));
    let grid = Grid::new(display.bounding_box(), 2, 2, 4);
    digits(&mut Dithered::new(&mut display), grid, 4);
    same_as_golden("epaper.png", &display);
}

#[test]
fn a_colour_display_shows_both_filters() {
    let corners = [[255, 0, 0], [255, 255, 0], [0, 255, 0], [0, 0, 255], [255, 0, 255], [255, 255, 255]];
    let values: Vec<f32> = corners.as_flattened().iter().map(|&value| value as f32).collect();
    let image = picture(2, 3, 3, &values);
    let mut display = SimulatorDisplay::<Rgb565>::new(Size::new(104, 32));
    let grid = Grid::new(display.bounding_box(), 2, 1, 8);
    for (filter, index) in iter::zip(FILTERS, 0..) {
        let Ok(()) = Sprite::new(image, grid.cell(index), filter).draw(&mut display);
    }
    same_as_golden("tft.png", &display);
}
