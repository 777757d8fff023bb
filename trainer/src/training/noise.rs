//! The only source of random numbers in training: stateless draws named by a seed, a stream and an index.
//!
//! Nothing here keeps state, so a resumed run draws what the uninterrupted one would have drawn.

use rand_xoshiro::Xoshiro128PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

/// What a draw is for. Two streams of one run never share numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Initial weights.
    Weights = 1,
    /// Latents of the training steps.
    Latents = 2,
    /// Order of the images in an epoch.
    Order = 3,
    /// Latents of the sample grids.
    Samples = 4,
    /// Latents over which standing statistics are averaged.
    Statistics = 5,
    /// Images, latents and changes that a judge is trained on.
    Judge = 6,
    /// Points at which the gradient of a discriminator is penalised.
    Penalty = 7,
    /// Changes that real and generated images undergo before they are judged.
    Augment = 8,
    /// Noise added to them.
    InstanceNoise = 9,
    /// Items of data sets that are drawn, not read.
    Data = 10,
    /// Patches, projections and simulated floors of metrics.
    Metrics = 64,
    /// Images and latents with which a run is watched and evaluated.
    Watch = 20,
    /// Latents that an encoder is trained on.
    Encoder = 30,
    /// Which images have their labels known.
    Labels = 31,
}

/// The seed of draw number `index` in a stream of the run with `seed`.
pub fn seed_of(seed: u64, stream: Stream, index: u64) -> u64 {
    mix(mix(mix(seed).wrapping_add(stream as u64)).wrapping_add(index))
}

/// A generator for `seed`.
pub fn rng(seed: u64) -> Xoshiro128PlusPlus {
    Xoshiro128PlusPlus::seed_from_u64(seed)
}

/// Fills `values` with independent standard normal numbers.
///
/// # Source
/// Marsaglia and Bray 1964, the polar method, in `f64`.
pub fn fill_normal(seed: u64, values: &mut [f32]) {
    let mut rng = rng(seed);
    for pair in values.chunks_mut(2) {
        let normal = normal_pair(&mut rng);
        for (value, normal) in pair.iter_mut().zip(normal) {
            *value = normal as f32;
        }
    }
}

/// Uniform in `[0, 1)`, 24 bits.
pub fn uniform(rng: &mut Xoshiro128PlusPlus) -> f32 {
    (rng.next_u32() >> 8) as f32 * (1.0 / (1 << 24) as f32)
}

/// Uniform integer in `0..n`, the multiply-shift of Lemire 2019 without its rejection: the bias is below `n / 2^32`.
///
/// # Panics
/// When `n` is zero.
pub fn below(rng: &mut Xoshiro128PlusPlus, n: u32) -> u32 {
    assert!(n > 0, "an empty range has no element");
    ((u64::from(rng.next_u32()) * u64::from(n)) >> 32) as u32
}

/// The numbers `0..len` in random order.
///
/// # Source
/// Fisher and Yates, in the form of Durstenfeld 1964.
pub fn permutation(seed: u64, len: usize) -> Vec<u32> {
    let mut rng = rng(seed);
    let mut order: Vec<u32> = (0..len as u32).collect();
    for i in (1..order.len()).rev() {
        order.swap(i, below(&mut rng, i as u32 + 1) as usize);
    }
    order
}

fn normal_pair(rng: &mut Xoshiro128PlusPlus) -> [f64; 2] {
    loop {
        let u = f64::from(uniform(rng)) * 2.0 - 1.0;
        let v = f64::from(uniform(rng)) * 2.0 - 1.0;
        let s = u * u + v * v;
        if s > 0.0 && s < 1.0 {
            let scale = (-2.0 * s.ln() / s).sqrt();
            return [u * scale, v * scale];
        }
    }
}

/// The finaliser of SplitMix64: a bijection that spreads neighbouring seeds.
fn mix(value: u64) -> u64 {
    let z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_moments() {
        let mut values = vec![0.0; 100_001];
        fill_normal(7, &mut values);
        let n = values.len() as f64;
        let moment = |power: i32| values.iter().map(|&v| f64::from(v).powi(power)).sum::<f64>() / n;
        // Five standard errors of the sample moments: sqrt(var(x^p) / n) with var 1, 2, 96 for p = 1, 2, 4.
        assert!(moment(1).abs() < 5.0 * (1.0 / n).sqrt());
        assert!((moment(2) - 1.0).abs() < 5.0 * (2.0 / n).sqrt());
        assert!((moment(4) - 3.0).abs() < 5.0 * (96.0 / n).sqrt());
    }

    #[test]
    fn permutation_has_every_number_once() {
        let order = permutation(3, 1000);
        assert_ne!(order, (0..1000).collect::<Vec<_>>());
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..1000).collect::<Vec<_>>());
        assert_eq!(order, permutation(3, 1000));
        assert_ne!(order, permutation(4, 1000));
    }

    #[test]
    fn streams_and_indices_have_their_own_seeds() {
        let mut seeds = vec![];
        for seed in 0..4 {
            for stream in [
                Stream::Weights,
                Stream::Latents,
                Stream::Order,
                Stream::Samples,
                Stream::Statistics,
                Stream::Judge,
                Stream::Penalty,
                Stream::Augment,
                Stream::InstanceNoise,
                Stream::Encoder,
                Stream::Labels,
            ] {
                seeds.extend((0..100).map(|i| seed_of(seed, stream, i)));
            }
        }
        let len = seeds.len();
        seeds.sort_unstable();
        seeds.dedup();
        assert_eq!(seeds.len(), len);
    }
}
