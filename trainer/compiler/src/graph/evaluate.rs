//! Runs a [`Graph`] in double precision, in plain loops: the yardstick for files made from it.

mod convolution;

use anyhow::{Result, ensure};
use rayon::prelude::*;

use super::{Binary, Graph, Op, Reduction, Tensor, Unary, Value};

/// The result for one set of inputs, each row-major as its shape says.
///
/// # Errors
/// When the number or lengths of the inputs are not those of the graph.
pub fn evaluate(graph: &Graph, inputs: &[&[f32]]) -> Result<Vec<f32>> {
    evaluate_rounded(graph, inputs, |_| {})
}

/// As [`evaluate`], `round` being applied to the results of layers with weights and of elementwise functions.
///
/// # Errors
/// When the number or lengths of the inputs are not those of the graph.
pub fn evaluate_rounded(graph: &Graph, inputs: &[&[f32]], round: impl Fn(&mut [f64])) -> Result<Vec<f32>> {
    let lengths = graph.inputs().iter().map(|input| input.shape.iter().product::<usize>());
    ensure!(lengths.eq(inputs.iter().map(|values| values.len())), "the inputs are not those of the graph");
    let inputs: Vec<Vec<f64>> = inputs.iter().map(|values| widen(values)).collect();
    let inputs: Vec<&[f64]> = inputs.iter().map(|values| &values[..]).collect();
    let outputs = run(graph, &inputs, &[graph.output()], round);
    Ok(outputs.into_iter().flatten().map(|v| v as f32).collect())
}

/// Several values of a graph, nothing rounded in between. The inputs are as long as their shapes say.
pub(crate) fn evaluate_wide(graph: &Graph, inputs: &[&[f64]], outputs: &[Value]) -> Vec<Vec<f64>> {
    run(graph, inputs, outputs, |_| {})
}

fn run(graph: &Graph, inputs: &[&[f64]], outputs: &[Value], round: impl Fn(&mut [f64])) -> Vec<Vec<f64>> {
    let mut last_use = vec![0; graph.value_count()];
    for (value, node) in graph.nodes() {
        node.inputs.iter().for_each(|input| last_use[input.index()] = value.index());
    }
    outputs.iter().for_each(|output| last_use[output.index()] = usize::MAX);

    let mut values: Vec<Vec<f64>> = inputs.iter().map(|values| values.to_vec()).collect();
    for (value, node) in graph.nodes() {
        let mut result = {
            let read: Vec<&[f64]> = node.inputs.iter().map(|input| &values[input.index()][..]).collect();
            let shapes: Vec<&[usize]> = node.inputs.iter().map(|&input| graph.shape(input)).collect();
            apply(&node.op, &read, &shapes, graph.shape(value))
        };
        if matches!(
            node.op,
            Op::Dense { .. } | Op::Conv2d { .. } | Op::ConvTranspose2d { .. } | Op::Unary(_) | Op::Binary(_)
        ) {
            round(&mut result);
        }
        values.push(result);
        for input in node.inputs.iter().filter(|input| last_use[input.index()] == value.index()) {
            values[input.index()] = vec![];
        }
    }
    outputs.iter().map(|output| values[output.index()].clone()).collect()
}

/// Results for many latent vectors `[N, latent_dim]` of a graph whose only input that is, one after the other.
///
/// # Errors
/// When the graph reads anything else.
pub fn evaluate_latents(graph: &Graph, latents: &[f32]) -> Result<Vec<f32>> {
    let latent_dim = graph.latent_dim();
    ensure!(latent_dim > 0 && latents.len().is_multiple_of(latent_dim), "{} latent values", latents.len());
    let pictures: Result<Vec<_>> = latents.par_chunks(latent_dim).map(|z| evaluate(graph, &[z])).collect();
    Ok(pictures?.concat())
}

