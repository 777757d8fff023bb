//! The elementwise functions, from additions, multiplications, one division and bit patterns.
//!
//! In: one `f32`. Out: one `f32`. Neither libm nor std: the same input gives the same bits on every target, because
//! Rust never contracts `a * b + c` nor reorders a sum. Branch-free, so that a loop over a tile vectorises, and
//! vectorised it still gives those bits.

use crate::Activation;

impl Activation {
    /// The function's value at `x`.
    #[inline(always)]
    pub fn apply(self, x: f32) -> f32 {
        match self {
            Self::Identity => x,
            Self::Relu => relu(x),
            Self::LeakyRelu(slope) => leaky_relu(x, slope),
            Self::Tanh => tanh(x),
            Self::Sigmoid => sigmoid(x),
        }
    }

    /// Applies the function to every value, choosing it once.
    // A module of WebAssembly is compiled for one instruction set and downloaded: once for all that call it.
    #[cfg_attr(target_family = "wasm", inline(never))]
    #[cfg_attr(not(target_family = "wasm"), inline(always))]
    pub fn apply_all(self, values: &mut [f32]) {
        match self {
            Self::Identity => {}
            Self::Relu => values.iter_mut().for_each(|x| *x = relu(*x)),
            Self::LeakyRelu(slope) => values.iter_mut().for_each(|x| *x = leaky_relu(*x, slope)),
            Self::Tanh => values.iter_mut().for_each(|x| *x = tanh(*x)),
            Self::Sigmoid => values.iter_mut().for_each(|x| *x = sigmoid(*x)),
        }
    }
}

/// `max(x, 0)`; NaN stays NaN.
#[inline(always)]
pub fn relu(x: f32) -> f32 {
    if x < 0.0 { 0.0 } else { x }
}

/// `x` where positive, else `slope * x`.
#[inline(always)]
pub fn leaky_relu(x: f32, slope: f32) -> f32 {
    if x > 0.0 { x } else { slope * x }
}

/// `e^x`, within 1e-7 of the value, relatively: what a test finds on a dense sweep. Saturates at about 2e-38 and 2e38 instead of leaving the normal numbers.
///
/// # Source
/// Moshier, Cephes 2.8, `expf`: reduction by a two-part ln 2, polynomial of degree 7.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    let x = if x > EXP_MAX { EXP_MAX } else { x };
    let x = if x < EXP_MIN { EXP_MIN } else { x };
    let shifted = x * core::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = x - n * LN_2_HIGH - n * LN_2_LOW;
    let p = 1.987_569_1e-4;
    let p = p * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 0.5;
    let mantissa = p * (r * r) + r + 1.0;
    // The low bits of `shifted` are n in two's complement; 127 + n is in 1..=254.
    let scale = f32::from_bits(shifted.to_bits().wrapping_add(127) << 23);
    mantissa * scale
}

/// Hyperbolic tangent, within 1e-7 of the value: what a test finds on a dense sweep. NaN stays NaN.
///
/// # Source
/// Moshier, Cephes 2.8, `tanhf`: an odd polynomial below 0.625, else `1 - 2 / (e^2x + 1)`.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    let magnitude = x.abs();
    let large = 1.0 - 2.0 / (exp(magnitude + magnitude) + 1.0);
    let z = x * x;
    let p = -5.704_988_7e-3;
    let p = p * z + 2.063_909e-2;
    let p = p * z - 5.373_971_6e-2;
    let p = p * z + 1.333_144_2e-1;
    let p = p * z - 3.333_328e-1;
    let small = p * z * x + x;
    (if magnitude < 0.625 { small } else { large }).copysign(x)
}

/// Logistic function `1 / (1 + e^-x)`, within 1e-7 of the value: what a test finds on a dense sweep. NaN stays NaN.
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// Above, 2^127 would not be enough of a scale.
const EXP_MAX: f32 = 88.0;
/// Below, the result would be subnormal.
const EXP_MIN: f32 = -87.0;
/// 1.5 * 2^23: adding it rounds to an integer, because there the spacing of `f32` is 1.
const ROUND: f32 = 12_582_912.0;
/// ln 2 in eleven bits, so that `n * LN_2_HIGH` is exact.
const LN_2_HIGH: f32 = 0.693_359_4;
/// What `LN_2_HIGH` lacks.
const LN_2_LOW: f32 = -2.121_944_4e-4;

#[cfg(test)]
mod tests {
    use super::*;

    /// Largest distance between `ours` and `exact` on `[-range, range]`, and where.
    fn worst(range: f32, ours: fn(f32) -> f32, error: impl Fn(f64, f64) -> f64) -> (f64, f32) {
        const STEPS: i32 = 2_000_000;
        let mut worst = (0.0, 0.0);
        for i in -STEPS..=STEPS {
            let x = range * i as f32 / STEPS as f32;
            let e = error(f64::from(ours(x)), f64::from(x));
            if e > worst.0 {
                worst = (e, x);
            }
        }
        std::println!("error {:.3e} at {}", worst.0, worst.1);
        worst
    }

    #[test]
    fn tanh_is_within_1e_7() {
        assert!(worst(12.0, tanh, |y, x| (y - x.tanh()).abs()).0 <= 1e-7);
        assert!(worst(0.1, tanh, |y, x| (y - x.tanh()).abs()).0 <= 1e-7);
    }

    #[test]
    fn sigmoid_is_within_1e_7() {
        assert!(worst(30.0, sigmoid, |y, x| (y - 1.0 / (1.0 + (-x).exp())).abs()).0 <= 1e-7);
    }

    #[test]
    fn exp_is_within_1e_7_of_the_value() {
        assert!(worst(87.0, exp, |y, x| (y / x.exp() - 1.0).abs()).0 <= 1e-7);
    }

    #[test]
    fn functions_saturate_and_keep_nan() {
        assert_eq!([tanh(f32::INFINITY), tanh(f32::NEG_INFINITY), tanh(40.0)], [1.0, -1.0, 1.0]);
        assert_eq!([sigmoid(f32::INFINITY), sigmoid(100.0)], [1.0, 1.0]);
        assert!(sigmoid(f32::NEG_INFINITY) < 1e-37 && sigmoid(f32::NEG_INFINITY) >= 0.0);
        assert!(exp(f32::MAX).is_normal() && exp(f32::MIN).is_normal());
        for function in [relu, exp, tanh, sigmoid] {
            assert!(function(f32::NAN).is_nan());
        }
        assert!(leaky_relu(f32::NAN, 0.2).is_nan());
        assert_eq!(
            [relu(-1.0), relu(2.0), leaky_relu(-1.0, 0.25), leaky_relu(2.0, 0.25)],
            [0.0, 2.0, -0.25, 2.0]
        );
        assert_eq!(tanh(-0.0).to_bits(), (-0.0f32).to_bits());
    }

    #[test]
    fn bits_are_the_ones_every_target_gives() {
        let inputs = [-9.0, -1.5, -0.625, -0.3, 1e-6, 0.1, 0.7, 2.0, 5.5, 80.0];
        let fold = |f: fn(f32) -> f32| {
            inputs
                .iter()
                .fold(0u32, |hash, &x| hash.rotate_left(5) ^ f(x).to_bits().wrapping_mul(0x9e37_79b1))
        };
        assert_eq!([fold(exp), fold(tanh), fold(sigmoid)], [691_918_379, 266_126_028, 788_944_057]);
    }
}
