//! Deltas of small programs.

use half::f16;
use pocketgan_format::{
    AlignedBytes, Change, Delta, DeltaError, DeltaSummary, File, LearnedTensor, Losses, Network, Preset,
    Program, Target, Tensor, TensorData, ValueType,
};

/// One change, with values of its own.
pub(crate) type Part = (Target, ValueType, Vec<f32>);

/// Plausible numbers.
pub(crate) fn summary(base: &File<'_>) -> DeltaSummary {
    DeltaSummary {
        base: base.sha256(),
        seed: 0x0123_4567_89ab_cdef,
        steps: 200,
        examples: 16,
        first: Losses { discriminator: 0.5, generator: 0.25 },
        last: Losses { discriminator: 0.375, generator: 0.3125 },
        merged: 1,
        preset: Preset::Tail,
    }
}

/// What the parts say, in the engine's words.
pub(crate) fn learned(parts: &[Part]) -> impl Iterator<Item = LearnedTensor<'_>> + Clone {
    parts.iter().map(|(target, stored, values)| LearnedTensor { target: *target, stored: *stored, values })
}

/// A delta of these parts, in a buffer that fits.
pub(crate) fn encode(summary: &DeltaSummary, parts: &[Part]) -> Result<AlignedBytes, DeltaError> {
    let mut bytes = vec![0xaa; Delta::encoded_bytes(learned(parts)).min(1 << 20)];
    let len = Delta::encode(summary, learned(parts), &mut bytes)?;
    Ok(AlignedBytes::copy(&bytes[..len]))
}

/// A delta of `base` with these parts.
pub(crate) fn delta(base: &File<'_>, parts: &[Part]) -> AlignedBytes {
    encode(&summary(base), parts).expect("sound parts")
}

/// A tensor of the generator, replaced.
pub(crate) fn replace(tensor: u32) -> Target {
    Target { network: Network::Generator, tensor, change: Change::Replace }
}

/// A bias of the generator whose layers get factors.
pub(crate) fn factor(tensor: u32) -> Target {
    Target { network: Network::Generator, tensor, change: Change::Factor }
}

/// A tensor's values.
pub(crate) fn values(tensor: Tensor<'_>) -> Vec<f32> {
    match tensor {
        Tensor::F16(rows) => rows.as_flattened().iter().map(|v| v.to_f32()).collect(),
        Tensor::F32(rows) => rows.as_flattened().to_vec(),
    }
}

/// Every tensor of a program, as a part with values made of the old ones.
pub(crate) fn parts(program: &Program, new: impl Fn(f32) -> f32) -> Vec<Part> {
    let part = |(index, tensor): (usize, &TensorData)| {
        let (stored, old): (_, Vec<f32>) = match tensor {
            TensorData::F16(rows) => {
                (ValueType::F16, rows.as_flattened().iter().map(|v| v.to_f32()).collect())
            }
            TensorData::F32(rows) => (ValueType::F32, rows.as_flattened().to_vec()),
        };
        (replace(index as u32), stored, old.into_iter().map(&new).collect())
    };
    program.tensors.iter().enumerate().map(part).collect()
}

/// The program with the values of replacing parts, rounded as they are stored.
pub(crate) fn rewritten(mut program: Program, parts: &[Part]) -> Program {
    for (target, stored, values) in parts.iter().filter(|(target, ..)| target.change == Change::Replace) {
        let rows = values.chunks(8).map(|row| core::array::from_fn(|lane| row[lane]));
        program.tensors[target.tensor as usize] = match stored {
            ValueType::F16 => TensorData::F16(rows.map(|row: [f32; 8]| row.map(f16::from_f32)).collect()),
            ValueType::F32 => TensorData::F32(rows.collect()),
        };
    }
    program
}
