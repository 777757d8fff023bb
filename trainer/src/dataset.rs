//! Sets of images and of points: where they come from, and batches of them as numbers.
//!
//! In: a name and perhaps a folder. Out: `[N, C, H, W]`, images in [-1, 1], points of the plane as images of one pixel and
//! two channels. Images are kept as bytes, and what is made of them is made when it is asked for.

mod cifar;
mod download;
mod folder;
mod gaussians;
mod glyphs;
mod idx;
mod resident;
mod sprites;
mod stacked;
mod summary;

use std::path::Path;
use std::sync::OnceLock;

use anyhow::{Context, Result, bail, ensure};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) use folder::picture;
pub use gaussians::Mixture;
use resident::Resident;
use stacked::Stacks;
pub use summary::Summary;

/// A set of images or points.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// Letters and digits drawn on the fly; needs no files.
    Glyphs,
    /// Handwritten digits, 28x28 grey.
    Mnist,
    /// Pieces of clothing, 28x28 grey.
    FashionMnist,
    /// PNG, JPEG and WebP files of a folder, cropped and resized; sub-folders are classes.
    Folder,
    /// Photographs of 10 kinds of things, 32x32 in colour.
    Cifar10,
    /// Photographs of 100 kinds of things, 32x32 in colour.
    Cifar100,
    /// Emoji on white, 32x32 or 64x64 in colour.
    NotoEmoji,
    /// Pictures of a dungeon game on black, 32x32 in colour, in 8 groups.
    DcssTiles,
    /// Three handwritten digits as the colours of one picture: a thousand classes.
    StackedMnist,
    /// Points around 8 places of a circle.
    Ring,
    /// Points around the 25 crossings of a grid.
    Grid,
    /// Points around 8 places of a circle, twice as many around the first.
    Mixture,
}

impl Source {
    /// What a set of points is drawn from; nothing for images.
    pub fn mixture(self) -> Option<Mixture> {
        match self {
            Self::Ring => Some(Mixture::ring()),
            Self::Grid => Some(Mixture::grid()),
            Self::Mixture => Some(Mixture::lopsided()),
            _ => None,
        }
    }

    /// Whether there are items to compare with that are not to learn from: a folder has none.
    pub fn has_test_part(self) -> bool {
        self != Self::Folder
    }

    /// What items of [`Split::Test`] are: `test`, or `training` where there are no others.
    pub fn test_kind(self) -> &'static str {
        if self.has_test_part() { "test" } else { "training" }
    }

    /// `[C, H, W]` of its items as they come; a folder's pictures have no size of their own, and get 64x64 in colour.
    pub fn usual_shape(self) -> [usize; 3] {
        match self {
            Self::Glyphs | Self::Mnist | Self::FashionMnist => [1, 28, 28],
            Self::StackedMnist => [3, 28, 28],
            Self::Cifar10 | Self::Cifar100 | Self::NotoEmoji | Self::DcssTiles => [3, 32, 32],
            Self::Folder => [3, 64, 64],
            Self::Ring | Self::Grid | Self::Mixture => [2, 1, 1],
        }
    }
}

impl core::fmt::Display for Source {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Glyphs => "glyphs",
            Self::Mnist => "mnist",
            Self::FashionMnist => "fashion-mnist",
            Self::Folder => "folder",
            Self::Cifar10 => "cifar10",
            Self::Cifar100 => "cifar100",
            Self::NotoEmoji => "noto-emoji",
            Self::DcssTiles => "dcss-tiles",
            Self::StackedMnist => "stacked-mnist",
            Self::Ring => "ring",
            Self::Grid => "grid",
            Self::Mixture => "mixture",
        })
    }
}

/// Which part of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// To learn from.
    Train,
    /// To compare with. Sets without one give their training part.
    Test,
}

/// Images or points in memory.
#[derive(Clone, Debug)]
pub struct Dataset {
    name: String,
    shape: [usize; 3],
    items: Items,
    labels: Option<Vec<u8>>,
    class_count: Option<usize>,
    /// Of all classes, or none.
    class_names: Vec<String>,
    /// Files that were left out, with the reasons.
    unreadable: Vec<String>,
    resident: OnceLock<Resident>,
}

/// `[N, C, H, W]`, one way or another.
#[derive(Clone, Debug)]
enum Items {
    /// 0 is -1 and 255 is 1.
    Pixels(Vec<u8>),
    /// As they are.
    Values(Vec<f32>),
    /// Images and labels made of those of another set.
    Stacks(Box<Stacks>),
}

