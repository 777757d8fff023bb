//! What a network draws, as one PNG: many small images, or the points of the plane.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use image::{GrayImage, Luma, Rgb, RgbImage};

use crate::dataset::Dataset;
use crate::report::scatter;

/// Writes `samples` `[N, C, H, W]` of what `dataset` has: images as [`write()`] does, points over those of the data.
///
/// # Errors
/// When there are none, or the file cannot be written.
pub fn draw(path: &Path, samples: &[f32], dataset: &Dataset, columns: usize) -> Result<()> {
    if !dataset.is_of_points() {
        return write(path, samples, dataset.shape(), columns);
    }
    let real: Vec<usize> = (0..dataset.len().min(samples.len() / 2)).collect();
    scatter::write(path, samples, &dataset.images(&real))
}

/// Writes `images` `[N, C, H, W]` in [-1, 1], row by row, with a dark line between them.
///
/// # Errors
/// When there are none, the shape is wrong, or the file cannot be written.
pub fn write(path: &Path, images: &[f32], [c, h, w]: [usize; 3], columns: usize) -> Result<()> {
    const GAP: usize = 1;
    let area = h * w;
    ensure!([1, 3].contains(&c) && area > 0 && columns > 0, "no grid of {columns} columns of {c}x{h}x{w}");
    let images: Vec<&[f32]> = images.chunks_exact(c * area).collect();
    ensure!(!images.is_empty(), "a grid needs at least one image");
    let extent = |count: usize, size: usize| (count * (size + GAP) - GAP) as u32;
    let (width, height) = (extent(columns.min(images.len()), w), extent(images.len().div_ceil(columns), h));
    let byte = |image: &[f32], channel: usize, x: usize, y: usize| {
        ((image[channel * area + y * w + x] + 1.0) * 127.5).round().clamp(0.0, 255.0) as u8
    };
    let mut gray = GrayImage::from_pixel(width, height, Luma([64]));
    let mut rgb = RgbImage::from_pixel(width, height, Rgb([64; 3]));
    for (i, image) in images.iter().enumerate() {
        let (left, top) = (i % columns * (w + GAP), i / columns * (h + GAP));
        for (y, x) in (0..h).flat_map(|y| (0..w).map(move |x| (y, x))) {
            let at = ((left + x) as u32, (top + y) as u32);
            if c == 1 {
                gray.put_pixel(at.0, at.1, Luma([byte(image, 0, x, y)]));
            } else {
                rgb.put_pixel(at.0, at.1, Rgb([0, 1, 2].map(|channel| byte(image, channel, x, y))));
            }
        }
    }
    let saved = if c == 1 { gray.save(path) } else { rgb.save(path) };
    saved.with_context(|| format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_stand_row_by_row() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("grid.png");
        // Three images of 1x2 pixels in two columns.
        write(&path, &[-1.0, 1.0, 0.0, 2.0, 1.0, -3.0], [1, 1, 2], 2).unwrap();
        let grid = image::open(&path).unwrap().into_luma8();
        assert_eq!(grid.dimensions(), (5, 3));
        let row = |y| (0..5).map(|x| grid.get_pixel(x, y).0[0]).collect::<Vec<_>>();
        assert_eq!(row(0), [0, 255, 64, 128, 255]);
        assert_eq!(row(2), [255, 0, 64, 64, 64]);
    }

    #[test]
    fn colours_keep_their_channels() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("grid.png");
        write(&path, &[1.0, -1.0, 0.0], [3, 1, 1], 1).unwrap();
        assert_eq!(image::open(&path).unwrap().into_rgb8().get_pixel(0, 0).0, [255, 0, 128]);
        assert!(write(&path, &[], [3, 1, 1], 1).is_err());
    }
}
