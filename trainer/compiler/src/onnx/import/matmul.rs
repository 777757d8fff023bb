//! Products of matrices: MatMul, Gemm, Einsum.

use anyhow::{Context, Result, bail, ensure};

use super::builder::Builder;
use super::call::{Call, same};
use super::operand::Operand;
use crate::graph::{Binary, Op, Reduction, Tensor, Value};

/// MatMul of any rank.
pub(super) fn matmul(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Operand>> {
    let (x, y) = (call.input(0)?, call.input(1)?);
    let layer = y.rank() == 2 && x.known().is_none();
    if layer && let Some(weight) = b.weight(y)? {
        let value = b.value(x)?;
        let result = b.push(Op::Dense { weight: transposed(&weight), bias: None }, vec![value])?;
        return same(b, call, result);
    }
    let [left, right] = [b.value(x)?, b.value(y)?];
    let result = product(b, left, right)?;
    same(b, call, result)
}

/// The matrix product as NumPy defines it: axes before the last two are broadcast, vectors lose theirs again.
pub(super) fn product(b: &mut Builder, x: Value, y: Value) -> Result<Value> {
    let (shape_x, shape_y) = (b.shape(x), b.shape(y));
    ensure!(!shape_x.is_empty() && !shape_y.is_empty(), "a product of scalars");
    // Labels: batch axes from the end, then rows, columns, and what is summed.
    let batch = shape_x.len().max(shape_y.len()).max(2) - 2;
    let [rows, columns, summed] = [batch, batch + 1, batch + 2];
    let labels = |shape: &[usize], matrix: [usize; 2], vector: usize| -> Vec<usize> {
        match shape.len() {
            1 => vec![vector],
            rank => (batch - (rank - 2)..batch).chain(matrix).collect(),
        }
    };
    let mut a_labels = labels(&shape_x, [rows, summed], summed);
    let mut b_labels = labels(&shape_y, [summed, columns], summed);
    let extent = |labels: &[usize], shape: &[usize], label: usize| {
        labels.iter().position(|&l| l == label).map(|axis| shape[axis])
    };
    let mut drop = [vec![], vec![]];
    for label in 0..batch {
        let (e, f) = (extent(&a_labels, &shape_x, label), extent(&b_labels, &shape_y, label));
        match (e, f) {
            (Some(1), Some(2..)) => drop[0].push(label),
            (Some(2..), Some(1)) => drop[1].push(label),
            _ => {}
        }
    }
    let [x, y] = [without(b, x, &mut a_labels, &drop[0])?, without(b, y, &mut b_labels, &drop[1])?];
    let mut out: Vec<usize> = (0..batch).collect();
    out.extend((shape_x.len() > 1).then_some(rows));
    out.extend((shape_y.len() > 1).then_some(columns));
    b.push(Op::Contract { a: a_labels, b: b_labels, out }, vec![x, y])
}

/// Takes axes of extent 1 away, and their labels.
fn without(b: &mut Builder, x: Value, labels: &mut Vec<usize>, gone: &[usize]) -> Result<Value> {
    let shape = b.shape(x);
    let kept = labels.iter().zip(&shape).filter(|(label, _)| !gone.contains(label));
    let (kept, shape) = kept.map(|(&label, &extent)| (label, extent)).unzip();
    *labels = kept;
    b.reshape(x, shape)
}

fn transposed(matrix: &Tensor) -> Tensor {
    let [rows, columns] = matrix.shape[..] else { unreachable!("a matrix has two axes") };
    let data = (0..rows * columns).map(|i| matrix.data[i % rows * columns + i / rows]).collect();
    Tensor::new([columns, rows], data)
}

/// Gemm: `alpha * A B + beta * C`.
pub(super) fn gemm(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Operand>> {
    let a = &call.attributes;
    let (alpha, beta) = (a.float_or("alpha", 1.0)?, a.float_or("beta", 1.0)?);
    let [trans_a, trans_b] = [a.flag("transA", false)?, a.flag("transB", false)?];
    let (x, y) = (call.input(0)?, call.input(1)?);
    ensure!(x.rank() == 2 && y.rank() == 2, "matrices {:?} and {:?}", x.shape(), y.shape());
    let mut value = b.value(x)?;
    if trans_a {
        value = b.transpose(value, vec![1, 0])?;
    }
    let mut added = call.optional(2);
    let weight = if x.known().is_none() { b.weight(y)? } else { None };
    let result = match weight {
        Some(weight) => {
            let mut weight = if trans_b { weight } else { transposed(&weight) };
            weight.data.iter_mut().for_each(|w| *w = (f64::from(*w) * alpha) as f32);
            let outputs = weight.shape[0];
            let bias = added.and_then(|c| bias(c, outputs, beta));
            if bias.is_some() {
                added = None;
            }
            b.push(Op::Dense { weight, bias }, vec![value])?
        }
        None => {
            let right = b.value(y)?;
            let labels = if trans_b { vec![1, 2] } else { vec![2, 1] };
            let product =
                b.push(Op::Contract { a: vec![0, 2], b: labels, out: vec![0, 1] }, vec![value, right])?;
            b.with(Binary::Mul, product, alpha)?
        }
    };
    let result = match added {
        Some(c) => {
            let mut c = b.value(c)?;
            c = b.with(Binary::Mul, c, beta)?;
            let sum = b.add(result, c)?;
            ensure!(b.shape(sum) == b.shape(result), "C does not fit the product");
            sum
        }
        None => result,
    };
    same(b, call, result)
}

/// A known tensor that is the same for each row.
fn bias(c: &Operand, outputs: usize, beta: f64) -> Option<Tensor> {
    let constant = c.known()?;
    let fits = match constant.shape[..] {
        [] | [1] | [1, 1] => true,
        [n] | [1, n] => n == outputs,
        _ => false,
    };
    let value = |i: usize| (constant.data[if constant.data.len() == 1 { 0 } else { i }] * beta) as f32;
    fits.then(|| Tensor::new([outputs], (0..outputs).map(value).collect()))
}

/// Einsum of any number of tensors, two at a time.
pub(super) fn einsum(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Operand>> {
    let equation: String = call.attributes.string_or("equation", "")?.split_whitespace().collect();
    ensure!(equation.len() <= LONGEST_EQUATION, "an equation of {} letters", equation.len());
    let (left, right) = match equation.split_once("->") {
        Some((left, right)) => (left, Some(right)),
        None => (&*equation, None),
    };
    let terms: Vec<&str> = left.split(',').collect();
    let inputs = call.all()?;
    ensure!(terms.len() == inputs.len(), "equation {equation:?} for {} tensors", inputs.len());
    let most = inputs
        .iter()
        .zip(&terms)
        .map(|(x, term)| ellipsis_axes(x.rank(), term))
        .collect::<Result<Vec<_>>>()?;
    let most = most.into_iter().max().unwrap_or(0);

    let mut operands = vec![];
    for (input, term) in inputs.iter().zip(&terms) {
        let own = ellipsis_axes(input.rank(), term)?;
        let value = b.value(input)?;
        let labels = labels(term, most, own)?;
        ensure!(labels.len() == input.rank(), "term {term:?} for {:?}", input.shape());
        operands.push(diagonal(b, value, labels)?);
    }
    let out = match right {
        Some(right) => labels(right, most, most)?,
        None => {
            let letters: Vec<usize> = terms.iter().flat_map(|t| t.chars()).filter_map(letter).collect();
            let mut once: Vec<usize> =
                letters.iter().copied().filter(|l| letters.iter().filter(|m| *m == l).count() == 1).collect();
            once.sort_unstable();
            (0..most).chain(once).collect()
        }
    };
    let mut operands = operands.into_iter();
    let (mut x, mut have) = operands.next().context("there are no tensors")?;
    let mut rest: Vec<(Value, Vec<usize>)> = operands.collect();
    if rest.is_empty() {
        let summed: Vec<usize> = (0..have.len()).filter(|&i| !out.contains(&have[i])).collect();
        x = b.reduce(Reduction::Sum, x, &summed)?;
        let gone: Vec<usize> = summed.iter().map(|&i| have[i]).collect();
        x = without(b, x, &mut have, &gone)?;
        let permutation: Option<Vec<usize>> = out.iter().map(|l| have.iter().position(|h| h == l)).collect();
        x = b.transpose(x, permutation.with_context(|| format!("equation {equation:?}"))?)?;
    }
    while !rest.is_empty() {
        let (mut y, mut other) = rest.remove(0);
        // Labels of the ellipsis are broadcast: an extent of 1 gives way.
        let (shape_x, shape_y) = (b.shape(x), b.shape(y));
        let extent = |labels: &[usize], shape: &[usize], l: usize| {
            labels.iter().position(|&m| m == l).map(|i| shape[i])
        };
        let gives_way = |a: &[usize], e: &[usize], c: &[usize], f: &[usize]| -> Vec<usize> {
            let both = |&l: &usize| extent(a, e, l) == Some(1) && extent(c, f, l).is_some_and(|n| n > 1);
            a.iter().copied().filter(both).collect()
        };
        let [gone_x, gone_y] =
            [gives_way(&have, &shape_x, &other, &shape_y), gives_way(&other, &shape_y, &have, &shape_x)];
        x = without(b, x, &mut have, &gone_x)?;
        y = without(b, y, &mut other, &gone_y)?;
        let result: Vec<usize> = if rest.is_empty() {
            out.clone()
        } else {
            let later = |l: &usize| out.contains(l) || rest.iter().any(|(_, labels)| labels.contains(l));
            let mut both: Vec<usize> = have.iter().chain(&other).copied().filter(later).collect();
            both.sort_unstable();
            both.dedup();
            both
        };
        x = b.push(Op::Contract { a: have, b: other, out: result.clone() }, vec![x, y])?;
        have = result;
    }
    same(b, call, x)
}

/// A label for a letter, beyond those of the ellipsis.
fn letter(c: char) -> Option<usize> {
    c.is_ascii_alphabetic().then_some(1000 + c as usize)
}

fn ellipsis_axes(rank: usize, term: &str) -> Result<usize> {
    let letters = term.chars().filter(char::is_ascii_alphabetic).count();
    match term.contains("...") {
        true => rank.checked_sub(letters).with_context(|| format!("term {term:?} for {rank} axes")),
        false => Ok(0),
    }
}

/// Labels of a term; those of its ellipsis are the last `own` of `most`.
fn labels(term: &str, most: usize, own: usize) -> Result<Vec<usize>> {
    let mut labels = vec![];
    let mut rest = term;
    while let Some(c) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("...") {
            labels.extend(most - own..most);
            rest = after;
        } else if let Some(label) = letter(c) {
            labels.push(label);
            rest = &rest[1..];
        } else {
            bail!("term {term:?}");
        }
    }
    Ok(labels)
}

/// Axes with the same label become one.
fn diagonal(b: &mut Builder, mut x: Value, mut labels: Vec<usize>) -> Result<(Value, Vec<usize>)> {
    while let Some((i, j)) =
        (1..labels.len()).find_map(|j| Some((labels[..j].iter().position(|l| *l == labels[j])?, j)))
    {
        let n = b.shape(x)[i];
        ensure!(b.shape(x)[j] == n, "a diagonal of {:?}", b.shape(x));
        let mut order: Vec<usize> = (0..labels.len()).filter(|&axis| axis != i && axis != j).collect();
        let kept: Vec<usize> = order.iter().map(|&axis| labels[axis]).collect();
        order.extend([i, j]);
        x = b.transpose(x, order)?;
        let mut shape = b.shape(x);
        shape.truncate(kept.len());
        shape.push(n * n);
        x = b.reshape(x, shape)?;
        x = b.slice(x, kept.len(), 0, n as isize + 1, n)?;
        let label = labels[i];
        labels = kept;
        labels.push(label);
    }
    Ok((x, labels))
}

/// Far more letters than there are axes.
const LONGEST_EQUATION: usize = 256;
