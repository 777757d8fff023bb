//! Improved precision and recall: are generated images like real ones, and are all kinds of real ones generated?

use anyhow::Result;
use rayon::prelude::*;

use super::distance::{squared_distance, squared_radii};
use super::{Features, ensure_neighbours, ensure_same_dim};

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
    ensure_neighbours(NEIGHBOURS, [("real", real), ("generated", generated)])?;
    Ok(PrecisionRecall {
        precision: share_inside(generated, real, &squared_radii(real, NEIGHBOURS)),
        recall: share_inside(real, generated, &squared_radii(generated, NEIGHBOURS)),
    })
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
    fn too_few_images_are_an_error() {
        let few = precision_recall(&line(&[0.0, 1.0, 2.0, 3.0]), &line(&[0.0, 1.0, 2.0]));
        assert!(few.expect_err("three images").to_string().contains("3 generated images"));
    }
}
