//! A delta as part of the file: for whoever wants one file, and gives up the way back.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use half::f16;

use super::{Change, Delta, DeltaError, Network};
use crate::rewrite::seal;
use crate::{AlignedBytes, File, Operand, PANEL, Step, Tensor};

impl File<'_> {
    /// The file with what a delta changes in place of its own. Factors become part of weights and biases, whose products are
    /// rounded as the file stores them. The result has another name: the delta does not fit it any more.
    ///
    /// # Errors
    /// What [`Delta::check`] says of a delta that does not belong to this file; where a step without the factors reads what they
    /// would be part of; and where a product is not finite as the file stores it.
    pub fn with_delta(&self, delta: &Delta<'_>) -> Result<AlignedBytes, DeltaError> {
        delta.check(self, None, f32::INFINITY)?;
        let mut tensors: Vec<Vec<f32>> = (0..self.tensor_count()).map(|i| values(self.tensor(i))).collect();
        let changes = delta.changes().enumerate();
        let changes = changes.filter(|(_, (target, _))| target.network == Network::Generator);
        for (_, (target, new)) in changes.clone().filter(|(_, (target, _))| target.change == Change::Replace)
        {
            tensors[target.tensor as usize] = values(Some(new));
        }
        for (index, (target, factors)) in changes.filter(|(_, (target, _))| target.change == Change::Factor) {
            let factors = values(Some(factors));
            let panels = factors.len() / PANEL;
            for tensor in self.scaled_with(target.tensor)? {
                let scaled = &mut tensors[tensor as usize];
                let rows_per_panel = scaled.len() / PANEL / panels;
                scale(scaled, &factors, rows_per_panel);
                let halves = matches!(self.tensor(tensor as usize), Some(Tensor::F16(_)));
                let stored = |value: f32| if halves { f16::from_f32(value).to_f32() } else { value };
                if !scaled.iter().all(|&value| stored(value).is_finite()) {
                    return Err(DeltaError::NotFinite { index });
                }
            }
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

    /// The tensors that factors for the layers with this bias become part of: the bias and the layers' weights, which no other
    /// step may read.
    fn scaled_with(&self, bias: u32) -> Result<BTreeSet<u32>, DeltaError> {
        let weights_of = |step| match step {
            Step::TapGemm(step) if step.bias == bias => Some(step.weights),
            _ => None,
        };
        let weights: BTreeSet<u32> = self.steps().filter_map(weights_of).collect();
        for (index, step) in self.steps().enumerate() {
            let read = match step {
                Step::TapGemm(step) if step.bias == bias => continue,
                Step::TapGemm(step) => [Some(step.weights), Some(step.bias), None],
                Step::Nest(step) => [Some(step.a), Some(step.b), step.shift].map(|operand| match operand {
                    Some(Operand::Tensor { index, .. }) => Some(index),
                    _ => None,
                }),
            };
            let scaled = |tensor: &u32| *tensor == bias || weights.contains(tensor);
            if let Some(tensor) = read.into_iter().flatten().find(scaled) {
                return Err(DeltaError::Shared { step: index, tensor });
            }
        }
        Ok(core::iter::once(bias).chain(weights).collect())
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
