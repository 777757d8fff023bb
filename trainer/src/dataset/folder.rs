//! Pictures of a folder.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use image::imageops::FilterType;

use super::Dataset;

/// Reads every PNG, JPEG and WebP file in `dir`, in the order of their names, each as [`picture`].
pub(super) fn load(dir: &Path, size: usize, channels: usize) -> Result<Dataset> {
    let paths = pictures(dir)?;
    ensure!(!paths.is_empty(), "{} holds no .png, .jpg, .jpeg or .webp file", dir.display());
    let mut pixels = Vec::with_capacity(paths.len() * channels * size * size);
    for path in &paths {
        pixels.extend(picture(path, size, channels)?);
    }
    let name = dir.file_name().map_or_else(|| "folder".into(), |name| name.to_string_lossy().into_owned());
    Dataset::new(&name, [channels, size, size], pixels, None)
}

/// The largest centred square of a picture file, resized, as bytes `[C, size, size]` of 1 or 3 channels.
///
/// # Errors
/// When the file cannot be read.
pub(crate) fn picture(path: &Path, size: usize, channels: usize) -> Result<Vec<u8>> {
    let picture = image::open(path).with_context(|| format!("reading {}", path.display()))?;
    let side = picture.width().min(picture.height());
    let (left, top) = ((picture.width() - side) / 2, (picture.height() - side) / 2);
    let square = picture.crop_imm(left, top, side, side);
    let square = square.resize_exact(size as u32, size as u32, FilterType::Triangle);
    Ok(if channels == 1 {
        square.into_luma8().into_raw()
    } else {
        let rgb = square.into_rgb8();
        (0..3).flat_map(|c| rgb.pixels().map(move |p| p.0[c])).collect()
    })
}

fn pictures(dir: &Path) -> Result<Vec<PathBuf>> {
    let context = || format!("listing {}", dir.display());
    let mut paths = vec![];
    for entry in std::fs::read_dir(dir).with_context(context)? {
        let path = entry.with_context(context)?.path();
        let extension = path.extension().map(|e| e.to_string_lossy().to_lowercase());
        if path.is_file() && matches!(extension.as_deref(), Some("png" | "jpg" | "jpeg" | "webp")) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{Rgb, RgbImage};

    #[test]
    fn crops_the_centre_and_resizes() {
        let dir = tempfile::tempdir().unwrap();
        // A red and a blue margin left and right of a green square.
        let picture = RgbImage::from_fn(48, 32, |x, _| match x {
            0..8 => Rgb([255, 0, 0]),
            8..40 => Rgb([0, 255, 0]),
            _ => Rgb([0, 0, 255]),
        });
        picture.save(dir.path().join("a.png")).unwrap();
        picture.save(dir.path().join("b.webp")).unwrap();
        std::fs::write(dir.path().join("notes.txt"), "no picture").unwrap();
        let dataset = load(dir.path(), 28, 3).unwrap();
        assert_eq!((dataset.len(), dataset.shape()), (2, [3, 28, 28]));
        let plane = 28 * 28;
        for image in dataset.images(&[0, 1]).chunks(3 * plane) {
            assert!(image[..plane].iter().all(|&v| v == -1.0));
            assert!(image[plane..2 * plane].iter().all(|&v| v == 1.0));
            assert!(image[2 * plane..].iter().all(|&v| v == -1.0));
        }
    }

    #[test]
    fn a_broken_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("broken.png"), b"\x89PNG\r\n\x1a\n and then nonsense").unwrap();
        let error = format!("{:#}", load(dir.path(), 28, 1).unwrap_err());
        assert!(error.contains("broken.png"), "{error}");
    }

    #[test]
    fn an_empty_folder_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        assert!(load(dir.path(), 28, 1).is_err());
    }
}
