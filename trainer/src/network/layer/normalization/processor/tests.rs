use burn::tensor::module::batch_norm_train;
use burn::tensor::{Device, TensorData};

use super::*;
use crate::network::values;
use crate::training::noise;

/// Values, statistics and gradients are burn's, which burn tests against PyTorch's. Planes of 35 values end within a register, and the
/// larger matrix ends within a block of columns and is more rows than a core takes at once.
#[test]
fn it_is_what_burn_computes() {
    const EPSILON: f64 = 1e-5;
    let device = Device::flex().autodiff();
    let random = |seed, shape: [usize; 4], at: f32| {
        let mut data = vec![0.0; shape.iter().product()];
        noise::fill_normal(seed, &mut data);
        data.iter_mut().for_each(|value| *value += at);
        Tensor::<4>::from_data(TensorData::new(data, shape), &device).require_grad()
    };
    for shape in [[6, 3, 5, 7], [40, 2, 1, 1], [300, 70, 1, 1], [2, 5, 32, 32]] {
        let x = random(1, shape, 2.0);
        let leaf = |seed| random(seed, [1, shape[1], 1, 1], 1.0).reshape([shape[1]]).detach().require_grad();
        let (gamma, beta) = (leaf(2), leaf(3));
        let direction = random(4, shape, 0.0).detach();
        let gradients = |y: Tensor<4>| {
            let grads = (y * direction.clone()).sum().backward();
            [
                values(x.grad(&grads).unwrap()),
                values(gamma.grad(&grads).unwrap()),
                values(beta.grad(&grads).unwrap()),
            ]
        };
        let (y, mean, variance) = normalize(x.clone(), gamma.clone(), beta.clone(), EPSILON);
        let burns = batch_norm_train(x.clone(), gamma.clone(), beta.clone(), EPSILON);
        // Sums of so many values below 7, and of as many products of three such, added in another order.
        let count = shape.iter().product::<usize>() as f32 / shape[1] as f32;
        let close = |name: &str, mine: &[f32], burns: &[f32], size: f32| {
            assert_eq!(mine.len(), burns.len());
            for (mine, burns) in mine.iter().zip(burns) {
                let tolerance = f32::EPSILON * size;
                assert!((mine - burns).abs() <= tolerance, "{name} of {shape:?}: {mine} {burns} {tolerance}");
            }
        };
        close("mean", &values(mean), &values(burns.mean), 7.0 * count);
        close("variance", &values(variance), &values(burns.variance), 49.0 * count);
        close("result", &values(y.clone()), &values(burns.output.clone()), 49.0 * count);
        let (mine, burns) = (gradients(y), gradients(burns.output));
        for (name, i) in [("x", 0), ("gamma", 1), ("beta", 2)] {
            close(name, &mine[i], &burns[i], 49.0 * count);
        }
    }
}

#[test]
fn threads_change_no_bit() {
    let device = Device::flex();
    for shape in [[8, 5, 64, 64], [600, 70, 1, 1]] {
        let mut data = vec![0.0; shape.iter().product()];
        noise::fill_normal(1, &mut data);
        let x = Tensor::<4>::from_data(TensorData::new(data, shape), &device);
        let computed = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let (gamma, beta) = (Tensor::ones([shape[1]], &device), Tensor::zeros([shape[1]], &device));
            let (y, mean, variance) = pool.install(|| normalize(x.clone(), gamma, beta, 1e-5));
            [values(y), values(mean), values(variance)]
        };
        assert_eq!(computed(1), computed(3), "{shape:?}");
    }
}
