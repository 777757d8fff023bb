use burn::tensor::Device;
use burn::tensor::activation::{leaky_relu, relu, tanh};

use super::*;
use crate::network::values;

/// Values and gradients are those of burn's own functions, but for rounding: one product more or less.
#[test]
fn they_are_what_burn_computes() {
    let device = Device::flex().autodiff();
    let inputs = [-3.0f32, -0.5, 0.25, 4.0, 1e-3, -1e-3];
    let burns = |function, x| match function {
        Function::Relu => relu(x),
        Function::LeakyRelu(slope) => leaky_relu(x, slope),
        Function::Tanh => tanh(x),
    };
    for function in [Function::Relu, Function::LeakyRelu(0.2), Function::Tanh] {
        let computed = |compute: &dyn Fn(Tensor<4>) -> Tensor<4>| {
            let x = Tensor::<1>::from_floats(inputs, &device).require_grad();
            let y = compute(x.clone().reshape([2, 1, 1, 3]));
            // A gradient that differs from value to value.
            let grads = (y.clone() * y.clone()).sum().backward();
            [values(y), values(x.grad(&grads).expect("the sum reads it"))]
        };
        let mine = computed(&|x| Activation::new(function).forward(x, &Condition::default()));
        for (mine, burns) in mine.iter().flatten().zip(computed(&|x| burns(function, x)).iter().flatten()) {
            assert!((mine - burns).abs() <= 4.0 * f32::EPSILON * burns.abs(), "{function:?}: {mine} {burns}");
        }
    }
}

#[test]
fn what_is_no_number_stays_none() {
    let x = || Tensor::<4>::from_data([[[[f32::NAN]]]], &Device::flex());
    for function in [Function::Relu, Function::LeakyRelu(0.2), Function::Tanh] {
        assert!(
            values(Activation::new(function).forward(x(), &Condition::default()))[0].is_nan(),
            "{function:?}"
        );
    }
}