fn apply(op: &Op, read: &[&[f64]], shapes: &[&[usize]], shape: &[usize]) -> Vec<f64> {
    let strides = |i: usize| row_major(shapes[i]);
    match op {
        Op::Constant(tensor) => widen(&tensor.data),
        Op::Dense { weight, bias } => convolution::dense(read[0], weight, bias.as_ref()),
        Op::Conv2d { weight, bias, geometry } => {
            convolution::conv2d(read[0], shapes[0], weight, bias.as_ref(), geometry, shape)
        }
        Op::ConvTranspose2d { weight, bias, geometry } => {
            convolution::conv_transpose2d(read[0], shapes[0], weight, bias.as_ref(), geometry, shape)
        }
        Op::BatchNorm { gamma, beta, mean, variance, epsilon } => {
            let inner: usize = shape[2..].iter().product();
            let at = |t: &Tensor, i: usize| f64::from(t.data[i / inner % shape[1]]);
            let normalize = |(i, x): (usize, &f64)| {
                let deviation = (at(variance, i) + f64::from(*epsilon)).sqrt();
                (x - at(mean, i)) / deviation * at(gamma, i) + at(beta, i)
            };
            read[0].iter().enumerate().map(normalize).collect()
        }
        Op::Unary(function) => read[0].iter().map(|&x| function.apply(x)).collect(),
        Op::Binary(function) => {
            let [a, b] = [0, 1].map(|i| broadcast_strides(shapes[i], shape));
            collect(shape, [&a, &b], |[i, j]| function.apply(read[0][i], read[1][j]))
        }
        Op::Select => {
            let [c, a, b] = [0, 1, 2].map(|i| broadcast_strides(shapes[i], shape));
            collect(shape, [&c, &a, &b], |[c, i, j]| if read[0][c] == 0.0 { read[2][j] } else { read[1][i] })
        }
        Op::Reduce { reduction, .. } => {
            let mut result = vec![None; shape.iter().product()];
            walk(shapes[0], [&broadcast_strides(shape, shapes[0]), &strides(0)], |[o, i]| {
                let x = read[0][i];
                result[o] = Some(result[o].map_or(x, |sum| reduction.apply(sum, x)));
            });
            result.into_iter().flatten().collect()
        }
        Op::Contract { a, b, out } => {
            let mut labels = out.clone();
            for label in a.iter().chain(b) {
                if !labels.contains(label) {
                    labels.push(*label);
                }
            }
            let strides_of = |own: &[usize], shape: &[usize]| -> Vec<isize> {
                let strides = row_major(shape);
                labels.iter().map(|l| own.iter().position(|o| o == l).map_or(0, |i| strides[i])).collect()
            };
            let extent = |label: &usize| {
                let own =
                    |i: usize, own: &[usize]| own.iter().position(|l| l == label).map(|axis| shapes[i][axis]);
                own(0, a).or(own(1, b)).unwrap_or(1)
            };
            let extents: Vec<usize> = labels.iter().map(extent).collect();
            let (a, b) = (strides_of(a, shapes[0]), strides_of(b, shapes[1]));
            let mut result = vec![0.0; shape.iter().product()];
            walk(&extents, [&strides_of(out, shape), &a, &b], |[o, i, j]| {
                result[o] += read[0][i] * read[1][j];
            });
            result
        }
        Op::Reshape(_) => read[0].to_vec(),
        Op::Transpose(permutation) => {
            let strides = strides(0);
            let strides: Vec<isize> = permutation.iter().map(|&axis| strides[axis]).collect();
            collect(shape, [&strides], |[i]| read[0][i])
        }
        &Op::Slice { axis, start, step, .. } => {
            let mut strides = strides(0);
            let start = start * strides[axis] as usize;
            strides[axis] *= step;
            collect(shape, [&strides], |[i]| read[0][start.wrapping_add(i)])
        }
        Op::Broadcast(_) => collect(shape, [&broadcast_strides(shapes[0], shape)], |[i]| read[0][i]),
        &Op::Window { axis, stride, dilation, .. } => {
            let mut strides = strides(0);
            strides.push(strides[axis] * dilation as isize);
            strides[axis] *= stride as isize;
            collect(shape, [&strides], |[i]| read[0][i])
        }
        &Op::Concat { axis } => {
            let inner: usize = shape[axis + 1..].iter().product();
            let outer: usize = shape[..axis].iter().product();
            let parts = read.iter().zip(shapes).map(|(values, shape)| (values, shape[axis] * inner));
            (0..outer)
                .flat_map(|i| parts.clone().flat_map(move |(values, len)| &values[i * len..][..len]))
                .copied()
                .collect()
        }
        &Op::Gather { axis } => {
            let inner: usize = shapes[0][axis + 1..].iter().product();
            let extent = shapes[0][axis];
            let outer: usize = shapes[0][..axis].iter().product();
            let mut result = Vec::with_capacity(shape.iter().product());
            for i in 0..outer {
                for &index in read[1] {
                    // `as` takes NaN and what is negative to 0.
                    let index = (index.round_ties_even() as usize).min(extent - 1);
                    result.extend_from_slice(&read[0][(i * extent + index) * inner..][..inner]);
                }
            }
            result
        }
    }
}

