//! The last layer of a discriminator: one score. As a panel it would be padded to eight channels, and so would be every value
//! of its gradient and its optimizer.

use pocketgan_kernels::{Panels, f16_to_f32};

use crate::pass::Pass;
use crate::slots::Kind;
use crate::task::Head;

impl Head<'_> {
    /// The score of what the layers before found.
    pub(crate) fn score(&self, pass: &Pass<'_>, features: &[f32]) -> f32 {
        let bias = match pass.network.slots.find(self.bias, Kind::Bias) {
            Some(range) => pass.values[range.start],
            None => self.gemm.bias.first().copied().unwrap_or(0.0),
        };
        let weight = self.weight(pass);
        features.iter().enumerate().fold(bias, |sum, (i, &feature)| sum + feature * weight(i))
    }

    /// Writes the gradient of `slope` times the score with respect to what the layers before found to `down`, and adds that of
    /// what moves to `gradients`, if there are any.
    pub(crate) fn backward(
        &self,
        pass: &Pass<'_>,
        slope: f32,
        features: &[f32],
        down: &mut [f32],
        gradients: Option<&mut [f32]>,
    ) {
        let weight = self.weight(pass);
        down.iter_mut().take(features.len()).enumerate().for_each(|(i, value)| *value = slope * weight(i));
        let slots = &pass.network.slots;
        let places = slots.find(self.weights, Kind::Column).zip(slots.find(self.bias, Kind::Bias));
        if let (Some(gradients), Some((weights, bias))) = (gradients, places) {
            let column = gradients[weights].iter_mut().zip(features);
            column.for_each(|(gradient, &feature)| *gradient += slope * feature);
            gradients[bias.start] += slope;
        }
    }

    /// The weight of each value.
    fn weight(&self, pass: &Pass<'_>) -> impl Fn(usize) -> f32 {
        let column = pass.network.slots.find(self.weights, Kind::Column).map(|range| &pass.values[range]);
        move |i| match (column, self.gemm.weights) {
            (Some(column), _) => column[i],
            (None, Panels::F16(rows)) => f16_to_f32(rows[i][0]),
            (None, Panels::F32(rows)) => rows[i][0],
        }
    }
}
