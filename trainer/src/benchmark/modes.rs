//! How many modes samples have, and how evenly.

use crate::dataset::Modes;

/// What samples say of the modes that they should have.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ModeReport {
    /// Modes with at least one good sample.
    pub(super) modes: usize,
    /// Share of samples within three standard deviations of a centre.
    pub(super) high_quality: f64,
    /// Variance within modes over that of the data, mean over the modes with two good samples.
    pub(super) variance_ratio: Option<f64>,
    /// Divergence of the shares of the modes from those of the data, in nats.
    pub(super) reverse_kl: Option<f64>,
}

/// `samples`: `[N, 2]`.
pub(super) fn of_points(samples: &[f32], modes: &Modes) -> ModeReport {
    let mut members = vec![vec![]; modes.centres.len()];
    for sample in samples.chunks_exact(2) {
        let offset = |centre: &[f64; 2]| [0, 1].map(|axis| f64::from(sample[axis]) - centre[axis]);
        let nearest = modes
            .centres
            .iter()
            .map(|centre| offset(centre))
            .enumerate()
            .min_by(|(_, a), (_, b)| square(a).total_cmp(&square(b)));
        if let Some((mode, offset)) = nearest
            && square(&offset) < (3.0 * modes.sigma).powi(2)
        {
            members[mode].push(offset);
        }
    }
    let good: usize = members.iter().map(Vec::len).sum();
    let ratios: Vec<f64> =
        members.iter().filter(|own| own.len() > 1).map(|own| spread(own) / modes.sigma.powi(2)).collect();
    let counts: Vec<usize> = members.iter().map(Vec::len).collect();
    ModeReport {
        modes: counts.iter().filter(|&&count| count > 0).count(),
        high_quality: good as f64 / (samples.len() / 2) as f64,
        variance_ratio: (!ratios.is_empty()).then(|| ratios.iter().sum::<f64>() / ratios.len() as f64),
        reverse_kl: reverse_kl(&counts, |mode| modes.weight(mode)),
    }
}

/// `classes`: of each sample, below `count`.
pub(super) fn of_classes(classes: &[usize], count: usize) -> ModeReport {
    let mut counts = vec![0; count];
    classes.iter().for_each(|&class| counts[class] += 1);
    ModeReport {
        modes: counts.iter().filter(|&&count| count > 0).count(),
        high_quality: 1.0,
        variance_ratio: None,
        reverse_kl: reverse_kl(&counts, |_| 1.0 / count as f64),
    }
}

/// Nothing without samples.
fn reverse_kl(counts: &[usize], weight: impl Fn(usize) -> f64) -> Option<f64> {
    let total = counts.iter().sum::<usize>() as f64;
    let term = |(mode, &count): (usize, &usize)| {
        let share = count as f64 / total;
        if count == 0 { 0.0 } else { share * (share / weight(mode)).ln() }
    };
    (total > 0.0).then(|| counts.iter().enumerate().map(term).sum())
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
