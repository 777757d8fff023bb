//! Fourier features.

use core::f64::consts::PI;

use anyhow::Result;
use burn::module::Module;
use burn::tensor::Tensor;
use pocketgan_compiler::graph::{self, Binary, Op, Unary, Value};

use super::{Compute, Condition, Draft};

/// `[N, C, H, W]` to `[N, (1 + 2 octaves) C, H, W]`: `x`, the input in units of `extent`, then `sin(f x) / f` and `cos(f x) / f`
/// for every `f = 2^k pi` from `k = 0`.
///
/// A network learns what changes slowly over its inputs first, and what changes fast hardly ever; here details of all sizes down to
/// `2^-octaves` of the extent are there from the start. All parts are equally steep, so that fine ones do not drown the coarse. The
/// longest wave is as long as from `-extent` to `extent`, so that no two places in there look alike.
///
/// # Source
/// Tancik et al. 2020, "Fourier Features Let Networks Learn High Frequency Functions in Low Dimensional Domains",
/// arXiv:2006.10739; the frequencies are those of Mildenhall et al. 2020, "NeRF", arXiv:2003.08934, section 5.1.
#[derive(Module, Debug)]
pub struct FourierFeatures {
    octaves: usize,
    extent: f64,
}

impl FourierFeatures {
    /// With so many octaves of inputs from `-extent` to `extent`.
    pub fn new(octaves: usize, extent: f64) -> Self {
        Self { octaves, extent }
    }

    /// Channels made of so many.
    pub(crate) fn outputs(&self, channels: usize) -> usize {
        (1 + 2 * self.octaves) * channels
    }

    fn frequencies(&self) -> impl Iterator<Item = f64> {
        (0..self.octaves).map(|octave| PI * 2f64.powi(octave as i32))
    }

    /// Sine and cosine of each frequency, of inputs in units of the extent.
    fn waves(&self, x: &Tensor<4>) -> impl Iterator<Item = [Tensor<4>; 2]> {
        self.frequencies().map(|frequency| {
            let angle = x.clone().mul_scalar(frequency);
            [angle.clone().sin(), angle.cos()]
        })
    }
}

impl Compute for FourierFeatures {
    fn forward(&self, x: Tensor<4>, _: &Condition) -> Tensor<4> {
        let x = x.div_scalar(self.extent);
        let waves = self.waves(&x).zip(self.frequencies());
        let waves = waves.flat_map(|(waves, frequency)| waves.map(|wave| wave.div_scalar(frequency)));
        Tensor::cat([x.clone()].into_iter().chain(waves).collect(), 1)
    }

    fn tangent(&self, x: Tensor<4>, v: Tensor<4>, condition: &Condition) -> [Tensor<4>; 2] {
        let scaled = x.clone().div_scalar(self.extent);
        let v = v.div_scalar(self.extent);
        let slopes =
            self.waves(&scaled).flat_map(|[sine, cosine]| [cosine * v.clone(), sine.neg() * v.clone()]);
        let slopes = [v.clone()].into_iter().chain(slopes).collect();
        [self.forward(x, condition), Tensor::cat(slopes, 1)]
    }

    fn draft(&self, draft: &mut Draft<'_>, name: &str, x: Value) -> Result<Value> {
        let extent = Op::Constant(graph::Tensor::scalar(self.extent as f32));
        let extent = draft.graph.push(format!("{name}.extent"), extent, vec![])?;
        let x = draft.graph.push(format!("{name}.scaled"), Op::Binary(Binary::Div), vec![x, extent])?;
        let mut parts = vec![x];
        for (octave, frequency) in self.frequencies().enumerate() {
            let mut push =
                |part: &str, op, inputs| draft.graph.push(format!("{name}.{part}{octave}"), op, inputs);
            let frequency = Op::Constant(graph::Tensor::scalar(frequency as f32));
            let frequency = push("frequency", frequency, vec![])?;
            let angle = push("angle", Op::Binary(Binary::Mul), vec![x, frequency])?;
            for (wave, function) in [("sine", Unary::Sin), ("cosine", Unary::Cos)] {
                let value = push(wave, Op::Unary(function), vec![angle])?;
                parts.push(push(&format!("{wave}_part"), Op::Binary(Binary::Div), vec![value, frequency])?);
            }
        }
        draft.graph.push(format!("{name}.concat"), Op::Concat { axis: 1 }, parts)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::network::values;

    #[test]
    fn octaves_halve_in_length_and_in_height() {
        let x = Tensor::<2>::from_floats([[0.75, -1.5]], &Device::flex()).reshape([1, 2, 1, 1]);
        let layer = FourierFeatures::new(2, 3.0);
        let found = values(layer.forward(x, &Condition::default()));
        assert_eq!(found.len(), layer.outputs(2));
        let root = 0.5f64.sqrt();
        // Channels of each part side by side: x / 3, then sines and cosines of pi x, then those of 2 pi x.
        let waves = [root, -1.0, root, 0.0, 0.5, 0.0, 0.0, -0.5].map(|wave| (wave / PI) as f32);
        for (found, expected) in found.iter().zip([0.25, -0.5].into_iter().chain(waves)) {
            assert!((found - expected).abs() <= f32::EPSILON, "{found} {expected}");
        }
    }
}
