//! The arithmetic of products: all in f32, or mixed, with factors in bf16.
//!
//! Mixed precision is a property of a pass through a network, not of the network: weights, optimizers, statistics, losses and all
//! that is no product stay in f32, and what is made of a trained network computes in f32.

use burn::tensor::{FloatDType, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::device::is_processor;

/// What layers multiply in.
///
/// # Source
/// Micikevicius et al. 2018, "Mixed Precision Training", arXiv:1710.03740; without scaling of losses, since bf16 has the range of
/// f32: Kalamkar et al. 2019, "A Study of BFLOAT16 for Deep Learning Training", arXiv:1905.12322.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Single precision.
    #[default]
    F32,
    /// Inputs, weights and results of products are rounded to bf16, which has 8 bits; sums are in f32.
    Bf16,
}

impl Precision {
    /// What `multiply`, which is linear in both factors, makes of them, and gradients by the same rule: of each product that they
    /// are, both factors and the result are rounded.
    ///
    /// The processor computes with the rounded values in f32, so that its runs are as good as those of a GPU with bf16.
    pub(crate) fn product<const A: usize, const B: usize, const C: usize>(
        self,
        a: Tensor<A>,
        b: Tensor<B>,
        multiply: impl FnOnce(Tensor<A>, Tensor<B>) -> Tensor<C>,
    ) -> Tensor<C> {
        match self {
            Self::F32 => multiply(a, b),
            Self::Bf16 if is_processor(&a.device()) => rounded(multiply(rounded(a), rounded(b))),
            Self::Bf16 => multiply(a.cast(FloatDType::BF16), b.cast(FloatDType::BF16)).cast(FloatDType::F32),
        }
    }
}

/// To the nearest numbers of bf16, in f32. So is the gradient.
fn rounded<const D: usize>(tensor: Tensor<D>) -> Tensor<D> {
    tensor.cast(FloatDType::BF16).cast(FloatDType::F32)
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};
    use half::bf16;

    use super::*;
    use crate::network::layer::{Compute, Condition, Convolution, Dense, Layer, TransposedConvolution};
    use crate::network::{Initialization, Parameters, initialized, values};
    use crate::training::noise;

    /// Rounding to the nearest of 8 bits.
    const UNIT: f64 = 1.0 / 256.0;

    fn random(seed: u64, shape: [usize; 4], device: &Device) -> Tensor<4> {
        let mut data = vec![0.0; shape.iter().product()];
        noise::fill_normal(seed, &mut data);
        Tensor::from_data(TensorData::new(data, shape), device)
    }

    /// The result, and the gradients of its product with `direction` by input, weight and bias.
    fn slopes(layer: &Layer, x: &Tensor<4>, direction: &Tensor<4>, precision: Precision) -> [Vec<f32>; 4] {
        let x = x.clone().require_grad();
        let y = layer.forward(x.clone(), &Condition::default().with_precision(precision));
        let grads = (y.clone() * direction.clone()).sum().backward();
        let (weight, bias) = match layer {
            Layer::Dense(layer) => (layer.weight.val().grad(&grads).map(Tensor::unsqueeze), &layer.bias),
            Layer::Convolution(layer) => (layer.weight.val().grad(&grads), &layer.bias),
            Layer::TransposedConvolution(layer) => (layer.weight.val().grad(&grads), &layer.bias),
            _ => unreachable!("no product"),
        };
        let bias = bias.as_ref().unwrap().val().grad(&grads);
        [values(y), values(x.grad(&grads).unwrap()), values(weight.unwrap()), values(bias.unwrap())]
    }

    /// Results and gradients are off by what three roundings make of them, and are numbers of bf16; biases, and what has passed
    /// no product, know nothing of it.
    #[test]
    fn three_roundings_bound_what_bf16_changes() {
        let device = Device::flex().autodiff();
        let layers = [
            Layer::Dense(Dense::new([90, 24], &device)),
            Layer::Convolution(Convolution::new([3, 4], 4, 2, 1, &device)),
            Layer::TransposedConvolution(TransposedConvolution::new([3, 5], 3, 2, 1, 1, &device)),
        ];
        for layer in layers {
            let layer = initialized(layer, Initialization::Orthogonal, 1);
            let x = random(2, [8, 3, 6, 5], &device);
            let direction = random(3, layer.forward(x.clone(), &Condition::default()).dims(), &device);
            let [found, exact] =
                [Precision::Bf16, Precision::F32].map(|precision| slopes(&layer, &x, &direction, precision));
            // The sums of the absolute values of all products.
            let mut parameters = Parameters::read(&layer);
            parameters.0.iter_mut().flat_map(|tensor| &mut tensor.data).for_each(|w| *w = w.abs());
            let positive = parameters.write(layer).unwrap();
            let sizes = slopes(&positive, &x.abs(), &direction.abs(), Precision::F32);
            assert_eq!(found[3], exact[3], "biases are added in f32");
            for ((found, exact), sizes) in found.iter().zip(&exact).zip(&sizes).take(3) {
                assert!(found.iter().all(|&v| bf16::from_f32(v).to_f32() == v), "results are rounded");
                assert_ne!(found, exact, "nothing was rounded");
                for ((found, exact), size) in found.iter().zip(exact).zip(sizes) {
                    // Of sums of at most 240 products in f32 besides.
                    let share = (1.0 + UNIT).powi(3) - 1.0 + 2.0 * 240.0 * f64::from(f32::EPSILON);
                    let error = f64::from(found - exact).abs();
                    assert!(error <= share * f64::from(*size), "{found} {exact} {size}");
                }
            }
        }
    }
}
