//! Packs weights into panels of 8 output channels, `[ceil(n / 8)][tap][c][8]`, padded with zeros.

use half::f16;
use pocketgan_format::TensorData;

use super::quantize::WeightType;

const PANEL: usize = 8;

/// Rows of 8 from `weight(n, tap, c)`.
pub(super) fn pack(
    shape: [usize; 3],
    weights: WeightType,
    weight: impl Fn(usize, usize, usize) -> f32,
) -> TensorData {
    let [outputs, taps, channels] = shape;
    let rows = (0..outputs.div_ceil(PANEL) * taps * channels).map(|i| row(shape, i, &weight));
    match weights {
        WeightType::F16 => TensorData::F16(rows.map(|row| row.map(f16::from_f32)).collect()),
        WeightType::F32 => TensorData::F32(rows.collect()),
    }
}

/// Row number `i` of the panels of so many outputs, taps and channels.
pub fn row(
    [outputs, taps, channels]: [usize; 3],
    i: usize,
    weight: impl Fn(usize, usize, usize) -> f32,
) -> [f32; PANEL] {
    let (panel, tap, c) = (i / (taps * channels), i / channels % taps, i % channels);
    core::array::from_fn(|lane| {
        let n = panel * PANEL + lane;
        if n < outputs { weight(n, tap, c) } else { 0.0 }
    })
}

/// Rows of 8 values, the last padded with zeros.
pub(super) fn rows(values: &[f32], weights: WeightType) -> TensorData {
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
