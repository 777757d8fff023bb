//! Modes of images: the classes that a classifier sees in them.

use anyhow::{Result, ensure};

use super::divergence::{self, kl};

/// Classes and the shares that they should have.
#[derive(Clone, Debug)]
pub struct Classes {
    target: Vec<f64>,
}

/// What a set of images has of the classes.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassReport {
    /// Images that were measured.
    pub samples: usize,
    /// Classes with at least one image.
    pub modes: usize,
    /// Classes there are.
    pub mode_count: usize,
    /// Images of each class.
    pub counts: Vec<usize>,
    /// KL(images || target).
    pub kl: f64,
}

impl Classes {
    /// Classes of equal share: the convention for stacked MNIST, whose 1000 classes are only nearly so.
    ///
    /// # Errors
    /// When there is none.
    pub fn uniform(classes: usize) -> Result<Self> {
        Self::weighted(&vec![1.0; classes])
    }

    /// Classes with the shares `weights`, which are divided by their sum.
    ///
    /// # Errors
    /// When there is none or a weight is not positive.
    pub fn weighted(weights: &[f64]) -> Result<Self> {
        Ok(Self { target: divergence::shares(weights)? })
    }

    /// The share that each class should have; their sum is 1.
    pub fn target(&self) -> &[f64] {
        &self.target
    }

    /// Measures the classes that were predicted. Stacked MNIST takes 25,600 or 26,000 images; a classifier that errs
    /// invents classes, so that held-out real images belong beside the result.
    ///
    /// # Errors
    /// When there are none, or a class is not below their number.
    ///
    /// # Source
    /// Metz et al. 2017, "Unrolled GANs", arXiv:1611.02163, appendix D.
    pub fn measure(&self, predicted: &[u32]) -> Result<ClassReport> {
        let mode_count = self.target.len();
        ensure!(!predicted.is_empty(), "no image was classified");
        let mut counts = vec![0usize; mode_count];
        for &class in predicted {
            match counts.get_mut(class as usize) {
                Some(count) => *count += 1,
                None => anyhow::bail!("class {class} of {mode_count}"),
            }
        }
        let shares: Vec<f64> = counts.iter().map(|&count| count as f64 / predicted.len() as f64).collect();
        Ok(ClassReport {
            samples: predicted.len(),
            mode_count,
            modes: counts.iter().filter(|&&count| count > 0).count(),
            kl: kl(&shares, &self.target),
            counts,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_by_hand() -> Result<()> {
        let report = Classes::uniform(4)?.measure(&[0, 3, 0, 3])?;
        let expected =
            ClassReport { samples: 4, modes: 2, mode_count: 4, counts: vec![2, 0, 0, 2], kl: 2f64.ln() };
        assert_eq!(report, expected);
        let skewed = Classes::weighted(&[2.0, 1.0, 1.0])?;
        assert_eq!(skewed.measure(&[0, 0, 1, 2])?.kl, 0.0);
        assert_eq!(skewed.measure(&[1])?.kl, 4f64.ln());
        Ok(())
    }

    #[test]
    fn what_is_no_class_is_an_error() -> Result<()> {
        assert!(Classes::uniform(0).is_err());
        assert!(Classes::weighted(&[1.0, -1.0]).is_err());
        let classes = Classes::uniform(10)?;
        assert!(classes.measure(&[]).is_err());
        assert_eq!(classes.measure(&[9, 10]).expect_err("no class").to_string(), "class 10 of 10");
        Ok(())
    }
}
