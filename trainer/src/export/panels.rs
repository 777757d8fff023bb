//! Packs weights into panels of 8 output channels, `[ceil(n / 8)][tap][c][8]`, padded with zeros.

use half::f16;
use pocketgan_format::TensorData;

use super::quantize::WeightType;

const PANEL: usize = 8;

/// Rows of 8 from `weight(n, tap, c)`.
pub(crate) fn pack(
    [outputs, taps, channels]: [usize; 3],
    weights: WeightType,
    weight: impl Fn(usize, usize, usize) -> f32,
) -> TensorData {
    let rows = (0..outputs.div_ceil(PANEL))
        .flat_map(|panel| (0..taps).flat_map(move |tap| (0..channels).map(move |c| (panel * PANEL, tap, c))));
    let row = |(first, tap, c)| {
        core::array::from_fn(|lane| if first + lane < outputs { weight(first + lane, tap, c) } else { 0.0 })
    };
    match weights {
        WeightType::F16 => TensorData::F16(rows.map(|r| row(r).map(f16::from_f32)).collect()),
        WeightType::F32 => TensorData::F32(rows.map(row).collect()),
    }
}

/// Rows of 8 values, the last padded with zeros.
pub(crate) fn rows(values: &[f32], weights: WeightType) -> TensorData {
    let row = |values: &[f32]| core::array::from_fn(|lane| values.get(lane).copied().unwrap_or(0.0));
    match weights {
        WeightType::F16 => TensorData::F16(values.chunks(PANEL).map(|v| row(v).map(f16::from_f32)).collect()),
        WeightType::F32 => TensorData::F32(values.chunks(PANEL).map(row).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_panel_is_padded_with_zeros() {
        let TensorData::F32(rows) =
            pack([9, 2, 3], WeightType::F32, |n, tap, c| (100 * n + 10 * tap + c) as f32)
        else {
            panic!("asked for f32");
        };
        assert_eq!(rows.len(), 2 * 2 * 3);
        assert_eq!(rows[4], [11.0, 111.0, 211.0, 311.0, 411.0, 511.0, 611.0, 711.0]);
        assert_eq!(rows[10], [811.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    }
}
