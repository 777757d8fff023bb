//! Images to features: an inner tensor of a classifier in ONNX.

use anyhow::{Context as _, Result, ensure};
use pocketgan_compiler::onnx::{Reference, split_spec};
use rayon::prelude::*;

use super::Features;
use super::inception_score::{class_probabilities, predicted_classes, tell_probabilities};

/// The classifier of digits that measures MNIST, below the data folder.
pub const DEFAULT_FEATURES: &str = "classifiers/burn-mnist/mnist.onnx:/Relu_3_output_0";

/// What a classifier wants to see: `(pixel / 255 - mean) / std`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Normalization {
    /// Subtracted from a pixel in [0, 1].
    pub mean: f32,
    /// Divides the difference.
    pub std: f32,
}

/// Runs a classifier on images and reads one of its tensors.
pub struct FeatureExtractor {
    reference: Reference,
    name: String,
    /// Extents of one input: `[C, H, W]`, or `[H, W]` of grey images, or `[C * H * W]`.
    extents: Vec<usize>,
    batch_size: usize,
    normalization: Normalization,
}

impl Normalization {
    /// Mean and standard deviation of the training pixels of MNIST, which most of its classifiers use.
    pub const MNIST: Self = Self { mean: 0.1307, std: 0.3081 };
}

impl FeatureExtractor {
    /// Opens `file.onnx` (its first output) or `file.onnx:tensor`.
    ///
    /// # Errors
    /// When the file cannot be read or run, or does not take images of a fixed size.
    pub fn open(spec: &str, normalization: Normalization) -> Result<Self> {
        let extractor = Self::new(Reference::open(spec)?, normalization)
            .with_context(|| format!("using the features of {spec}"))?;
        let (path, _) = split_spec(spec);
        let file = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
        let name = format!("{file}:{}", extractor.name);
        Ok(Self { name, ..extractor })
    }

    pub(super) fn new(reference: Reference, normalization: Normalization) -> Result<Self> {
        let Normalization { mean, std } = normalization;
        ensure!(mean.is_finite() && std.is_normal(), "a mean of {mean} and a standard deviation of {std}");
        let declared = reference.input_shape();
        let extents = declared.iter().skip(1).copied().collect::<Option<Vec<_>>>().unwrap_or_default();
        ensure!(
            (1..=3).contains(&extents.len()),
            "the input {declared:?} is no batch of images of a fixed size"
        );
        let pixels = extents.iter().try_fold(1_usize, |product, &extent| product.checked_mul(extent));
        ensure!(
            pixels.is_some_and(|pixels| (1..=MOST_PIXELS).contains(&pixels)),
            "the input {declared:?} has not between 1 and {MOST_PIXELS} values for each image"
        );
        let name = reference.output().to_owned();
        let mut extractor = Self { reference, name, extents, batch_size: BATCH, normalization };
        // A file made for single images may still run on many; when it does not, it runs on one at a time.
        let probe = |extractor: &Self| {
            let n = extractor.batch_size;
            let pixels: usize = extractor.extents.iter().product();
            let features = extractor.run(&vec![0.0; n * pixels])?;
            ensure!(
                features.len().is_multiple_of(n) && !features.is_empty(),
                "{} features of {n}",
                features.len()
            );
            Ok(())
        };
        if probe(&extractor).is_err() {
            extractor.batch_size = 1;
            probe(&extractor)?;
        }
        Ok(extractor)
    }

    fn run(&self, input: &[f32]) -> Result<Vec<f32>> {
        let n = input.len() / self.extents.iter().product::<usize>();
        let shape: Vec<usize> = core::iter::once(n).chain(self.extents.iter().copied()).collect();
        self.reference.run(input, &shape)
    }

