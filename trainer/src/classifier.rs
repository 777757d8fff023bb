//! Classes from few labels: a linear classifier over features that a discriminator learned without any.
//!
//! In: features of images, and labels of some. Out: a [`Classifier`], and its error on other images. Everything is a closed
//! form, so that the same labels give the same classifier.

use anyhow::{Result, ensure};
use burn::tensor::{Device, Tensor, TensorData};
use nalgebra::{DMatrix, DVector};

use crate::checkpoint::Checkpoint;
use crate::dataset::Dataset;
use crate::metrics::Features;
use crate::network::{Condition, Discriminator, values};
use crate::training::noise::{self, Stream};

/// Scores of classes as linear functions of features: ridge regression onto one-hot vectors.
///
/// The penalty is the one that predicts each labelled image best from all others, of a row of candidates; all of these
/// predictions follow from one decomposition, so that no label is set aside.
///
/// Features keep their scales: those of a discriminator that vary much are those that tell most, and with each divided by
/// its deviation a tenth more of the images of MNIST were mistaken.
///
/// # Source
/// Rifkin and Lippert 2007, "Notes on Regularized Least Squares", MIT-CSAIL-TR-2007-025, equations 5 and 6 onwards.
#[derive(Clone, Debug)]
pub struct Classifier {
    /// `[F, classes]`
    weights: DMatrix<f64>,
    /// `[classes]`
    bias: DVector<f64>,
}

impl Classifier {
    /// Fits features `[N, F]` to labels below `classes`.
    ///
    /// # Errors
    /// When there are fewer than two images, or labels no match for them.
    pub fn fit(features: &Features, labels: &[usize], classes: usize) -> Result<Self> {
        let n = features.len();
        ensure!(
            n >= 2 && labels.len() == n,
            "{} labels for {n} images, and at least two of them",
            labels.len()
        );
        ensure!(labels.iter().all(|&label| label < classes), "a label is not below {classes}");
        let problem = Centred::new(features, labels, classes);
        let gram = &problem.features * problem.features.transpose();
        // As many as the features are on average: the penalty has their unit.
        let unit = (gram.trace() / n as f64).max(f64::MIN_POSITIVE);
        let eigen = gram.symmetric_eigen();
        let decomposed =
            Decomposed { values: eigen.eigenvalues.map(|v| v.max(0.0)), vectors: eigen.eigenvectors };
        let best = (-4..=4)
            .map(|exponent| unit * 10f64.powi(exponent))
            .map(|penalty| (decomposed.error_of_others(&problem.targets, penalty), penalty))
            .min_by(|a, b| a.0.total_cmp(&b.0));
        let (_, penalty) = best.expect("there are nine candidates");
        let duals = decomposed.duals(&problem.targets, penalty);
        Ok(problem.classifier(duals))
    }

    /// The class of each image.
    ///
    /// # Errors
    /// When the features are not those that it was fitted to.
    pub fn classify(&self, features: &Features) -> Result<Vec<usize>> {
        let dim = self.weights.nrows();
        ensure!(features.dim() == dim, "{} features, and {dim} were learned from", features.dim());
        Ok(features.rows().map(|row| self.scores(row).imax()).collect())
    }

    /// `[classes]`
    fn scores(&self, row: &[f32]) -> DVector<f64> {
        let row = DVector::from_iterator(row.len(), row.iter().map(|&value| f64::from(value)));
        self.weights.tr_mul(&row) + &self.bias
    }

    /// Share of the images that get another class than their own.
    ///
    /// # Errors
    /// As of [`Self::classify`], and when there are no images or not as many labels.
    pub fn error(&self, features: &Features, labels: &[usize]) -> Result<f64> {
        ensure!(
            !features.is_empty() && features.len() == labels.len(),
            "{} labels for {} images",
            labels.len(),
            features.len()
        );
        let classes = self.classify(features)?;
        let wrong = classes.iter().zip(labels).filter(|(class, label)| class != label).count();
        Ok(wrong as f64 / labels.len() as f64)
    }
}

/// Features and one-hot vectors less their means, which the bias accounts for.
struct Centred {
    /// `[N, F]`
    features: DMatrix<f64>,
    /// `[F]`
    mean: DVector<f64>,
    /// `[N, classes]`
    targets: DMatrix<f64>,
    /// `[classes]`
    shares: DVector<f64>,
}

/// The Gram matrix `K = X X^T` of centred features.
struct Decomposed {
    values: DVector<f64>,
    vectors: DMatrix<f64>,
}

impl Centred {
    fn new(features: &Features, labels: &[usize], classes: usize) -> Self {
        let n = features.len();
        let mut x = DMatrix::from_fn(n, features.dim(), |i, j| f64::from(features.row(i)[j]));
        let mut y = DMatrix::from_fn(n, classes, |i, class| if labels[i] == class { 1.0 } else { 0.0 });
        let [mean, shares] = [&mut x, &mut y].map(|matrix| {
            let mean = matrix.row_mean();
            matrix.row_iter_mut().for_each(|mut row| row -= &mean);
            mean.transpose()
        });
        Self { features: x, mean, targets: y, shares }
    }

