//! Resize and Upsample: each axis by itself, each result a weighted sum of few elements.

use anyhow::{Context, Result, bail, ensure};

use super::attributes::LARGEST;
use super::builder::Builder;
use super::call::{Call, axis, same};
use super::constants::MAX_FILL;
use super::operand::Operand;
use crate::graph::{Op, Value};

/// How one axis is resized.
#[derive(Clone, Debug)]
struct Axis<'a> {
    from: usize,
    to: usize,
    scale: f64,
    /// First and last place of the cut-out, as shares of the axis.
    roi: [f64; 2],
    coordinates: &'a str,
    nearest: &'a str,
    mode: &'a str,
    cubic: f64,
    exclude_outside: bool,
    antialias: bool,
}

/// Elements and their weights, for one result.
type Row = Vec<(usize, f64)>;

/// Resize of operator set 10 and later, Upsample of 7 to 9.
pub(super) fn resize(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Operand>> {
    let x = call.input(0)?;
    let a = &call.attributes;
    let rank = x.rank();
    let upsample = call.node.op_type == "Upsample" || call.opset < 11;
    let mode = match a.string_or("mode", "nearest")? {
        "bilinear" | "trilinear" => "linear",
        mode => mode,
    };
    let [roi_at, scales_at, sizes_at] = if upsample { [usize::MAX, 1, usize::MAX] } else { [1, 2, 3] };
    let axes = match a.ints("axes")? {
        Some(axes) => axes.iter().map(|&a| axis(a, rank)).collect::<Result<Vec<_>>>()?,
        None => (0..rank).collect(),
    };
    let scales = match a.floats("scales")? {
        Some(scales) => Some(scales.iter().map(|&scale| f64::from(scale)).collect()),
        None => call.fixed(scales_at, "scales")?.map(|scales| scales.data.clone()),
    };
    let scales: Option<Vec<f64>> = scales.filter(|scales| !scales.is_empty());
    let sizes = call.fixed_ints(sizes_at, "sizes")?.filter(|sizes| !sizes.is_empty());
    let roi = call.fixed(roi_at, "roi")?.map(|roi| roi.data.clone()).unwrap_or_default();
    let coordinates =
        a.string_or("coordinate_transformation_mode", if upsample { "asymmetric" } else { "half_pixel" })?;
    let crop = coordinates == "tf_crop_and_resize";
    ensure!(!crop || roi.len() == 2 * axes.len(), "a cut-out {roi:?} for axes {axes:?}");
    let policy = a.string_or("keep_aspect_ratio_policy", "stretch")?;

    let mut plan = vec![];
    for (i, &at) in axes.iter().enumerate() {
        let from = x.shape()[at];
        let (to, scale) = match (&scales, &sizes) {
            (Some(scales), _) => {
                let &scale = scales.get(i).context("there are too few scales")?;
                let share = if crop { roi[i + axes.len()] - roi[i] } else { 1.0 };
                ((from as f64 * share * scale).floor(), scale)
            }
            (None, Some(sizes)) => {
                let &size = sizes.get(i).context("there are too few sizes")?;
                (size as f64, size as f64 / from as f64)
            }
            (None, None) => bail!("there are neither scales nor sizes"),
        };
        ensure!((1.0..=LARGEST as f64).contains(&to) && scale > 0.0, "an axis of {from} scaled by {scale}");
        plan.push((at, from, to as usize, scale));
    }
    if policy != "stretch" && scales.is_none() {
        let of = plan.iter().map(|&(.., scale)| scale);
        let scale = match policy {
            "not_larger" => of.fold(f64::INFINITY, f64::min),
            "not_smaller" => of.fold(0.0, f64::max),
            other => bail!("keep_aspect_ratio_policy {other:?}"),
        };
        for (_, from, to, own) in &mut plan {
            *own = scale;
            *to = (scale * *from as f64).round() as usize;
            ensure!((1..=LARGEST).contains(to), "an axis of {from} scaled by {scale}");
        }
    }

    let mut value = b.value(x)?;
    let mut outside: Vec<(usize, Vec<f64>)> = vec![];
    for (i, &(at, from, to, scale)) in plan.iter().enumerate() {
        let axis = Axis {
            from,
            to,
            scale,
            roi: if crop { [roi[i], roi[i + axes.len()]] } else { [0.0, 1.0] },
            coordinates,
            nearest: a.string_or("nearest_mode", if upsample { "floor" } else { "round_prefer_floor" })?,
            mode,
            cubic: a.float_or("cubic_coeff_a", -0.75)?,
            exclude_outside: a.flag("exclude_outside", false)?,
            antialias: a.flag("antialias", false)?,
        };
        if crop {
            let inside = |j| (0.0..=(from - 1) as f64).contains(&axis.coordinate(j).unwrap_or(-1.0));
            outside.push((at, (0..to).map(|j| f64::from(u8::from(!inside(j)))).collect()));
        }
        if from == to && scale == 1.0 && !crop {
            continue;
        }
        let rows = (0..to).map(|j| axis.row(j)).collect::<Result<Vec<_>>>()?;
        value = combine(b, value, at, &rows)?;
    }
    let extrapolation = a.float_or("extrapolation_value", 0.0)?;
    for (at, outside) in outside.into_iter().filter(|(_, outside)| outside.contains(&1.0)) {
        let outside = b.along(rank, at, outside)?;
        let fill = b.scalar(extrapolation)?;
        value = b.select(outside, fill, value)?;
    }
    same(b, call, value)
}

impl Axis<'_> {
    /// Where a result lies among the elements.
    fn coordinate(&self, j: usize) -> Result<f64> {
        let (j, from, to, scale) = (j as f64, self.from as f64, self.to as f64, self.scale);
        Ok(match self.coordinates {
            "half_pixel" => (j + 0.5) / scale - 0.5,
            "pytorch_half_pixel" => {
                if self.to > 1 {
                    (j + 0.5) / scale - 0.5
                } else {
                    0.0
                }
            }
            "asymmetric" => j / scale,
            "align_corners" => {
                let whole = if scale * from == to { to } else { scale * from };
                if whole > 1.0 { j * (from - 1.0) / (whole - 1.0) } else { 0.0 }
            }
            "tf_half_pixel_for_nn" => (j + 0.5) / scale,
            "half_pixel_symmetric" => {
                let adjustment = to / (scale * from);
                from / 2.0 * (1.0 - adjustment) + (j + 0.5) / scale - 0.5
            }
            "tf_crop_and_resize" => {
                let [start, end] = self.roi;
                match self.to > 1 {
                    true => start * (from - 1.0) + j * (end - start) * (from - 1.0) / (to - 1.0),
                    false => 0.5 * (start + end) * (from - 1.0),
                }
            }
            other => bail!("coordinate_transformation_mode {other:?}"),
        })
    }

    /// The elements of which a result is the weighted sum.
    fn row(&self, j: usize) -> Result<Row> {
        let x = self.coordinate(j)?;
        let last = self.from as i64 - 1;
        if self.mode == "nearest" {
            let nearest = match self.nearest {
                "floor" => x.floor(),
                "ceil" => x.ceil(),
                "round_prefer_floor" => (x - 0.5).ceil(),
                "round_prefer_ceil" => (x + 0.5).floor(),
                other => bail!("nearest_mode {other:?}"),
            };
            return Ok(vec![(nearest.clamp(0.0, last as f64) as usize, 1.0)]);
        }
        // A wider filter where the result is smaller and must not skip elements.
        let stretch = if self.antialias { self.scale.min(1.0) } else { 1.0 };
        let reach = match self.mode {
            "linear" => 1.0,
            "cubic" => 2.0,
            other => bail!("mode {other:?}"),
        } / stretch;
        let weight = |place: i64| {
            let distance = ((place as f64 - x) * stretch).abs();
            if self.mode == "linear" { (1.0 - distance).max(0.0) } else { cubic(distance, self.cubic) }
        };
        let places = (x - reach).floor().max(-1e9) as i64..=(x + reach).ceil().min(1e9) as i64;
        let filter = places.end() - places.start();
        ensure!(filter.saturating_mul(self.to as i64) <= MAX_FILL as i64, "a filter over {filter} elements");
        let mut row: Row = vec![];
        let mut sum = 0.0;
        for place in places {
            let weight = weight(place);
            if weight == 0.0 || (self.exclude_outside && !(0..=last).contains(&place)) {
                continue;
            }
            sum += weight;
            let place = place.clamp(0, last) as usize;
            // Places ascend, so that those which are the same stand side by side.
            match row.last_mut().filter(|(other, _)| *other == place) {
                Some((_, total)) => *total += weight,
                None => row.push((place, weight)),
            }
        }
        ensure!(sum != 0.0, "a filter without weight");
        row.iter_mut().for_each(|(_, weight)| *weight /= sum);
        Ok(row)
    }
}

