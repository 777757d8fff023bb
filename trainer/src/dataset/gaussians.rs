//! Points of the plane around some centres, on which one sees what a generator leaves out.

use core::f64::consts::TAU;

use anyhow::Result;

use super::{Dataset, Split};
use crate::training::noise::{self, Stream};

/// A mixture of round Gaussians in the plane. The data is drawn from it, and generated points are measured by it.
#[derive(Clone, Debug, PartialEq)]
pub struct Mixture {
    /// Means of the Gaussians.
    pub centres: Vec<[f64; 2]>,
    /// How many points each has in relation to the others, in whole numbers.
    pub shares: Vec<u32>,
    /// Standard deviation along each axis.
    pub sigma: f64,
}

impl Mixture {
    /// 8 places of the unit circle.
    ///
    /// # Source
    /// Lin et al. 2018, "PacGAN: The power of two samples in generative adversarial networks", arXiv:1712.04086, "2D-ring",
    /// and its reference code.
    pub fn ring() -> Self {
        let centres = (0..8).map(|k| (TAU * f64::from(k) / 8.0).sin_cos()).map(|(sin, cos)| [cos, sin]);
        Self { centres: centres.collect(), shares: vec![1; 8], sigma: 0.01 }
    }

    /// The 25 crossings of a grid from -4 to 4 in steps of 2.
    ///
    /// # Source
    /// Lin et al. 2018, arXiv:1712.04086, "2D-grid", and its reference code.
    pub fn grid() -> Self {
        let line = [-4.0, -2.0, 0.0, 2.0, 4.0];
        let centres = line.into_iter().flat_map(|x| line.into_iter().map(move |y| [x, y]));
        Self { centres: centres.collect(), shares: vec![1; 25], sigma: 0.05 }
    }

    /// The ring with twice as many points around its first place: nine means from 0 to 2 pi, of which the last is the first
    /// again.
    ///
    /// # Source
    /// Mao et al. 2019, "On the Effectiveness of Least Squares Generative Adversarial Networks", arXiv:1712.06391, and its
    /// reference code, which takes the means from `linspace(0, 2 pi, 9)`.
    pub fn lopsided() -> Self {
        let mut mixture = Self::ring();
        mixture.shares[0] = 2;
        mixture
    }

    /// Share of the points that are around centre `mode`.
    ///
    /// # Panics
    /// When there is no such centre.
    pub fn weight(&self, mode: usize) -> f64 {
        f64::from(self.shares[mode]) / f64::from(self.shares.iter().sum::<u32>())
    }

    /// `count` points `[count, 2]` and the centre of each.
    fn draw(&self, count: usize, seed: u64) -> (Vec<f32>, Vec<u8>) {
        let total = self.shares.iter().sum();
        let mut rng = noise::rng(noise::seed_of(seed, Stream::Data, 0));
        let mut offsets = vec![0.0; 2 * count];
        noise::fill_normal(noise::seed_of(seed, Stream::Data, 1), &mut offsets);
        let labels: Vec<u8> = (0..count).map(|_| self.mode_of(noise::below(&mut rng, total))).collect();
        let points = offsets.chunks_exact(2).zip(&labels).flat_map(|(offset, &mode)| {
            let centre = self.centres[usize::from(mode)];
            [0, 1].map(|axis| (centre[axis] + self.sigma * f64::from(offset[axis])) as f32)
        });
        (points.collect(), labels)
    }

    /// The mode of a number below the sum of the shares.
    fn mode_of(&self, ticket: u32) -> u8 {
        let mut end = 0;
        let before = self.shares.iter().take_while(|&&share| {
            end += share;
            end <= ticket
        });
        before.count() as u8
    }
}

/// The points of one part, always the same: as with images from files, a run's seed decides only their order.
pub(super) fn dataset(name: &str, mixture: &Mixture, split: Split) -> Result<Dataset> {
    let seed = match split {
        Split::Train => 0,
        Split::Test => 1,
    };
    let (points, labels) = mixture.draw(POINTS, seed);
    Dataset::from_values(name, [2, 1, 1], points, Some(labels))
}

/// As in the reference code of PacGAN.
const POINTS: usize = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn centres_are_where_the_papers_put_them() {
        let ring = Mixture::ring();
        assert_eq!(ring.centres.len(), 8);
        let diagonal = 0.5f64.sqrt();
        for (mode, expected) in [(0, [1.0, 0.0]), (1, [diagonal, diagonal]), (4, [-1.0, 0.0])] {
            for (is, should) in ring.centres[mode].into_iter().zip(expected) {
                // Sines and cosines are off by an ulp or two of numbers below 1; pi itself by less than 2^-52.
                assert!((is - should).abs() < 4.0 * f64::EPSILON, "{mode}: {is} {should}");
            }
        }
        let grid = Mixture::grid();
        assert_eq!((grid.centres.len(), grid.centres[0], grid.centres[24]), (25, [-4.0, -4.0], [4.0, 4.0]));
        assert_eq!([0, 1, 7].map(|mode| Mixture::lopsided().weight(mode)), [2.0 / 9.0, 1.0 / 9.0, 1.0 / 9.0]);
    }

    #[test]
    fn every_mode_has_its_share_mean_and_spread() {
        for mixture in [Mixture::ring(), Mixture::grid(), Mixture::lopsided()] {
            let dataset = dataset("t", &mixture, Split::Train).unwrap();
            assert_eq!(dataset.len(), POINTS);
            let points = dataset.images(&(0..POINTS).collect::<Vec<_>>());
            for (mode, centre) in mixture.centres.iter().enumerate() {
                let own: Vec<&[f32]> = (0..POINTS)
                    .filter(|&i| dataset.label(i) == Some(mode as u32))
                    .map(|i| &points[2 * i..][..2])
                    .collect();
                let (n, weight) = (own.len() as f64, mixture.weight(mode));
                // Five standard errors of each: a binomial count, a mean, and a variance of normal numbers.
                let spread = (POINTS as f64 * weight * (1.0 - weight)).sqrt();
                assert!((n - POINTS as f64 * weight).abs() < 5.0 * spread, "mode {mode} has {n} points");
                for axis in 0..2 {
                    let offset = |point: &&[f32]| f64::from(point[axis]) - centre[axis];
                    let mean = own.iter().map(offset).sum::<f64>() / n;
                    assert!(mean.abs() < 5.0 * mixture.sigma / n.sqrt(), "mode {mode}: mean {mean}");
                    let variance = own.iter().map(|point| offset(point).powi(2)).sum::<f64>() / n;
                    let ratio = variance / mixture.sigma.powi(2);
                    assert!((ratio - 1.0).abs() < 5.0 * (2.0 / n).sqrt(), "mode {mode}: variance {ratio}");
                }
            }
        }
    }

    #[test]
    fn tickets_are_dealt_by_shares() {
        let mixture = Mixture { centres: vec![[0.0; 2]; 3], shares: vec![2, 1, 3], sigma: 1.0 };
        assert_eq!([0, 1, 2, 3, 4, 5].map(|ticket| mixture.mode_of(ticket)), [0, 0, 1, 2, 2, 2]);
    }

    #[test]
    fn points_are_always_the_same_and_parts_differ() {
        let points = |split| dataset("t", &Mixture::ring(), split).unwrap().images(&[0, 1, 99_999]);
        assert_eq!(points(Split::Train), points(Split::Train));
        assert_ne!(points(Split::Train), points(Split::Test));
    }
}
