//! Instance noise: real and generated images overlap, so that the discriminator can never tell them apart for certain.

use burn::tensor::{Tensor, TensorData};

use crate::training::noise::{self, Stream};

/// `images` plus independent noise N(0, s^2), where each image has an `s = sigma u^power` of its own, `u` from U\[0, 1\]. Real and
/// generated ones get the same `sigma` and `power`, and different seeds.
///
/// With power 0 all noise is alike. With a greater one there are images with hardly any beside images with all of it, so that the
/// discriminator judges what is fine and what is coarse at once, and a generated image feels real ones that are far from it.
///
/// # Shapes
/// `images` and result: `[N, C, H, W]`.
///
/// # Source
/// Sonderby et al. 2017, "Amortised MAP Inference for Image Super-resolution", arXiv:1610.04490, and Arjovsky and Bottou 2017,
/// "Towards Principled Methods for Training Generative Adversarial Networks", arXiv:1701.04862; noise of all sizes at once: Wang et
/// al. 2023, "Diffusion-GAN", arXiv:2206.02262.
pub fn noisy(images: Tensor<4>, sigma: f64, power: f64, seed: u64) -> Tensor<4> {
    if sigma == 0.0 {
        return images;
    }
    let mut values = vec![0.0; images.shape().num_elements()];
    noise::fill_normal(seed, &mut values);
    if power > 0.0 {
        let mut rng = noise::rng(noise::seed_of(seed, Stream::InstanceNoise, 0));
        for image in values.chunks_exact_mut(images.shape()[1..].iter().product()) {
            let scale = noise::uniform(&mut rng).powf(power as f32);
            image.iter_mut().for_each(|value| *value *= scale);
        }
    }
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
        let found = noisy(images.clone(), 0.25, 0.0, 3);
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
    fn with_a_power_each_image_has_a_spread_of_its_own() {
        let images = Tensor::<4>::zeros([2000, 1, 20, 20], &Device::flex());
        let spreads: Vec<f64> = values(noisy(images, 2.0, 3.0, 5))
            .chunks_exact(400)
            .map(|image| (image.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / 400.0).sqrt())
            .collect();
        let n = spreads.len() as f64;
        // E(s^2) = 4 E(u^6) = 4 / 7, and its variance 16 E(u^12) - (4 / 7)^2, with that of 400 squares; P(s < 1/4) = 1/2, where the
        // error of a spread moves hardly anything across.
        let square = spreads.iter().map(|spread| spread * spread).sum::<f64>() / n;
        let variance = 16.0 / 13.0 * (1.0 + 2.0 / 400.0) - (4.0f64 / 7.0).powi(2);
        assert!((square - 4.0 / 7.0).abs() < 5.0 * (variance / n).sqrt(), "{square}");
        let small = spreads.iter().filter(|&&spread| spread < 0.25).count() as f64 / n;
        assert!((small - 0.5).abs() < 5.0 * 0.5 / n.sqrt(), "{small}");
    }

    #[test]
    fn seeds_decide_and_zero_changes_nothing() {
        let images = Tensor::<4>::ones([2, 1, 3, 3], &Device::flex());
        let found = |sigma, seed| values(noisy(images.clone(), sigma, 0.0, seed));
        assert_eq!(found(0.5, 1), found(0.5, 1));
        assert_ne!(found(0.5, 1), found(0.5, 2));
        assert_eq!(found(0.0, 1), values(images.clone()));
    }
}
