//! Initial weights, from our own seeds.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::Tensor;
use nalgebra::DMatrix;

use super::parameters::ModulePath;
use super::{Initialization, replaced, values};
use crate::training::noise;

/// Draws weights; batch-norm scales N(1, 0.02), shifts 0, biases 0 but for `uniform`; and the directions from which power
/// iterations start.
///
/// # Source
/// Radford et al. 2016, "Unsupervised Representation Learning with Deep Convolutional Generative Adversarial
/// Networks", arXiv:1511.06434, and its reference code.
struct Initializer {
    seed: u64,
    kind: Initialization,
    path: ModulePath,
    drawn: u64,
    /// Inputs of the last weight: its bias comes next.
    inputs: usize,
}

/// The module with initial values.
pub(crate) fn initialized<M: Module>(module: M, kind: Initialization, seed: u64) -> M {
    module.map(&mut Initializer { seed, kind, path: ModulePath::default(), drawn: 0, inputs: 1 })
}

impl ModuleMapper for Initializer {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, container_type: &str) {
        self.path.exit(container_type);
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        const SPREAD: f32 = 0.02;
        let name = self.path.field();
        let (mean, spread) = match name {
            Some("weight") => (0.0, SPREAD),
            Some("gamma") => (1.0, SPREAD),
            Some("running_var") => (1.0, 0.0),
            Some("u") => (0.0, 1.0),
            _ => (0.0, 0.0),
        };
        let seed = noise::seed_of(self.seed, noise::Stream::Weights, self.drawn);
        self.drawn += 1;
        if name == Some("weight") {
            // `[in, out]` of dense layers; of convolutions `[out, in, k, k]`, and transposed ones are taken for such, as in PyTorch.
            let dims = param.val().dims();
            self.inputs = if D == 2 { dims[0] } else { dims[1..].iter().product() };
        }
        let inputs = self.inputs;
        let kind = match name {
            Some("weight") => self.kind,
            Some("bias") if self.kind == Initialization::Uniform => self.kind,
            _ => Initialization::Normal,
        };
        param.map(|tensor| {
            let mut values = vec![0.0; tensor.shape().num_elements()];
            match kind {
                Initialization::Uniform => fill_uniform(seed, &mut values, 1.0 / (inputs as f32).sqrt()),
                Initialization::Orthogonal => {
                    noise::fill_normal(seed, &mut values);
                    orthogonalize(&mut values, tensor.dims()[0]);
                }
                Initialization::Normal if spread > 0.0 => {
                    noise::fill_normal(seed, &mut values);
                    values.iter_mut().for_each(|v| *v = mean + spread * *v);
                }
                Initialization::Normal => values.fill(mean),
            }
            replaced(&tensor, values)
        })
    }
}

/// Numbers between `-bound` and `bound`.
fn fill_uniform(seed: u64, values: &mut [f32], bound: f32) {
    let mut rng = noise::rng(seed);
    values.fill_with(|| bound * (2.0 * noise::uniform(&mut rng) - 1.0));
}

/// Multiplies all parameters of a module.
struct Multiplier(f32);

/// The module with `factor` times its parameters.
pub(crate) fn multiplied<M: Module>(module: M, factor: f64) -> M {
    module.map(&mut Multiplier(factor as f32))
}

impl ModuleMapper for Multiplier {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|tensor| {
            let values = values(tensor.clone()).into_iter().map(|value| self.0 * value).collect();
            replaced(&tensor, values)
        })
    }
}

/// Makes the rows of a matrix of normal numbers orthogonal, or its columns where there are fewer of them, and each 1.4
/// long, which keeps the spread of values through a hyperbolic tangent about the same.
///
/// # Source
/// Saxe et al. 2014, "Exact solutions to the nonlinear dynamics of learning in deep linear neural networks",
/// arXiv:1312.6120.
fn orthogonalize(values: &mut [f32], rows: usize) {
    const GAIN: f64 = 1.4;
    let columns = values.len() / rows;
    let matrix = DMatrix::from_fn(rows.max(columns), rows.min(columns), |i, j| {
        let at = if rows >= columns { i * columns + j } else { j * columns + i };
        f64::from(values[at])
    });
    let (q, r) = matrix.qr().unpack();
    for i in 0..q.nrows() {
        for j in 0..q.ncols() {
            let at = if rows >= columns { i * columns + j } else { j * columns + i };
            // The sign makes the result uniform among such matrices.
            values[at] = (GAIN * q[(i, j)] * r[(j, j)].signum()) as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orthogonal_rows_or_columns() {
        for (rows, columns) in [(5, 8), (8, 5), (6, 6)] {
            let mut values = vec![0.0; rows * columns];
            noise::fill_normal(3, &mut values);
            orthogonalize(&mut values, rows);
            let matrix = DMatrix::from_row_slice(rows, columns, &values).map(f64::from);
            let gram =
                if rows <= columns { &matrix * matrix.transpose() } else { matrix.transpose() * &matrix };
            let error = (gram / (1.4 * 1.4) - DMatrix::identity(rows.min(columns), rows.min(columns))).amax();
            // Values are rounded to f32, and products of eight of them summed.
            assert!(error < 16.0 * f64::from(f32::EPSILON), "{rows}x{columns}: {error}");
        }
    }
}