    fn classifier(&self, duals: DMatrix<f64>) -> Classifier {
        let weights = self.features.transpose() * duals;
        let bias = &self.shares - weights.transpose() * &self.mean;
        Classifier { weights, bias }
    }
}

impl Decomposed {
    /// `(K + penalty)^-1 Y`
    fn duals(&self, targets: &DMatrix<f64>, penalty: f64) -> DMatrix<f64> {
        let mut turned = self.vectors.transpose() * targets;
        for (mut row, value) in turned.row_iter_mut().zip(self.values.iter()) {
            row /= value + penalty;
        }
        &self.vectors * turned
    }

    /// Mean squared error of each image's scores by the classifier of all others: the residual divided by how little the
    /// image decides its own scores.
    fn error_of_others(&self, targets: &DMatrix<f64>, penalty: f64) -> f64 {
        let n = targets.nrows();
        let residuals = self.duals(targets, penalty) * penalty;
        let mut sum = 0.0;
        for i in 0..n {
            let row = self.vectors.row(i);
            let free =
                row.iter().zip(self.values.iter()).map(|(q, v)| q * q * penalty / (v + penalty)).sum::<f64>();
            // The mean that was taken away is the share of the bias.
            let free = free - 1.0 / n as f64;
            sum += residuals.row(i).norm_squared() / (free * free);
        }
        sum / n as f64
    }
}

/// What is known of an image without labels.
pub enum Extractor {
    /// What the discriminator's score is made of.
    Discriminator(Box<Discriminator>),
    /// Its pixels.
    Pixels,
}

impl Extractor {
    /// The discriminator of a run.
    ///
    /// # Errors
    /// When it does not judge images alone, was told their classes, or its tensors do not fit its configuration.
    pub fn of_run(checkpoint: &Checkpoint) -> Result<Self> {
        let network = &checkpoint.config.network;
        ensure!(network.classes == 0, "the discriminator was told the classes of images");
        ensure!(
            network.pack == 1 && network.minibatch_std == 0,
            "the discriminator judges several images together: its features are not those of one"
        );
        Ok(Self::Discriminator(Box::new(checkpoint.discriminator(&Device::flex())?)))
    }

    /// Features of some images of a data set.
    ///
    /// # Errors
    /// When they are not finite.
    ///
    /// # Panics
    /// When an index is out of range, or the images have not the shape that the discriminator was trained on.
    pub fn features(&self, dataset: &Dataset, indices: &[usize]) -> Result<Features> {
        // Enough for the matrix products to be efficient, little enough for the cache.
        const BATCH: usize = 64;
        let [c, h, w] = dataset.shape();
        let features = |indices: &[usize]| {
            let images = dataset.images(indices);
            match self {
                Self::Pixels => images,
                Self::Discriminator(discriminator) => {
                    let images = TensorData::new(images, [indices.len(), c, h, w]);
                    let images = Tensor::from_data(images, &Device::flex());
                    values(discriminator.features(images, &Condition::default()))
                }
            }
        };
        let all: Vec<f32> = indices.chunks(BATCH).flat_map(features).collect();
        Features::new(all.len() / indices.len().max(1), all)
    }
}

/// `count` images, as many of each class, that `seed` chooses; of two counts with one seed, the smaller set is in the larger.
///
/// # Errors
/// When `count` is no multiple of `classes`, or a class has too few images.
pub fn labelled(labels: &[usize], classes: usize, count: usize, seed: u64) -> Result<Vec<usize>> {
    ensure!(
        count > 0 && count.is_multiple_of(classes),
        "{count} labels are no multiple of {classes}, the number of classes"
    );
    let each = count / classes;
    let mut taken = vec![0; classes];
    let order = noise::permutation(noise::seed_of(seed, Stream::Labels, 0), labels.len());
    let chosen: Vec<usize> = order
        .into_iter()
        .map(|index| index as usize)
        .filter(|&index| {
            let Some(taken) = taken.get_mut(labels[index]) else { return false };
            *taken += 1;
            *taken <= each
        })
        .collect();
    ensure!(chosen.len() == count, "a class has fewer than {each} images");
    Ok(chosen)
}

