//! Layers with weights, by scattering one weight at a time over whole rows: plain, and not slow.

use crate::graph::{Conv2dGeometry, Tensor};

/// `y = W x + b` for each row of `x`.
pub(super) fn dense(x: &[f64], weight: &Tensor, bias: Option<&Tensor>) -> Vec<f64> {
    let (n, k) = (weight.shape[0], weight.shape[1]);
    let dot = |row: &[f32], x: &[f64]| row.iter().zip(x).map(|(&w, x)| f64::from(w) * x).sum::<f64>();
    let outputs = |x| (0..n).map(move |i| start(bias, i) + dot(&weight.data[i * k..][..k], x));
    x.chunks_exact(k).flat_map(outputs).collect()
}

/// Convolution of `[N, C, H, W]`.
pub(super) fn conv2d(
    x: &[f64],
    shape: &[usize],
    weight: &Tensor,
    bias: Option<&Tensor>,
    g: &Conv2dGeometry,
    out_shape: &[usize],
) -> Vec<f64> {
    let ([h, w], [out_h, out_w]) = ([shape[2], shape[3]], [out_shape[2], out_shape[3]]);
    let (ci, no) = (shape[1] / g.groups, out_shape[1] / g.groups);
    let [kh, kw] = g.kernel_size;
    let mut y = filled(bias, out_shape);
    for (plane, y) in y.chunks_exact_mut(out_h * out_w).enumerate() {
        let (batch, n) = (plane / out_shape[1], plane % out_shape[1]);
        for c in 0..ci {
            let x = &x[(batch * shape[1] + n / no * ci + c) * h * w..][..h * w];
            for (k, &v) in weight.data[(n * ci + c) * kh * kw..][..kh * kw].iter().enumerate() {
                let [rows, cols] = [inside(g, 0, k / kw, h, out_h), inside(g, 1, k % kw, w, out_w)];
                for (oy, iy) in rows {
                    for (ox, ix) in cols.clone() {
                        y[oy * out_w + ox] += f64::from(v) * x[iy * w + ix];
                    }
                }
            }
        }
    }
    y
}

/// Transposed convolution of `[N, C, H, W]`.
pub(super) fn conv_transpose2d(
    x: &[f64],
    shape: &[usize],
    weight: &Tensor,
    bias: Option<&Tensor>,
    g: &Conv2dGeometry,
    out_shape: &[usize],
) -> Vec<f64> {
    let ([h, w], [out_h, out_w]) = ([shape[2], shape[3]], [out_shape[2], out_shape[3]]);
    let (ci, no) = (shape[1] / g.groups, out_shape[1] / g.groups);
    let [kh, kw] = g.kernel_size;
    let mut y = filled(bias, out_shape);
    for (plane, y) in y.chunks_exact_mut(out_h * out_w).enumerate() {
        let (batch, n) = (plane / out_shape[1], plane % out_shape[1]);
        for c in n / no * ci..(n / no + 1) * ci {
            let x = &x[(batch * shape[1] + c) * h * w..][..h * w];
            for (k, &v) in weight.data[(c * no + n % no) * kh * kw..][..kh * kw].iter().enumerate() {
                // Input and output change places.
                let [rows, cols] = [inside(g, 0, k / kw, out_h, h), inside(g, 1, k % kw, out_w, w)];
                for (iy, oy) in rows {
                    for (ix, ox) in cols.clone() {
                        y[oy * out_w + ox] += f64::from(v) * x[iy * w + ix];
                    }
                }
            }
        }
    }
    y
}

/// Positions `0..positions` for which kernel element `k` lies inside `0..extent`, and where it lies.
fn inside(
    g: &Conv2dGeometry,
    axis: usize,
    k: usize,
    extent: usize,
    positions: usize,
) -> impl Iterator<Item = (usize, usize)> + Clone {
    let (stride, ahead, padding) = (g.stride[axis], k * g.dilation[axis], g.padding[axis]);
    let at = move |position: usize| (position * stride + ahead).checked_sub(padding).filter(|&i| i < extent);
    (0..positions).filter_map(move |position| Some((position, at(position)?)))
}

fn filled(bias: Option<&Tensor>, shape: &[usize]) -> Vec<f64> {
    let (n, inner) = (shape[1], shape[2] * shape[3]);
    (0..shape[0] * n).flat_map(|plane| core::iter::repeat_n(start(bias, plane % n), inner)).collect()
}

fn start(bias: Option<&Tensor>, n: usize) -> f64 {
    bias.map_or(0.0, |b| f64::from(b.data[n]))
}
