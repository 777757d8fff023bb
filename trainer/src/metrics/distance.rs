//! Distances and products of rows, and balls around rows.

use rayon::prelude::*;

use super::Features;

/// Squared distance from each image to its `k`-th nearest neighbour in its own set, of which it is none itself.
///
/// # Panics
/// When the set has no more than `k` images.
pub(super) fn squared_radii(set: &Features, k: usize) -> Vec<f32> {
    assert!(k > 0 && set.len() > k, "{} images have no {k} neighbours", set.len());
    (0..set.len())
        .into_par_iter()
        .map(|i| {
            let mut nearest = vec![f32::INFINITY; k];
            for (j, other) in set.rows().enumerate() {
                let distance = squared_distance(set.row(i), other);
                if j != i && distance < nearest[k - 1] {
                    nearest[k - 1] = distance;
                    nearest.sort_unstable_by(f32::total_cmp);
                }
            }
            nearest[k - 1]
        })
        .collect()
}

/// The same bits for `(a, b)` and `(b, a)`; several sums, so that it is vectorized.
pub(super) fn squared_distance(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; 8];
    let (a, a_rest) = a.as_chunks::<8>();
    let (b, b_rest) = b.as_chunks::<8>();
    for (a, b) in a.iter().zip(b) {
        for lane in 0..sums.len() {
            sums[lane] += (a[lane] - b[lane]) * (a[lane] - b[lane]);
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| (a - b) * (a - b)).sum();
    sums.iter().sum::<f32>() + rest
}

/// Sum of products; several sums, so that it is vectorized.
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; 8];
    let (a, a_rest) = a.as_chunks::<8>();
    let (b, b_rest) = b.as_chunks::<8>();
    for (a, b) in a.iter().zip(b) {
        for lane in 0..sums.len() {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn radii_on_a_line_by_hand() {
        let set = Features::new(1, vec![0.0, 1.0, 2.0, 3.0, 10.0]).expect("points are finite");
        assert_eq!(squared_radii(&set, 3), [9.0, 4.0, 4.0, 9.0, 81.0]);
        assert_eq!(squared_radii(&set, 1), [1.0, 1.0, 1.0, 1.0, 49.0]);
    }

    #[test]
    fn distances_of_ragged_rows() {
        let a: Vec<f32> = (0..19).map(|i| i as f32).collect();
        let b: Vec<f32> = (0..19).map(|i| 2.0 * i as f32).collect();
        // The sum of i^2 up to 18; small integers are exact.
        assert_eq!(squared_distance(&a, &b), (18 * 19 * 37 / 6) as f32);
        assert_eq!(dot(&a, &b), (18 * 19 * 37 / 3) as f32);
    }
}
