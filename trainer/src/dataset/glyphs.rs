//! Letters and digits drawn with small bitmap fonts: the data set that needs no files.
//!
//! Each image is a character in one of several fonts under a random affine map, with random thickness, softness and
//! noise. The fonts have 13 to 20 rows, so the bitmap is smoothed and cut at a level, which rounds its steps off; the
//! level also decides the thickness.

use anyhow::{Context, Result};
use embedded_graphics::mono_font::{MonoFont, MonoTextStyle, ascii};
use embedded_graphics::pixelcolor::BinaryColor;
use embedded_graphics::prelude::*;
use embedded_graphics::text::{Baseline, Text};
use rand_xoshiro::Xoshiro128PlusPlus;
use rayon::prelude::*;

use super::{Dataset, Split};
use crate::training::noise::{below, rng, uniform};

const TRAIN_IMAGES: usize = 20_000;
const TEST_IMAGES: usize = 5_000;

const CHARACTERS: &str = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";

const FONTS: [&MonoFont<'static>; 5] = [
    &ascii::FONT_7X13_BOLD,
    &ascii::FONT_8X13_BOLD,
    &ascii::FONT_9X15_BOLD,
    &ascii::FONT_9X18_BOLD,
    &ascii::FONT_10X20,
];

/// Samples per pixel and axis.
const SUPERSAMPLING: usize = 2;

/// Draws one part of the set as square grey images, the label being the place in `0..9A..Z`.
pub(super) fn dataset(split: Split, size: usize) -> Result<Dataset> {
    let (first, count) = match split {
        Split::Train => (0, TRAIN_IMAGES),
        Split::Test => (TRAIN_IMAGES, TEST_IMAGES),
    };
    let masks = masks()?;
    let images: Vec<(Vec<u8>, u8)> =
        (first..first + count).into_par_iter().map(|index| image(&masks, index as u64, size)).collect();
    let labels = images.iter().map(|(_, label)| *label).collect();
    let pixels = images.into_iter().flat_map(|(pixels, _)| pixels).collect();
    Dataset::new("glyphs", [1, size, size], pixels, Some(labels))
}

fn image(masks: &[Vec<Mask>], index: u64, size: usize) -> (Vec<u8>, u8) {
    let mut rng = rng(index);
    let label = below(&mut rng, masks.len() as u32) as usize;
    let fonts = &masks[label];
    let mask = &fonts[below(&mut rng, fonts.len() as u32) as usize];
    let pose = Pose::random(&mut rng);
    let noise = 0.04 * uniform(&mut rng);

    let fine = size * SUPERSAMPLING;
    let mut pixels = Vec::with_capacity(size * size);
    for (y, x) in (0..size).flat_map(|y| (0..size).map(move |x| (y, x))) {
        let mut ink = 0.0;
        for (dy, dx) in (0..SUPERSAMPLING).flat_map(|dy| (0..SUPERSAMPLING).map(move |dx| (dy, dx))) {
            let centred =
                |i: usize, d: usize| ((i * SUPERSAMPLING + d) as f32 + 0.5) / fine as f32 * 2.0 - 1.0;
            ink += pose.ink(mask, centred(x, dx), centred(y, dy));
        }
        ink /= (SUPERSAMPLING * SUPERSAMPLING) as f32;
        ink += noise * (2.0 * uniform(&mut rng) - 1.0);
        pixels.push((ink * 255.0).round().clamp(0.0, 255.0) as u8);
    }
    (pixels, label as u8)
}

/// How a character lies in the picture, whose edges are at -1 and 1.
struct Pose {
    /// From the picture to the character: two rows of three.
    inverse: [[f32; 3]; 2],
    /// Level of the smoothed mask at which ink begins, and the width of the edge.
    level: f32,
    softness: f32,
}

impl Pose {
    fn random(rng: &mut Xoshiro128PlusPlus) -> Self {
        let mut between = |low: f32, high: f32| low + (high - low) * uniform(rng);
        let angle = between(-0.25, 0.25);
        let shear = between(-0.2, 0.2);
        let (scale_x, scale_y) = (between(0.58, 0.74), between(0.58, 0.74));
        let (shift_x, shift_y) = (between(-0.1, 0.1), between(-0.1, 0.1));
        let (sin, cos) = angle.sin_cos();
        // The map onto the picture is shift * rotation * shear * scale.
        let rows = [[1.0 / scale_x, -shear / scale_x], [0.0, 1.0 / scale_y]];
        let inverse = rows.map(|[a, b]| {
            let (u, v) = (a * cos - b * sin, a * sin + b * cos);
            [u, v, -(u * shift_x + v * shift_y)]
        });
        Self { inverse, level: between(0.26, 0.42), softness: between(0.08, 0.2) }
    }

    fn ink(&self, mask: &Mask, x: f32, y: f32) -> f32 {
        let [u, v] = self.inverse.map(|[a, b, c]| a * x + b * y + c);
        let t = ((mask.at(u, v) - self.level) / self.softness + 0.5).clamp(0.0, 1.0);
        t * t * (3.0 - 2.0 * t)
    }
}

/// A smoothed character. Its ink is as high as the square from -1 to 1.
struct Mask {
    width: usize,
    height: usize,
    values: Vec<f32>,
    centre: [f32; 2],
    half_height: f32,
}

