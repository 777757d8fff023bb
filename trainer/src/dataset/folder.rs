//! Pictures of a folder, and of its sub-folders as classes.
//!
//! `dataset.toml` in the folder may say how its pictures become squares, so that every command reads them alike.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};
use image::imageops::{self, FilterType};
use image::{DynamicImage, Rgb, RgbImage};
use rayon::prelude::*;
use serde::Deserialize;

use super::{Dataset, Split};

/// How pictures are read; `dataset.toml` of a folder.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Rules {
    /// How a picture becomes a square.
    resize: Resize,
    /// Red, green and blue of what is around pictures that are fitted, and behind transparent ones.
    background: [u8; 3],
    /// Whether a file that cannot be read is an error; otherwise it is left out, with a warning.
    strict: bool,
}

/// How a picture becomes a square.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Resize {
    /// The largest square in its middle.
    #[default]
    CentreCrop,
    /// All of it, with margins.
    Fit,
    /// All of it, without regard to its shape.
    Stretch,
}

/// Bytes of the largest set that is read.
const LARGEST: u64 = 1 << 34;

/// Pictures that are there twice, read and put with the others, at any time.
const AT_ONCE: usize = 256;

/// What so many pictures take in memory.
///
/// # Errors
/// When that is more than [`LARGEST`].
fn bytes_of(count: usize, size: usize, channels: usize) -> Result<usize> {
    let bytes = [size, size, channels].iter().fold(count as u64, |all, &n| all.saturating_mul(n as u64));
    ensure!(
        bytes <= LARGEST,
        "{count} pictures of {size}x{size} pixels are more than {} GiB in memory: take fewer, or a smaller --size",
        LARGEST >> 30
    );
    Ok(usize::try_from(bytes)?)
}

/// Reads every PNG, JPEG and WebP file in `dir`, in the order of their names.
///
/// Where `dir` has none itself, each sub-folder that has some is a class, in the order of their names.
pub(super) fn load(dir: &Path, split: Split, size: usize, channels: usize) -> Result<Dataset> {
    let rules = Rules::of(dir)?;
    let mut paths = pictures(dir)?;
    let mut classes = vec![];
    let mut labels = vec![];
    if paths.is_empty() {
        for folder in folders(dir)? {
            let own = pictures(&folder)?;
            if !own.is_empty() {
                labels.extend(vec![classes.len(); own.len()]);
                classes.push(folder);
                paths.extend(own);
            }
        }
    }
    ensure!(
        !paths.is_empty(),
        "{} holds no .png, .jpg, .jpeg or .webp file, nor do its sub-folders",
        dir.display()
    );
    ensure!(classes.len() <= 256, "{} has {} classes, 256 are the most", dir.display(), classes.len());
    let bytes = bytes_of(paths.len(), size, channels).with_context(|| format!("in {}", dir.display()))?;
    let (mut pixels, mut kept, mut unreadable) = (Vec::with_capacity(bytes), vec![], vec![]);
    for (part, paths) in paths.chunks(AT_ONCE).enumerate() {
        let read: Vec<Result<Vec<u8>>> =
            paths.par_iter().map(|path| rules.read(path, size, channels)).collect();
        for (i, image) in read.into_iter().enumerate() {
            match image {
                Ok(image) => {
                    pixels.extend(image);
                    kept.extend(labels.get(part * AT_ONCE + i).map(|&label| label as u8));
                }
                Err(error) => unreadable.push(format!("{error:#}")),
            }
        }
    }
    if let Some(first) = unreadable.first() {
        let summary = format!("{} of {} pictures in {}", unreadable.len(), paths.len(), dir.display());
        ensure!(!rules.strict && !pixels.is_empty(), "{summary} cannot be read; the first: {first}");
        if split == Split::Train {
            eprintln!("warning: {}", warning(&summary, &unreadable));
        }
    }
    for (class, folder) in classes.iter().enumerate() {
        ensure!(kept.contains(&(class as u8)), "no picture in {} can be read", folder.display());
    }
    let dataset = Dataset::new(
        &name(dir).unwrap_or_else(|| "folder".into()),
        [channels, size, size],
        pixels,
        (!classes.is_empty()).then_some(kept),
    )?;
    let dataset = match &classes[..] {
        [] => dataset,
        classes => dataset.with_class_names(classes.iter().filter_map(|folder| name(folder)).collect())?,
    };
    Ok(Dataset { unreadable, ..dataset })
}

