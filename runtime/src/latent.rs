//! The only source of random numbers: a seed becomes the same latent vector, bit for bit, on every target.
//!
//! xoshiro128++ gives the bits. A standard normal is drawn from them by the inverse of its distribution function in
//! plain `f32` additions, multiplications, divisions and square roots, which IEEE 754 defines to the bit and which Rust
//! never contracts; no mathematical library takes part.

use rand_core::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro128PlusPlus;

/// What a picture is drawn from.
#[derive(Clone, Copy, Debug)]
pub struct Latent<'a>(Source<'a>);

#[derive(Clone, Copy, Debug)]
enum Source<'a> {
    Seed(u64),
    Between { from: u64, to: u64, at: f32 },
    Values(&'a [f32]),
}

impl Latent<'_> {
    /// Standard normal values drawn from `seed`.
    pub fn from_seed(seed: u64) -> Self {
        Self(Source::Seed(seed))
    }

    /// The vector that lies `at` of the way from one seed's to another's, 0 to 1, along the arc between them: on a straight
    /// line the vectors in the middle would be shorter than nearly all that the network was trained on.
    ///
    /// # Source
    /// White 2016, "Sampling Generative Networks", arXiv:1609.04468, section 2.1, after Shoemake 1985.
    pub fn between(from: u64, to: u64, at: f32) -> Self {
        Self(Source::Between { from, to, at })
    }

    /// Writes the latent vector to `values`.
    ///
    /// # Panics
    /// When the vector was given as values, and their number is another.
    pub fn fill(self, values: &mut [f32]) {
        match self.0 {
            Source::Seed(seed) => fill_normal(seed, values),
            Source::Between { from, to, at } => fill_between([from, to], at, values),
            Source::Values(given) => {
                assert_eq!(
                    given.len(),
                    values.len(),
                    "the latent vector has another length than the model's"
                );
                values.copy_from_slice(given);
            }
        }
    }
}

impl<'a> From<&'a [f32]> for Latent<'a> {
    fn from(values: &'a [f32]) -> Self {
        Self(Source::Values(values))
    }
}

/// Fills `values` with standard normal numbers drawn from `seed`.
pub fn fill_normal(seed: u64, values: &mut [f32]) {
    let mut normal = Normal::from_seed(seed);
    values.fill_with(|| normal.sample());
}

/// Fills `values` with the point `at` of the way along the arc between two seeds' vectors.
fn fill_between(seeds: [u64; 2], at: f32, values: &mut [f32]) {
    let mut ends = seeds.map(Normal::from_seed);
    let [mut dot, mut from_square, mut to_square] = [0.0; 3];
    for _ in 0..values.len() {
        let [from, to] = ends.each_mut().map(Normal::sample);
        dot += from * to;
        from_square += from * from;
        to_square += to * to;
    }
    // NaN where there is no value, or none but zeros; both comparisons take that to the straight line.
    let cosine = dot / libm::sqrtf(from_square * to_square);
    let angle = libm::acosf(cosine.clamp(-1.0, 1.0));
    let sine = libm::sinf(angle);
    let [from_share, to_share] = match sine > LEAST_SINE {
        true => [1.0 - at, at].map(|share| libm::sinf(share * angle) / sine),
        false => [1.0 - at, at],
    };
    let mut ends = seeds.map(Normal::from_seed);
    values.fill_with(|| {
        let [from, to] = ends.each_mut().map(Normal::sample);
        from_share * from + to_share * to
    });
}

/// Below this the ends are parallel for `f32`, and the arc is a line, or opposite, and there is no one arc.
const LEAST_SINE: f32 = 1e-3;

/// An endless stream of standard normal numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Normal(Xoshiro128PlusPlus);

impl Normal {
    /// The stream that starts at `seed`.
    pub fn from_seed(seed: u64) -> Self {
        Self(Xoshiro128PlusPlus::seed_from_u64(seed))
    }

    /// The next number, within -5.5..=5.5.
    pub fn sample(&mut self) -> f32 {
        // The centre of one of 2^24 equal intervals of (0, 1): never 0, never 1. Mirrored about 1/2, so that the lower
        // half keeps its full precision in the tail.
        let bits = self.0.next_u32() >> 8;
        let upper = bits >= 1 << 23;
        let lower_bits = if upper { (1 << 24) - 1 - bits } else { bits };
        let lower = (lower_bits as f32 + 0.5) * (1.0 / (1 << 24) as f32);
        let quantile = normal_quantile(lower);
        if upper { -quantile } else { quantile }
    }
}

/// The value below which a standard normal lies with probability `p`, for `0 < p <= 0.5`; relative error about 1e-6.
///
/// # Source
/// Wichura 1988, "Algorithm AS 241: The Percentage Points of the Normal Distribution", PPND7.
fn normal_quantile(p: f32) -> f32 {
    let q = p - 0.5;
    if q.abs() <= 0.425 {
        let r = 0.180625 - q * q;
        let numerator = ((59.109_375 * r + 159.291_13) * r + 50.434_27) * r + 3.387_132_7;
        let denominator = ((67.187_56 * r + 78.757_76) * r + 17.895_17) * r + 1.0;
        return q * numerator / denominator;
    }
    let r = libm::sqrtf(-ln(p));
    let tail = if r <= 5.0 {
        let r = r - 1.6;
        (((0.170_238_21 * r + 1.306_728_5) * r + 2.756_815_4) * r + 1.423_437_2)
            / ((0.120_211_32 * r + 0.737_001_64) * r + 1.0)
    } else {
        let r = r - 5.0;
        (((0.017_337_203 * r + 0.428_682_94) * r + 3.081_226_4) * r + 6.657_905)
            / ((0.012_258_202 * r + 0.241_978_95) * r + 1.0)
    };
    -tail
}