impl Unary {
    /// The function's value at `x`.
    pub fn apply(self, x: f64) -> f64 {
        match self {
            Self::Relu => {
                if x < 0.0 {
                    0.0
                } else {
                    x
                }
            }
            Self::LeakyRelu(slope) => {
                if x > 0.0 {
                    x
                } else {
                    f64::from(slope) * x
                }
            }
            Self::Tanh => x.tanh(),
            Self::Sigmoid => 1.0 / (1.0 + (-x).exp()),
            Self::Abs => x.abs(),
            Self::Exp => x.exp(),
            Self::Log => x.ln(),
            Self::Sqrt => x.sqrt(),
            Self::Floor => x.floor(),
            Self::Ceil => x.ceil(),
            Self::Round => x.round_ties_even(),
            Self::Sign => {
                if x == 0.0 || x.is_nan() {
                    x
                } else {
                    x.signum()
                }
            }
            Self::Sin => x.sin(),
            Self::Cos => x.cos(),
            Self::Tan => x.tan(),
            Self::Asin => x.asin(),
            Self::Acos => x.acos(),
            Self::Atan => x.atan(),
            Self::Sinh => x.sinh(),
            Self::Cosh => x.cosh(),
            Self::Asinh => x.asinh(),
            Self::Acosh => x.acosh(),
            Self::Atanh => x.atanh(),
            Self::Erf => libm::erf(x),
        }
    }
}

impl Binary {
    /// The function's value at `(a, b)`.
    pub fn apply(self, a: f64, b: f64) -> f64 {
        let truth = |condition: bool| if condition { 1.0 } else { 0.0 };
        match self {
            Self::Add => a + b,
            Self::Sub => a - b,
            Self::Mul => a * b,
            Self::Div => a / b,
            Self::Max => {
                if a.is_nan() || a > b {
                    a
                } else {
                    b
                }
            }
            Self::Min => {
                if a.is_nan() || a < b {
                    a
                } else {
                    b
                }
            }
            Self::Pow => a.powf(b),
            Self::Rem => a % b,
            Self::Less => truth(a < b),
            Self::LessEqual => truth(a <= b),
            Self::Equal => truth(a == b),
            Self::ExpSub => (a - b).exp(),
            Self::PRelu => {
                if a > 0.0 {
                    a
                } else {
                    b * a
                }
            }
        }
    }
}

impl Reduction {
    fn apply(self, a: f64, b: f64) -> f64 {
        match self {
            Self::Sum => a + b,
            Self::Product => a * b,
            Self::Max => Binary::Max.apply(a, b),
            Self::Min => Binary::Min.apply(a, b),
        }
    }
}

fn widen(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&v| f64::from(v)).collect()
}

/// Values from one element to the next along each axis.
pub(crate) fn row_major(shape: &[usize]) -> Vec<isize> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis] as isize;
    }
    strides
}

/// Strides with which a row-major tensor of `shape` is read under the shape `to`.
fn broadcast_strides(shape: &[usize], to: &[usize]) -> Vec<isize> {
    let own =
        shape.iter().zip(row_major(shape)).map(|(&extent, stride)| if extent == 1 { 0 } else { stride });
    core::iter::repeat_n(0, to.len() - shape.len()).chain(own).collect()
}

fn collect<const N: usize>(
    shape: &[usize],
    strides: [&[isize]; N],
    mut value: impl FnMut([usize; N]) -> f64,
) -> Vec<f64> {
    let mut result = Vec::with_capacity(shape.iter().product());
    walk(shape, strides, |offsets| result.push(value(offsets)));
    result
}

/// Visits every index of `shape` in row-major order, with its offset under each set of strides. Offsets below zero wrap.
fn walk<const N: usize>(shape: &[usize], strides: [&[isize]; N], mut visit: impl FnMut([usize; N])) {
    let mut index = vec![0; shape.len()];
    let mut offsets = [0_usize; N];
    loop {
        visit(offsets);
        let mut axis = shape.len();
        loop {
            let Some(next) = axis.checked_sub(1) else { return };
            axis = next;
            index[axis] += 1;
            if index[axis] < shape[axis] {
                for (offset, strides) in offsets.iter_mut().zip(strides) {
                    *offset = offset.wrapping_add_signed(strides[axis]);
                }
                break;
            }
            index[axis] = 0;
            for (offset, strides) in offsets.iter_mut().zip(strides) {
                *offset = offset.wrapping_sub((strides[axis] * (shape[axis] as isize - 1)) as usize);
            }
        }
    }
}
