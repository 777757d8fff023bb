//! The training image that each image is nearest to: does a generator copy?

use anyhow::{Result, ensure};
use rayon::prelude::*;

use super::distance::squared_distance;
use crate::dataset::Dataset;

/// The nearest training image of one image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Neighbour {
    /// Its place in the training set.
    pub index: usize,
    /// Euclidean, over all pixels in [-1, 1].
    pub distance: f64,
}

/// For each image its nearest training image, the first of equals; `done` is told how many more training images were
/// looked at.
///
/// The mean distance of generated images over that of real images which nobody trained on is about 1 without copies, and
/// well below where a generator repeats what it saw. Blurred images are near to everything: look at the pairs.
///
/// # Shapes
/// `images`: `[N, C, H, W]` in [-1, 1], of the shape of the training images. `own`, for images of the training set
/// itself: the place of each, where it is not looked for.
///
/// # Errors
/// When the images have another shape or are not finite, or no training image is left to compare with.
pub fn nearest(
    images: &[f32],
    training: &Dataset,
    own: Option<&[usize]>,
    done: impl Fn(usize),
) -> Result<Vec<Neighbour>> {
    let pixels = training.shape().iter().product::<usize>();
    ensure!(images.len().is_multiple_of(pixels), "{} values are no images of {pixels}", images.len());
    ensure!(images.iter().all(|value| value.is_finite()), "an image is not finite");
    let count = images.len() / pixels;
    ensure!(own.is_none_or(|own| own.len() == count), "a place in the training set for each image");
    ensure!(training.len() > usize::from(own.is_some()), "no other training image to compare with");

    let mut best = vec![(f32::INFINITY, 0usize); count];
    let places: Vec<usize> = (0..training.len()).collect();
    for block in places.chunks(BLOCK) {
        let known = training.images(block);
        best.par_iter_mut().zip(images.par_chunks_exact(pixels)).enumerate().for_each(
            |(i, (best, image))| {
                for (&index, known) in block.iter().zip(known.chunks_exact(pixels)) {
                    if own.is_none_or(|own| own[i] != index)
                        && let Some(distance) = squared_distance_below(image, known, best.0)
                    {
                        *best = (distance, index);
                    }
                }
            },
        );
        done(block.len());
    }
    Ok(best
        .into_iter()
        .map(|(squared, index)| Neighbour { index, distance: f64::from(squared).sqrt() })
        .collect())
}

/// Mean distance to the nearest training image.
pub fn mean_distance(neighbours: &[Neighbour]) -> f64 {
    neighbours.iter().map(|neighbour| neighbour.distance).sum::<f64>() / neighbours.len() as f64
}

/// The images with the nearest neighbours, the nearest first: at most `count` places in `neighbours`.
pub fn closest(neighbours: &[Neighbour], count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..neighbours.len()).collect();
    // Stable: the first of equals stays the first.
    order.sort_by(|&a, &b| neighbours[a].distance.total_cmp(&neighbours[b].distance));
    order.truncate(count);
    order
}

/// Rows for a grid of `columns`: a row of images above a row of their neighbours, and so on.
///
/// # Shapes
/// `images`: `[N, C, H, W]`, with their `neighbours` in the same order. Result: twice as many images as `shown` names,
/// black ones behind the last where a row is not full.
///
/// # Panics
/// When `columns` is zero or `shown` names an image that there is not.
pub fn grid(
    images: &[f32],
    neighbours: &[Neighbour],
    training: &Dataset,
    shown: &[usize],
    columns: usize,
) -> Vec<f32> {
    let pixels = training.shape().iter().product::<usize>();
    let mut grid = vec![];
    for row in shown.chunks(columns) {
        let blank = (columns.min(shown.len()) - row.len()) * pixels;
        let pad = |grid: &mut Vec<f32>| grid.resize(grid.len() + blank, -1.0);
        row.iter().for_each(|&i| grid.extend(&images[i * pixels..][..pixels]));
        pad(&mut grid);
        grid.extend(training.images(&row.iter().map(|&i| neighbours[i].index).collect::<Vec<_>>()));
        pad(&mut grid);
    }
    grid
}

