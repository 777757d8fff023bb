//! Frechet distance between Gaussians fitted to features.

use anyhow::{Context as _, Result, ensure};
use nalgebra::linalg::SymmetricEigen;
use nalgebra::{DMatrix, DVector};

use super::Features;

/// Mean and unbiased covariance of a set of features, in `f64`.
#[derive(Clone, Debug)]
pub struct Gaussian {
    /// `[dim]`
    pub mean: DVector<f64>,
    /// `[dim, dim]`, divided by one less than the number of images.
    pub covariance: DMatrix<f64>,
}

impl Gaussian {
    /// Fits to the rows of `features`.
    ///
    /// # Errors
    /// When there are fewer than two rows.
    pub fn fit(features: &Features) -> Result<Self> {
        let (n, dim) = (features.len(), features.dim());
        ensure!(n >= 2, "{n} images have no covariance");
        let mut mean = DVector::<f64>::zeros(dim);
        for row in features.rows() {
            mean.iter_mut().zip(row).for_each(|(sum, &value)| *sum += f64::from(value));
        }
        mean /= n as f64;

        let mut covariance = DMatrix::<f64>::zeros(dim, dim);
        // Blocks bound the memory of the centred rows.
        for block in features.values.chunks(BLOCK_ROWS * dim) {
            let mut centred =
                DMatrix::from_row_iterator(block.len() / dim, dim, block.iter().map(|&v| f64::from(v)));
            for mut row in centred.row_iter_mut() {
                row -= mean.transpose();
            }
            covariance.gemm_tr(1.0, &centred, &centred, 1.0);
        }
        covariance /= (n - 1) as f64;
        Ok(Self { mean, covariance })
    }
}

/// `|m - m'|^2 + tr(C + C' - 2 (C C')^(1/2))`, a squared length in units of the features squared.
///
/// It falls with the number of images towards its limit: compare values of equal numbers only.
///
/// # Errors
/// When the dimensions differ or the eigenvalues do not converge.
///
/// # Source
/// Dowson and Landau 1982; as a metric of GANs Heusel et al. 2017, arXiv:1706.08500. `(C C')^(1/2)` has the trace of
/// `(C^(1/2) C' C^(1/2))^(1/2)`, which is symmetric: no complex numbers and no correction of singular covariances.
pub fn frechet_distance(a: &Gaussian, b: &Gaussian) -> Result<f64> {
    ensure!(
        a.mean.len() == b.mean.len(),
        "{} features cannot be compared with {}",
        a.mean.len(),
        b.mean.len()
    );
    let root = square_root(&a.covariance)?;
    let product = &root * &b.covariance * &root;
    let overlap: f64 = eigen(&product)?.eigenvalues.iter().map(|&value| value.max(0.0).sqrt()).sum();
    let distance =
        (&a.mean - &b.mean).norm_squared() + a.covariance.trace() + b.covariance.trace() - 2.0 * overlap;
    // Rounding can carry a distance of zero below it.
    Ok(distance.max(0.0))
}

/// The positive semi-definite root of a positive semi-definite matrix.
fn square_root(matrix: &DMatrix<f64>) -> Result<DMatrix<f64>> {
    let SymmetricEigen { eigenvectors, eigenvalues } = eigen(matrix)?;
    let roots = DMatrix::from_diagonal(&eigenvalues.map(|value| value.max(0.0).sqrt()));
    Ok(&eigenvectors * roots * eigenvectors.transpose())
}

fn eigen(matrix: &DMatrix<f64>) -> Result<SymmetricEigen<f64, nalgebra::Dyn>> {
    // The factorization reads one triangle; the mean of both halves what rounding did to them.
    let symmetric = (matrix + matrix.transpose()) * 0.5;
    ensure!(symmetric.iter().all(|value| value.is_finite()), "a covariance is not finite");
    let most_steps = 100 * matrix.nrows();
    SymmetricEigen::try_new(symmetric, f64::EPSILON, most_steps).context("the eigenvalues do not converge")
}

