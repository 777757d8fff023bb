//! Packing: the discriminator judges several samples together.
//!
//! A generator that draws the same sample again and again then gives itself away.

use burn::tensor::Tensor;

/// `x` with every `m` samples in a row as the channels of one.
///
/// # Shapes
/// `x`: `[N, C, H, W]`; result: `[N / m, m C, H, W]`. A run's batch size is a multiple of `m`.
///
/// # Panics
/// When `N` is no multiple of `m`.
///
/// # Source
/// Lin et al. 2018, "PacGAN: The Power of Two Samples in Generative Adversarial Networks", arXiv:1712.04086.
pub fn packed(x: Tensor<4>, m: usize) -> Tensor<4> {
    let [n, channels, height, width] = x.dims();
    assert!(m > 0 && n.is_multiple_of(m), "{n} samples in packs of {m}");
    x.reshape([n / m, m * channels, height, width])
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;
    use crate::network::values;

    fn numbered(shape: [usize; 4]) -> Tensor<4> {
        let data = (0..shape.iter().product::<usize>()).map(|value| value as f32).collect();
        Tensor::from_data(TensorData::new::<f32, _>(data, shape), &Device::flex())
    }

    #[test]
    fn samples_become_channels() {
        let x = numbered([6, 2, 3, 5]);
        let pack = packed(x.clone(), 3);
        assert_eq!(pack.dims(), [2, 6, 3, 5]);
        let channel_of = |x: &Tensor<4>, i: usize, channel: usize| {
            values(x.clone().slice([i..i + 1, channel..channel + 1, 0..3, 0..5]))
        };
        for (i, channel) in (0..6).flat_map(|i| [(i, 0), (i, 1)]) {
            let place = 2 * (i % 3) + channel;
            assert_eq!(channel_of(&pack, i / 3, place), channel_of(&x, i, channel), "{i}, {channel}");
        }
        assert_eq!(values(packed(x.clone(), 1)), values(x.clone()));
        assert_eq!(packed(x, 1).dims(), [6, 2, 3, 5]);
    }

    #[test]
    #[should_panic(expected = "5 samples in packs of 2")]
    fn left_over_samples_are_refused() {
        packed(numbered([5, 1, 1, 1]), 2);
    }
}
