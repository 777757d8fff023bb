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
    /// Writes `b` where `a` is not 0, NaN included, and leaves the result as it is elsewhere.
    Select,
    /// The entry of the table at `a` whose index is `b`, rounded as [`Function::Round`] does; the first for an index that
    /// is too small or NaN, the last for one that is too large.
    Take,
}

impl Function {
    /// Every function.
    pub const ALL: [Self; 38] = [
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