    /// The file, without its folder, and the tensor that is read: `mnist.onnx:/Relu_3_output_0`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the tensor holds probabilities of classes, or their logarithms, for a black and a white image. Logits look
    /// like any other numbers.
    pub fn gives_probabilities(&self) -> bool {
        let pixels: usize = self.extents.iter().product();
        let give = |colour: f32| {
            let output = self.run(&vec![colour; self.batch_size * pixels]).ok()?;
            Features::new(output.len() / self.batch_size, output).ok()
        };
        [-1.0, 1.0].into_iter().all(|colour| give(colour).is_some_and(|output| tell_probabilities(&output)))
    }

    /// The features of `images`; `done` is told how many more are.
    ///
    /// # Shapes
    /// `images`: `[N, C, H, W]` in [-1, 1], where `image_shape` is `[C, H, W]`.
    ///
    /// # Errors
    /// When the images are not of the classifier's size or the features are not finite.
    pub fn extract(
        &self,
        images: &[f32],
        image_shape: [usize; 3],
        done: impl Fn(usize) + Sync,
    ) -> Result<Features> {
        let [c, h, w] = image_shape;
        let pixels = c * h * w;
        ensure!(
            self.fits(image_shape),
            "images of {c}x{h}x{w} for a classifier of {}: name another one with --features",
            self.extents.iter().map(usize::to_string).collect::<Vec<_>>().join("x")
        );
        ensure!(
            !images.is_empty() && images.len().is_multiple_of(pixels),
            "{} values are no images",
            images.len()
        );
        let Normalization { mean, std } = self.normalization;
        let features = images
            .par_chunks(self.batch_size * pixels)
            .map(|chunk| {
                let input: Vec<f32> = chunk.iter().map(|value| ((value + 1.0) / 2.0 - mean) / std).collect();
                let output = self.run(&input)?;
                done(chunk.len() / pixels);
                Ok(output)
            })
            .collect::<Result<Vec<_>>>()?
            .concat();
        Features::new(features.len() / (images.len() / pixels), features)
    }

    /// The class of each of `images`, and how many classes there are.
    ///
    /// A classifier of grey images reads each channel of others: their class is the number that the channels write, as
    /// `100 a + 10 b + c` of stacked MNIST, with as many digits as the classifier has classes.
    ///
    /// # Shapes
    /// `images`: `[N, C, H, W]` in [-1, 1], where `image_shape` is `[C, H, W]`.
    ///
    /// # Errors
    /// As [`FeatureExtractor::extract`]; when the tensor holds a single value, or so many channels have too many classes.
    pub fn classify(&self, images: &[f32], image_shape: [usize; 3]) -> Result<(Vec<u32>, usize)> {
        let [channels, h, w] = image_shape;
        let grey = [1, h, w];
        let (read, parts) = if self.fits(grey) { (grey, channels) } else { (image_shape, 1) };
        let outputs = self.extract(images, read, |_| ())?;
        let digits = class_probabilities(&outputs)
            .map(|probabilities| predicted_classes(&probabilities))
            .with_context(|| format!("classes of {}", self.name))?;
        let base = outputs.dim() as u32;
        let classes = base.checked_pow(parts as u32).filter(|&classes| classes <= MOST_CLASSES);
        let classes = classes.with_context(|| format!("{base} classes in each of {parts} channels"))?;
        let written =
            digits.chunks_exact(parts).map(|digits| digits.iter().fold(0, |n, digit| n * base + digit));
        Ok((written.collect(), classes as usize))
    }

    fn fits(&self, image_shape: [usize; 3]) -> bool {
        match self.extents[..] {
            [extent] => extent == image_shape.iter().product::<usize>(),
            [height, width] => [1, height, width] == image_shape,
            _ => self.extents[..] == image_shape,
        }
    }
}

/// More would not be met with by any number of samples that anybody draws.
const MOST_CLASSES: u32 = 1_000_000;

/// More than any classifier of images reads, and little enough for a batch to fit into memory.
const MOST_PIXELS: usize = 1 << 21;

/// Enough for the matrix products to be efficient, little enough for every core to have some.
const BATCH: usize = 64;

#[cfg(test)]
mod tests {
    use core::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use pocketgan_compiler::graph::{Graph, Op, Tensor, Unary};
    use pocketgan_compiler::onnx;

