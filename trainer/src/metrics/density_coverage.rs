//! Density and coverage: precision and recall that an outlier does not move.

use anyhow::{Result, ensure};
use rayon::prelude::*;

use super::distance::{squared_distance, squared_radii};
use super::{Features, ensure_neighbours, ensure_same_dim};

/// Both from the balls around real images alone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DensityCoverage {
    /// Real balls that a generated image lies in on average, over the number of neighbours: fidelity. 1 on average
    /// where both sets are alike; may be more.
    pub density: f64,
    /// Share of real balls that a generated image lies in: diversity. [`coverage_ceiling`] on average where both sets
    /// are alike.
    pub coverage: f64,
}

/// A ball around a real image reaches to its fifth nearest neighbour among real images.
///
/// Time grows with the square of the number of images.
///
/// # Errors
/// When the dimensions differ, there are fewer than six real images, or no generated one.
///
/// # Source
/// Naeem et al. 2020, arXiv:2002.09797, k = 5. As in their code, a ball has no border and an image is not a neighbour of
/// itself.
pub fn density_coverage(real: &Features, generated: &Features) -> Result<DensityCoverage> {
    ensure_same_dim(real, generated)?;
    ensure_neighbours(NEIGHBOURS, [("real", real)])?;
    ensure!(!generated.is_empty(), "no image was generated");
    let radii = squared_radii(real, NEIGHBOURS);
    let inside: Vec<usize> = (0..real.len())
        .into_par_iter()
        .map(|i| generated.rows().filter(|image| squared_distance(real.row(i), image) < radii[i]).count())
        .collect();
    let balls: usize = inside.iter().sum();
    let covered = inside.iter().filter(|&&count| count > 0).count();
    Ok(DensityCoverage {
        density: balls as f64 / (NEIGHBOURS * generated.len()) as f64,
        coverage: covered as f64 / real.len() as f64,
    })
}

/// The coverage to expect of two sets from one distribution: 0.969 for large sets of equal size.
///
/// # Source
/// Naeem et al. 2020, lemma 2: of an image, the five real neighbours that reach farthest are nearer than all generated
/// images with probability `(N-1) ... (N-k) / (M+N-1) ... (M+N-k)`.
pub fn coverage_ceiling(real: usize, generated: usize) -> f64 {
    let missed = (1..=NEIGHBOURS).map(|k| {
        let others = real.saturating_sub(k) as f64;
        others / (others + generated as f64)
    });
    1.0 - missed.product::<f64>()
}

const NEIGHBOURS: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::noise;

    fn line(points: &[f32]) -> Features {
        Features::new(1, points.to_vec()).expect("points are finite")
    }

    fn gaussian(n: usize, seed: u64) -> Features {
        let mut values = vec![0.0; 3 * n];
        noise::fill_normal(seed, &mut values);
        Features::new(3, values).expect("points are finite")
    }

    #[test]
    fn points_on_a_line_by_hand() -> Result<()> {
        // To the fifth neighbour: 5, 4, 3, 3, 4, 5.
        let real = line(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        // -4.5 lies in the ball of 0; 5.5 in those of 3, 4 and 5; 6 in those of 4 and 5, and on the border of that of 3.
        let result = density_coverage(&real, &line(&[-4.5, 5.5, 6.0]))?;
        assert_eq!(result, DensityCoverage { density: 6.0 / 15.0, coverage: 4.0 / 6.0 });
        Ok(())
    }

    #[test]
    fn like_sets_meet_both_expectations() -> Result<()> {
        // Both hold exactly at any number of images, as distances have no ties: five standard errors of the mean of
        // independent repetitions.
        let (real, generated, repeats) = (60, 40, 200);
        let results = (0..repeats)
            .map(|i| density_coverage(&gaussian(real, 2 * i), &gaussian(generated, 2 * i + 1)))
            .collect::<Result<Vec<_>>>()?;
        let check = |name: &str, expected: f64, value: fn(&DensityCoverage) -> f64| {
            let n = repeats as f64;
            let mean = results.iter().map(value).sum::<f64>() / n;
            let squares: f64 = results.iter().map(|result| (value(result) - mean).powi(2)).sum();
            let error = (squares / (n * (n - 1.0))).sqrt();
            assert!((mean - expected).abs() < 5.0 * error, "{name} {mean} +- {error}, not {expected}");
        };
        check("density", 1.0, |result| result.density);
        check("coverage", coverage_ceiling(real, generated), |result| result.coverage);
        assert!((coverage_ceiling(1 << 40, 1 << 40) - 31.0 / 32.0).abs() < 1e-9, "1 - 2^-5");
        Ok(())
    }

    #[test]
    fn a_collapsed_generator_has_density_without_coverage() -> Result<()> {
        let real = gaussian(200, 1);
        let collapsed = Features::new(3, [0.0; 3].repeat(200))?;
        let result = density_coverage(&real, &collapsed)?;
        // Balls shrink where images are dense: about five reach any place, and these are all that is covered.
        assert!(result.density > 0.5 && result.coverage < 0.1, "{result:?}");
        assert_eq!((result.density * 5.0).round(), (result.coverage * 200.0).round());
        assert!(density_coverage(&line(&[0.0; 5]), &line(&[0.0; 9])).is_err(), "five images");
        assert!(density_coverage(&line(&[0.0; 9]), &line(&[])).is_err());
        Ok(())
    }
}
