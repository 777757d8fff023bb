//! Rounds weights to half precision and says what that costs.

use anyhow::{Result, bail};
use half::f16;

use crate::graph::{Graph, Op, Tensor, Value};

/// How weights are stored in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightType {
    /// IEEE 754 binary16.
    F16,
    /// IEEE 754 binary32.
    F32,
}

/// What rounding did to one tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Rounding {
    /// The node whose weights these are.
    pub name: String,
    /// Number of weights.
    pub weights: usize,
    /// Largest magnitude.
    pub largest: f32,
    /// Largest change.
    pub max_abs_error: f32,
    /// Root of the mean squared change, over the root of the mean squared weight.
    pub relative_rms_error: f64,
    /// Weights that became zero.
    pub flushed: usize,
}

/// The graph with weights as the file stores them, and a report on each. Biases stay `f32`, and so do constants that are
/// neither tables nor matrices.
///
/// # Errors
/// Names a weight tensor with a value that is not finite, or too large for half precision.
pub fn round_weights(graph: &Graph, weights: WeightType) -> Result<(Graph, Vec<Rounding>)> {
    let mut rounded = graph.clone();
    let constants: Vec<WeightType> =
        graph.nodes().map(|(value, _)| constant_type(graph, value, weights)).collect();
    let mut report = Vec::new();
    for ((name, op), constant_type) in rounded.ops_mut().zip(constants) {
        match op {
            Op::Dense { weight, bias }
            | Op::Conv2d { weight, bias, .. }
            | Op::ConvTranspose2d { weight, bias, .. } => {
                if bias.iter().flat_map(|b| &b.data).any(|v| !v.is_finite()) {
                    bail!("{name}: a bias is not finite: the training diverged");
                }
                report.push(round(name, weight, weights)?);
            }
            Op::Constant(tensor) if constant_type == WeightType::F16 => {
                report.push(round(name, tensor, constant_type)?);
            }
            _ => {}
        }
    }
    Ok((rounded, report))
}

/// How a constant is stored: tables that are gathered from and matrices as weights are, all else exactly.
pub(crate) fn constant_type(graph: &Graph, value: Value, weights: WeightType) -> WeightType {
    let is_weight = graph.nodes().any(|(_, node)| match node.op {
        Op::Gather { .. } => node.inputs[0] == value,
        Op::Contract { .. } => node.inputs.contains(&value),
        _ => false,
    });
    if is_weight { weights } else { WeightType::F32 }
}

fn round(name: &str, tensor: &mut Tensor, weights: WeightType) -> Result<Rounding> {
    let (mut largest, mut max_abs_error, mut squares, mut error_squares) = (0.0_f32, 0.0_f32, 0.0, 0.0);
    let mut flushed = 0;
    for value in &mut tensor.data {
        if !value.is_finite() {
            bail!("{name}: a weight is not finite: the training diverged");
        }
        let stored = match weights {
            WeightType::F16 => f16::from_f32(*value).to_f32(),
            WeightType::F32 => *value,
        };
        if !stored.is_finite() {
            bail!("{name}: weight {value} is beyond half precision (65504): export without --fp16");
        }
        let error = stored - *value;
        largest = largest.max(value.abs());
        max_abs_error = max_abs_error.max(error.abs());
        squares += f64::from(*value).powi(2);
        error_squares += f64::from(error).powi(2);
        flushed += usize::from(stored == 0.0 && *value != 0.0);
        *value = stored;
    }
    let relative_rms_error = if squares > 0.0 { (error_squares / squares).sqrt() } else { 0.0 };
    let weights = tensor.data.len();
    Ok(Rounding { name: name.to_owned(), weights, largest, max_abs_error, relative_rms_error, flushed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_is_to_nearest_and_reported() {
        // Between 1 and 2 halves are 2^-10 apart; 1e-8 is less than half the smallest.
        let mut tensor = Tensor::new([3], vec![1.0 + 0.3 / 1024.0, -2.0, 1e-8]);
        let report = round("w", &mut tensor, WeightType::F16).expect("finite");
        assert_eq!(tensor.data, [1.0, -2.0, 0.0]);
        assert_eq!((report.largest, report.flushed, report.weights), (2.0, 1, 3));
        assert!((report.max_abs_error - 0.3 / 1024.0).abs() < f32::EPSILON);
    }

    #[test]
    fn values_that_cannot_be_stored_are_refused() {
        for value in [f32::NAN, f32::INFINITY, 70_000.0] {
            assert!(round("w", &mut Tensor::new([1], vec![value]), WeightType::F16).is_err(), "{value}");
        }
    }
}
