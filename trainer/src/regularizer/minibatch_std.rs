//! Minibatch standard deviation: the discriminator is told how much the samples of a batch differ.
//!
//! # Source
//! Karras et al. 2018, "Progressive Growing of GANs for Improved Quality, Stability, and Variation", arXiv:1710.10196,
//! section 3, with the groups of its reference code.

use burn::tensor::Tensor;

/// `x` with one more channel: the standard deviation over a group of samples, averaged over all channels and pixels.
///
/// A group has as many samples as divide the batch, at most `group`: with `M` groups, sample `i` is in group `i % M`.
///
/// # Shapes
/// `x`: `[N, C, H, W]`; result: `[N, C + 1, H, W]`.
pub fn minibatch_std(x: Tensor<4>, group: usize) -> Tensor<4> {
    let (_, deviations) = deviations(x.clone(), group);
    appended(x, deviations)
}

/// The derivative of [`minibatch_std`] along `v`.
///
/// # Shapes
/// `x` and `v`: `[N, C, H, W]`; result: `[N, C + 1, H, W]`.
pub fn minibatch_std_tangent(x: Tensor<4>, v: Tensor<4>, group: usize) -> Tensor<4> {
    let (centred, deviations) = deviations(x, group);
    // The mean of `v` drops out, as the centred values sum to zero.
    let moved = v.clone().reshape(centred.dims());
    appended(v, (centred * moved).mean_dim(0) / deviations)
}

/// Under the root, so that it has a derivative where all samples are the same.
const EPSILON: f64 = 1e-8;

/// Distances from the mean of a group, `[group, M, C H W]`, and their root mean squares, `[1, M, C H W]`.
fn deviations(x: Tensor<4>, group: usize) -> (Tensor<3>, Tensor<3>) {
    let [n, channels, height, width] = x.dims();
    let group = (1..=group.min(n)).rev().find(|&group| n.is_multiple_of(group)).unwrap_or(1);
    let x = x.reshape([group, n / group, channels * height * width]);
    let centred = x.clone() - x.mean_dim(0);
    let deviations = centred.clone().square().mean_dim(0).add_scalar(EPSILON).sqrt();
    (centred, deviations)
}

/// `x` with the means of `[1, M, C H W]` values as a last channel.
fn appended(x: Tensor<4>, values: Tensor<3>) -> Tensor<4> {
    let [n, _, height, width] = x.dims();
    let [_, groups, _] = values.dims();
    let channel = values.mean_dim(2).expand([n / groups, groups, height * width]);
    Tensor::cat(vec![x, channel.reshape([n, 1, height, width])], 1)
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;
    use crate::network::values;
    use crate::training::noise;

    const SHAPE: [usize; 4] = [6, 2, 3, 2];
    const SAMPLE: usize = 12;
    const ROUNDING: f64 = f32::EPSILON as f64;

    fn random(seed: u64, device: &Device) -> Tensor<4> {
        let mut data = vec![0.0; SHAPE.iter().product()];
        noise::fill_normal(seed, &mut data);
        Tensor::from_data(TensorData::new(data, SHAPE), device)
    }

    fn doubles(tensor: Tensor<4>) -> Vec<f64> {
        values(tensor).into_iter().map(f64::from).collect()
    }

    /// What each sample is told, plainly.
    fn reference(x: &[f64], group: usize) -> Vec<f64> {
        let samples: Vec<_> = x.chunks(SAMPLE).collect();
        let groups = samples.len() / group;
        (0..samples.len())
            .map(|i| {
                let members: Vec<_> = samples.iter().skip(i % groups).step_by(groups).collect();
                assert_eq!(members.len(), group);
                let deviation = |at: usize| {
                    let mean = members.iter().map(|s| s[at]).sum::<f64>() / group as f64;
                    let square = members.iter().map(|s| (s[at] - mean).powi(2)).sum::<f64>() / group as f64;
                    (square + 1e-8).sqrt()
                };
                (0..SAMPLE).map(deviation).sum::<f64>() / SAMPLE as f64
            })
            .collect()
    }

    #[test]
    fn the_last_channel_is_the_deviation() {
        let x = random(1, &Device::flex());
        // Of six samples, groups of four are made of three, and more than all there are of six.
        for (group, used) in [(6, 6), (3, 3), (4, 3), (2, 2), (100, 6)] {
            let found = minibatch_std(x.clone(), group);
            assert_eq!(found.dims(), [6, 3, 3, 2]);
            assert_eq!(values(found.clone().slice([0..6, 0..2, 0..3, 0..2])), values(x.clone()));
            let told = doubles(found.slice([0..6, 2..3, 0..3, 0..2]));
            for (told, expected) in told.chunks(6).zip(reference(&doubles(x.clone()), used)) {
                // Sums of six squares below 16 and of twelve roots.
                let atol = (6.0 + 12.0 + 5.0) * 16.0 * ROUNDING;
                assert!(told.iter().all(|told| (told - expected).abs() < atol), "{told:?} {expected}");
            }
        }
    }

    #[test]
    fn the_tangent_is_the_derivative() {
        let device = Device::flex();
        let (x, v) = (random(2, &device), random(3, &device));
        for group in [6, 2] {
            let found = minibatch_std_tangent(x.clone(), v.clone(), group);
            assert_eq!(values(found.clone().slice([0..6, 0..2, 0..3, 0..2])), values(v.clone()));
            let told = doubles(found.slice([0..6, 2..3, 0..3, 0..2]));
            let (x, v) = (doubles(x.clone()), doubles(v.clone()));
            let h = 1e-5;
            let moved = |by: f64| {
                let x: Vec<f64> = x.iter().zip(&v).map(|(x, v)| x + by * v).collect();
                reference(&x, group)
            };
            for ((told, up), down) in told.chunks(6).zip(moved(h)).zip(moved(-h)) {
                let expected = (up - down) / (2.0 * h);
                // Roundings as above, of which the division by a deviation, here at least 0.01, makes a hundredfold. Third
                // derivatives are below 1 / 0.01^2 times 4^3.
                let atol = (6.0 + 12.0 + 5.0) * 16.0 * 100.0 * ROUNDING + 64.0 * 1e4 * h * h;
                assert!(told.iter().all(|told| (told - expected).abs() < atol), "{told:?} {expected}");
            }
        }
    }

    #[test]
    fn equal_samples_have_no_deviation_and_a_finite_gradient() {
        let device = Device::flex().autodiff();
        let x = Tensor::<4>::ones(SHAPE, &device).require_grad();
        let found = minibatch_std(x.clone(), 3);
        let grads = found.clone().slice([0..6, 2..3, 0..3, 0..2]).sum().backward();
        // The root of epsilon.
        assert!(doubles(found.slice([0..6, 2..3, 0..3, 0..2])).iter().all(|d| (d - 1e-4).abs() < 1e-10));
        assert!(values(x.grad(&grads).expect("deviations read x")).iter().all(|&g| g == 0.0));
    }
}
