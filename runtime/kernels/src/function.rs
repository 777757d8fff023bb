//! The functions of a loop nest.
//!
//! In: one or two `f32`. Out: one `f32`. Those of [`activation`] are shared with the tap GEMM; libm gives the others, so
//! that on every target the same input gives the same bits.

use crate::activation;

/// What a loop nest computes from each pair of values `a` and `b`.
///
/// A NaN among the operands gives NaN, unless a function says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// `a`
    Identity,
    /// `max(a, 0)`
    Relu,
    /// Hyperbolic tangent.
    Tanh,
    /// `1 / (1 + e^-a)`
    Sigmoid,
    /// `|a|`
    Abs,
    /// `e^a`, never leaving the normal numbers; see [`activation::exp`].
    Exp,
    /// Natural logarithm.
    Log,
    /// Square root.
    Sqrt,
    /// The next integer towards negative infinity.
    Floor,
    /// The next integer towards infinity.
    Ceil,
    /// The nearest integer; of two, the even one.
    Round,
    /// -1, 0 or 1.
    Sign,
    /// Sine, in radians.
    Sin,
    /// Cosine, in radians.
    Cos,
    /// Tangent, in radians.
    Tan,
    /// Inverse of the sine.
    Asin,
    /// Inverse of the cosine.
    Acos,
    /// Inverse of the tangent.
    Atan,
    /// Hyperbolic sine.
    Sinh,
    /// Hyperbolic cosine.
    Cosh,
    /// Inverse of the hyperbolic sine.
    Asinh,
    /// Inverse of the hyperbolic cosine.
    Acosh,
    /// Inverse of the hyperbolic tangent.
    Atanh,
    /// Error function.
    Erf,
    /// `a + b`
    Add,
    /// `a - b`
    Sub,
    /// `a * b`
    Mul,
    /// `a / b`
    Div,
    /// The larger.
    Max,
    /// The smaller.
    Min,
    /// `a` to the power of `b`; 1 where `b` is 0 or `a` is 1, also of NaN.
    Pow,
    /// `a - b * trunc(a / b)`, exactly: what is left has the sign of `a`.
    Rem,
    /// 1 where `a < b`, else 0, as for NaN.
    Less,
    /// 1 where `a <= b`, else 0, as for NaN.
    LessEqual,
    /// 1 where `a == b`, else 0, as for NaN.
    Equal,
    /// `a` where positive, else `b * a`.
    PRelu,
    /// `e^(a - b)`, as a softmax has it; see [`activation::exp`].
    ExpSub,
    /// Writes `b` where `a` is not 0, NaN included, and leaves the result as it is elsewhere.
    Select,
    /// The entry of the table at `a` whose index is `b`, rounded as [`Function::Round`] does; the first for an index that
    /// is too small or NaN, the last for one that is too large.
    Take,
}

impl Function {
    /// Every function.
    pub const ALL: [Self; 39] = [
        Self::Identity,
        Self::Relu,
        Self::Tanh,
        Self::Sigmoid,
        Self::Abs,
        Self::Exp,
        Self::Log,
        Self::Sqrt,
        Self::Floor,
        Self::Ceil,
        Self::Round,
        Self::Sign,
        Self::Sin,
        Self::Cos,
        Self::Tan,
        Self::Asin,
        Self::Acos,
        Self::Atan,
        Self::Sinh,
        Self::Cosh,
        Self::Asinh,
        Self::Acosh,
        Self::Atanh,
        Self::Erf,
        Self::Add,
        Self::Sub,
        Self::Mul,
        Self::Div,
        Self::Max,
        Self::Min,
        Self::Pow,
        Self::Rem,
        Self::Less,
        Self::LessEqual,
        Self::Equal,
        Self::PRelu,
        Self::ExpSub,
        Self::Select,
        Self::Take,
    ];

    /// Whether it has one operand only.
    #[inline]
    pub fn is_unary(self) -> bool {
        // The binary ones follow the last unary one.
        self as u8 <= Self::Erf as u8
    }