/// The largest centred square of a picture file, resized, as bytes `[C, size, size]` of 1 or 3 channels; black behind
/// transparent pixels.
///
/// # Errors
/// When the file cannot be read.
pub(crate) fn picture(path: &Path, size: usize, channels: usize) -> Result<Vec<u8>> {
    Rules::default().read(path, size, channels)
}

impl Rules {
    fn of(dir: &Path) -> Result<Self> {
        let path = dir.join("dataset.toml");
        if !path.is_file() {
            return Ok(Self::default());
        }
        let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        toml::from_str(&text).with_context(|| format!("in {}", path.display()))
    }

    /// `[C, size, size]`
    fn read(&self, path: &Path, size: usize, channels: usize) -> Result<Vec<u8>> {
        // The error's text has its cause in it, so that a chain would say it twice.
        let picture = image::open(path).map_err(|error| anyhow!("reading {}: {error}", path.display()))?;
        let (width, height) = (picture.width(), picture.height());
        ensure!(width > 0 && height > 0, "{} has no pixels", path.display());
        let square = self.square(self.opaque(picture), size as u32);
        Ok(if channels == 1 {
            square.into_luma8().into_raw()
        } else {
            let rgb = square.into_rgb8();
            (0..3).flat_map(|c| rgb.pixels().map(move |p| p.0[c])).collect()
        })
    }

    /// The picture before the background, where it has transparency.
    fn opaque(&self, picture: DynamicImage) -> DynamicImage {
        if !picture.color().has_alpha() {
            return picture;
        }
        let picture = picture.into_rgba8();
        let mut opaque = RgbImage::new(picture.width(), picture.height());
        for (pixel, source) in opaque.pixels_mut().zip(picture.pixels()) {
            *pixel = Rgb([0, 1, 2].map(|c| super::over(source.0[c], self.background[c], source.0[3])));
        }
        opaque.into()
    }

    fn square(&self, picture: DynamicImage, size: u32) -> DynamicImage {
        let (width, height) = (picture.width(), picture.height());
        match self.resize {
            Resize::CentreCrop => {
                let side = width.min(height);
                let (left, top) = ((width - side) / 2, (height - side) / 2);
                picture.crop_imm(left, top, side, side).resize_exact(size, size, FilterType::Triangle)
            }
            Resize::Stretch => picture.resize_exact(size, size, FilterType::Triangle),
            Resize::Fit => {
                let longest = u64::from(width.max(height));
                let scaled =
                    |side: u32| ((u64::from(side) * u64::from(size) + longest / 2) / longest).max(1) as u32;
                let (width, height) = (scaled(width), scaled(height));
                let picture = picture.resize_exact(width, height, FilterType::Triangle).into_rgb8();
                let mut square = RgbImage::from_pixel(size, size, Rgb(self.background));
                let (left, top) = ((size - width) / 2, (size - height) / 2);
                imageops::overlay(&mut square, &picture, left.into(), top.into());
                square.into()
            }
        }
    }
}

/// Names up to ten files.
fn warning(summary: &str, unreadable: &[String]) -> String {
    const SHOWN: usize = 10;
    let mut text = format!("{summary} cannot be read and are left out:");
    for file in unreadable.iter().take(SHOWN) {
        text.push_str(&format!("\n  {file}"));
    }
    if unreadable.len() > SHOWN {
        text.push_str(&format!("\n  and {} more", unreadable.len() - SHOWN));
    }
    text
}