/// Natural logarithm of a positive normal number, relative error below 1e-6 away from 1.
///
/// `x = 2^e * m` with `m` in [sqrt(1/2), sqrt(2)), and `ln m = 2 artanh(s)`, `s = (m - 1) / (m + 1)`, whose series ends
/// after `s^9`: the next term is below 2 * 0.172^11 / 11 = 7e-10.
fn ln(x: f32) -> f32 {
    const SQRT_HALF_BITS: u32 = 0x3f35_04f3;
    let offset = x.to_bits().wrapping_sub(SQRT_HALF_BITS);
    let exponent = (offset as i32) >> 23;
    let m = f32::from_bits((offset & 0x007f_ffff) + SQRT_HALF_BITS);
    let s = (m - 1.0) / (m + 1.0);
    let s2 = s * s;
    let series = (((s2 / 9.0 + 1.0 / 7.0) * s2 + 1.0 / 5.0) * s2 + 1.0 / 3.0) * s2 + 1.0;
    exponent as f32 * core::f32::consts::LN_2 + 2.0 * s * series
}

#[cfg(test)]
mod tests {
    use std::vec;
    use std::vec::Vec;

    use super::*;

    #[test]
    fn ln_matches_double_precision() {
        for i in 1..100_000_u32 {
            let x = f64::from(i) / 131_072.0;
            let x = x as f32;
            let want = f64::from(x).ln();
            // Half a unit in the last place for each of about six operations.
            let atol = 3.0 * f64::from(f32::EPSILON) * want.abs().max(1e-2);
            assert!((f64::from(ln(x)) - want).abs() <= atol, "ln({x})");
        }
    }

    #[test]
    fn quantile_matches_published_percentage_points() {
        // Wichura 1988, section "Accuracy": the percentage points of three probabilities.
        for (p, want) in [(0.25, -0.674_489_75), (0.001, -3.090_232_3), (1e-20, -9.262_34)] {
            let got = normal_quantile(p);
            assert!((got - want).abs() <= 2e-6 * want.abs(), "p={p} got {got} want {want}");
        }
    }

    #[test]
    fn moments_are_those_of_a_standard_normal() {
        const N: usize = 1 << 18;
        let mut values = vec![0.0; N];
        fill_normal(1, &mut values);
        let moment = |k: i32| values.iter().map(|&v| f64::from(v).powi(k)).sum::<f64>() / N as f64;
        // Four standard errors of each sample moment: sqrt(E[z^2k] - E[z^k]^2) / sqrt(N).
        let four_errors = |variance: f64| 4.0 * (variance / N as f64).sqrt();
        assert!(moment(1).abs() < four_errors(1.0));
        assert!((moment(2) - 1.0).abs() < four_errors(2.0));
        assert!(moment(3).abs() < four_errors(15.0));
        assert!((moment(4) - 3.0).abs() < four_errors(96.0));
    }

    #[test]
    fn the_way_between_two_seeds_is_an_arc() {
        const N: usize = 64;
        let vector = |latent: Latent<'_>| {
            let mut values = [0.0; N];
            latent.fill(&mut values);
            values
        };
        let dot = |a: &[f32; N], b: &[f32; N]| -> f64 {
            a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
        };
        let ends = [3, 8].map(|seed| vector(Latent::from_seed(seed)));
        // At the ends one share is 1 and the other 0, without rounding.
        assert_eq!([0.0, 1.0].map(|at| vector(Latent::between(3, 8, at))), ends);
        assert_eq!(vector(Latent::between(3, 3, 0.5)).map(f32::to_bits), ends[0].map(f32::to_bits));

        // Of ends a and b at an angle w, the point at t is the sum of a sin((1 - t) w) / sin w and b sin(t w) / sin w. In f32
        // the angle is off by the rounding of a sum of N products over its sine, and each sine by about as much.
        let [a, b] = &ends;
        let angle = (dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()).acos();
        let rtol = f64::from(f32::EPSILON) * (N as f64 + 8.0) / angle.sin();
        for at in [0.1, 0.5, 0.8] {
            let shares =
                [1.0 - f64::from(at), f64::from(at)].map(|share| (share * angle).sin() / angle.sin());
            for (i, got) in vector(Latent::between(3, 8, at)).into_iter().enumerate() {
                let parts = [shares[0] * f64::from(a[i]), shares[1] * f64::from(b[i])];
                let atol = rtol * (parts[0].abs() + parts[1].abs());
                assert!((f64::from(got) - parts[0] - parts[1]).abs() <= atol, "{i} at {at}");
            }
        }
        Latent::between(1, 2, 0.5).fill(&mut []);
    }

    #[test]
    fn a_seed_means_the_same_bits_for_ever() {
        let mut values = [0.0; 4];
        fill_normal(7, &mut values);
        let bits: Vec<u32> = values.iter().map(|v| v.to_bits()).collect();
        assert_eq!(bits, GOLDEN, "{values:?}");
    }

    /// Changing these changes every picture of every seed.
    const GOLDEN: [u32; 4] = [3_215_438_043, 3_217_755_251, 3_198_435_071, 3_202_234_172];
}
