//! How many modes samples have, and how evenly.

use anyhow::{Result, ensure};

/// Round Gaussians in the plane.
pub(super) struct Modes {
    centres: Vec<[f64; 2]>,
    sigma: f64,
    weights: Vec<f64>,
}

/// Classes and the shares that they should have.
pub(super) struct Classes(Vec<f64>);

/// What points have of a mixture.
pub(super) struct ModeReport {
    /// Modes with a point within three sigma.
    pub(super) modes_hit: usize,
    /// Share of points within three sigma of a mode.
    pub(super) high_quality: f64,
    /// Variance inside the modes over that of a perfect generator, where modes have 20 points.
    pub(super) variance_ratio: Option<VarianceRatio>,
    /// Divergence of the shares of the modes from those of the data, in nats; of no point none.
    pub(super) reverse_kl: Option<f64>,
}

pub(super) struct VarianceRatio {
    pub(super) mean: f64,
}

pub(super) struct ClassReport {
    pub(super) modes_hit: usize,
    pub(super) kl: f64,
}

impl Modes {
    pub(super) fn weighted(centres: Vec<[f64; 2]>, sigma: f64, weights: &[f64]) -> Result<Self> {
        Ok(Self { centres, sigma, weights: shares(weights) })
    }

    /// `points`: `[N, 2]`.
    pub(super) fn measure(&self, points: &[f32]) -> Result<ModeReport> {
        const ENOUGH: usize = 20;
        ensure!(points.iter().all(|value| value.is_finite()), "a point is not finite");
        let mut members = vec![vec![]; self.centres.len()];
        for point in points.chunks_exact(2) {
            let offset = |centre: &[f64; 2]| [0, 1].map(|axis| f64::from(point[axis]) - centre[axis]);
            let offsets = self.centres.iter().map(offset).enumerate();
            let nearest = offsets.min_by(|(_, a), (_, b)| square(a).total_cmp(&square(b)));
            if let Some((mode, offset)) = nearest
                && square(&offset) < (3.0 * self.sigma).powi(2)
            {
                members[mode].push(offset);
            }
        }
        let counts: Vec<f64> = members.iter().map(|own| own.len() as f64).collect();
        let good: f64 = counts.iter().sum();
        // The mean of an exponential distribution that is cut off at t is 1 - t / (e^t - 1).
        let variance = (1.0 - 4.5 / 4.5f64.exp_m1()) * self.sigma.powi(2);
        let ratios: Vec<f64> =
            members.iter().filter(|own| own.len() >= ENOUGH).map(|own| spread(own) / variance).collect();
        let mean = ratios.iter().sum::<f64>() / ratios.len() as f64;
        Ok(ModeReport {
            modes_hit: members.iter().filter(|own| !own.is_empty()).count(),
            high_quality: good / (points.len() / 2) as f64,
            variance_ratio: (!ratios.is_empty()).then_some(VarianceRatio { mean }),
            reverse_kl: (good > 0.0).then(|| kl(&shares(&counts), &self.weights)),
        })
    }
}

impl Classes {
    pub(super) fn uniform(classes: usize) -> Result<Self> {
        Ok(Self(shares(&vec![1.0; classes])))
    }

    pub(super) fn measure(&self, predicted: &[u32]) -> Result<ClassReport> {
        let mut counts = vec![0.0; self.0.len()];
        predicted.iter().for_each(|&class| counts[class as usize] += 1.0);
        let modes_hit = counts.iter().filter(|&&count| count > 0.0).count();
        Ok(ClassReport { modes_hit, kl: kl(&shares(&counts), &self.0) })
    }
}

fn shares(weights: &[f64]) -> Vec<f64> {
    let sum: f64 = weights.iter().sum();
    weights.iter().map(|weight| weight / sum).collect()
}

fn kl(p: &[f64], q: &[f64]) -> f64 {
    p.iter().zip(q).map(|(&p, &q)| if p > 0.0 { p * (p / q).ln() } else { 0.0 }).sum()
}

/// Unbiased variance, mean of both axes.
fn spread(points: &[[f64; 2]]) -> f64 {
    let n = points.len() as f64;
    let axis = |axis: usize| {
        let mean = points.iter().map(|point| point[axis]).sum::<f64>() / n;
        points.iter().map(|point| (point[axis] - mean).powi(2)).sum::<f64>() / (n - 1.0)
    };
    (axis(0) + axis(1)) / 2.0
}

fn square([x, y]: &[f64; 2]) -> f64 {
    x * x + y * y
}
