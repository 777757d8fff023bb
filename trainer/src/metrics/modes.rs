//! Which modes of a known distribution a generator reaches, and in which shares: no network is needed.
//!
//! In: points and the Gaussians they should come from ([`Modes`]), or predicted classes and the shares they should have
//! ([`Classes`]). Out: a report for each set. Divergences are in nats.

mod classes;
mod divergence;

use anyhow::{Result, ensure};

pub use classes::{ClassReport, Classes};
pub use divergence::{Floor, jensen_shannon, kl, kl_floor, simulated_kl_floor};

/// A mixture of round Gaussians of one width in the plane.
#[derive(Clone, Debug)]
pub struct Modes {
    centres: Vec<[f64; 2]>,
    sigma: f64,
    weights: Vec<f64>,
}

/// What a set of points has of a mixture. A point is of high quality within [`RADIUS`] sigma of the nearest centre.
#[derive(Clone, Debug, PartialEq)]
pub struct ModeReport {
    /// Points that were measured.
    pub samples: usize,
    /// Modes with at least one point of high quality.
    pub modes: usize,
    /// Modes of the mixture.
    pub mode_count: usize,
    /// Points of high quality of each mode.
    pub counts: Vec<usize>,
    /// Share of points of high quality; a perfect generator has [`high_quality_ceiling`], more means shrunken modes.
    pub high_quality: f64,
    /// Spread inside the modes; absent where no mode has [`ENOUGH`] points.
    pub variance_ratio: Option<VarianceRatio>,
    /// KL(points || weights) over the modes, of points of high quality; absent where there are none.
    pub reverse_kl: Option<f64>,
    /// Jensen-Shannon divergence of the same two, at most ln 2; absent where there are none.
    pub jensen_shannon: Option<f64>,
}

/// Variance of the points of high quality of a mode around their mean, over that of a perfect generator: 1 is right, 0
/// a collapse onto one point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VarianceRatio {
    /// Over the modes that have at least [`ENOUGH`] points.
    pub mean: f64,
    /// Of the narrowest of them.
    pub min: f64,
    /// Of the widest of them.
    pub max: f64,
}

/// A point this many sigma or more from every centre is of no mode.
pub const RADIUS: f64 = 3.0;

/// Points of high quality that a mode needs for its variance to mean something: its standard error is then at most a
/// fifth.
pub const ENOUGH: usize = 20;

impl Modes {
    /// Modes of equal weight.
    ///
    /// # Errors
    /// As [`Modes::weighted`].
    pub fn new(centres: Vec<[f64; 2]>, sigma: f64) -> Result<Self> {
        let weights = vec![1.0; centres.len()];
        Self::weighted(centres, sigma, &weights)
    }

    /// Modes with the shares `weights`, which are divided by their sum.
    ///
    /// # Errors
    /// When there is no centre, two are closer than sigma, or a number is none that a mixture has.
    pub fn weighted(centres: Vec<[f64; 2]>, sigma: f64, weights: &[f64]) -> Result<Self> {
        ensure!(!centres.is_empty(), "a mixture needs a mode");
        ensure!(sigma.is_finite() && sigma > 0.0, "modes with a standard deviation of {sigma}");
        ensure!(centres.len() == weights.len(), "{} weights of {} modes", weights.len(), centres.len());
        ensure!(centres.as_flattened().iter().all(|value| value.is_finite()), "a centre is not finite");
        for (i, a) in centres.iter().enumerate() {
            if let Some(j) = centres[..i].iter().position(|b| squared_distance(*a, *b) < sigma * sigma) {
                anyhow::bail!("modes {j} and {i} are one place: give it once, with both weights");
            }
        }
        Ok(Self { weights: divergence::shares(weights)?, centres, sigma })
    }

    /// Number of modes.
    pub fn len(&self) -> usize {
        self.centres.len()
    }