/// The squared distance, if it is less than `limit`: most images are given up after a part of their pixels.
fn squared_distance_below(a: &[f32], b: &[f32], limit: f32) -> Option<f32> {
    let mut sum = 0.0;
    for (a, b) in a.chunks(STRETCH).zip(b.chunks(STRETCH)) {
        sum += squared_distance(a, b);
        if sum >= limit {
            return None;
        }
    }
    Some(sum)
}

/// Training images that are numbers at a time.
const BLOCK: usize = 256;
const STRETCH: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    /// 300 images of 17x17 pixels: with a stretch and a rest.
    fn training() -> Dataset {
        let byte = |i: usize| (i.wrapping_mul(2_654_435_761) >> 7) as u8;
        Dataset::new("hashed", [1, 17, 17], (0..300 * 289).map(byte).collect(), None).expect("images")
    }

    #[test]
    fn the_nearest_is_that_of_a_plain_loop() -> Result<()> {
        let training = training();
        let byte = |i: usize| (i.wrapping_mul(40_503) >> 5) as u8 as f32 / 127.5 - 1.0;
        let images: Vec<f32> = (0..5 * 289).map(byte).collect();
        let found = nearest(&images, &training, None, |_| ())?;
        let known = training.images(&(0..300).collect::<Vec<_>>());
        for (image, found) in images.chunks(289).zip(found) {
            let distances: Vec<f64> = known
                .chunks(289)
                .map(|known| {
                    image.iter().zip(known).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt()
                })
                .collect();
            let least = distances.iter().copied().fold(f64::INFINITY, f64::min);
            // Squares up to 4 summed in single precision, at most 289 / 8 in a row: half of that for the root.
            let tolerance = 289.0 / 16.0 * f64::from(f32::EPSILON) * least;
            assert!((found.distance - least).abs() < tolerance && distances[found.index] < least + tolerance);
        }
        Ok(())
    }

    #[test]
    fn copies_are_found_and_an_image_is_not_its_own_neighbour() -> Result<()> {
        let training = training();
        let places = [7, 299, 0];
        let copies = training.images(&places);
        let found = nearest(&copies, &training, None, |_| ())?;
        assert!(found.iter().zip(places).all(|(n, index)| *n == Neighbour { index, distance: 0.0 }));
        assert_eq!(mean_distance(&found), 0.0);
        let others = nearest(&copies, &training, Some(&places), |_| ())?;
        assert!(others.iter().zip(places).all(|(n, index)| n.index != index && n.distance > 0.0));
        Ok(())
    }

    #[test]
    fn the_closest_come_first_and_stand_above_their_neighbours() -> Result<()> {
        let training = Dataset::new("grey", [1, 1, 1], vec![0, 51, 255], None)?;
        // Nearest: 1, 2, 0 and 0.
        let images = [-0.5, 0.9, -1.0, -0.9];
        let found = nearest(&images, &training, None, |_| ())?;
        assert_eq!(found.iter().map(|n| n.index).collect::<Vec<_>>(), [1, 2, 0, 0]);
        // Distances 0.1, 0.1, 0 and 0.1, as single precision has them.
        let shown = closest(&found, 3);
        assert_eq!((shown.len(), shown[0]), (3, 2));
        let grid = grid(&images, &found, &training, &[2, 0, 1], 2);
        let dark = 51.0 / 127.5 - 1.0;
        assert_eq!(grid, [-1.0, -0.5, -1.0, dark, 0.9, -1.0, 1.0, -1.0]);
        Ok(())
    }

    #[test]
    fn wrong_images_are_errors() -> Result<()> {
        let training = Dataset::new("one", [1, 1, 2], vec![0, 0], None)?;
        assert!(nearest(&[0.0; 3], &training, None, |_| ()).is_err());
        assert!(nearest(&[0.0, f32::NAN], &training, None, |_| ()).is_err());
        assert!(nearest(&[0.0; 2], &training, Some(&[0]), |_| ()).is_err(), "no other image");
        assert!(nearest(&[0.0; 2], &training, Some(&[]), |_| ()).is_err());
        Ok(())
    }
}
