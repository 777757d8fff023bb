//! Pad in all its modes.

use anyhow::{Context, Result, bail, ensure};

use super::attributes::LARGEST;
use super::builder::Builder;
use super::call::{Call, axis, same};
use super::operand::Operand;

/// Pad: amounts as an attribute or an input, negative ones cut off.
pub(super) fn pad(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Operand>> {
    let x = call.input(0)?;
    let rank = x.rank();
    let name = if call.attributes.has("paddings") { "paddings" } else { "pads" };
    let pads = call.ints(1, name)?.context("there are no pads")?;
    let axes = match call.fixed_ints(3, "axes")? {
        Some(axes) => axes.iter().map(|&a| axis(a, rank)).collect::<Result<Vec<_>>>()?,
        None => (0..rank).collect(),
    };
    ensure!(pads.len() == 2 * axes.len(), "pads {pads:?} for axes {axes:?}");
    ensure!(pads.iter().all(|pad| pad.unsigned_abs() <= LARGEST as u64), "pads {pads:?}");
    let mode = call.attributes.string_or("mode", "constant")?;
    let mut value = b.value(x)?;
    let fill = match (call.attributes.float("value")?, call.optional(2)) {
        (Some(fill), _) => b.scalar(f64::from(fill))?,
        (None, Some(fill)) => {
            let fill = b.value(fill)?;
            b.reshape(fill, vec![])?
        }
        (None, None) => b.scalar(0.0)?,
    };
    for (i, &at) in axes.iter().enumerate() {
        let amounts = [pads[i], pads[i + axes.len()]];
        if amounts == [0, 0] {
            continue;
        }
        if mode == "constant" {
            value = b.pad(value, at, amounts, Some(fill))?;
            continue;
        }
        let cut = amounts.map(|amount| amount.min(0));
        value = b.pad(value, at, cut, None)?;
        let extent = b.shape(value)[at] as i64;
        let [before, after] = amounts.map(|amount| amount.max(0));
        let source = |place: i64| match mode {
            "reflect" => reflected(place, extent),
            "edge" => place.clamp(0, extent - 1) as usize,
            _ => place.rem_euclid(extent) as usize,
        };
        ensure!(["reflect", "edge", "wrap"].contains(&mode), "mode {mode:?}");
        let places: Vec<usize> = (-before..extent + after).map(source).collect();
        value = b.take(value, at, &places)?;
    }
    same(b, call, value)
}

/// Where a place falls when the ends are mirrors, themselves seen once.
fn reflected(place: i64, extent: i64) -> usize {
    if extent == 1 {
        return 0;
    }
    let turn = place.rem_euclid(2 * (extent - 1));
    turn.min(2 * (extent - 1) - turn) as usize
}

/// CenterCropPad: the middle of each axis, zeros around it where there is not enough.
pub(super) fn center_crop_pad(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Operand>> {
    let x = call.input(0)?;
    let wanted = call.fixed_ints(1, "shape")?.context("there is no shape")?;
    let axes = match call.attributes.ints("axes")? {
        Some(axes) => axes.iter().map(|&a| axis(a, x.rank())).collect::<Result<Vec<_>>>()?,
        None => (0..x.rank()).collect(),
    };
    ensure!(wanted.len() == axes.len(), "shape {wanted:?} for axes {axes:?}");
    let mut value = b.value(x)?;
    for (&at, &wanted) in axes.iter().zip(&wanted) {
        if !(1..=LARGEST as i64).contains(&wanted) {
            bail!("an extent of {wanted}");
        }
        let more = wanted - x.shape()[at] as i64;
        let amounts =
            if more > 0 { [more / 2, more - more / 2] } else { [-(-more / 2), -(-more - -more / 2)] };
        value = b.pad(value, at, amounts, None)?;
    }
    same(b, call, value)
}