    /// Never: a mixture has at least one mode.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// The share of each mode; their sum is 1.
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }

    /// Measures points. The protocol of PacGAN takes 2500.
    ///
    /// # Shapes
    /// `points`: `[N, 2]`, row-major.
    ///
    /// # Errors
    /// When there are none or a value is not finite: a generator that diverged has no modes.
    ///
    /// # Source
    /// Srivastava et al. 2017, "VEEGAN", arXiv:1705.07761; Lin et al. 2018, "PacGAN", arXiv:1712.04086, section 4.1. The
    /// variance ratio is ours: a generator that shrinks its modes passes every other figure.
    pub fn measure(&self, points: &[f32]) -> Result<ModeReport> {
        let (rows, rest) = points.as_chunks::<2>();
        ensure!(!rows.is_empty() && rest.is_empty(), "{} values are no points of the plane", points.len());
        ensure!(points.iter().all(|value| value.is_finite()), "a point is not finite");

        let mut spreads = vec![Spread::default(); self.len()];
        for &[x, y] in rows {
            let point = [f64::from(x), f64::from(y)];
            let (mode, distance) = self.nearest(point);
            if distance < (RADIUS * self.sigma).powi(2) {
                let centre = self.centres[mode];
                spreads[mode].add([(point[0] - centre[0]) / self.sigma, (point[1] - centre[1]) / self.sigma]);
            }
        }
        let counts: Vec<usize> = spreads.iter().map(|spread| spread.count).collect();
        let found: usize = counts.iter().sum();
        let ratios: Vec<f64> = spreads
            .iter()
            .filter(|spread| spread.count >= ENOUGH)
            .map(|spread| spread.variance() / truncated_variance())
            .collect();
        let shares: Vec<f64> = counts.iter().map(|&count| count as f64 / found as f64).collect();
        Ok(ModeReport {
            samples: rows.len(),
            mode_count: self.len(),
            modes: counts.iter().filter(|&&count| count > 0).count(),
            high_quality: found as f64 / rows.len() as f64,
            variance_ratio: VarianceRatio::of(&ratios),
            reverse_kl: (found > 0).then(|| kl(&shares, &self.weights)),
            jensen_shannon: (found > 0).then(|| jensen_shannon(&shares, &self.weights)),
            counts,
        })
    }

    /// The nearest centre and the squared distance to it.
    fn nearest(&self, point: [f64; 2]) -> (usize, f64) {
        let mut best = (0, f64::INFINITY);
        for (i, &centre) in self.centres.iter().enumerate() {
            let distance = squared_distance(point, centre);
            if distance < best.1 {
                best = (i, distance);
            }
        }
        best
    }
}

impl VarianceRatio {
    fn of(ratios: &[f64]) -> Option<Self> {
        let mean = ratios.iter().sum::<f64>() / ratios.len() as f64;
        let min = ratios.iter().copied().reduce(f64::min)?;
        let max = ratios.iter().copied().reduce(f64::max)?;
        Some(Self { mean, min, max })
    }
}

/// The share of a round Gaussian in the plane within [`RADIUS`] sigma of its centre, 98.889 %.
///
/// Half the squared distance in sigma has an exponential distribution.
pub fn high_quality_ceiling() -> f64 {
    1.0 - (-RADIUS * RADIUS / 2.0).exp()
}

/// Variance of a coordinate within [`RADIUS`] sigma of the centre, in sigma squared, 0.949.
///
/// The mean of an exponential distribution that is cut off at `t` is `1 - t / (e^t - 1)`.
fn truncated_variance() -> f64 {
    let t = RADIUS * RADIUS / 2.0;
    1.0 - t / t.exp_m1()
}

/// Running sums of offsets from a centre, which are small: squares lose nothing.
#[derive(Clone, Default)]
struct Spread {
    count: usize,
    sum: [f64; 2],
    squares: f64,
}

impl Spread {
    fn add(&mut self, [x, y]: [f64; 2]) {
        self.count += 1;
        self.sum[0] += x;
        self.sum[1] += y;
        self.squares += x * x + y * y;
    }

