//! How far a generator's images are from real ones, measured on features of a classifier.
//!
//! In: two sets of [`Features`], real and generated, of independent images in random order. Out: [`Comparison`].
//! The figures depend on the classifier and on the number of images: quote both. They are not the FID of the
//! literature, whose features are those of an Inception network.

pub mod modes;

mod evaluation;
mod features;
mod frechet;
mod kid;
mod precision_recall;

use anyhow::{Result, ensure};

pub use evaluation::{Evaluation, RealImages, evaluate};
pub use features::{DEFAULT_FEATURES, FeatureExtractor, Normalization};
pub use frechet::{Gaussian, frechet_distance};
pub use kid::{Kid, kernel_distance};
pub use precision_recall::{PrecisionRecall, precision_recall};

/// One row of features for each image.
#[derive(Clone, Debug)]
pub struct Features {
    dim: usize,
    values: Vec<f32>,
}

/// All metrics of one pair of sets.
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