const BLOCK_ROWS: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn diagonal(mean: &[f64], variance: &[f64]) -> Gaussian {
        Gaussian {
            mean: DVector::from_row_slice(mean),
            covariance: DMatrix::from_diagonal(&DVector::from_row_slice(variance)),
        }
    }

    /// Rounding of a root is a root of rounding: eigenvalues near zero are off by eps, their roots by its root.
    fn tolerance(a: &Gaussian, b: &Gaussian) -> f64 {
        let dim = a.mean.len() as f64;
        dim * (f64::EPSILON * dim).sqrt() * (a.covariance.norm() + b.covariance.norm())
    }

    fn check(a: &Gaussian, b: &Gaussian, expected: f64) {
        for (a, b) in [(a, b), (b, a)] {
            let distance = frechet_distance(a, b).expect("it converges");
            assert!((distance - expected).abs() <= tolerance(a, b), "{distance}, expected {expected}");
        }
    }

    #[test]
    fn gaussians_on_a_line_have_a_closed_form() {
        // (m - m')^2 + (s - s')^2
        check(&diagonal(&[1.0], &[9.0]), &diagonal(&[3.0], &[4.0]), 4.0 + 1.0);
        check(&diagonal(&[0.0, 2.0], &[1.0, 16.0]), &diagonal(&[0.0, -1.0], &[25.0, 1.0]), 9.0 + 16.0 + 9.0);
    }

    #[test]
    fn singular_covariances_are_fine() {
        check(&diagonal(&[1.0, 2.0], &[0.0, 0.0]), &diagonal(&[1.0, 2.0], &[0.0, 4.0]), 4.0);
        check(&diagonal(&[1.0, 2.0], &[1.0, 0.0]), &diagonal(&[1.0, 2.0], &[0.0, 4.0]), 5.0);
    }

    #[test]
    fn rotation_changes_nothing() {
        let rotation = nalgebra::Rotation3::from_euler_angles(0.3, -1.1, 2.0);
        let turn = DMatrix::from_iterator(3, 3, rotation.matrix().iter().copied());
        let rotate = |g: &Gaussian| Gaussian {
            mean: &turn * &g.mean,
            covariance: &turn * &g.covariance * turn.transpose(),
        };
        let (a, b) =
            (diagonal(&[1.0, 0.0, 2.0], &[1.0, 4.0, 9.0]), diagonal(&[0.0, 3.0, 2.0], &[16.0, 1.0, 9.0]));
        check(&rotate(&a), &rotate(&b), 10.0 + 9.0 + 1.0);
    }

    #[test]
    fn covariances_that_do_not_commute() {
        // In two dimensions tr (C C')^(1/2) = sqrt(tr(C C') + 2 sqrt(det C det C')).
        let a = Gaussian {
            mean: DVector::zeros(2),
            covariance: DMatrix::from_row_slice(2, 2, &[4.0, 1.0, 1.0, 2.0]),
        };
        let b = Gaussian {
            mean: DVector::zeros(2),
            covariance: DMatrix::from_row_slice(2, 2, &[1.0, -0.5, -0.5, 3.0]),
        };
        let overlap = ((4.0 - 0.5) + (-0.5 + 6.0) + 2.0 * (7.0f64 * 2.75).sqrt()).sqrt();
        check(&a, &b, 6.0 + 4.0 - 2.0 * overlap);
    }

    #[test]
    fn fitting_counts_by_hand() -> Result<()> {
        let features = Features::new(2, vec![1.0, 2.0, 3.0, 2.0, 5.0, 8.0])?;
        let fitted = Gaussian::fit(&features)?;
        assert_eq!(fitted.mean.as_slice(), [3.0, 4.0]);
        assert_eq!(fitted.covariance.as_slice(), [4.0, 6.0, 6.0, 12.0]);
        assert_eq!(
            frechet_distance(&fitted, &fitted)?.max(tolerance(&fitted, &fitted)),
            tolerance(&fitted, &fitted)
        );
        Ok(())
    }

    #[test]
    fn blocks_do_not_show() -> Result<()> {
        // 0, 1, ..., n-1 has variance n (n + 1) / 12.
        let n = 2 * BLOCK_ROWS + 5;
        let fitted = Gaussian::fit(&Features::new(1, (0..n).map(|i| i as f32).collect())?)?;
        let expected = (n * (n + 1)) as f64 / 12.0;
        assert_eq!(fitted.mean[0], (n - 1) as f64 / 2.0);
        assert!((fitted.covariance[0] - expected).abs() <= n as f64 * f64::EPSILON * expected);
        Ok(())
    }

    #[test]
    fn infinite_covariances_are_errors() {
        let a = diagonal(&[0.0], &[f64::INFINITY]);
        assert!(frechet_distance(&a, &a).is_err());
        assert!(frechet_distance(&diagonal(&[0.0], &[1.0]), &diagonal(&[0.0; 2], &[1.0; 2])).is_err());
    }
}