impl Dataset {
    /// Reads `source` as images of `channels` channels and `size` pixels each way.
    ///
    /// `data_dir` holds the files; without it they come from the user's cache, and are downloaded once into it. Points have
    /// two channels and one pixel. Grey images can be had in colour, and images in colour as grey ones.
    ///
    /// # Errors
    /// When files are missing, broken, or of another shape than asked for.
    pub fn load(
        source: Source,
        data_dir: Option<&Path>,
        split: Split,
        size: usize,
        channels: usize,
    ) -> Result<Self> {
        ensure!(size > 0 && channels > 0, "images of {channels}x{size}x{size} are empty");
        ensure!(
            source.mixture().is_some() || [1, 3].contains(&channels),
            "images have 1 or 3 channels, not {channels}"
        );
        let folder = || data_dir.with_context(|| format!("the data set `{source}` needs --data-dir"));
        let dataset = match source {
            Source::Glyphs => glyphs::dataset(split, size)?,
            Source::Mnist => idx::load(&download::MNIST, data_dir, split)?,
            Source::FashionMnist => idx::load(&download::FASHION_MNIST, data_dir, split)?,
            Source::Folder => folder::load(folder()?, split, size, channels)?,
            Source::Cifar10 => cifar::load(&cifar::CIFAR_10, folder()?, split)?,
            Source::Cifar100 => cifar::load(&cifar::CIFAR_100, folder()?, split)?,
            Source::NotoEmoji => sprites::load(&sprites::NOTO_EMOJI, folder()?, split, size)?,
            Source::DcssTiles => sprites::load(&sprites::DCSS_TILES, folder()?, split, size)?,
            Source::StackedMnist => {
                stacked::dataset(idx::load(&download::MNIST, data_dir, split)?.padded(size)?)?
            }
            Source::Ring => gaussians::dataset("ring", &Mixture::ring(), split)?,
            Source::Grid => gaussians::dataset("grid", &Mixture::grid(), split)?,
            Source::Mixture => gaussians::dataset("mixture", &Mixture::lopsided(), split)?,
        };
        dataset.padded(size)?.with_channels(channels)
    }

    /// Images of `shape` out of bytes `[N, C, H, W]`.
    ///
    /// # Errors
    /// When the bytes are no whole number of images, or labels no match for them.
    pub fn new(name: &str, shape: [usize; 3], pixels: Vec<u8>, labels: Option<Vec<u8>>) -> Result<Self> {
        Self::of_items(name, shape, Items::Pixels(pixels), labels)
    }

    /// Points or images of `shape` out of values `[N, C, H, W]`, which are used as they are.
    ///
    /// # Errors
    /// When the values are no whole number of items or not finite, or labels no match for them.
    pub fn from_values(
        name: &str,
        shape: [usize; 3],
        values: Vec<f32>,
        labels: Option<Vec<u8>>,
    ) -> Result<Self> {
        ensure!(
            values.iter().all(|value| value.is_finite()),
            "data set {name} has values that are no numbers"
        );
        Self::of_items(name, shape, Items::Values(values), labels)
    }

    fn of_items(name: &str, shape: [usize; 3], items: Items, labels: Option<Vec<u8>>) -> Result<Self> {
        let image = shape.iter().product::<usize>();
        let values = match &items {
            Items::Pixels(pixels) => pixels.len(),
            Items::Values(values) => values.len(),
            Items::Stacks(stacks) => stacks.len() * image,
        };
        ensure!(image > 0 && values > 0, "data set {name} is empty");
        ensure!(values.is_multiple_of(image), "data set {name}: {values} values for images of {image}");
        let len = values / image;
        ensure!(u32::try_from(len).is_ok(), "data set {name}: {len} images are too many");
        if let Some(labels) = &labels {
            ensure!(labels.len() == len, "data set {name}: {} labels for {len} images", labels.len());
        }
        let class_count = match &items {
            Items::Stacks(stacks) => stacks.class_count(),
            Items::Pixels(_) | Items::Values(_) => {
                labels.as_ref().and_then(|labels| labels.iter().max()).map(|&label| usize::from(label) + 1)
            }
        };
        let (class_names, unreadable, resident) = (vec![], vec![], OnceLock::new());
        Ok(Self {
            name: name.to_owned(),
            shape,
            items,
            labels,
            class_count,
            class_names,
            unreadable,
            resident,
        })
    }

    /// With one class for each name, whether this part has images of it or not.
    fn with_class_names(self, class_names: Vec<String>) -> Result<Self> {
        let most = self.class_count.unwrap_or(0);
        ensure!(
            most <= class_names.len(),
            "data set {}: {} names for {most} classes",
            self.name,
            class_names.len()
        );
        Ok(Self { class_count: Some(class_names.len()), class_names, ..self })
    }

    /// The same images as other bytes.
    fn with_pixels(self, shape: [usize; 3], pixels: Vec<u8>) -> Result<Self> {
        let Self { name, labels, class_count, class_names, unreadable, .. } = self;
        Ok(Self { class_count, class_names, unreadable, ..Self::new(&name, shape, pixels, labels)? })
    }

