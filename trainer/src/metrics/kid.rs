//! Kernel distance: the squared maximum mean discrepancy under a cubic kernel.

use anyhow::{Result, ensure};
use rayon::prelude::*;

use super::{Features, ensure_same_dim};

/// The mean over disjoint blocks of both sets.
#[derive(Clone, Copy, Debug)]
pub struct Kid {
    /// Unbiased: its expectation is the distance itself, at any number of images.
    pub mean: f64,
    /// Of the mean, from the spread of the blocks; absent with one block.
    pub standard_error: Option<f64>,
    /// How many blocks.
    pub blocks: usize,
    /// Images of each set in one block.
    pub block_size: usize,
}

/// Unbiased MMD^2 with the kernel `(x.y / dim + 1)^3`, averaged over disjoint blocks of at most 1000 images.
///
/// Both sets must be in random order, as blocks are taken in order.
///
/// # Errors
/// When the dimensions differ or a set has fewer than two images.
///
/// # Source
/// Binkowski et al. 2018, "Demystifying MMD GANs", arXiv:1801.01401. They average random subsets of 1000; disjoint
/// blocks need no seed and make the standard error honest.
pub fn kernel_distance(real: &Features, generated: &Features) -> Result<Kid> {
    ensure_same_dim(real, generated)?;
    let n = real.len().min(generated.len());
    ensure!(
        n >= 2,
        "the kernel distance needs 2 images of each set, there are {} and {}",
        real.len(),
        generated.len()
    );
    let block_size = n.min(BLOCK);
    let blocks = n / block_size;
    let block = |features: &'_ Features, i: usize| {
        let len = block_size * features.dim();
        features.values[i * len..][..len].to_vec()
    };
    let values: Vec<f64> =
        (0..blocks).map(|i| mmd_squared(&block(real, i), &block(generated, i), real.dim())).collect();
    let mean = values.iter().sum::<f64>() / blocks as f64;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let standard_error = (blocks > 1).then(|| (squares / ((blocks - 1) * blocks) as f64).sqrt());
    Ok(Kid { mean, standard_error, blocks, block_size })
}

/// The unbiased estimate for two sets of equally many rows: like pairs leave out a row with itself.
fn mmd_squared(x: &[f32], y: &[f32], dim: usize) -> f64 {
    let m = (x.len() / dim) as f64;
    let within = |rows: &[f32]| (sum_of_kernels(rows, rows, dim) - diagonal(rows, dim)) / (m * (m - 1.0));
    within(x) + within(y) - 2.0 * sum_of_kernels(x, y, dim) / (m * m)
}

fn sum_of_kernels(x: &[f32], y: &[f32], dim: usize) -> f64 {
    // Collected, so that the order of the sum does not depend on the threads.
    let rows: Vec<f64> =
        x.par_chunks_exact(dim).map(|x| y.chunks_exact(dim).map(|y| kernel(x, y)).sum::<f64>()).collect();
    rows.iter().sum()
}

fn diagonal(x: &[f32], dim: usize) -> f64 {
    x.chunks_exact(dim).map(|x| kernel(x, x)).sum()
}

fn kernel(x: &[f32], y: &[f32]) -> f64 {
    let dot: f64 = x.iter().zip(y).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum();
    (dot / x.len() as f64 + 1.0).powi(3)
}

const BLOCK: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_points_each_by_hand() -> Result<()> {
        let x = Features::new(1, vec![0.0, 1.0])?;
        let y = Features::new(1, vec![2.0, 3.0])?;
        // k(0,1) = 1, k(2,3) = 343; k(0,2) = k(0,3) = 1, k(1,2) = 27, k(1,3) = 64.
        let expected = 1.0 + 343.0 - 2.0 * (1.0 + 1.0 + 27.0 + 64.0) / 4.0;
        let kid = kernel_distance(&x, &y)?;
        assert_eq!((kid.mean, kid.blocks, kid.block_size), (expected, 1, 2));
        assert!(kid.standard_error.is_none());
        Ok(())
    }

    #[test]
    fn the_dot_product_is_divided_by_the_dimension() {
        assert_eq!(kernel(&[1.0, 2.0], &[3.0, 0.5]), 27.0);
    }

    #[test]
    fn constant_sets_have_a_closed_form() -> Result<()> {
        // All pairs alike: k(a,a) + k(b,b) - 2 k(a,b).
        let n = 2 * BLOCK + 10;
        let kid = kernel_distance(&Features::new(1, vec![1.0; n])?, &Features::new(1, vec![2.0; n + 7])?)?;
        let expected = 8.0 + 125.0 - 2.0 * 27.0;
        assert_eq!((kid.blocks, kid.block_size), (2, BLOCK));
        // 3 sums of BLOCK^2 kernels, each sum rounded that often.
        let tolerance = 3.0 * (BLOCK * BLOCK) as f64 * f64::EPSILON * 125.0;
        assert!((kid.mean - expected).abs() <= tolerance, "{kid:?}");
        assert!(kid.standard_error.is_some_and(|error| error <= tolerance));
        Ok(())
    }

    #[test]
    fn too_few_images_are_an_error() -> Result<()> {
        let x = Features::new(1, vec![0.0, 1.0])?;
        assert!(kernel_distance(&x, &Features::new(1, vec![0.0])?).is_err());
        assert!(kernel_distance(&x, &Features::new(1, vec![])?).is_err());
        Ok(())
    }
}
