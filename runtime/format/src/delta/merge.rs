//! The mean of deltas of one base.

use half::f16;

use super::write::{put_header, put_values, seal};
use super::{Delta, DeltaError, DeltaSummary, HEADER_BYTES, Losses, data_start, records};
use crate::ValueType;
use crate::layout::{f32_at, u16_at};

impl Delta<'_> {
    /// Writes the mean of some deltas to the start of `out`, as long as the first without its signature; returns its length
    /// in bytes.
    ///
    /// A delta that is a mean itself counts as many times as it has parts, so that it does not matter in which order
    /// devices are merged but for rounding. Steps and examples are summed up, losses are means; seed and preset are those
    /// of the first.
    ///
    /// # Errors
    /// When the deltas have not the same base and records, or `out` is too short.
    ///
    /// # Source
    /// McMahan et al. 2017, "Communication-Efficient Learning of Deep Networks from Decentralized Data", arXiv:1602.05629,
    /// with the number of merged deltas as weights.
    pub fn merge(deltas: &[Delta<'_>], out: &mut [u8]) -> Result<usize, DeltaError> {
        let first = deltas.first().ok_or(DeltaError::NothingToMerge)?;
        let file = first.unsigned();
        for (index, delta) in deltas.iter().enumerate() {
            let [learned_from, base] = [delta, first].map(|delta| delta.summary().base);
            if learned_from != base {
                return Err(DeltaError::other_base(&learned_from, &base));
            }
            if !records(delta.unsigned()).eq(records(file)) {
                return Err(DeltaError::OtherRecords { delta: index });
            }
        }
        let (need, have) = (file.len(), out.len());
        let out = out.get_mut(..need).ok_or(DeltaError::BufferTooSmall { need, have })?;
        let start = data_start(file);
        put_header(out, &summary(deltas)?, need, records(file).len())?;
        out[HEADER_BYTES..start].copy_from_slice(&file[HEADER_BYTES..start]);

        let total: f64 = deltas.iter().map(weight).sum();
        let mut rest = &mut out[start..];
        let mut at = start;
        for (_, values) in first.changes() {
            let stored = values.value_type();
            let (bytes, behind) = rest.split_at_mut(values.bytes());
            let places = (at..).step_by(stored.bytes() as usize);
            // Sums of products of 24 and 32 bits: equal values have their own bits as mean.
            let mean = |at: usize| {
                let sum: f64 =
                    deltas.iter().map(|delta| weight(delta) * value(delta.bytes, stored, at)).sum();
                sum / total
            };
            put_values(bytes, stored, places.map(mean), f16::from_f64, |mean| mean as f32);
            at += values.bytes();
            rest = behind;
        }
        seal(out)
    }
}

fn weight(delta: &Delta<'_>) -> f64 {
    f64::from(delta.summary().merged)
}

fn value(bytes: &[u8], stored: ValueType, at: usize) -> f64 {
    match stored {
        ValueType::F16 => f16::from_bits(u16_at(bytes, at)).to_f64(),
        ValueType::F32 => f64::from(f32_at(bytes, at)),
    }
}

fn summary(deltas: &[Delta<'_>]) -> Result<DeltaSummary, DeltaError> {
    let all = || deltas.iter().map(Delta::summary);
    let total: f64 = deltas.iter().map(weight).sum();
    let mean = |losses: fn(&DeltaSummary) -> Losses| {
        let of = |loss: fn(Losses) -> f32| {
            let sum: f64 = all().map(|s| f64::from(s.merged) * f64::from(loss(losses(&s)))).sum();
            (sum / total) as f32
        };
        Losses { discriminator: of(|losses| losses.discriminator), generator: of(|losses| losses.generator) }
    };
    let mut parts = all().map(|s| s.merged);
    let merged = parts.try_fold(0_u32, u32::checked_add).ok_or(DeltaError::Header { field: "merged" })?;
    let first = deltas.first().ok_or(DeltaError::NothingToMerge)?.summary();
    Ok(DeltaSummary {
        steps: all().fold(0, |sum, s| sum.saturating_add(s.steps)),
        examples: all().fold(0, |sum, s| sum.saturating_add(s.examples)),
        first: mean(|s| s.first),
        last: mean(|s| s.last),
        merged,
        ..first
    })
}
