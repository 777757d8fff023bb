//! Improved precision and recall: are generated images like real ones, and are all kinds of real ones generated?

use anyhow::{Result, ensure};
use rayon::prelude::*;

use super::{Features, ensure_same_dim};

/// Shares of images, each in [0, 1].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PrecisionRecall {
    /// Generated images inside the real manifold: fidelity.
    pub precision: f64,
    /// Real images inside the generated manifold: diversity.
    pub recall: f64,
}

/// A manifold is the union of balls around its images, each reaching to its third nearest neighbour in the set.
///
/// Memory grows with the number of images, time with its square.
///
/// # Errors
/// When the dimensions differ or a set has fewer than four images.
///
/// # Source
/// Kynkaanniemi et al. 2019, arXiv:1904.06991, k = 3. A ball contains its border, as in their code; an image is not a
/// neighbour of itself.
pub fn precision_recall(real: &Features, generated: &Features) -> Result<PrecisionRecall> {
    ensure_same_dim(real, generated)?;
    for (name, set) in [("real", real), ("generated", generated)] {
        ensure!(
            set.len() > NEIGHBOURS,
            "{} {name} images: {} are needed for {NEIGHBOURS} neighbours",
            set.len(),
            NEIGHBOURS + 1
        );
    }
    Ok(PrecisionRecall {
        precision: share_inside(generated, real, &squared_radii(real)),
        recall: share_inside(real, generated, &squared_radii(generated)),
    })
}

/// Squared distance from each image to its k-th nearest neighbour.
fn squared_radii(set: &Features) -> Vec<f32> {
    (0..set.len())
        .into_par_iter()
        .map(|i| {
            let mut nearest = [f32::INFINITY; NEIGHBOURS];
            for (j, other) in set.rows().enumerate() {
                let distance = squared_distance(set.row(i), other);
                if j != i && distance < nearest[NEIGHBOURS - 1] {
                    nearest[NEIGHBOURS - 1] = distance;
                    nearest.sort_unstable_by(f32::total_cmp);
                }
            }
            nearest[NEIGHBOURS - 1]
        })
        .collect()
}

/// The share of `images` that lie in a ball around a point of `centres`.
fn share_inside(images: &Features, centres: &Features, squared_radii: &[f32]) -> f64 {
    let inside = (0..images.len())
        .into_par_iter()
        .filter(|&i| {
            centres
                .rows()
                .zip(squared_radii)
                .any(|(centre, &radius)| squared_distance(images.row(i), centre) <= radius)
        })
        .count();
    inside as f64 / images.len() as f64
}

/// The same bits for `(a, b)` and `(b, a)`; several sums, so that it is vectorized.
fn squared_distance(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; 8];
    let (a, a_rest) = a.as_chunks::<8>();
    let (b, b_rest) = b.as_chunks::<8>();
    for (a, b) in a.iter().zip(b) {
        for lane in 0..sums.len() {
            sums[lane] += (a[lane] - b[lane]) * (a[lane] - b[lane]);
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| (a - b) * (a - b)).sum();
    sums.iter().sum::<f32>() + rest
}

const NEIGHBOURS: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    fn line(points: &[f32]) -> Features {
        Features::new(1, points.to_vec()).expect("points are finite")
    }

    #[test]
    fn points_on_a_line_by_hand() -> Result<()> {
        let real = line(&[0.0, 1.0, 2.0, 3.0, 10.0]);
        // To the third neighbour: 3, 2, 2, 3 and 9.
        assert_eq!(squared_radii(&real), [9.0, 4.0, 4.0, 9.0, 81.0]);
        // The real balls cover [-3, 19]; those of 4, 5, 18, 20, with radii 16, 15, 14, 16, cover [-12, 36].
        let generated = line(&[4.0, 5.0, 18.0, 20.0]);
        let result = precision_recall(&real, &generated)?;
        assert_eq!(result, PrecisionRecall { precision: 0.75, recall: 1.0 });
        // And the other way round.
        let swapped = precision_recall(&generated, &real)?;
        assert_eq!(swapped, PrecisionRecall { precision: 1.0, recall: 0.75 });
        Ok(())
    }

    #[test]
    fn equal_sets_and_distant_sets() -> Result<()> {
        let a = line(&[0.0, 0.5, 1.5, 2.0, 7.0]);
        let far = line(&[1000.0, 1001.0, 1002.0, 1004.0]);
        assert_eq!(precision_recall(&a, &a)?, PrecisionRecall { precision: 1.0, recall: 1.0 });
        assert_eq!(precision_recall(&a, &far)?, PrecisionRecall { precision: 0.0, recall: 0.0 });
        Ok(())
    }

    #[test]
    fn a_collapsed_generator_has_precision_without_recall() -> Result<()> {
        let real = line(&[0.0, 1.0, 2.0, 3.0, 4.0]);
        let collapsed = line(&[2.0; 6]);
        // Its balls have no radius, so they contain the one real image they stand on.
        assert_eq!(precision_recall(&real, &collapsed)?, PrecisionRecall { precision: 1.0, recall: 0.2 });
        Ok(())
    }

    #[test]
    fn distances_of_ragged_rows() {
        let a: Vec<f32> = (0..19).map(|i| i as f32).collect();
        let b: Vec<f32> = (0..19).map(|i| 2.0 * i as f32).collect();
        // The sum of i^2 up to 18; small integers are exact.
        assert_eq!(squared_distance(&a, &b), (18 * 19 * 37 / 6) as f32);
    }

    #[test]
    fn too_few_images_are_an_error() {
        let few = precision_recall(&line(&[0.0, 1.0, 2.0, 3.0]), &line(&[0.0, 1.0, 2.0]));
        assert!(few.expect_err("three images").to_string().contains("3 generated images"));
    }
}