    /// A "classifier" of 2x2 pixels: their sum, and the first of them doubled.
    fn classifier() -> Result<Reference> {
        let weight = Tensor::new([2, 4], vec![1.0, 1.0, 1.0, 1.0, 2.0, 0.0, 0.0, 0.0]);
        let dense = Op::Dense { weight, bias: None };
        Reference::load(&onnx::write(&Graph::chain(4, [("dense".into(), dense)])?)?, None)
    }

    /// The second class where the first pixel is above zero, as all others are zero.
    #[test]
    fn channels_write_the_number_of_a_class() -> Result<()> {
        let extractor = FeatureExtractor::new(classifier()?, Normalization { mean: 0.5, std: 0.25 })?;
        let plane = |digit: u32| [if digit == 1 { 0.5 } else { -0.5 }, 0.0, 0.0, 0.0];
        let images: Vec<f32> =
            [[1, 0, 0], [0, 1, 1], [1, 1, 1]].into_iter().flatten().flat_map(plane).collect();
        assert_eq!(extractor.classify(&images, [3, 2, 2])?, (vec![4, 3, 7], 8));
        assert_eq!(extractor.classify(&images, [1, 2, 2])?, (vec![1, 0, 0, 0, 1, 1, 1, 1, 1], 2));
        assert!(extractor.classify(&images[..12], [3, 2, 1]).is_err());
        let error = extractor.classify(&plane(0).repeat(20), [20, 2, 2]).unwrap_err();
        assert_eq!(error.to_string(), "2 classes in each of 20 channels");
        Ok(())
    }

    #[test]
    fn images_are_normalized_batched_and_kept_in_order() -> Result<()> {
        let extractor = FeatureExtractor::new(classifier()?, Normalization { mean: 0.5, std: 0.25 })?;
        // Image i is 0 but for its first pixel: a value v in [-1, 1] becomes 2 v.
        let n = 2 * BATCH + 3;
        let value = |i: usize| i as f32 / 256.0;
        let images: Vec<f32> = (0..n).flat_map(|i| [value(i), 0.0, 0.0, 0.0]).collect();
        let count = AtomicUsize::new(0);
        let features =
            extractor.extract(&images, [1, 2, 2], |n| _ = count.fetch_add(n, Ordering::Relaxed))?;
        assert_eq!((features.len(), features.dim(), count.into_inner()), (n, 2, n));
        assert!(!extractor.gives_probabilities());
        for (i, row) in features.rows().enumerate() {
            assert_eq!(row, [2.0 * value(i), 4.0 * value(i)], "image {i}");
        }
        Ok(())
    }

    #[test]
    fn images_of_another_size_are_an_error() -> Result<()> {
        let extractor = FeatureExtractor::new(classifier()?, Normalization::MNIST)?;
        let error = extractor.extract(&[0.0; 18], [2, 3, 3], |_| ()).expect_err("another size").to_string();
        assert!(error.contains("2x3x3") && error.contains("--features"), "{error}");
        assert!(extractor.extract(&[0.0; 7], [1, 2, 2], |_| ()).is_err(), "half an image");
        assert!(extractor.extract(&[], [1, 2, 2], |_| ()).is_err(), "no image");
        assert!(FeatureExtractor::new(classifier()?, Normalization { mean: 0.0, std: 0.0 }).is_err());
        Ok(())
    }

    /// Batches of what a small file asks for would not fit into memory.
    #[test]
    fn images_that_are_too_large_are_an_error() -> Result<()> {
        let len = MOST_PIXELS + 1;
        let graph = Graph::chain(len, [("relu".into(), Op::Unary(Unary::Relu))])?;
        let reference = Reference::load(&onnx::write(&graph)?, None)?;
        let error = FeatureExtractor::new(reference, Normalization::MNIST).err().map(|e| e.to_string());
        assert!(error.as_ref().is_some_and(|error| error.contains(&len.to_string())), "{error:?}");
        Ok(())
    }
}
