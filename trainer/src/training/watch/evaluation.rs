//! How close the averaged generator comes to held-out images.

use core::fmt::Write as _;

use anyhow::{Result, ensure};

use super::{Metric, WatchConfig};
use crate::config::Config;
use crate::dataset::Dataset;
use crate::metrics::{
    FeatureExtractor, Features, Gaussian, Normalization, frechet_distance, kernel_distance,
};
use crate::training::noise::{self, Stream};
use crate::training::{Trainer, averaged, generate, training_device};

/// One measurement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evaluation {
    /// Steps done.
    pub step: usize,
    /// Of the metric; less is better.
    pub value: f32,
}

/// Measures the averaged generator of one run, each time with the same latents and the same real images.
pub(super) struct Evaluator {
    distance: Distance,
    space: Space,
    shape: [usize; 3],
    samples: usize,
    name: String,
}

/// The metric with what it needs of the real images.
enum Distance {
    Kid(Features),
    Frechet(Gaussian),
}

/// Where images are compared.
enum Space {
    Classifier(Box<FeatureExtractor>),
    Pixels(Pooling),
}

impl Evaluator {
    pub(super) fn new(config: &Config, held_out: &Dataset) -> Result<Self> {
        let watch = &config.watch;
        let network = &config.network;
        let shape = held_out.shape();
        ensure!(
            shape == [network.channels, network.size, network.size],
            "held-out images of {shape:?} for a network of {}x{}",
            network.size,
            network.size
        );
        ensure!(held_out.len() >= 2, "one held-out image cannot be compared with");
        let (space, space_name) = Space::new(watch, shape)?;
        let seed = noise::seed_of(config.seed, Stream::Watch, 2);
        let mut indices = noise::permutation(seed, held_out.len());
        indices.truncate(watch.eval_samples);
        let indices: Vec<usize> = indices.into_iter().map(|index| index as usize).collect();
        let real = space.features(&held_out.images(&indices), shape)?;
        let distance = match watch.metric {
            Metric::Kid => Distance::Kid(real),
            Metric::Frechet => Distance::Frechet(Gaussian::fit(&real)?),
        };
        // Values of other numbers of images, or of other images, are not compared.
        let name =
            format!("{} {space_name} on {} of {}", watch.metric.name(), indices.len(), held_out.name());
        Ok(Self { distance, space, shape, samples: indices.len(), name })
    }

    /// What is measured, and on which features.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn value(&self, trainer: &Trainer) -> Result<f32> {
        let generator =
            averaged(&trainer.config, &trainer.average.read(), trainer.step_count(), &training_device())?;
        let seed = noise::seed_of(trainer.config.seed, Stream::Watch, 3);
        let images = generate(&generator, self.samples, seed);
        let generated = self.space.features(&images, self.shape)?;
        let value = match &self.distance {
            Distance::Kid(real) => kernel_distance(real, &generated)?.mean,
            Distance::Frechet(real) => frechet_distance(real, &Gaussian::fit(&generated)?)?,
        };
        ensure!(value.is_finite(), "the {} is {value}", self.name);
        Ok(value as f32)
    }
}

impl Space {
    /// With its name, e.g. `pixels 7x7` or `mnist.onnx:/Relu_3_output_0`.
    fn new(watch: &WatchConfig, [_, height, width]: [usize; 3]) -> Result<(Self, String)> {
        let Some(spec) = &watch.features else {
            let pooling = Pooling { rows: cells(height), columns: cells(width) };
            let name = format!("pixels {}x{}", pooling.rows, pooling.columns);
            return Ok((Self::Pixels(pooling), name));
        };
        let normalization =
            Normalization { mean: watch.features_mean as f32, std: watch.features_std as f32 };
        let extractor = FeatureExtractor::open(spec, normalization)?;
        let mut name = extractor.name().to_owned();
        if normalization != Normalization::MNIST {
            let _ = write!(name, " of (x - {})/{}", normalization.mean, normalization.std);
        }
        Ok((Self::Classifier(Box::new(extractor)), name))
    }

    fn features(&self, images: &[f32], shape: [usize; 3]) -> Result<Features> {
        match self {
            Self::Classifier(extractor) => extractor.extract(images, shape, |_| ()),
            Self::Pixels(pooling) => pooling.features(images, shape),
        }
    }
}

/// Averages over the cells of a grid, each channel by itself.
#[derive(Clone, Copy)]
struct Pooling {
    rows: usize,
    columns: usize,
}

/// Cells of a grid at most.
const CELLS: usize = 8;

/// Cells of the fewest pixels of which [`CELLS`] suffice: 7 for 28, 8 for 32 and 64.
fn cells(pixels: usize) -> usize {
    pixels.div_ceil(pixels.div_ceil(CELLS).max(1)).max(1)
}

impl Pooling {
    /// # Shapes
    /// `images`: `[N, C, H, W]`; result: `[N, C * rows * columns]`.
    fn features(self, images: &[f32], [channels, height, width]: [usize; 3]) -> Result<Features> {
        // The last cell is smaller where the others do not fill the image.
        let cell = |at: usize, pixels: usize, cells: usize| at / pixels.div_ceil(cells);
        let area = self.rows * self.columns;
        let mut counts = vec![0.0f32; area];
        let places: Vec<usize> = (0..height * width)
            .map(|pixel| {
                let (y, x) = (pixel / width, pixel % width);
                cell(y, height, self.rows) * self.columns + cell(x, width, self.columns)
            })
            .collect();
        places.iter().for_each(|&place| counts[place] += 1.0);
        let mut values = vec![0.0f32; images.len() / (height * width) * area];
        for (plane, sums) in images.chunks_exact(height * width).zip(values.chunks_exact_mut(area)) {
            plane.iter().zip(&places).for_each(|(value, &place)| sums[place] += value);
            sums.iter_mut().zip(&counts).for_each(|(sum, count)| *sum /= count);
        }
        Features::new(channels * area, values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grids_have_at_most_eight_cells_a_side() {
        assert_eq!([1, 2, 8, 9, 28, 30, 32, 64].map(cells), [1, 2, 8, 5, 7, 8, 8, 8]);
        // No cell is empty.
        for pixels in 1..=64 {
            let cells = cells(pixels);
            assert_eq!((pixels - 1) / pixels.div_ceil(cells), cells - 1, "{pixels}");
        }
    }

    #[test]
    fn cells_are_means() {
        // 3x3 pixels of two channels in 2x2 cells, of which the last row and column are narrow.
        let pooling = Pooling { rows: 2, columns: 2 };
        let plane: Vec<f32> = (0..9).map(|i| i as f32).collect();
        let images = [plane.clone(), plane.iter().map(|v| -v).collect()].concat();
        let features = pooling.features(&images, [2, 3, 3]).unwrap();
        assert_eq!((features.len(), features.dim()), (1, 8));
        assert_eq!(features.row(0), [2.0, 3.5, 6.5, 8.0, -2.0, -3.5, -6.5, -8.0]);
        // Small images stay what they are.
        let pooling = Pooling { rows: cells(1), columns: cells(1) };
        assert_eq!(pooling.features(&[0.25, -0.5], [2, 1, 1]).unwrap().row(0), [0.25, -0.5]);
    }
}
