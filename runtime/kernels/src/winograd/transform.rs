//! The transforms of Winograd convolution along one axis: four outputs of a correlation with 2 or 3 taps out of as many
//! products as there are inputs.
//!
//! `y = At ((G g) * (Bt d))`, the polynomials of `d` and `g` evaluated at some points, multiplied, and interpolated. Here the
//! points are `a, -a, b, -b`, infinity, and zero where there are 3 taps, in this order, so that sums of pairs are shared.
//!
//! Errors grow with the norms of the matrices: the largest row of `|At| (|G| 1 * |Bt| 1)`, squared for two axes, is 564 with 3
//! taps and 160 with 2. The textbook's points 0, 1, -1, 2, -2 have 2304.
//!
//! # Source
//! Lavin, Gray 2016, "Fast Algorithms for Convolutional Neural Networks", arXiv:1509.09308. Points: Barabasz et al. 2020,
//! "Error Analysis and Improving the Accuracy of Winograd Convolution for Deep Neural Networks", arXiv:1803.10986.

use crate::simd::Simd;

/// Outputs of a tile along each axis.
pub(crate) const OUT: usize = 4;

/// Transforms of tiles of `E` inputs, which are 5 or 6, along one axis.
pub(crate) struct Transform<const E: usize>;

impl<const E: usize> Transform<E> {
    /// Taps along one axis.
    pub(crate) const TAPS: usize = E + 1 - OUT;
    /// The points `a` and `b`. Their powers to the third are exact in `f32`.
    pub(crate) const POINTS: [f32; 2] = if E == 6 { [0.625, 1.5] } else { [0.5, 1.25] };

    /// `Bt d`.
    #[inline(always)]
    pub(crate) fn input<S: Simd<L>, const L: usize>(simd: S, d: [S::V; E]) -> [S::V; E] {
        let [a, b] = Self::POINTS;
        let (sum, product) = (a * a + b * b, a * a * b * b);
        let minus = |x: S::V, factor: f32, y: S::V| simd.mul_add(simd.splat(-factor), y, x);
        // Divided by all points but a pair and zero, then by all but the pair's other one.
        let pair = |point: f32, other: f32| {
            let high = minus(d[E - 2], other * other, d[E - 4]);
            let low = minus(d[E - 3], other * other, d[E - 5]);
            [simd.mul_add(simd.splat(point), low, high), minus(high, point, low)]
        };
        // By all but zero, or infinity.
        let rest =
            |last: usize| simd.mul_add(simd.splat(product), d[last - 4], minus(d[last], sum, d[last - 2]));
        let ([v0, v1], [v2, v3]) = (pair(a, b), pair(b, a));
        let mut v = [rest(E - 1); E];
        [v[0], v[1], v[2], v[3]] = [v0, v1, v2, v3];
        if E == 6 {
            v[5] = rest(4);
        }
        v
    }

    /// `At m`.
    #[inline(always)]
    pub(crate) fn output<S: Simd<L>, const L: usize>(simd: S, m: [S::V; E]) -> [S::V; OUT] {
        let [a, b] = Self::POINTS;
        let sub = |x: S::V, y: S::V| simd.mul_add(simd.splat(-1.0), y, x);
        let combine =
            |u: f32, x: S::V, w: f32, y: S::V| simd.mul_add(simd.splat(u), x, simd.mul(simd.splat(w), y));
        let (even_a, odd_a) = (simd.add(m[0], m[1]), sub(m[0], m[1]));
        let (even_b, odd_b) = (simd.add(m[2], m[3]), sub(m[2], m[3]));
        let even = simd.add(even_a, even_b);
        [
            if E == 6 { simd.add(even, m[5]) } else { even },
            combine(a, odd_a, b, odd_b),
            combine(a * a, even_a, b * b, even_b),
            simd.add(combine(a * a * a, odd_a, b * b * b, odd_b), m[4]),
        ]
    }

    /// `G g`, of the first [`TAPS`](Self::TAPS) values.
    pub(crate) fn weights(g: [f64; 3]) -> [f64; E] {
        let [a, b] = Self::POINTS.map(f64::from);
        let points = [a, -a, b, -b, f64::INFINITY, 0.0];
        core::array::from_fn(|i| {
            if i == 4 {
                return g[Self::TAPS - 1];
            }
            let finite = points[..E].iter().enumerate().filter(|&(j, _)| j != i && j != 4);
            let scale: f64 = finite.map(|(_, other)| points[i] - other).product();
            g[..Self::TAPS].iter().rev().fold(0.0, |sum, g| sum * points[i] + g) / scale
        })
    }
}
