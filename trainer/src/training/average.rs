//! The exponential moving average of the generator.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;

use super::mirror::{Mirror, Mirrored, Numbers};
use crate::network::{Generator, values};

/// Moves `average` towards `generator` after step number `step`.
///
/// The share of the old value grows to `decay` as the average grows old, so that initial weights are soon forgotten.
pub(super) fn update(average: &mut Mirror, generator: &Generator, decay: f64, step: usize) {
    let warm_up = (1.0 + step as f64) / (10.0 + step as f64);
    generator.visit(&mut Update { average: average.iter_mut(), new: 1.0 - decay.min(warm_up) as f32 });
}

struct Update<'a> {
    average: core::slice::IterMut<'a, Mirrored>,
    new: f32,
}

impl ModuleVisitor for Update<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let average = self.average.next().expect("the average was made from this module");
        match &mut average.numbers {
            Numbers::Host(average) => {
                for (average, value) in average.iter_mut().zip(values(param.val())) {
                    *average += self.new * (value - *average);
                }
            }
            Numbers::Device(average) => {
                let value = param.val().inner().flatten(0, D - 1);
                *average = average.clone() + (value - average.clone()).mul_scalar(self.new);
            }
        }
    }
}
