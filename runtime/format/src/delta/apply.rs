//! A delta as part of the file: for whoever wants one file, and gives up the way back.

use alloc::vec::Vec;

use half::f16;

use super::{Change, Delta, DeltaError, Network};
use crate::rewrite::seal;
use crate::{AlignedBytes, File, PANEL, Step, Tensor};

impl File<'_> {
    /// The file with what a delta changes in place of its own. Factors become part of weights and biases, whose products are
    /// rounded as the file stores them. The result has another name: the delta does not fit it any more.
    ///
    /// # Errors
    /// What [`Delta::check`] says of a delta that does not belong to this file, and where layers share weights but not the
    /// bias that factors are for.
    pub fn with_delta(&self, delta: &Delta<'_>) -> Result<AlignedBytes, DeltaError> {
        delta.check(self, None, f32::INFINITY)?;
        let mut tensors: Vec<Vec<f32>> = (0..self.tensor_count()).map(|i| values(self.tensor(i))).collect();
        let changes = delta.changes().enumerate();
        let changes = changes.filter(|(_, (target, _))| target.network == Network::Generator);
        for (_, (target, new)) in changes.clone().filter(|(_, (target, _))| target.change == Change::Replace)
        {
            tensors[target.tensor as usize] = values(Some(new));
        }
        let mut scaled = alloc::vec![false; tensors.len()];
        for (index, (target, factors)) in changes.filter(|(_, (target, _))| target.change == Change::Factor) {
            let factors = values(Some(factors));
            scale(&mut tensors[target.tensor as usize], &factors, 1);
            for step in self.steps() {
                let Step::TapGemm(step) = step else { continue };
                let done = core::mem::replace(&mut scaled[step.weights as usize], step.bias == target.tensor);
                match (step.bias == target.tensor, done) {
                    (true, false) => {
                        let rows_per_panel = step.tap_count as usize * usize::from(step.input.channels);
                        scale(&mut tensors[step.weights as usize], &factors, rows_per_panel);
                    }
                    (false, true) => {
                        return Err(DeltaError::OtherShape { index, tensor: step.weights });
                    }
                    _ => {}
                }
            }
            scaled.fill(false);
        }
        let mut file = AlignedBytes::copy(self.bytes());
        for (index, new) in tensors.iter().enumerate() {
            let place = &mut file.as_mut_slice()[self.tensor_at(index)..];
            match self.tensor(index) {
                Some(Tensor::F16(_)) => {
                    for (bytes, &value) in place.chunks_exact_mut(2).zip(new) {
                        bytes.copy_from_slice(&f16::from_f32(value).to_le_bytes());
                    }
                }
                _ => {
                    for (bytes, &value) in place.chunks_exact_mut(4).zip(new) {
                        bytes.copy_from_slice(&value.to_le_bytes());
                    }
                }
            }
        }
        seal(file).map_err(|_| DeltaError::Header { field: "base" })
    }
}

fn values(tensor: Option<Tensor<'_>>) -> Vec<f32> {
    match tensor {
        Some(Tensor::F16(rows)) => rows.as_flattened().iter().map(|value| value.to_f32()).collect(),
        Some(Tensor::F32(rows)) => rows.as_flattened().to_vec(),
        None => Vec::new(),
    }
}

/// Multiplies each channel of panels with its factor.
fn scale(values: &mut [f32], factors: &[f32], rows_per_panel: usize) {
    for (row, values) in values.chunks_exact_mut(PANEL).enumerate() {
        let factors = &factors[row / rows_per_panel * PANEL..][..PANEL];
        values.iter_mut().zip(factors).for_each(|(value, factor)| *value *= factor);
    }
}