    /// The value at `a` and `b`.
    ///
    /// [`Function::Select`] and [`Function::Take`] are given by where they read and write, not by values: the one gives
    /// `b` here, the other `a`.
    #[inline(always)]
    pub fn apply(self, a: f32, b: f32) -> f32 {
        match self {
            Self::Identity | Self::Take => a,
            Self::Relu => activation::relu(a),
            Self::Tanh => activation::tanh(a),
            Self::Sigmoid => activation::sigmoid(a),
            Self::Abs => a.abs(),
            Self::Exp => activation::exp(a),
            Self::Log => libm::logf(a),
            Self::Sqrt => libm::sqrtf(a),
            Self::Floor => libm::floorf(a),
            Self::Ceil => libm::ceilf(a),
            Self::Round => libm::rintf(a),
            Self::Sign => sign(a),
            Self::Sin => libm::sinf(a),
            Self::Cos => libm::cosf(a),
            Self::Tan => libm::tanf(a),
            Self::Asin => libm::asinf(a),
            Self::Acos => libm::acosf(a),
            Self::Atan => libm::atanf(a),
            Self::Sinh => libm::sinhf(a),
            Self::Cosh => libm::coshf(a),
            Self::Asinh => libm::asinhf(a),
            Self::Acosh => libm::acoshf(a),
            Self::Atanh => libm::atanhf(a),
            Self::Erf => libm::erff(a),
            Self::Add => a + b,
            Self::Sub => a - b,
            Self::Mul => a * b,
            Self::Div => a / b,
            Self::Max => max(a, b),
            Self::Min => min(a, b),
            Self::Pow => libm::powf(a, b),
            Self::Rem => libm::fmodf(a, b),
            Self::Less => truth(a < b),
            Self::LessEqual => truth(a <= b),
            Self::Equal => truth(a == b),
            Self::PRelu => activation::leaky_relu(a, b),
            Self::ExpSub => activation::exp(a - b),
            Self::Select => b,
        }
    }
}

/// The larger; NaN if either is.
#[inline(always)]
pub(crate) fn max(x: f32, y: f32) -> f32 {
    if x > y || x.is_nan() { x } else { y }
}

/// The smaller; NaN if either is.
#[inline(always)]
pub(crate) fn min(x: f32, y: f32) -> f32 {
    if x < y || x.is_nan() { x } else { y }
}

#[inline(always)]
fn sign(x: f32) -> f32 {
    // Zero and NaN are their own sign.
    if x > 0.0 {
        1.0
    } else if x < 0.0 {
        -1.0
    } else {
        x
    }
}

#[inline(always)]
fn truth(x: bool) -> f32 {
    if x { 1.0 } else { 0.0 }
}