impl Mask {
    fn new(bitmap: &Bitmap) -> Result<Self> {
        let ink = |x: usize, y: usize| bitmap.ink[y * bitmap.width + x];
        let rows = || (0..bitmap.height).filter(|&y| (0..bitmap.width).any(|x| ink(x, y)));
        let columns = || (0..bitmap.width).filter(|&x| (0..bitmap.height).any(|y| ink(x, y)));
        let (top, bottom) = rows().next().zip(rows().next_back()).context("a character without ink")?;
        let (left, right) = columns().next().zip(columns().next_back()).context("a character without ink")?;
        // The binomial filter 1 2 1 in both directions.
        let at = |x: isize, y: isize| {
            let inside = |i: isize, n: usize| usize::try_from(i).ok().filter(|&i| i < n);
            let pixel = inside(x, bitmap.width).zip(inside(y, bitmap.height));
            f32::from(u8::from(pixel.is_some_and(|(x, y)| ink(x, y))))
        };
        let mut values = Vec::with_capacity(bitmap.ink.len());
        for (y, x) in
            (0..bitmap.height as isize).flat_map(|y| (0..bitmap.width as isize).map(move |x| (y, x)))
        {
            let row = |y| at(x - 1, y) + 2.0 * at(x, y) + at(x + 1, y);
            values.push((row(y - 1) + 2.0 * row(y) + row(y + 1)) / 16.0);
        }
        Ok(Self {
            width: bitmap.width,
            height: bitmap.height,
            values,
            centre: [(left + right) as f32 / 2.0, (top + bottom) as f32 / 2.0],
            half_height: (bottom - top + 1) as f32 / 2.0,
        })
    }

    /// Between the pixels by bilinear interpolation; zero outside.
    fn at(&self, u: f32, v: f32) -> f32 {
        let (x, y) = (self.centre[0] + u * self.half_height, self.centre[1] + v * self.half_height);
        let (left, top) = (x.floor(), y.floor());
        let (fx, fy) = (x - left, y - top);
        let pixel = |x: f32, y: f32| {
            let inside = x >= 0.0 && y >= 0.0 && (x as usize) < self.width && (y as usize) < self.height;
            if inside { self.values[y as usize * self.width + x as usize] } else { 0.0 }
        };
        let row = |y: f32| pixel(left, y) * (1.0 - fx) + pixel(left + 1.0, y) * fx;
        row(top) * (1.0 - fy) + row(top + 1.0) * fy
    }
}

/// Every character in every font.
fn masks() -> Result<Vec<Vec<Mask>>> {
    CHARACTERS.chars().map(|c| FONTS.iter().map(|font| Mask::new(&bitmap(c, font))).collect()).collect()
}

struct Bitmap {
    width: usize,
    height: usize,
    ink: Vec<bool>,
}

/// Empty pixels around a character, for the filter.
const MARGIN: usize = 2;

fn bitmap(character: char, font: &MonoFont) -> Bitmap {
    let width = font.character_size.width as usize + 2 * MARGIN;
    let height = font.character_size.height as usize + 2 * MARGIN;
    let mut bitmap = Bitmap { width, height, ink: vec![false; width * height] };
    let style = MonoTextStyle::new(font, BinaryColor::On);
    let mut buffer = [0; 4];
    let text = character.encode_utf8(&mut buffer);
    let Ok(_) =
        Text::with_baseline(text, Point::new_equal(MARGIN as i32), style, Baseline::Top).draw(&mut bitmap);
    bitmap
}

impl OriginDimensions for Bitmap {
    fn size(&self) -> Size {
        Size::new(self.width as u32, self.height as u32)
    }
}

impl DrawTarget for Bitmap {
    type Color = BinaryColor;
    type Error = core::convert::Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<BinaryColor>>>(
        &mut self,
        pixels: I,
    ) -> Result<(), Self::Error> {
        for Pixel(point, color) in pixels {
            let (x, y) = (point.x as usize, point.y as usize);
            if x < self.width && y < self.height {
                self.ink[y * self.width + x] = color.is_on();
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_character_has_ink_and_stays_in_the_picture() {
        let masks = masks().unwrap();
        assert_eq!(masks.len(), 36);
        for index in 0..500 {
            let (pixels, label) = image(&masks, index, 28);
            assert!(usize::from(label) < 36);
            let ink = pixels.iter().filter(|&&p| p > 127).count();
            assert!((28 * 28 / 50..28 * 28 / 2).contains(&ink), "image {index} has {ink} bright pixels");
            let border = pixels.iter().enumerate().filter(|(i, p)| **p > 127 && i / 28 % 27 == 0).count();
            assert_eq!(border, 0, "image {index} touches the upper or lower border");
        }
    }

    #[test]
    fn images_depend_on_the_index_alone() {
        let masks = masks().unwrap();
        assert_eq!(image(&masks, 7, 32), image(&masks, 7, 32));
        assert_ne!(image(&masks, 7, 32).0, image(&masks, 8, 32).0);
    }

    #[test]
    fn smoothing_keeps_the_sum_of_the_ink() {
        let bitmap = bitmap('R', &ascii::FONT_10X20);
        let mask = Mask::new(&bitmap).unwrap();
        let ink = bitmap.ink.iter().filter(|&&ink| ink).count() as f32;
        // Sixteenths of small sums are exact.
        assert_eq!(mask.values.iter().sum::<f32>(), ink);
    }
}
