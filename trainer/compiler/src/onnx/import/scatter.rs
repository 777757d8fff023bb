//! ScatterElements and ScatterND with known indices: a look-up in the old values and the new.

use anyhow::{Context, Result, bail, ensure};

use super::builder::Builder;
use super::call::{Call, axis, same};
use super::constants::MAX_FILL;
use super::indexing::strides;
use super::operand::Operand;
use crate::graph::{Binary, Value};

/// ScatterElements, and Scatter of old files.
pub(super) fn scatter_elements(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Operand>> {
    let x = call.input(0)?;
    let at = axis(call.attributes.int_or("axis", 0)?, x.rank())?;
    let indices = call.fixed(1, "indices")?.context("there are no indices")?;
    ensure!(indices.shape.len() == x.rank(), "{:?} indices into {:?}", indices.shape, x.shape());
    ensure!(
        (0..x.rank()).all(|i| i == at || indices.shape[i] <= x.shape()[i]),
        "{:?} indices into {:?}",
        indices.shape,
        x.shape()
    );
    ensure!(
        call.input(2)?.shape() == indices.shape,
        "updates {:?} for {:?} indices",
        call.input(2)?.shape(),
        indices.shape
    );
    let (from, to) = (strides(&indices.shape), strides(x.shape()));
    let places = indices
        .data
        .iter()
        .enumerate()
        .map(|(i, &index)| {
            let own = |a: usize| i / from[a] % indices.shape[a];
            let rest: usize = (0..x.rank()).filter(|&a| a != at).map(|a| own(a) * to[a]).sum();
            Ok(rest + number(index, x.shape()[at])? * to[at])
        })
        .collect::<Result<Vec<_>>>()?;
    scatter(b, call, &places, &[])
}

/// ScatterND: whole slices.
pub(super) fn scatter_nd(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Operand>> {
    let x = call.input(0)?;
    let indices = call.fixed(1, "indices")?.context("there are no indices")?;
    let width = *indices.shape.last().context("indices without axes")?;
    ensure!((1..=x.rank()).contains(&width), "{:?} indices into {:?}", indices.shape, x.shape());
    let (rows, inner) = x.shape().split_at(width);
    let expected = [&indices.shape[..indices.shape.len() - 1], inner].concat();
    ensure!(call.input(2)?.shape() == expected, "updates {:?}, not {expected:?}", call.input(2)?.shape());
    let to = strides(rows);
    let place = |tuple: &[f64]| -> Result<usize> {
        tuple.iter().enumerate().map(|(i, &index)| Ok(number(index, rows[i])? * to[i])).sum()
    };
    let places = indices.data.chunks_exact(width).map(place).collect::<Result<Vec<_>>>()?;
    scatter(b, call, &places, inner)
}

fn number(index: f64, extent: usize) -> Result<usize> {
    let from_start = if index < 0.0 { index + extent as f64 } else { index };
    ensure!((0.0..extent as f64).contains(&from_start), "index {index} of {extent}");
    Ok(from_start as usize)
}

/// Writes the `i`-th update at `places[i]` of the slices, one round for each time that a place is written.
fn scatter(b: &mut Builder, call: &Call<'_>, places: &[usize], inner: &[usize]) -> Result<Vec<Operand>> {
    let x = call.input(0)?;
    if places.is_empty() {
        return Ok(vec![x.clone()]);
    }
    let function = match call.attributes.string_or("reduction", "none")? {
        "none" => None,
        "add" => Some(Binary::Add),
        "mul" => Some(Binary::Mul),
        "max" => Some(Binary::Max),
        "min" => Some(Binary::Min),
        other => bail!("reduction {other:?}"),
    };
    let rows = x.shape().iter().product::<usize>() / inner.iter().product::<usize>().max(1);
    ensure!(rows + places.len() <= MAX_FILL, "{rows} places to write to");
    let value = b.value(x)?;
    let updates = call.value(b, 2)?;
    let mut table = b.reshape(value, [&[rows], inner].concat())?;
    let updates = b.reshape(updates, [&[places.len()], inner].concat())?;
    let mut left: Vec<(usize, usize)> = places.iter().copied().enumerate().collect();
    let mut rounds = 0;
    while !left.is_empty() {
        rounds += 1;
        ensure!(rounds <= MOST_ROUNDS, "one place is written more than {MOST_ROUNDS} times");
        let mut chosen: Vec<Option<usize>> = vec![None; rows];
        let mut later = vec![];
        for (update, place) in left {
            match (chosen[place], function) {
                (Some(_), Some(_)) => later.push((update, place)),
                // Without a reduction the last one counts.
                _ => chosen[place] = Some(update),
            }
        }
        left = later;
        let lookup = |i: usize| chosen[i].map_or(i, |update| rows + update);
        let both = b.concat(vec![table, updates], 0)?;
        let new = b.take(both, 0, &(0..rows).map(lookup).collect::<Vec<_>>())?;
        table = match function {
            None => new,
            Some(function) => combined(b, table, new, &chosen, inner.len(), function)?,
        };
    }
    let result = b.reshape(table, x.shape().to_vec())?;
    same(b, call, result)
}

/// `function(old, new)` where something is written, `old` elsewhere.
fn combined(
    b: &mut Builder,
    old: Value,
    new: Value,
    chosen: &[Option<usize>],
    inner: usize,
    function: Binary,
) -> Result<Value> {
    let written = chosen.iter().map(|update| f64::from(u8::from(update.is_some()))).collect();
    let written = b.along(inner + 1, 0, written)?;
    let result = b.binary(function, old, new)?;
    b.select(written, result, old)
}

/// Times that one place can be written with a reduction.
const MOST_ROUNDS: usize = 64;
