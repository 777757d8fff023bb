//! Sets of images: where they come from, and batches of them as numbers.
//!
//! In: a name and perhaps a folder. Out: `[N, C, H, W]` in [-1, 1]. Images are kept as bytes.

mod download;
mod folder;
mod glyphs;
mod idx;

use std::path::Path;

use anyhow::{Result, bail, ensure};
use serde::{Deserialize, Serialize};

pub(crate) use folder::picture;

/// A set of images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// Letters and digits drawn on the fly; needs no files.
    Glyphs,
    /// Handwritten digits, 28x28 grey.
    Mnist,
    /// Pieces of clothing, 28x28 grey.
    FashionMnist,
    /// PNG, JPEG and WebP files of a folder, cropped and resized.
    Folder,
}

impl core::fmt::Display for Source {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Glyphs => "glyphs",
            Self::Mnist => "mnist",
            Self::FashionMnist => "fashion-mnist",
            Self::Folder => "folder",
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

/// Images in memory.
#[derive(Clone, Debug)]
pub struct Dataset {
    name: String,
    shape: [usize; 3],
    /// `[N, C, H, W]`
    pixels: Vec<u8>,
    labels: Option<Vec<u8>>,
}

impl Dataset {
    /// Reads `source` as images of `channels` channels and `size` pixels each way.
    ///
    /// `data_dir` holds the files; without it they come from the user's cache, and are downloaded once into it.
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
        let dataset = match source {
            Source::Glyphs => glyphs::dataset(split, size)?,
            Source::Mnist => idx::load(&download::MNIST, data_dir, split)?,
            Source::FashionMnist => idx::load(&download::FASHION_MNIST, data_dir, split)?,
            Source::Folder => match data_dir {
                Some(dir) => folder::load(dir, size, channels)?,
                None => bail!("the data set `folder` needs --data-dir"),
            },
        };
        dataset.padded(size)?.with_channels(channels)
    }

    /// Images of `shape` out of bytes `[N, C, H, W]`.
    ///
    /// # Errors
    /// When the bytes are no whole number of images, or labels no match for them.
    pub fn new(name: &str, shape: [usize; 3], pixels: Vec<u8>, labels: Option<Vec<u8>>) -> Result<Self> {
        let image = shape.iter().product::<usize>();
        ensure!(image > 0 && !pixels.is_empty(), "data set {name} is empty");
        ensure!(
            pixels.len().is_multiple_of(image),
            "data set {name}: {} bytes for images of {image}",
            pixels.len()
        );
        let len = pixels.len() / image;
        ensure!(u32::try_from(len).is_ok(), "data set {name}: {len} images are too many");
        if let Some(labels) = &labels {
            ensure!(labels.len() == len, "data set {name}: {} labels for {len} images", labels.len());
        }
        Ok(Self { name: name.to_owned(), shape, pixels, labels })
    }

    /// Its name, for reports.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.pixels.len() / self.shape.iter().product::<usize>()
    }

    /// Never: a set has at least one image.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// `[C, H, W]`
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// Class of each image, where the set has classes.
    pub fn labels(&self) -> Option<&[u8]> {
        self.labels.as_deref()
    }

    /// Number of classes, the largest label and one, where the set has classes.
    pub fn class_count(&self) -> Option<usize> {
        self.labels.as_ref()?.iter().max().map(|&label| label as usize + 1)
    }

    /// The chosen images as numbers.
    ///
    /// # Shapes
    /// Result: `[indices.len(), C, H, W]` in [-1, 1].
    ///
    /// # Panics
    /// When an index is not below `len`.
    pub fn images(&self, indices: &[usize]) -> Vec<f32> {
        let image = self.shape.iter().product::<usize>();
        let mut values = Vec::with_capacity(indices.len() * image);
        for &index in indices {
            assert!(index < self.len(), "image {index} of {}", self.len());
            let pixels = &self.pixels[index * image..][..image];
            values.extend(pixels.iter().map(|&byte| f32::from(byte) / 127.5 - 1.0));
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
        ensure!(fits, "data set {} has images of {h}x{w}, the network of {size}x{size}", self.name);
        let (top, left) = ((size - h) / 2, (size - w) / 2);
        let mut pixels = vec![0; self.len() * c * size * size];
        for (plane, source) in pixels.chunks_exact_mut(size * size).zip(self.pixels.chunks_exact(h * w)) {
            for (row, source) in plane.chunks_exact_mut(size).skip(top).zip(source.chunks_exact(w)) {
                row[left..left + w].copy_from_slice(source);
            }
        }
        Self::new(&self.name, [c, size, size], pixels, self.labels)
    }

    fn with_channels(self, channels: usize) -> Result<Self> {
        let [c, h, w] = self.shape;
        if c == channels {
            return Ok(self);
        }
        ensure!(c == 1, "data set {} has {c} channels, the network {channels}", self.name);
        let pixels = self.pixels.chunks_exact(h * w).flat_map(|plane| plane.repeat(channels)).collect();
        Self::new(&self.name, [channels, h, w], pixels, self.labels)
    }
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
        let plane = [0, 0, 0, 0, 0, 1, 2, 0, 0, 3, 4, 0, 0, 0, 0, 0];
        assert_eq!(dataset.pixels, plane.repeat(3));
    }

    #[test]
    fn wrong_sizes_are_errors() {
        assert!(Dataset::new("t", [1, 2, 2], vec![0; 7], None).is_err());
        assert!(Dataset::new("t", [1, 2, 2], vec![], None).is_err());
        assert!(Dataset::new("t", [1, 2, 2], vec![0; 8], Some(vec![1])).is_err());
        assert!(Dataset::new("t", [1, 2, 2], vec![0; 8], None).unwrap().padded(28).is_err());
    }
}