fn name(path: &Path) -> Option<String> {
    Some(path.file_name()?.to_string_lossy().into_owned())
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

/// Sub-folders that are not hidden, in the order of their names.
fn folders(dir: &Path) -> Result<Vec<PathBuf>> {
    let context = || format!("listing {}", dir.display());
    let mut paths = vec![];
    for entry in std::fs::read_dir(dir).with_context(context)? {
        let path = entry.with_context(context)?.path();
        if path.is_dir() && name(&path).is_some_and(|name| !name.starts_with('.')) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use image::{Rgba, RgbaImage};

    use super::*;

    fn load(dir: &Path, size: usize, channels: usize) -> Result<Dataset> {
        super::load(dir, Split::Train, size, channels)
    }

    /// Red, green and blue of one pixel of an image.
    fn pixel(dataset: &Dataset, index: usize, x: usize, y: usize) -> [u8; 3] {
        let [_, height, width] = dataset.shape();
        let image = dataset.images(&[index]);
        [0, 1, 2].map(|c| ((image[(c * height + y) * width + x] + 1.0) * 127.5).round() as u8)
    }

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

    const BROKEN: &[u8] = b"\x89PNG\r\n\x1a\n and then nonsense";

    #[test]
    fn sub_folders_are_classes_by_name() {
        let dir = tempfile::tempdir().unwrap();
        for (folder, grey, count) in [("zebra", 200, 1), ("ant", 100, 2), (".hidden", 0, 1)] {
            std::fs::create_dir(dir.path().join(folder)).unwrap();
            for i in 0..count {
                let path = dir.path().join(folder).join(format!("{i}.png"));
                RgbImage::from_pixel(4, 4, Rgb([grey; 3])).save(path).unwrap();
            }
        }
        std::fs::create_dir(dir.path().join("empty")).unwrap();
        let dataset = load(dir.path(), 8, 3).unwrap();
        assert_eq!((dataset.len(), dataset.class_count()), (3, Some(2)));
        assert_eq!([0, 1, 2].map(|i| dataset.label(i)), [Some(0), Some(0), Some(1)]);
        assert_eq!([0, 2].map(|i| pixel(&dataset, i, 0, 0)), [[100; 3], [200; 3]]);
        assert_eq!((dataset.class_name(0), dataset.class_name(1)), (Some("ant"), Some("zebra")));
        std::fs::write(dir.path().join("zebra").join("0.png"), BROKEN).unwrap();
        let error = format!("{:#}", load(dir.path(), 8, 3).unwrap_err());
        assert!(error.contains("no picture in") && error.contains("zebra"), "{error}");
        // Pictures of the folder itself have no class.
        RgbImage::new(4, 4).save(dir.path().join("own.png")).unwrap();
        let dataset = load(dir.path(), 8, 3).unwrap();
        assert_eq!((dataset.len(), dataset.class_count()), (1, None));
    }

    #[test]
    fn broken_files_are_left_out_or_refused() {
        let dir = tempfile::tempdir().unwrap();
        RgbImage::from_pixel(4, 4, Rgb([9; 3])).save(dir.path().join("good.png")).unwrap();
        for i in 10..22 {
            std::fs::write(dir.path().join(format!("{i}.png")), BROKEN).unwrap();
        }
        let dataset = load(dir.path(), 4, 3).unwrap();
        assert_eq!((dataset.len(), dataset.unreadable().len()), (1, 12));
        let warning = warning("12 of 13 pictures", dataset.unreadable());
        assert!(warning.contains("19.png") && !warning.contains("20.png"), "{warning}");
        assert!(warning.ends_with("and 2 more"), "{warning}");
        let grey = dataset.with_channels(1).unwrap();
        assert_eq!(grey.unreadable().len(), 12);
        std::fs::write(dir.path().join("dataset.toml"), "strict = true").unwrap();
        let error = format!("{:#}", load(dir.path(), 4, 3).unwrap_err());
        assert!(error.contains("12 of 13 pictures") && error.contains("10.png"), "{error}");
    }

    #[test]
    fn pictures_are_fitted_and_stretched_as_the_folder_says() {
        let dir = tempfile::tempdir().unwrap();
        let rules = |text: &str| std::fs::write(dir.path().join("dataset.toml"), text).unwrap();
        let picture = RgbImage::from_fn(8, 4, |x, _| if x < 4 { Rgb([200, 0, 0]) } else { Rgb([0, 200, 0]) });
        picture.save(dir.path().join("a.png")).unwrap();
        rules("resize = \"fit\"\nbackground = [1, 2, 3]");
        let fitted = load(dir.path(), 8, 3).unwrap();
        assert_eq!([1, 6].map(|y| pixel(&fitted, 0, 0, y)), [[1, 2, 3]; 2]);
        for y in 2..6 {
            assert_eq!([0, 7].map(|x| pixel(&fitted, 0, x, y)), [[200, 0, 0], [0, 200, 0]]);
        }
        rules("resize = \"stretch\"");
        let stretched = load(dir.path(), 4, 3).unwrap();
        assert_eq!([0, 3].map(|x| pixel(&stretched, 0, x, 0)), [[200, 0, 0], [0, 200, 0]]);
        // A line of pixels keeps at least one.
        RgbImage::from_pixel(100, 1, Rgb([50; 3])).save(dir.path().join("a.png")).unwrap();
        rules("resize = \"fit\"");
        assert_eq!(pixel(&load(dir.path(), 4, 3).unwrap(), 0, 0, 1), [50; 3]);
        for wrong in ["resize = \"crop\"", "size = 4", "background = [256, 0, 0]"] {
            rules(wrong);
            assert!(format!("{:#}", load(dir.path(), 4, 3).unwrap_err()).contains("dataset.toml"), "{wrong}");
        }
    }

    /// Labels stay with their pictures where these are read in parts, and one is left out.
    #[test]
    fn many_pictures_are_read_in_order() {
        let dir = tempfile::tempdir().unwrap();
        for i in 0..AT_ONCE + 20 {
            let class = dir.path().join(if i < AT_ONCE + 5 { "a" } else { "b" });
            std::fs::create_dir_all(&class).unwrap();
            let path = class.join(format!("{i:04}.png"));
            if i == 7 {
                std::fs::write(path, "no picture").unwrap();
            } else {
                image::GrayImage::from_pixel(2, 2, image::Luma([(i % 251) as u8])).save(path).unwrap();
            }
        }
        let dataset = load(dir.path(), 2, 1).unwrap();
        let expected = (0..AT_ONCE + 20).filter(|&i| i != 7);
        for (index, i) in expected.enumerate() {
            let value = (i % 251) as f32 / 127.5 - 1.0;
            assert!((dataset.images(&[index])[0] - value).abs() < 1e-6, "{i}");
            assert_eq!(dataset.label(index), Some(u8::from(i >= AT_ONCE + 5).into()), "{i}");
        }
        assert_eq!(dataset.len(), AT_ONCE + 19);
    }

    #[test]
    fn a_set_that_no_memory_holds_is_an_error() {
        assert_eq!(bytes_of(1000, 64, 3).unwrap(), 12_288_000);
        let error = bytes_of(1 << 22, 64, 3).unwrap_err().to_string();
        assert!(error.contains("16 GiB") && error.contains("64x64"), "{error}");
        assert!(bytes_of(usize::MAX, usize::MAX, 3).is_err());
    }

    #[test]
    fn transparent_pixels_show_the_background() {
        let dir = tempfile::tempdir().unwrap();
        RgbaImage::from_pixel(4, 4, Rgba([90, 90, 90, 0])).save(dir.path().join("a.png")).unwrap();
        assert_eq!(pixel(&load(dir.path(), 4, 3).unwrap(), 0, 0, 0), [0; 3]);
        std::fs::write(dir.path().join("dataset.toml"), "background = [255, 255, 255]").unwrap();
        assert_eq!(pixel(&load(dir.path(), 4, 3).unwrap(), 0, 0, 0), [255; 3]);
    }
}
