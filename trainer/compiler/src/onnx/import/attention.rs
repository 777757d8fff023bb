//! Attention, as one operator since operator set 23.

use anyhow::{Context, Result, bail, ensure};

use super::builder::Builder;
use super::call::Call;
use super::constants::MAX_FILL;
use super::matmul::product;
use super::operand::{Kind, Operand};
use super::reduce::softmax_over;
use crate::graph::{Binary, Unary, Value};

/// Scaled products of queries and keys, as shares of the values.
pub(super) fn attention(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Operand>> {
    let a = &call.attributes;
    ensure!(call.optional(6).is_none(), "keys of which only some count (nonpad_kv_seqlen)");
    let rank = call.input(0)?.rank();
    let [q, k, v] = [
        heads(b, call, 0, "q_num_heads")?,
        heads(b, call, 1, "kv_num_heads")?,
        heads(b, call, 2, "kv_num_heads")?,
    ];
    let kind = call.input(0)?.kind;
    let before = call.optional(4).map_or(0, |past| past.shape().get(2).copied().unwrap_or(0));
    let present_key = with_past(b, call, 4, k)?;
    let present_value = with_past(b, call, 5, v)?;
    let (of_q, of_k) = (b.shape(q), b.shape(present_key));
    ensure!(
        of_k[1] > 0 && of_q[1].is_multiple_of(of_k[1]),
        "{} heads of queries, {} of keys",
        of_q[1],
        of_k[1]
    );
    let times = of_q[1] / of_k[1];
    let [k, v] = [b.repeat(present_key, 1, times)?, b.repeat(present_value, 1, times)?];

    let scale = match a.float("scale")? {
        Some(scale) if scale != 0.0 => f64::from(scale),
        _ => 1.0 / (of_q[3] as f64).sqrt(),
    };
    let k = b.transpose(k, vec![0, 1, 3, 2])?;
    let raw = product(b, q, k)?;
    let raw = b.with(Binary::Mul, raw, scale)?;
    let capped = match a.float_or("softcap", 0.0)? {
        cap if cap > 0.0 => {
            let scores = b.with(Binary::Div, raw, cap)?;
            let scores = b.unary(Unary::Tanh, scores)?;
            b.with(Binary::Mul, scores, cap)?
        }
        _ => raw,
    };
    let masked = mask(b, call, capped, before)?;
    let shares = softmax_over(b, masked, &[3])?;
    let mut y = product(b, shares, v)?;
    if rank == 3 {
        y = b.transpose(y, vec![0, 2, 1, 3])?;
        let shape = b.shape(y);
        y = b.reshape(y, vec![shape[0], shape[1], shape[2] * shape[3]])?;
    }
    let scores = match a.int_or("qk_matmul_output_mode", 0)? {
        0 if call.wants(3) && capped != raw => raw,
        0 | 1 => capped,
        2 => masked,
        3 => shares,
        mode => bail!("qk_matmul_output_mode {mode}"),
    };
    Ok([y, present_key, present_value, scores].map(|value| b.operand(kind, value)).into())
}

/// `[batch, heads, length, size]` of an input that may have its heads side by side.
fn heads(b: &mut Builder, call: &Call<'_>, index: usize, name: &str) -> Result<Value> {
    let value = call.value(b, index)?;
    match b.shape(value)[..] {
        [_, _, _, _] => Ok(value),
        [batch, length, size] => {
            let heads = call.attributes.int(name)?.and_then(|heads| usize::try_from(heads).ok());
            let heads = heads.filter(|&heads| heads > 0 && size.is_multiple_of(heads));
            let heads = heads.with_context(|| format!("{name} is missing or does not divide {size}"))?;
            let value = b.reshape(value, vec![batch, length, heads, size / heads])?;
            b.transpose(value, vec![0, 2, 1, 3])
        }
        ref shape => bail!("input {index} of shape {shape:?}"),
    }
}

/// What came before, and after it the new.
fn with_past(b: &mut Builder, call: &Call<'_>, index: usize, new: Value) -> Result<Value> {
    match call.optional(index).filter(|past| !past.is_empty()) {
        Some(past) => {
            let past = b.value(past)?;
            b.concat(vec![past, new], 2)
        }
        None => Ok(new),
    }
}

/// Scores, -infinity where a query must not look.
fn mask(b: &mut Builder, call: &Call<'_>, scores: Value, before: usize) -> Result<Value> {
    let mut scores = scores;
    let shape = b.shape(scores);
    let (queries, keys) = (shape[2], shape[3]);
    let never = b.scalar(f64::NEG_INFINITY)?;
    if let Some(mask) = call.optional(3) {
        let mut value = b.value(mask)?;
        let last = mask.rank().checked_sub(1).context("a mask without axes")?;
        let missing = keys.checked_sub(mask.shape()[last]).context("a mask for more keys than there are")?;
        if mask.kind == Kind::Bool {
            value = b.pad(value, last, [0, missing as i64], None)?;
            scores = b.select(value, scores, never)?;
        } else {
            value = b.pad(value, last, [0, missing as i64], Some(never))?;
            scores = b.add(scores, value)?;
        }
        ensure!(b.shape(scores) == shape, "a mask of {:?} for scores of {shape:?}", mask.shape());
    }
    if call.attributes.flag("is_causal", false)? {
        ensure!(queries.saturating_mul(keys) <= MAX_FILL, "a mask of {queries}x{keys}");
        let seen = |i: usize| f64::from(u8::from(i % keys <= i / keys + before));
        let seen = b.constant(vec![queries, keys], (0..queries * keys).map(seen).collect())?;
        scores = b.select(seen, scores, never)?;
    }
    Ok(scores)
}