/// Keys' cubic convolution kernel.
fn cubic(x: f64, a: f64) -> f64 {
    match x {
        x if x <= 1.0 => ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0,
        x if x < 2.0 => ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a,
        _ => 0.0,
    }
}

/// Weighted sums along an axis: few terms as slices or look-ups, many as a product with a matrix.
fn combine(b: &mut Builder, x: Value, at: usize, rows: &[Row]) -> Result<Value> {
    let terms = rows.iter().map(Vec::len).max().unwrap_or(0);
    let shape = b.shape(x);
    if terms > MOST_TERMS {
        let (extent, rank) = (shape[at], shape.len());
        ensure!(
            rows.len().saturating_mul(extent) <= MAX_FILL,
            "filters over many elements of an axis of {extent}"
        );
        let mut matrix = vec![0.0; rows.len() * extent];
        for (row, weights) in matrix.chunks_exact_mut(extent).zip(rows) {
            weights.iter().for_each(|&(place, weight)| row[place] = weight);
        }
        let matrix = b.constant(vec![rows.len(), extent], matrix)?;
        let a: Vec<usize> = (0..rank).collect();
        let mut out = a.clone();
        out[at] = rank;
        return b.push(Op::Contract { a, b: vec![rank, at], out }, vec![x, matrix]);
    }
    let mut sum = None;
    for term in 0..terms {
        let of = |row: &Row| row.get(term).copied().unwrap_or((row[0].0, 0.0));
        let places: Vec<usize> = rows.iter().map(|row| of(row).0).collect();
        let weights: Vec<f64> = rows.iter().map(|row| of(row).1).collect();
        let mut part = b.take(x, at, &places)?;
        if weights.iter().any(|&weight| weight != 1.0) {
            let weights = b.along(shape.len(), at, weights)?;
            part = b.mul(part, weights)?;
        }
        sum = Some(if let Some(sum) = sum { b.add(sum, part)? } else { part });
    }
    sum.context("an axis of nothing")
}

/// Terms up to which slices are cheaper than a product with a matrix.
const MOST_TERMS: usize = 4;
