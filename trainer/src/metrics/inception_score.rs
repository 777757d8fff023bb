//! Inception-style score: is each image of one class, and are all classes there?

use anyhow::{Result, ensure};

use super::Features;

/// The mean over equal parts of the set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct InceptionScore {
    /// From 1, where images tell nothing of their class, to the number of classes.
    pub mean: f64,
    /// Over the parts, as the literature quotes it behind +-; not the standard error of the mean, and 0 with one part.
    pub standard_deviation: f64,
    /// Number of parts.
    pub splits: usize,
}

/// `exp(mean KL(p(y|x) || p(y)))`, for each of `splits` consecutive parts of equal size.
///
/// Name it after the classifier: the Inception Score is that of an Inception network on 50,000 images in 10 parts.
/// It knows nothing of real images, and a single image of each class has the best score.
///
/// # Shapes
/// `probabilities`: one row for each image, `p(y|x)` of every class, as [`class_probabilities`] makes them. The images
/// are in random order.
///
/// # Errors
/// When a part would be empty or a row is no distribution.
///
/// # Source
/// Salimans et al. 2016, "Improved Techniques for Training GANs", arXiv:1606.03498, section 4.
pub fn inception_score(probabilities: &Features, splits: usize) -> Result<InceptionScore> {
    let part = probabilities.len().checked_div(splits).unwrap_or(0);
    ensure!(part > 0, "{} images in {splits} parts", probabilities.len());
    ensure!(are_distributions(probabilities), "the rows are no probabilities of classes");
    let scores: Vec<f64> = (0..splits)
        .map(|i| score(&probabilities.values[i * part * probabilities.dim..], part, probabilities.dim))
        .collect();
    let mean = scores.iter().sum::<f64>() / splits as f64;
    let squares: f64 = scores.iter().map(|score| (score - mean).powi(2)).sum();
    Ok(InceptionScore { mean, standard_deviation: (squares / splits as f64).sqrt(), splits })
}

/// What a classifier says of its classes, as probabilities: kept where they are some, else the softmax of logits, which
/// is right for their logarithms too.
///
/// # Errors
/// When there is a single class.
pub fn class_probabilities(outputs: &Features) -> Result<Features> {
    ensure!(outputs.dim > 1, "one value for each image tells no classes apart");
    if are_distributions(outputs) {
        return Ok(outputs.clone());
    }
    let softmax = |row: &[f32]| -> Vec<f32> {
        let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let powers: Vec<f64> = row.iter().map(|&value| (f64::from(value) - f64::from(most)).exp()).collect();
        let sum: f64 = powers.iter().sum();
        powers.iter().map(|power| (power / sum) as f32).collect()
    };
    Features::new(outputs.dim, outputs.rows().flat_map(softmax).collect())
}

/// The most probable class of each image, the first of equals.
pub(super) fn predicted_classes(probabilities: &Features) -> Vec<u32> {
    let best = |row: &[f32]| {
        let mut best = 0;
        for (class, value) in row.iter().enumerate() {
            if *value > row[best] {
                best = class;
            }
        }
        best as u32
    };
    probabilities.rows().map(best).collect()
}

/// Whether every row is a distribution, or every row holds the logarithms of one. Logits and features of any other
/// kind look alike, so that a classifier which gives logits has to be called one.
pub(super) fn tell_probabilities(outputs: &Features) -> bool {
    let logarithms = |row: &[f32]| {
        let sum: f64 = row.iter().map(|&value| f64::from(value).exp()).sum();
        (sum - 1.0).abs() < ROUNDING
    };
    are_distributions(outputs) || outputs.dim > 1 && outputs.rows().all(logarithms)
}

fn are_distributions(outputs: &Features) -> bool {
    let distribution = |row: &[f32]| {
        let sum: f64 = row.iter().map(|&value| f64::from(value)).sum();
        row.iter().all(|&value| value >= 0.0) && (sum - 1.0).abs() < ROUNDING
    };
    outputs.dim > 1 && outputs.rows().all(distribution)
}

fn score(values: &[f32], images: usize, classes: usize) -> f64 {
    let rows = values.chunks_exact(classes).take(images);
    let mut marginal = vec![0.0f64; classes];
    for row in rows.clone() {
        marginal.iter_mut().zip(row).for_each(|(sum, &p)| *sum += f64::from(p) / images as f64);
    }
    let divergence = |row: &[f32]| -> f64 {
        let terms = row.iter().zip(&marginal).filter(|(p, _)| **p > 0.0);
        terms.map(|(&p, marginal)| f64::from(p) * (f64::from(p) / marginal).ln()).sum()
    };
    (rows.map(divergence).sum::<f64>() / images as f64).exp()
}

/// Of a sum of probabilities in `f32`, or in half precision: a thousand classes at 2^-11 of their share.
const ROUNDING: f64 = 1e-3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_by_hand() -> Result<()> {
        let close =
            |score: f64, expected: f64| assert!((score - expected).abs() < 1e-12, "{score}, not {expected}");
        // Certain and all there; certain and all alike; never certain.
        let certain = Features::new(3, [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0].repeat(4))?;
        close(inception_score(&certain, 1)?.mean, 3.0);
        close(inception_score(&Features::new(3, [0.0, 1.0, 0.0].repeat(4))?, 2)?.mean, 1.0);
        close(inception_score(&Features::new(4, vec![0.25; 16])?, 1)?.mean, 1.0);
        // Two images (3/4, 1/4) and (1/4, 3/4), marginal (1/2, 1/2): exp(3/4 ln 3/2 + 1/4 ln 1/2).
        let unsure = Features::new(2, vec![0.75, 0.25, 0.25, 0.75])?;
        close(inception_score(&unsure, 1)?.mean, 1.5f64.powf(0.75) * 0.5f64.powf(0.25));
        Ok(())
    }

    #[test]
    fn parts_are_consecutive() -> Result<()> {
        // The first half has one class, the second two; the last image is left over.
        let rows = Features::new(2, vec![1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0])?;
        let score = inception_score(&rows, 2)?;
        assert!((score.mean - 1.5).abs() < 1e-12 && (score.standard_deviation - 0.5).abs() < 1e-12);
        assert!(inception_score(&rows, 0).is_err() && inception_score(&rows, 6).is_err());
        assert!(inception_score(&Features::new(2, vec![2.0, -1.0])?, 1).is_err());
        Ok(())
    }

    #[test]
    fn logits_and_logarithms_become_probabilities() -> Result<()> {
        let probabilities = [0.125f32, 0.25, 0.625, 0.5, 0.25, 0.25];
        let rows = Features::new(3, probabilities.to_vec())?;
        let logarithms = Features::new(3, probabilities.map(f32::ln).to_vec())?;
        let logits = Features::new(3, probabilities.map(|p| p.ln() + 100.0).to_vec())?;
        assert_eq!(class_probabilities(&rows)?.values, probabilities);
        // A logarithm up to 100 is good to 2^-18, a power of it to that share.
        for (found, tolerance) in [(&logarithms, 1e-6), (&logits, 8e-6)] {
            let found = class_probabilities(found)?;
            let error =
                found.values.iter().zip(probabilities).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(error < tolerance, "{error}");
        }
        assert_eq!(predicted_classes(&rows), [2, 0]);
        assert!(tell_probabilities(&rows) && tell_probabilities(&logarithms) && !tell_probabilities(&logits));
        assert!(class_probabilities(&Features::new(1, vec![1.0])?).is_err());
        Ok(())
    }
}
