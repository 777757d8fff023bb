//! Spectral normalization: a weight divided by its largest singular value.
//!
//! In: a weight. Out: the weight to compute with, whose gradient knows of the division. The singular vectors are
//! tensors of the module that owns the norm, so that a checkpoint holds them and a resumed run has the same bits.

use burn::module::{Module, Param};
use burn::tensor::Tensor;

/// The largest singular value of one weight, followed by power iteration while the weight is trained.
///
/// The weight counts as a matrix: its first axis by all others. For a convolution this is not the norm of the
/// operator, which also depends on stride and picture, but a fair and cheap stand-in.
///
/// # Source
/// Miyato et al. 2018, "Spectral Normalization for Generative Adversarial Networks", arXiv:1802.05957, algorithm 1.
#[derive(Module, Debug)]
pub struct SpectralNorm {
    /// Left singular vector, `[rows]`, of length one after the first iteration. Its gradient is never wanted.
    u: Param<Tensor<1>>,
    /// Right singular vector, `[columns]`.
    v: Param<Tensor<1>>,
}

/// Below this the direction of a vector is noise.
const SHORTEST: f32 = 1e-12;

impl SpectralNorm {
    /// For a weight of this shape, with vectors that await initial values.
    pub(crate) fn new<const D: usize>(weight: &Tensor<D>) -> Self {
        let [rows, columns] = extents(weight);
        let vector = |len| Param::from_tensor(Tensor::zeros([len], &weight.device())).set_require_grad(false);
        Self { u: vector(rows), v: vector(columns) }
    }

    /// `weight / sigma` with `sigma = u^T W v`, where `u` and `v` are constants.
    pub(crate) fn normalized<const D: usize>(&self, weight: Tensor<D>) -> Tensor<D> {
        let sigma = self.sigma(weight.clone());
        weight / sigma.reshape([1; D])
    }

    /// One step of power iteration: `v = W^T u`, `u = W v`, both of length one.
    pub(crate) fn iterated<const D: usize>(self, weight: Tensor<D>) -> Self {
        let weight = matrix(weight.detach());
        let [rows, columns] = weight.dims();
        let v = unit(weight.clone().transpose().matmul(self.u.val().detach().reshape([rows, 1])));
        let u = unit(weight.matmul(v.clone()));
        let keep = |vector: Tensor<2>, len| vector.reshape([len]).set_require_grad(false);
        Self { u: self.u.map(|_| keep(u, rows)), v: self.v.map(|_| keep(v, columns)) }
    }

    fn sigma<const D: usize>(&self, weight: Tensor<D>) -> Tensor<1> {
        let weight = matrix(weight);
        let [rows, columns] = weight.dims();
        let u = self.u.val().detach().reshape([1, rows]);
        let v = self.v.val().detach().reshape([columns, 1]);
        u.matmul(weight).matmul(v).reshape([1])
    }
}

fn extents<const D: usize>(weight: &Tensor<D>) -> [usize; 2] {
    let dims = weight.dims();
    [dims[0], dims[1..].iter().product()]
}

fn matrix<const D: usize>(weight: Tensor<D>) -> Tensor<2> {
    let extents = extents(&weight);
    weight.reshape(extents)
}

fn unit(vector: Tensor<2>) -> Tensor<2> {
    let length = vector.clone().square().sum().sqrt().clamp_min(SHORTEST);
    vector / length.reshape([1, 1])
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};
    use nalgebra::DMatrix;

    use super::*;
    use crate::network::{replaced, values};
    use crate::training::noise;

    /// `[4, 2, 1, 3]`, as a matrix 4x6.
    fn weight(seed: u64, device: &Device) -> Tensor<4> {
        let mut data = vec![0.0; 24];
        noise::fill_normal(seed, &mut data);
        Tensor::from_data(TensorData::new(data, [4, 2, 1, 3]), device)
    }

    fn converged(weight: &Tensor<4>, iterations: usize) -> SpectralNorm {
        let mut norm = SpectralNorm::new(weight);
        norm.u = norm.u.map(|u| replaced(&u, vec![1.0, -0.5, 0.25, 0.5]));
        for _ in 0..iterations {
            norm = norm.iterated(weight.clone());
        }
        norm
    }

    fn largest_singular_value(weight: &[f64]) -> f64 {
        DMatrix::from_row_slice(4, 6, weight).singular_values().max()
    }

    fn doubles(tensor: Tensor<4>) -> Vec<f64> {
        values(tensor).into_iter().map(f64::from).collect()
    }

    #[test]
    fn power_iteration_finds_the_largest_singular_value() {
        let device = Device::flex();
        for seed in 0..8 {
            let weight = weight(seed, &device);
            let matrix = doubles(weight.clone());
            let singular = DMatrix::from_row_slice(4, 6, &matrix).singular_values();
            // What is not along the first pair shrinks by the squared ratio of the values with every step, and enters
            // sigma squared. The start holds at least some of the first pair, here assumed to be a hundredth.
            let ratio = singular[1] / singular[0];
            let iterations = 60;
            let left = 1e4 * ratio.powi(4 * iterations);
            let norm = converged(&weight, iterations as usize);
            let sigma = f64::from(values(norm.sigma(weight.clone()))[0]);
            let tolerance = singular[0] * (left + 16.0 * f64::from(f32::EPSILON));
            assert!((sigma - singular[0]).abs() < tolerance, "seed {seed}: {sigma}, {singular}");

            let normalized = doubles(norm.normalized(weight));
            let one = largest_singular_value(&normalized);
            assert!((one - 1.0).abs() < 2.0 * tolerance / singular[0], "seed {seed}: {one}");
        }
    }

    /// With the true singular vectors, constant `u` and `v` give the gradient of the true singular value.
    #[test]
    fn the_gradient_knows_of_the_division() {
        let device = Device::flex().autodiff();
        let weight = weight(3, &device).require_grad();
        let coefficients = doubles(self::weight(4, &device));
        let loss = |weight: &[f64]| {
            let sigma = largest_singular_value(weight);
            weight.iter().zip(&coefficients).map(|(w, c)| c * w / sigma).sum::<f64>()
        };
        let norm = converged(&weight, 200);
        let grads = (norm.normalized(weight.clone()) * self::weight(4, &device)).sum().backward();
        let grad = doubles(weight.grad(&grads).expect("the loss reads the weight"));
        let start = doubles(weight.detach());
        // Central differences: h^2 of the third derivative, of order 1 here, and the rounding of f64 divided by h.
        let h = 1e-4;
        for i in 0..start.len() {
            let moved = |by| {
                let mut weight = start.clone();
                weight[i] += by;
                loss(&weight)
            };
            let expected = (moved(h) - moved(-h)) / (2.0 * h);
            // Sums of 24 products in f32, of values up to about 4.
            let tolerance = 24.0 * 4.0 * f64::from(f32::EPSILON) + 100.0 * h * h;
            assert!((grad[i] - expected).abs() < tolerance, "{i}: {} {expected}", grad[i]);
        }
        assert!(norm.u.val().grad(&grads).is_none() && norm.v.val().grad(&grads).is_none());
    }
}