    /// Of one coordinate, the mean of both, without bias.
    fn variance(&self) -> f64 {
        let n = self.count as f64;
        let of_mean = (self.sum[0].powi(2) + self.sum[1].powi(2)) / n;
        (self.squares - of_mean).max(0.0) / (2.0 * (n - 1.0))
    }
}

fn squared_distance(a: [f64; 2], b: [f64; 2]) -> f64 {
    (a[0] - b[0]).powi(2) + (a[1] - b[1]).powi(2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::noise;

    /// Eight modes on a circle, as in PacGAN.
    fn ring() -> Modes {
        let angle = |k: usize| core::f64::consts::TAU * k as f64 / 8.0;
        Modes::new((0..8).map(|k| [angle(k).cos(), angle(k).sin()]).collect(), 0.01).expect("a mixture")
    }

    /// `n` points of a perfect generator, whose modes are `width` times as wide.
    fn perfect(modes: &Modes, n: usize, width: f64, seed: u64) -> Vec<f32> {
        let mut normal = vec![0.0; 2 * n];
        noise::fill_normal(seed, &mut normal);
        let mut rng = noise::rng(seed + 1);
        for point in normal.as_chunks_mut::<2>().0 {
            let mut u = f64::from(noise::uniform(&mut rng));
            let mode = modes.weights.iter().position(|weight| {
                u -= weight;
                u < 0.0
            });
            let centre = modes.centres[mode.unwrap_or(0)];
            for axis in 0..2 {
                point[axis] = (centre[axis] + modes.sigma * width * f64::from(point[axis])) as f32;
            }
        }
        normal
    }

    #[test]
    fn points_by_hand() -> Result<()> {
        let modes = Modes::weighted(vec![[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]], 1.0, &[2.0, 1.0, 1.0])?;
        // Three near the first centre, one near the second, two nowhere: one just outside, one exactly on the border.
        let report = modes.measure(&[0.0, 0.0, 1.0, -1.0, 2.0, 2.0, 10.0, 2.5, 2.2, 2.2, 10.0, -3.0])?;
        assert_eq!((report.samples, report.mode_count, report.modes), (6, 3, 2));
        assert_eq!(report.counts, [3, 1, 0]);
        assert_eq!(report.high_quality, 4.0 / 6.0);
        assert_eq!(report.variance_ratio, None);
        // 3/4 ln (3/4 / 1/2) + 1/4 ln (1/4 / 1/4)
        assert_eq!(report.reverse_kl, Some(0.75 * 1.5f64.ln()));
        // Middle: 5/8, 1/4, 1/8.
        let expected = 0.5 * (0.75 * 1.2f64.ln()) + 0.5 * (0.5 * 0.8f64.ln() + 0.25 * 2.0f64.ln());
        let found = report.jensen_shannon.expect("there are points");
        assert!((found - expected).abs() < 8.0 * f64::EPSILON, "{found} {expected}");
        Ok(())
    }

    #[test]
    fn variances_by_hand() -> Result<()> {
        // Ten points at each of (0.5, 1) and (1.5, 1), in units of sigma: the deviation is 0.5 in one coordinate.
        let modes = Modes::new(vec![[4.0, 4.0], [-4.0, 4.0]], 0.5)?;
        let pair = [4.25, 4.5, 4.75, 4.5];
        let report = modes.measure(&pair.repeat(ENOUGH / 2))?;
        let variance = ENOUGH as f64 * 0.25 / (2.0 * (ENOUGH as f64 - 1.0));
        let ratio = report.variance_ratio.expect("enough points");
        assert_eq!((ratio.mean, ratio.min), (ratio.max, ratio.max));
        assert!((ratio.mean - variance / 0.949_448).abs() < 1e-6, "six digits of the variance, {ratio:?}");
        assert_eq!(modes.measure(&pair.repeat(ENOUGH / 2 - 1))?.variance_ratio, None);
        assert_eq!(modes.measure(&[4.0; 2 * ENOUGH])?.variance_ratio.map(|ratio| ratio.max), Some(0.0));
        Ok(())
    }

    #[test]
    fn a_perfect_generator_meets_its_ceilings() -> Result<()> {
        let lsgan = {
            let mut weights = [1.0; 8];
            weights[0] = 2.0;
            Modes::weighted(ring().centres, 0.01, &weights)?
        };
        assert_eq!(lsgan.weights()[..2], [2.0 / 9.0, 1.0 / 9.0]);
        for (seed, modes) in [(1, ring()), (2, lsgan)] {
            let n = 20_000;
            let report = modes.measure(&perfect(&modes, n, 1.0, seed))?;
            let found = n as f64 * report.high_quality;
            assert_eq!(report.modes, 8);
            // Five standard errors of a share. A coordinate is rounded by at most 2^-25, 3e-6 sigma: nothing beside it.
            let p = high_quality_ceiling();
            assert!((report.high_quality - p).abs() < 5.0 * (p * (1.0 - p) / n as f64).sqrt(), "{report:?}");
            // Half a squared radius is exponential, its variance below 1; a mode has at least n / 9 points, less 10 %, five standard errors.
            let error = 1.0 / (0.9 * p * n as f64 / 9.0).sqrt() / truncated_variance();
            let ratio = report.variance_ratio.expect("enough points");
            assert!(ratio.min > 1.0 - 5.0 * error && ratio.max < 1.0 + 5.0 * error, "{ratio:?}, +- {error}");
            // 2 N KL is chi squared with 7 degrees of freedom: above 33 once in 40,000 times.
            assert!(report.reverse_kl.is_some_and(|kl| kl < 33.0 / (2.0 * found)), "{report:?}");
            assert!(report.jensen_shannon < report.reverse_kl);
        }
        Ok(())
    }

    #[test]
    fn faults_show() -> Result<()> {
        let (n, modes) = (5000, ring());
        let shrunken = modes.measure(&perfect(&modes, n, 0.5, 3))?;
        // Beyond six of its own sigma lies e^-18 of a Gaussian: no point of 5000 in all likelihood.
        assert_eq!(shrunken.high_quality, 1.0);
        // A quarter of the variance, whole: truncation is nothing.
        let expected = 0.25 / truncated_variance();
        let error = expected / (0.8 * n as f64 / 8.0).sqrt();
        let ratio = shrunken.variance_ratio.expect("enough points");
        assert!((ratio.min - expected).abs() < 5.0 * error && (ratio.max - expected).abs() < 5.0 * error);

        let collapsed = modes.measure(&[1.0, 0.0].repeat(n))?;
        assert_eq!((collapsed.modes, collapsed.high_quality), (1, 1.0));
        assert!(collapsed.reverse_kl.is_some_and(|kl| (kl - 8f64.ln()).abs() < 4.0 * f64::EPSILON));
        let lost = modes.measure(&[9.0; 10])?;
        assert_eq!((lost.modes, lost.high_quality), (0, 0.0));
        assert_eq!((lost.reverse_kl, lost.jensen_shannon), (None, None));
        Ok(())
    }

    #[test]
    fn what_is_no_mixture_is_an_error() {
        assert!(Modes::new(vec![], 1.0).is_err());
        assert!(Modes::new(vec![[0.0, 0.0]], 0.0).is_err());
        assert!(Modes::new(vec![[0.0, f64::NAN]], 1.0).is_err());
        assert!(Modes::weighted(vec![[0.0, 0.0]], 1.0, &[0.0]).is_err());
        assert!(Modes::weighted(vec![[0.0, 0.0]], 1.0, &[1.0, 1.0]).is_err());
        let twice = Modes::new(vec![[1.0, 0.0], [5.0, 0.0], [1.0, -1e-16]], 0.01);
        assert!(twice.expect_err("a place twice").to_string().contains("modes 0 and 2"));
        assert!(ring().measure(&[]).is_err() && ring().measure(&[0.0; 3]).is_err());
        assert!(ring().measure(&[0.0, f32::NAN]).is_err());
    }
}
