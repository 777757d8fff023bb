//! How far a generator's images are from real ones: on features of a classifier, on its classes, and on pixels.
//!
//! In: two sets of [`Features`] or of images, real and generated, independent and in random order. Out: figures.
//! Those on features depend on the classifier, all on the number of images: quote both. They are not the FID and the
//! Inception Score of the literature, whose features and classes are those of an Inception network. [`modes`] needs no
//! classifier: it measures points, or classes that somebody predicted.

pub mod modes;
pub mod neighbours;

mod density_coverage;
mod distance;
mod evaluation;
mod features;
mod frechet;
mod inception_score;
mod kid;
mod ms_ssim;
mod parzen;
mod precision_recall;
mod real_images;
mod sliced_wasserstein;

use anyhow::{Result, ensure};

pub use density_coverage::{DensityCoverage, coverage_ceiling, density_coverage};
pub use evaluation::{Evaluation, Evaluator, Figure, Metric, Row};
pub use features::{DEFAULT_FEATURES, FeatureExtractor, Normalization};
pub use frechet::{Gaussian, frechet_distance};
pub use inception_score::{InceptionScore, class_probabilities, inception_score};
pub use kid::{Kid, kernel_distance};
pub use ms_ssim::{MsSsim, ms_ssim};
pub use parzen::{Parzen, parzen_log_likelihood};
pub use precision_recall::{PrecisionRecall, precision_recall};
pub use real_images::RealImages;
pub use sliced_wasserstein::{Level, SlicedWasserstein, sliced_wasserstein};

/// One row of features for each image.
#[derive(Clone, Debug)]
pub struct Features {
    dim: usize,
    values: Vec<f32>,
}

/// The figures on features that are most quoted, of one pair of sets.
#[derive(Clone, Copy, Debug)]
pub struct Comparison {
    /// Squared Frechet distance between fitted Gaussians; 0 is the same.
    pub frechet: f64,
    /// Kernel distance; 0 is the same, and noise may make it negative.
    pub kid: Kid,
    /// Fidelity and diversity, each in [0, 1].
    pub precision_recall: PrecisionRecall,
}

impl Features {
    /// # Shapes
    /// `values`: `[images, dim]`, row-major.
    ///
    /// # Errors
    /// When the values are no such matrix or one of them is not finite.
    pub fn new(dim: usize, values: Vec<f32>) -> Result<Self> {
        ensure!(dim > 0 && values.len().is_multiple_of(dim), "{} values are no rows of {dim}", values.len());
        if let Some(at) = values.iter().position(|value| !value.is_finite()) {
            anyhow::bail!("feature {} of image {} is {}", at % dim, at / dim, values[at]);
        }
        Ok(Self { dim, values })
    }

    /// Features of one image.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.values.len() / self.dim
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The features of image `index`.
    ///
    /// # Panics
    /// When there is no such image.
    pub fn row(&self, index: usize) -> &[f32] {
        &self.values[index * self.dim..][..self.dim]
    }

    /// Of some of the images.
    ///
    /// # Panics
    /// When there is no such image.
    pub fn select(&self, indices: &[usize]) -> Self {
        let values = indices.iter().flat_map(|&index| self.row(index)).copied().collect();
        Self { dim: self.dim, values }
    }

    /// One row for each image.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[f32]> + Clone {
        self.values.chunks_exact(self.dim)
    }
}

/// Measures `generated` against `real`.
///
/// # Errors
/// When there are too few images, or the two have different features.
pub fn compare(real: &Features, generated: &Features) -> Result<Comparison> {
    Ok(Comparison {
        frechet: frechet_distance(&Gaussian::fit(real)?, &Gaussian::fit(generated)?)?,
        kid: kernel_distance(real, generated)?,
        precision_recall: precision_recall(real, generated)?,
    })
}

fn ensure_same_dim(a: &Features, b: &Features) -> Result<()> {
    ensure!(a.dim == b.dim, "{} features cannot be compared with {}", a.dim, b.dim);
    Ok(())
}

fn ensure_neighbours<const N: usize>(count: usize, sets: [(&str, &Features); N]) -> Result<()> {
    for (name, set) in sets {
        ensure!(
            set.len() > count,
            "{} {name} images: {} are needed for {count} neighbours",
            set.len(),
            count + 1
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_finite_rows() -> Result<()> {
        assert!(Features::new(3, vec![0.0; 7]).is_err());
        assert!(Features::new(0, vec![]).is_err());
        let error = Features::new(2, vec![0.0, 1.0, 2.0, f32::NAN]).expect_err("NaN").to_string();
        assert_eq!(error, "feature 1 of image 1 is NaN");
        let features = Features::new(2, vec![0.0, 1.0, 2.0, 3.0])?;
        assert_eq!((features.len(), features.row(1)), (2, &[2.0, 3.0][..]));
        Ok(())
    }

    #[test]
    fn sets_must_fit() -> Result<()> {
        let a = Features::new(2, vec![0.5; 20])?;
        let b = Features::new(4, vec![0.5; 20])?;
        assert!(compare(&a, &b).is_err());
        assert!(compare(&a, &Features::new(2, vec![0.5; 2])?).is_err(), "one image has no covariance");
        Ok(())
    }
}
