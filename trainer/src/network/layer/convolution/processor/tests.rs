use burn::tensor::module::{conv_transpose2d, conv2d};
use burn::tensor::ops::{ConvOptions, ConvTransposeOptions};
use burn::tensor::{Device, TensorData};

use super::*;
use crate::network::values;
use crate::training::noise;

fn random<const D: usize>(seed: u64, shape: [usize; D], device: &Device) -> Tensor<D> {
    let mut data = vec![0.0; shape.iter().product()];
    noise::fill_normal(seed, &mut data);
    Tensor::from_data(TensorData::new(data, shape), device).require_grad()
}

/// Values and gradients are those of burn-flex's own convolutions, which burn tests against PyTorch's.
fn check(name: &str, mine: Tensor<4>, burns: Tensor<4>, leaves: [Tensor<4>; 2], terms: usize) {
    assert_eq!(mine.dims(), burns.dims(), "{name}");
    // Sums of so many products of two numbers below 5, which two orders of adding round differently.
    let close = |found: Vec<f32>, expected: Vec<f32>, terms: usize| {
        let tolerance = 25.0 * f32::EPSILON * terms as f32;
        for (found, expected) in found.into_iter().zip(expected) {
            assert!((found - expected).abs() <= tolerance, "{name}: {found} {expected} {tolerance}");
        }
    };
    close(values(mine.clone()), values(burns.clone()), terms);
    let direction = random(9, mine.dims(), &mine.device()).detach();
    let positions = direction.shape().num_elements();
    let slopes = |y: Tensor<4>| {
        let grads = (y * direction.clone()).sum().backward();
        leaves.each_ref().map(|leaf| values(leaf.grad(&grads).unwrap()))
    };
    let [found, expected] = [slopes(mine), slopes(burns)];
    for (found, expected) in found.into_iter().zip(expected) {
        close(found, expected, positions);
    }
}

/// Batch and both channels: less than a panel; more than one, and so many pictures that all are summed and transposed in parts.
const SIZES: [[usize; 3]; 2] = [[3, 2, 4], [70, 11, 18]];

#[test]
fn they_convolve_as_burn_does() {
    let device = Device::flex().autodiff();
    for [batch, inputs, outputs] in SIZES {
        for (kernel, stride, padding, height, width) in [
            (4, 2, 1, 8, 6),
            (3, 1, 1, 5, 7),
            (3, 2, 1, 7, 6),
            (1, 1, 0, 4, 4),
            (4, 2, 1, 2, 2),
            (5, 3, 2, 9, 4),
        ] {
            let x = random(1, [batch, inputs, height, width], &device);
            let weight = random(2, [outputs, inputs, kernel, kernel], &device);
            let options = ConvOptions::new([stride; 2], [padding; 2], [1; 2], 1);
            let burns = conv2d(x.clone(), weight.clone(), None, options);
            let mine = convolution(x.clone(), weight.clone(), stride, padding);
            let name =
                format!("{batch} {inputs}-{outputs} k{kernel} s{stride} p{padding} of {height}x{width}");
            check(&name, mine, burns, [x, weight], inputs * kernel * kernel);
        }
    }
}

#[test]
fn they_convolve_transposed_as_burn_does() {
    let device = Device::flex().autodiff();
    for [batch, outputs, inputs] in SIZES {
        for (kernel, stride, padding, output_padding, height, width) in [
            (4, 2, 1, 0, 4, 3),
            (3, 2, 1, 1, 3, 5),
            (3, 2, 1, 0, 4, 4),
            (3, 1, 1, 0, 5, 2),
            (2, 3, 0, 1, 3, 3),
        ] {
            let x = random(1, [batch, inputs, height, width], &device);
            let weight = random(2, [inputs, outputs, kernel, kernel], &device);
            let options =
                ConvTransposeOptions::new([stride; 2], [padding; 2], [output_padding; 2], [1; 2], 1);
            let burns = conv_transpose2d(x.clone(), weight.clone(), None, options);
            let mine = transposed(x.clone(), weight.clone(), stride, padding, output_padding);
            let name = format!(
                "{batch} {inputs}-{outputs} k{kernel} s{stride} p{padding}+{output_padding} of {height}x{width}"
            );
            check(&name, mine, burns, [x, weight], inputs * kernel * kernel);
        }
    }
}