/// The entry of a table with `len` entries that an index names.
#[inline(always)]
pub(crate) fn entry(index: f32, len: u32) -> usize {
    // `as` saturates, and takes NaN to 0.
    (libm::rintf(index) as usize).min(len as usize - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The largest error of `ours` on a dense sweep of `low..=high`, in units of the last place of the exact value.
    fn worst(function: Function, [low, high]: [f32; 2], exact: fn(f64) -> f64) -> f64 {
        const STEPS: i32 = 1_000_000;
        let mut worst = (0.0, low);
        for i in 0..=STEPS {
            let x = low + (high - low) * (i as f32 / STEPS as f32);
            let want = exact(f64::from(x));
            let error = (f64::from(function.apply(x, 0.0)) - want).abs() / unit(want);
            if error > worst.0 {
                worst = (error, x);
            }
        }
        std::println!("{function:?}: {:.2} units at {}", worst.0, worst.1);
        worst.0
    }

    /// The distance of neighbouring `f32` about `x`.
    fn unit(x: f64) -> f64 {
        let exponent = x.abs().max(f64::from(f32::MIN_POSITIVE)).log2().floor() as i32;
        2f64.powi(exponent - 23)
    }

    #[test]
    fn functions_are_within_a_unit_and_hyperbolic_ones_within_two() {
        // What msun, from which libm comes, says of each; those that combine two functions have the error of both.
        type Case = (f64, Function, [f32; 2], fn(f64) -> f64);
        let cases: &[Case] = &[
            (1.0, Function::Log, [1e-3, 10.0], f64::ln),
            (1.0, Function::Log, [1.0, 1e30], f64::ln),
            (0.5, Function::Sqrt, [0.0, 4.0], f64::sqrt),
            (1.0, Function::Sin, [-10.0, 10.0], f64::sin),
            (1.0, Function::Sin, [-1e6, 1e6], f64::sin),
            (1.0, Function::Cos, [-10.0, 10.0], f64::cos),
            (1.0, Function::Cos, [-1e6, 1e6], f64::cos),
            (1.0, Function::Tan, [-10.0, 10.0], f64::tan),
            (1.0, Function::Asin, [-1.0, 1.0], f64::asin),
            (1.0, Function::Acos, [-1.0, 1.0], f64::acos),
            (1.0, Function::Atan, [-20.0, 20.0], f64::atan),
            (2.0, Function::Sinh, [-20.0, 20.0], f64::sinh),
            (2.0, Function::Cosh, [-20.0, 20.0], f64::cosh),
            (2.0, Function::Asinh, [-20.0, 20.0], f64::asinh),
            (2.0, Function::Acosh, [1.0, 40.0], f64::acosh),
            (2.0, Function::Atanh, [-0.999, 0.999], f64::atanh),
            (1.0, Function::Erf, [-3.0, 3.0], erf),
        ];
        for &(units, function, range, exact) in cases {
            // Double precision is itself off by a little.
            assert!(worst(function, range, exact) <= units + 1e-3, "{function:?} on {range:?}");
        }
    }

    /// By its Taylor series, whose largest term is below 3^19 / 9! = 3e3 for `|x| <= 3`.
    fn erf(x: f64) -> f64 {
        let (mut power, mut sum) = (x, x);
        for n in 1..60 {
            power *= -x * x / f64::from(n);
            sum += power / f64::from(2 * n + 1);
        }
        sum * core::f64::consts::FRAC_2_SQRT_PI
    }

    #[test]
    fn powers_are_within_a_unit() {
        for base in [0.01, 0.7, 1.3, 2.0, 9.5] {
            for i in -200..=200 {
                let exponent = i as f32 / 16.0;
                let want = f64::from(base).powf(f64::from(exponent));
                let error = (f64::from(Function::Pow.apply(base, exponent)) - want).abs() / unit(want);
                assert!(error <= 1.0, "{base} to the {exponent}: {error} units");
            }
        }
        let pow = |a: f32, b: f32| Function::Pow.apply(a, b);
        assert_eq!([pow(-2.0, 3.0), pow(-2.0, 2.0), pow(0.0, 0.0), pow(4.0, -0.5)], [-8.0, 4.0, 1.0, 0.5]);
        assert!(pow(-2.0, 0.5).is_nan());
        assert_eq!([pow(f32::NAN, 0.0), pow(1.0, f32::NAN)], [1.0, 1.0]);
    }

    #[test]
    fn integers_are_rounded_to_as_named() {
        let inputs = [-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 1e30, f32::NEG_INFINITY];
        let of = |function: Function| inputs.map(|x| function.apply(x, 0.0));
        assert_eq!(of(Function::Floor)[..6], [-3.0, -2.0, -1.0, 0.0, 1.0, 2.0]);
        assert_eq!(of(Function::Ceil)[..6], [-2.0, -1.0, 0.0, 1.0, 2.0, 3.0]);
        assert_eq!(of(Function::Round)[..6], [-2.0, -2.0, 0.0, 0.0, 2.0, 2.0]);
        for function in [Function::Floor, Function::Ceil, Function::Round] {
            assert_eq!(of(function)[6..], inputs[6..]);
        }
    }

    #[test]
    fn remainders_have_the_sign_of_what_is_divided() {
        let rem = |a: f32, b: f32| Function::Rem.apply(a, b);
        assert_eq!(
            [rem(7.5, 2.0), rem(-7.5, 2.0), rem(7.5, -2.0), rem(1e30, 3.0)],
            [1.5, -1.5, 1.5, 1e30 % 3.0]
        );
        assert!(rem(1.0, 0.0).is_nan());
    }

    #[test]
    fn not_a_number_stays_so_but_compares_false() {
        use Function::*;
        for function in Function::ALL {
            let silent = matches!(function, Less | LessEqual | Equal | Select | Take);
            for (a, b) in [(f32::NAN, 2.0), (2.0, f32::NAN), (f32::NAN, f32::NAN)] {
                if !silent && (a.is_nan() || !(function.is_unary() || function == PRelu)) {
                    assert!(function.apply(a, b).is_nan(), "{function:?} of {a} and {b}");
                }
            }
        }
        for function in [Less, LessEqual, Equal] {
            assert_eq!(function.apply(f32::NAN, f32::NAN), 0.0);
            assert_eq!(function.apply(1.0, 2.0), if function == Equal { 0.0 } else { 1.0 });
            assert_eq!(function.apply(2.0, 2.0), if function == Less { 0.0 } else { 1.0 });
        }
    }

    #[test]
    fn signs_and_slopes() {
        assert_eq!([-3.0, -0.0, 0.0, 7.0].map(|x| Function::Sign.apply(x, 0.0)), [-1.0, 0.0, 0.0, 1.0]);
        assert_eq!([-3.0, 0.0, 7.0].map(|x| Function::PRelu.apply(x, 0.5)), [-1.5, 0.0, 7.0]);
    }

    #[test]
    fn an_index_stays_in_its_table() {
        let indices = [f32::NAN, -7.0, -0.5, 0.5, 0.6, 1.5, 2.4, 3.0, f32::INFINITY];
        assert_eq!(indices.map(|index| entry(index, 3)), [0, 0, 0, 0, 1, 2, 2, 2, 2]);
    }

    #[test]
    fn binary_functions_follow_the_unary_ones() {
        assert!(Function::ALL.is_sorted_by_key(|&function| function as u8));
        assert_eq!(Function::ALL.iter().filter(|function| function.is_unary()).count(), 24);
        assert!(Function::Erf.is_unary() && !Function::Add.is_unary());
    }
}