    /// Its name, for reports.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Number of images or points.
    pub fn len(&self) -> usize {
        let image = self.shape.iter().product::<usize>();
        match &self.items {
            Items::Pixels(pixels) => pixels.len() / image,
            Items::Values(values) => values.len() / image,
            Items::Stacks(stacks) => stacks.len(),
        }
    }

    /// Never: a set has at least one image.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// `[C, H, W]`
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// Whether its items are points of the plane.
    pub fn is_of_points(&self) -> bool {
        self.shape == [2, 1, 1]
    }

    /// Class of an image, where the set has classes.
    ///
    /// # Panics
    /// When the index is not below `len`.
    pub fn label(&self, index: usize) -> Option<u32> {
        assert!(index < self.len(), "label {index} of {}", self.len());
        match &self.items {
            Items::Stacks(stacks) => stacks.label(index),
            Items::Pixels(_) | Items::Values(_) => self.labels.as_ref().map(|labels| labels[index].into()),
        }
    }

    /// Number of classes, where the set has classes; without names, the largest label and one.
    pub fn class_count(&self) -> Option<usize> {
        self.class_count
    }

    /// Name of a class, where classes have names.
    pub fn class_name(&self, class: usize) -> Option<&str> {
        self.class_names.get(class).map(String::as_str)
    }

    /// Files that could not be read and were left out, each with the reason.
    pub fn unreadable(&self) -> &[String] {
        &self.unreadable
    }

    /// The chosen images or points as numbers.
    ///
    /// # Shapes
    /// Result: `[indices.len(), C, H, W]`; images in [-1, 1].
    ///
    /// # Panics
    /// When an index is not below `len`.
    pub fn images(&self, indices: &[usize]) -> Vec<f32> {
        let image = self.shape.iter().product::<usize>();
        let mut values = Vec::with_capacity(indices.len() * image);
        for &index in indices {
            assert!(index < self.len(), "image {index} of {}", self.len());
            let range = index * image..(index + 1) * image;
            match &self.items {
                Items::Pixels(pixels) => {
                    values.extend(pixels[range].iter().map(|&byte| f32::from(byte) / 127.5 - 1.0));
                }
                Items::Values(all) => values.extend_from_slice(&all[range]),
                Items::Stacks(stacks) => values.extend(stacks.image(index)),
            }
        }
        values
    }

    /// With a black frame, where the images are smaller than `size`.
    fn padded(self, size: usize) -> Result<Self> {
        let [c, h, w] = self.shape;
        if h == size && w == size {
            return Ok(self);
        }
        let fits = h <= size && w <= size && size - h <= 4 && size - w <= 4;
        let Items::Pixels(pixels) = &self.items else {
            bail!("data set {} has items of {h}x{w}, the network of {size}x{size}", self.name)
        };
        ensure!(fits, "data set {} has images of {h}x{w}, the network of {size}x{size}", self.name);
        let (top, left) = ((size - h) / 2, (size - w) / 2);
        let mut larger = vec![0; self.len() * c * size * size];
        for (plane, source) in larger.chunks_exact_mut(size * size).zip(pixels.chunks_exact(h * w)) {
            for (row, source) in plane.chunks_exact_mut(size).skip(top).zip(source.chunks_exact(w)) {
                row[left..left + w].copy_from_slice(source);
            }
        }
        self.with_pixels([c, size, size], larger)
    }

    fn with_channels(self, channels: usize) -> Result<Self> {
        let [c, h, w] = self.shape;
        if c == channels {
            return Ok(self);
        }
        let Items::Pixels(pixels) = &self.items else {
            bail!("data set {} has {c} channels, the network {channels}", self.name)
        };
        let pixels = match (c, channels) {
            (1, _) => pixels.chunks_exact(h * w).flat_map(|plane| plane.repeat(channels)).collect(),
            (3, 1) => pixels.chunks_exact(3 * h * w).flat_map(luma).collect(),
            _ => bail!("data set {} has {c} channels, the network {channels}", self.name),
        };
        self.with_pixels([channels, h, w], pixels)
    }
}

/// A value of a picture with straight alpha before a background.
fn over(value: u8, background: u8, alpha: u8) -> u8 {
    let [value, background, alpha] = [value, background, alpha].map(u32::from);
    ((value * alpha + background * (255 - alpha) + 127) / 255) as u8
}