/// Error of who always names the most frequent class.
pub fn chance_error(labels: &[usize]) -> f64 {
    let mut counts = vec![0; labels.iter().max().map_or(0, |&label| label + 1)];
    labels.iter().for_each(|&label| counts[label] += 1);
    let most: usize = counts.into_iter().max().unwrap_or(0);
    1.0 - most as f64 / labels.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Points around the centre of their class, 8 deviations from the origin.
    fn points(n: usize, dim: usize, seed: u64) -> (Features, Vec<usize>) {
        let mut data = vec![0.0; n * dim];
        noise::fill_normal(seed, &mut data);
        let labels: Vec<usize> = (0..n).map(|i| i % 3).collect();
        for (row, label) in data.chunks_exact_mut(dim).zip(&labels) {
            row[*label] += 8.0;
        }
        (Features::new(dim, data).unwrap(), labels)
    }

    fn without(features: &Features, labels: &[usize], left_out: usize) -> (Features, Vec<usize>) {
        let kept = (0..features.len()).filter(|&i| i != left_out);
        let data = kept.clone().flat_map(|i| features.row(i).to_vec()).collect();
        (Features::new(features.dim(), data).unwrap(), kept.map(|i| labels[i]).collect())
    }

    /// The normal equations, with a column of ones that is not penalised.
    fn scores(features: &Features, labels: &[usize], penalty: f64, at: &[f32]) -> Vec<f64> {
        let (n, dim) = (features.len(), features.dim());
        let x = DMatrix::from_fn(n, dim + 1, |i, j| features.row(i).get(j).map_or(1.0, |&v| f64::from(v)));
        let y = DMatrix::from_fn(n, 3, |i, class| if labels[i] == class { 1.0 } else { 0.0 });
        let mut normal = x.transpose() * &x;
        (0..dim).for_each(|j| normal[(j, j)] += penalty);
        let weights = normal.lu().solve(&(x.transpose() * y)).unwrap();
        let row = DMatrix::from_fn(1, dim + 1, |_, j| at.get(j).map_or(1.0, |&v| f64::from(v)));
        (row * weights).iter().copied().collect()
    }

    #[test]
    fn the_dual_form_is_ridge_regression() {
        // Fewer images than features, and more.
        for (n, dim) in [(6, 9), (20, 5)] {
            let (features, labels) = points(n, dim, 1);
            for penalty in [0.01, 1.0, 100.0] {
                let problem = Centred::new(&features, &labels, 3);
                let eigen = (&problem.features * problem.features.transpose()).symmetric_eigen();
                let decomposed = Decomposed { values: eigen.eigenvalues, vectors: eigen.eigenvectors };
                let classifier = problem.classifier(decomposed.duals(&problem.targets, penalty));
                let expected = scores(&features, &labels, penalty, features.row(1));
                for (found, expected) in classifier.scores(features.row(1)).iter().zip(expected) {
                    // Both are f64, of systems whose condition is below 1e5.
                    assert!((found - expected).abs() < 1e-9, "{n} {dim} {penalty}: {found} {expected}");
                }

                // Leaving each out and fitting again is what the short form says.
                let mut error = 0.0;
                for left_out in 0..n {
                    let (kept, kept_labels) = without(&features, &labels, left_out);
                    let scores = scores(&kept, &kept_labels, penalty, features.row(left_out));
                    for (class, score) in scores.iter().enumerate() {
                        let target = if labels[left_out] == class { 1.0 } else { 0.0 };
                        error += (score - target) * (score - target) / n as f64;
                    }
                }
                let found = decomposed.error_of_others(&problem.targets, penalty);
                assert!(
                    (found - error).abs() < 1e-8 * error.max(1.0),
                    "{n} {dim} {penalty}: {found} {error}"
                );
            }
        }
    }

    #[test]
    fn classes_that_are_apart_are_told_apart_and_others_are_not() {
        let (features, labels) = points(30, 40, 2);
        let (others, other_labels) = points(300, 40, 3);
        let classifier = Classifier::fit(&features, &labels, 3).unwrap();
        // Halfway between two centres, 8 sqrt(2) apart, is more than five deviations away from each.
        assert!(classifier.error(&others, &other_labels).unwrap() < 0.02);
        // Labels that say nothing: an error of 2/3, of 300 images whose share has a deviation of 0.03.
        let said: Vec<usize> = (0..30).map(|i| i / 3 % 3).collect();
        let classifier = Classifier::fit(&features, &said, 3).unwrap();
        assert!(classifier.error(&others, &other_labels).unwrap() > 0.4);
        assert!((chance_error(&other_labels) - 2.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn one_label_of_each_class_suffices_for_a_classifier() {
        let (features, labels) = points(3, 10, 4);
        let classifier = Classifier::fit(&features, &labels, 3).unwrap();
        assert_eq!(classifier.classify(&features).unwrap(), [0, 1, 2]);
        // Features that say nothing at all.
        let flat = Features::new(2, vec![1.0; 6]).unwrap();
        Classifier::fit(&flat, &labels, 3).unwrap().classify(&flat).unwrap();
        assert!(classifier.classify(&flat).is_err());
        assert!(Classifier::fit(&features, &labels, 2).is_err());
        assert!(Classifier::fit(&features, &labels[..2], 3).is_err());
    }

    #[test]
    fn chosen_labels_are_balanced_and_nested() {
        let labels: Vec<usize> = (0..90).map(|i| i * i % 7 % 3).collect();
        let large = labelled(&labels, 3, 15, 7).unwrap();
        for class in 0..3 {
            assert_eq!(large.iter().filter(|&&i| labels[i] == class).count(), 5);
        }
        let small = labelled(&labels, 3, 6, 7).unwrap();
        assert!(small.iter().all(|index| large.contains(index)));
        assert_ne!(large, labelled(&labels, 3, 15, 8).unwrap());
        assert!(labelled(&labels, 3, 90, 7).is_err());
        assert!(labelled(&labels, 3, 10, 7).is_err());
        assert!(labelled(&labels, 3, 0, 7).is_err());
    }
}
