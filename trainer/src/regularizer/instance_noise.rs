//! Instance noise: real and generated images overlap, so that the discriminator can never tell them apart for certain.

use burn::tensor::{Tensor, TensorData};

use crate::training::noise;

/// `images` plus independent noise N(0, sigma^2). Real and generated ones get the same `sigma` and different seeds.
///
/// # Shapes
/// `images` and result: `[N, C, H, W]`.
///
/// # Source
/// Sonderby et al. 2017, "Amortised MAP Inference for Image Super-resolution", arXiv:1610.04490, and Arjovsky and Bottou 2017,
/// "Towards Principled Methods for Training Generative Adversarial Networks", arXiv:1701.04862.
pub fn noisy(images: Tensor<4>, sigma: f64, seed: u64) -> Tensor<4> {
    if sigma == 0.0 {
        return images;
    }
    let mut values = vec![0.0; images.shape().num_elements()];
    noise::fill_normal(seed, &mut values);
    let noise = Tensor::from_data(TensorData::new(values, images.shape()), &images.device());
    images + noise.mul_scalar(sigma)
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::network::values;

    #[test]
    fn noise_has_the_given_spread_and_lets_gradients_through() {
        let device = Device::flex().autodiff();
        let images = Tensor::<4>::ones([50, 2, 10, 10], &device).require_grad();
        let found = noisy(images.clone(), 0.25, 3);
        let grads = found.clone().sum().backward();
        assert!(values(images.grad(&grads).expect("the sum reads them")).iter().all(|&g| g == 1.0));
        let noise: Vec<f64> = values(found).iter().map(|&v| f64::from(v) - 1.0).collect();
        let n = noise.len() as f64;
        let mean = noise.iter().sum::<f64>() / n;
        let square = noise.iter().map(|v| v * v).sum::<f64>() / n;
        // Five standard errors of mean and mean square.
        assert!(mean.abs() < 5.0 * 0.25 / n.sqrt(), "{mean}");
        assert!((square - 0.0625).abs() < 5.0 * 0.0625 * (2.0 / n).sqrt(), "{square}");
    }

    #[test]
    fn seeds_decide_and_zero_changes_nothing() {
        let images = Tensor::<4>::ones([2, 1, 3, 3], &Device::flex());
        let found = |sigma, seed| values(noisy(images.clone(), sigma, seed));
        assert_eq!(found(0.5, 1), found(0.5, 1));
        assert_ne!(found(0.5, 1), found(0.5, 2));
        assert_eq!(found(0.0, 1), values(images.clone()));
    }
}