/// Grey of an image `[3, H, W]`, with the weights of ITU-R BT.709 for its encoded values, as for picture files.
fn luma(image: &[u8]) -> impl Iterator<Item = u8> {
    let area = image.len() / 3;
    let weighted = move |i: usize, c: usize, weight: u32| weight * u32::from(image[c * area + i]);
    (0..area)
        .map(move |i| ((weighted(i, 0, 2126) + weighted(i, 1, 7152) + weighted(i, 2, 722)) / 10_000) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_scaled_to_plus_minus_one() {
        let dataset = Dataset::new("t", [1, 1, 3], vec![0, 255, 51, 1, 2, 3], None).unwrap();
        assert_eq!(dataset.len(), 2);
        let values = dataset.images(&[0]);
        assert_eq!(values[..2], [-1.0, 1.0]);
        assert!((values[2] + 0.6).abs() <= f32::EPSILON);
    }

    #[test]
    fn padding_centres_and_channels_repeat() {
        let dataset = Dataset::new("t", [1, 2, 2], vec![1, 2, 3, 4], None).unwrap();
        let dataset = dataset.padded(4).unwrap().with_channels(3).unwrap();
        assert_eq!(dataset.shape(), [3, 4, 4]);
        let plane = [0u8, 0, 0, 0, 0, 1, 2, 0, 0, 3, 4, 0, 0, 0, 0, 0];
        let plane = plane.map(|byte| f32::from(byte) / 127.5 - 1.0);
        assert_eq!(dataset.images(&[0]), plane.repeat(3));
    }

    #[test]
    fn colours_become_grey_and_classes_stay() {
        let pixels = vec![255, 0, 0, 9, 0, 255, 0, 9, 0, 0, 255, 9];
        let colours = Dataset::new("t", [3, 1, 4], pixels, Some(vec![0])).unwrap();
        let colours = colours.with_class_names(vec!["a".into(), "b".into()]).unwrap();
        let grey = colours.with_channels(1).unwrap();
        let bytes = [54u8, 182, 18, 9].map(|byte| f32::from(byte) / 127.5 - 1.0);
        assert_eq!((grey.shape(), grey.images(&[0])), ([1, 1, 4], bytes.to_vec()));
        assert_eq!((grey.class_count(), grey.class_name(1), grey.class_name(2)), (Some(2), Some("b"), None));
        assert!(grey.with_class_names(vec![]).is_err());
        assert!(Dataset::new("t", [3, 1, 1], vec![0; 3], None).unwrap().with_channels(2).is_err());
    }

    #[test]
    fn pictures_have_one_channel_or_three() {
        for source in [Source::Glyphs, Source::Folder] {
            let error = Dataset::load(source, None, Split::Train, 28, 2).unwrap_err().to_string();
            assert_eq!(error, "images have 1 or 3 channels, not 2");
        }
    }

    #[test]
    fn sets_without_a_mirror_need_a_folder() {
        for source in
            [Source::Folder, Source::Cifar10, Source::Cifar100, Source::NotoEmoji, Source::DcssTiles]
        {
            let [channels, size, _] = source.usual_shape();
            let error = Dataset::load(source, None, Split::Train, size, channels).unwrap_err();
            assert_eq!(error.to_string(), format!("the data set `{source}` needs --data-dir"));
        }
    }

    #[test]
    fn wrong_sizes_are_errors() {
        assert!(Dataset::new("t", [1, 2, 2], vec![0; 7], None).is_err());
        assert!(Dataset::new("t", [1, 2, 2], vec![], None).is_err());
        assert!(Dataset::new("t", [1, 2, 2], vec![0; 8], Some(vec![1])).is_err());
        assert!(Dataset::new("t", [1, 2, 2], vec![0; 8], None).unwrap().padded(28).is_err());
    }

    #[test]
    fn values_are_kept_as_they_are() {
        let dataset =
            Dataset::from_values("t", [2, 1, 1], vec![3.5, -4.0, 0.0, 9.0], Some(vec![7, 8])).unwrap();
        assert_eq!((dataset.len(), dataset.images(&[1, 0])), (2, vec![0.0, 9.0, 3.5, -4.0]));
        assert_eq!((dataset.label(0), dataset.label(1), dataset.class_count()), (Some(7), Some(8), Some(9)));
        assert!(Dataset::from_values("t", [2, 1, 1], vec![f32::NAN, 0.0], None).is_err());
        assert!(Dataset::from_values("t", [2, 1, 1], vec![0.0; 3], None).is_err());
    }

    #[test]
    fn points_are_no_pictures() {
        let ring = || Dataset::load(Source::Ring, None, Split::Train, 1, 2).unwrap();
        assert_eq!(ring().shape(), [2, 1, 1]);
        assert!(ring().padded(4).is_err());
        assert!(ring().with_channels(3).is_err());
        for source in [Source::Ring, Source::Grid, Source::Mixture] {
            assert_eq!(Dataset::load(source, None, Split::Test, 1, 2).unwrap().name(), source.to_string());
        }
    }
}
