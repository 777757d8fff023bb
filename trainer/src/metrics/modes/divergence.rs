//! Divergences of shares, and how large chance alone makes them.

use anyhow::{Result, ensure};

use crate::training::noise;

/// What a perfect generator has on average.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Floor {
    /// Over the repetitions.
    pub mean: f64,
    /// Of one repetition around the mean.
    pub standard_deviation: f64,
}

/// `KL(p || q)` in nats, where 0 ln 0 = 0; infinite where `p` has what `q` has not.
///
/// # Panics
/// When the lengths differ.
pub fn kl(p: &[f64], q: &[f64]) -> f64 {
    assert_eq!(p.len(), q.len(), "shares of the same kinds");
    let sum: f64 = p.iter().zip(q).filter(|(p, _)| **p > 0.0).map(|(p, q)| p * (p / q).ln()).sum();
    // Rounding can carry a divergence of zero below it.
    sum.max(0.0)
}

/// The mean of the divergences of `p` and `q` from their middle, in nats: at most ln 2.
///
/// # Panics
/// When the lengths differ.
pub fn jensen_shannon(p: &[f64], q: &[f64]) -> f64 {
    assert_eq!(p.len(), q.len(), "shares of the same kinds");
    let middle: Vec<f64> = p.iter().zip(q).map(|(p, q)| (p + q) / 2.0).collect();
    (kl(p, &middle) + kl(q, &middle)) / 2.0
}

/// `(kinds - 1) / (2 samples)`: what `KL(p || q)` of a perfect generator is on average, when every kind is expected
/// several times; [`simulated_kl_floor`] needs no such condition.
///
/// # Source
/// Wilks 1938: twice the samples times the divergence tends to chi squared.
pub fn kl_floor(kinds: usize, samples: usize) -> f64 {
    kinds.saturating_sub(1) as f64 / (2.0 * samples as f64)
}

/// `KL(p || target)` of `samples` draws from `truth`, over `repeats` repetitions with random numbers of `seed`.
///
/// `truth` is `target` for the noise alone; another one for data that are not what the target says, as real digits are
/// not uniform.
///
/// # Errors
/// When the two are no shares of the same kinds, or there is nothing to draw.
pub fn simulated_kl_floor(
    truth: &[f64],
    target: &[f64],
    samples: usize,
    repeats: usize,
    seed: u64,
) -> Result<Floor> {
    let (truth, target) = (shares(truth)?, shares(target)?);
    ensure!(truth.len() == target.len(), "{} and {} kinds", truth.len(), target.len());
    ensure!(samples > 0 && repeats > 1, "{samples} samples, {repeats} times: no average");
    let cumulative: Vec<f64> = truth
        .iter()
        .scan(0.0, |sum, share| {
            *sum += share;
            Some(*sum)
        })
        .collect();
    let values: Vec<f64> = (0..repeats as u64)
        .map(|repeat| {
            let mut rng = noise::rng(noise::seed_of(seed, noise::Stream::Metrics, repeat));
            let mut counts = vec![0usize; truth.len()];
            for _ in 0..samples {
                let u = f64::from(noise::uniform(&mut rng));
                counts[cumulative.partition_point(|&sum| sum <= u).min(truth.len() - 1)] += 1;
            }
            let found: Vec<f64> = counts.iter().map(|&count| count as f64 / samples as f64).collect();
            kl(&found, &target)
        })
        .collect();
    let mean = values.iter().sum::<f64>() / repeats as f64;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    Ok(Floor { mean, standard_deviation: (squares / (repeats - 1) as f64).sqrt() })
}

/// Weights divided by their sum.
pub(super) fn shares(weights: &[f64]) -> Result<Vec<f64>> {
    ensure!(weights.iter().all(|weight| weight.is_finite() && *weight > 0.0), "a weight is not positive");
    let sum: f64 = weights.iter().sum();
    ensure!(sum.is_finite() && sum > 0.0, "weights with a sum of {sum}");
    Ok(weights.iter().map(|weight| weight / sum).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn divergences_by_hand() {
        let (p, q) = ([0.5, 0.5, 0.0], [0.25, 0.5, 0.25]);
        assert_eq!(kl(&p, &p), 0.0);
        assert_eq!(kl(&p, &q), 0.5 * 2f64.ln());
        assert_eq!(kl(&q, &p), f64::INFINITY);
        assert_eq!(jensen_shannon(&[1.0, 0.0], &[0.0, 1.0]), 2f64.ln());
        assert_eq!(jensen_shannon(&p, &q), jensen_shannon(&q, &p));
    }

    #[test]
    fn simulation_meets_the_closed_form() -> Result<()> {
        // 2 N KL is chi squared with K - 1 degrees of freedom, whose variance is 2 (K - 1); the next term of its mean is
        // of the order (sum of 1 / q) / 6 N, which is 0.1 here, beside 24 degrees of freedom.
        let (kinds, samples, repeats) = (25, 1000, 400);
        let uniform = vec![1.0; kinds];
        let floor = simulated_kl_floor(&uniform, &uniform, samples, repeats, 11)?;
        let freedom = (kinds - 1) as f64;
        let error = 5.0 * (2.0 * freedom / repeats as f64).sqrt() + 0.2;
        assert!((floor.mean - kl_floor(kinds, samples)).abs() < error / (2.0 * samples as f64), "{floor:?}");
        assert_eq!(floor, simulated_kl_floor(&uniform, &uniform, samples, repeats, 11)?);
        // The published figures of PacGAN's 2500 samples.
        assert!((kl_floor(8, 2500) - 0.0014).abs() < 5e-5 && (kl_floor(25, 2500) - 0.0048).abs() < 5e-5);
        Ok(())
    }

    #[test]
    fn unequal_truth_adds_its_own_divergence() -> Result<()> {
        let (truth, uniform) = ([0.4, 0.3, 0.2, 0.1], [0.25; 4]);
        let floor = simulated_kl_floor(&truth, &uniform, 100_000, 20, 3)?;
        let expected = kl(&truth, &uniform) + kl_floor(4, 100_000);
        // Five standard errors of the mean, as the spread of the repetitions has it.
        assert!((floor.mean - expected).abs() < 5.0 * floor.standard_deviation / 20f64.sqrt(), "{floor:?}");
        assert!(simulated_kl_floor(&truth, &uniform, 0, 20, 3).is_err());
        assert!(simulated_kl_floor(&truth, &[1.0; 3], 10, 20, 3).is_err());
        assert!(simulated_kl_floor(&[0.0, 1.0], &[1.0; 2], 10, 20, 3).is_err());
        Ok(())
    }
}
