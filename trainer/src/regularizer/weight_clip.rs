//! Weight clipping: a crude bound of how steep a critic can be.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::Tensor;

/// `module` with all trained numbers moved into `[-bound, bound]`: weights, biases and scales. Running statistics and
/// singular vectors, which are not trained, stay as they are. Called after each update.
///
/// # Source
/// Arjovsky et al. 2017, "Wasserstein GAN", arXiv:1701.07875, algorithm 1, whose bound is 0.01.
pub fn clipped<M: Module>(module: M, bound: f64) -> M {
    module.map(&mut Clip { bound: bound as f32 })
}

struct Clip {
    bound: f32,
}

impl ModuleMapper for Clip {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if !param.is_require_grad() {
            return param;
        }
        param.map(|tensor| {
            let trains = tensor.is_require_grad();
            let clipped = tensor.inner().clamp(-self.bound, self.bound);
            Tensor::from_inner(clipped).set_require_grad(trains)
        })
    }
}

#[cfg(test)]
mod tests {
    use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig};
    use burn::tensor::Device;

    use super::*;
    use crate::network::Parameters;
    use crate::regularizer::SpectralNorm;

    #[derive(Module, Debug)]
    struct Critic {
        dense: Linear,
        norm: BatchNorm,
        spectrum: SpectralNorm,
    }

    #[test]
    fn weights_and_biases_are_clipped_and_nothing_else() {
        let device = Device::flex().autodiff();
        let dense = LinearConfig::new(4, 3).init(&device);
        let spectrum = SpectralNorm::new(&dense.weight.val());
        let critic = Critic { dense, norm: BatchNormConfig::new(3).init(&device), spectrum };
        let mut start = Parameters::read(&critic);
        for tensor in &mut start.0 {
            tensor
                .data
                .iter_mut()
                .zip([-2.0, 0.125, 0.5, -0.25].into_iter().cycle())
                .for_each(|(v, to)| *v = to);
        }
        let critic = clipped(start.write(critic).unwrap(), 0.25);
        let mut trained = vec![];
        for (before, after) in start.0.iter().zip(Parameters::read(&critic).0) {
            let clip = |v: &f32| v.clamp(-0.25, 0.25);
            if after.data == before.data.iter().map(clip).collect::<Vec<_>>() {
                trained.push(after.name);
            } else {
                assert_eq!(after, *before);
            }
        }
        assert_eq!(trained, ["dense.weight", "dense.bias", "norm.gamma", "norm.beta"]);
        // They are still trained.
        let x = Tensor::<2>::ones([1, 4], &device);
        let grads = critic.dense.forward(x).sum().backward();
        assert!(critic.dense.weight.val().grad(&grads).is_some());
    }
}
