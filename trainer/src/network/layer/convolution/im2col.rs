//! Convolutions on the processor, as products of matrices (im2col).
//!
//! A convolution is the product of a matrix whose rows are the patches of pictures that its kernel sees with the weights. Its
//! gradient with respect to the pictures multiplies first and adds the rows up where they overlap, which is also what a
//! transposed convolution does: three products are all that both layers and their gradients need. A few pictures at a time go
//! all the way, so that their patches stay in the cache, with channels last, so that a row of a patch is one copy.
//!
//! burn-flex cuts patches out of planes, a value at a time, for a whole batch, and a gradient with respect to weights is to it a
//! convolution with a kernel as large as the picture.

#[cfg(test)]
mod tests;

use core::array;
use core::ops::Range;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, binary};
use burn::backend::flex::FlexTensor;
use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::Tensor;
use rayon::prelude::*;

use crate::network::layer::processor::{slice, tensor};

/// Which pixels of a picture a patch has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Geometry {
    batch: usize,
    /// Of the pictures that are cut, and of what a product with the weights makes of a patch.
    channels: [usize; 2],
    /// Height and width of the pictures that are cut.
    size: [usize; 2],
    /// Rows and columns of patches.
    patches: [usize; 2],
    kernel: usize,
    stride: usize,
    padding: usize,
}

/// The three products. `x` is `[N, C, H, W]`, `weight` `[K, C, k, k]` and `y` `[N, K, rows, columns]`.
#[backend_extension(Flex, Autodiff)]
pub(super) trait Convolve: Backend {
    /// `y` of `x`.
    fn convolve(x: FloatTensor<Self>, weight: FloatTensor<Self>, geometry: Geometry) -> FloatTensor<Self>;

    /// The gradient with respect to `x`, of that with respect to `y`.
    fn convolve_transposed(
        y: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        geometry: Geometry,
    ) -> FloatTensor<Self>;

    /// The gradient with respect to `weight`, of `x` and the gradient with respect to `y`. Has none of its own.
    fn weight_gradient(x: FloatTensor<Self>, y: FloatTensor<Self>, geometry: Geometry) -> FloatTensor<Self>;
}

/// What `conv2d` computes without bias, dilation and groups.
///
/// # Shapes
/// `x`: `[N, in, H, W]`; `weight`: `[out, in, k, k]`; result: `[N, out, (H + 2 padding - k) / stride + 1, ..]`.
pub(super) fn convolution(x: Tensor<4>, weight: Tensor<4>, stride: usize, padding: usize) -> Tensor<4> {
    let [batch, inputs, height, width] = x.dims();
    let [outputs, _, kernel, _] = weight.dims();
    let size = [height, width];
    let patches = size.map(|extent| (extent + 2 * padding - kernel) / stride + 1);
    let geometry = Geometry { batch, channels: [inputs, outputs], size, patches, kernel, stride, padding };
    let y = Dispatch::convolve(x.into_dispatch(), weight.into_dispatch(), geometry);
    Tensor::from_dispatch(y)
}

/// What `conv_transpose2d` computes without bias, dilation and groups.
///
/// # Shapes
/// `x`: `[N, in, H, W]`; `weight`: `[in, out, k, k]`; result:
/// `[N, out, (H - 1) stride - 2 padding + k + output_padding, ..]`.
pub(super) fn transposed(
    x: Tensor<4>,
    weight: Tensor<4>,
    stride: usize,
    padding: usize,
    output_padding: usize,
) -> Tensor<4> {
    let [batch, inputs, height, width] = x.dims();
    let [_, outputs, kernel, _] = weight.dims();
    let patches = [height, width];
    let size = patches.map(|extent| (extent - 1) * stride + kernel + output_padding - 2 * padding);
    let geometry = Geometry { batch, channels: [outputs, inputs], size, patches, kernel, stride, padding };
    let y = Dispatch::convolve_transposed(x.into_dispatch(), weight.into_dispatch(), geometry);
    Tensor::from_dispatch(y)
}

/// Values of patches that are there at once: half of a megabyte.
const CHUNK: usize = 1 << 17;

impl Convolve for Flex {
    fn convolve(x: FlexTensor, weight: FlexTensor, geometry: Geometry) -> FlexTensor {
        let (x, weight) = (x.to_contiguous(), geometry.rows_of_weight(weight));
        let (count, pictures) = (geometry.pictures_at_once(), slice(&x));
        let mut y = vec![0.0; geometry.batch * geometry.result()];
        let pairs = y.par_chunks_mut(count * geometry.result());
        pairs.zip(pictures.par_chunks(count * geometry.picture())).for_each(|(y, pictures)| {
            let product = Self::float_matmul(weight.clone(), geometry.im2col(pictures).transpose(0, 1));
            geometry.each_plane(y.len(), |here, there| y[here].copy_from_slice(&slice(&product)[there]));
        });
        let [rows, columns] = geometry.patches;
        tensor(y, [geometry.batch, geometry.channels[1], rows, columns])
    }

    fn convolve_transposed(y: FlexTensor, weight: FlexTensor, geometry: Geometry) -> FlexTensor {
        let (y, weight) = (y.to_contiguous(), geometry.rows_of_weight(weight));
        let (count, results) = (geometry.pictures_at_once(), slice(&y));
        let mut x = vec![0.0; geometry.batch * geometry.picture()];
        let pairs = x.par_chunks_mut(count * geometry.picture());
        pairs.zip(results.par_chunks(count * geometry.result())).for_each(|(pictures, y)| {
            let patches = Self::float_matmul(geometry.planes(y).transpose(0, 1), weight.clone());
            geometry.col2im(slice(&patches), pictures);
        });
        let [height, width] = geometry.size;
        tensor(x, [geometry.batch, geometry.channels[0], height, width])
    }

    fn weight_gradient(x: FlexTensor, y: FlexTensor, geometry: Geometry) -> FlexTensor {
        let (x, y) = (x.to_contiguous(), y.to_contiguous());
        let (count, pictures, results) = (geometry.pictures_at_once(), slice(&x), slice(&y));
        let pairs = pictures.par_chunks(count * geometry.picture());
        let parts: Vec<FlexTensor> = pairs
            .zip(results.par_chunks(count * geometry.result()))
            .map(|(pictures, y)| Self::float_matmul(geometry.planes(y), geometry.im2col(pictures)))
            .collect();
        // In their order, however many threads there are.
        let mut sum = vec![0.0f32; geometry.channels[1] * geometry.patch()];
        for part in &parts {
            sum.iter_mut().zip(slice(part)).for_each(|(sum, value)| *sum += value);
        }
        let Geometry { channels: [inputs, outputs], kernel, .. } = geometry;
        let mut weight = vec![0.0; sum.len()];
        each(&sum, &mut weight, geometry.patch(), |pixels, planes| transpose(pixels, inputs, planes));
        tensor(weight, [outputs, inputs, kernel, kernel])
    }
}

/// Both in parts of so many values.
fn each(from: &[f32], to: &mut [f32], len: usize, make: impl Fn(&[f32], &mut [f32])) {
    from.chunks_exact(len).zip(to.chunks_exact_mut(len)).for_each(|(from, to)| make(from, to));
}

/// Rows of `columns` values to as many rows.
fn transpose(from: &[f32], columns: usize, to: &mut [f32]) {
    /// A tile of this height and width goes through registers.
    const TILE: usize = 8;
    let rows = from.len() / columns;
    let (whole_rows, whole_columns) = (rows / TILE * TILE, columns / TILE * TILE);
    for top in (0..whole_rows).step_by(TILE) {
        for left in (0..whole_columns).step_by(TILE) {
            let tile: [[f32; TILE]; TILE] = array::from_fn(|row| {
                let start = (top + row) * columns + left;
                array::from_fn(|column| from[start..start + TILE][column])
            });
            for column in 0..TILE {
                let start = (left + column) * rows + top;
                to[start..start + TILE].copy_from_slice(&tile.map(|row| row[column]));
            }
        }
    }
    let mut rest = |rows_left: Range<usize>, columns_left: Range<usize>| {
        for row in rows_left {
            for column in columns_left.clone() {
                to[column * rows + row] = from[row * columns + column];
            }
        }
    };
    rest(0..rows, whole_columns..columns);
    rest(whole_rows..rows, 0..whole_columns);
}

impl Geometry {
    /// Values of a patch.
    fn patch(&self) -> usize {
        self.kernel * self.kernel * self.channels[0]
    }

    /// Patches of a picture.
    fn positions(&self) -> usize {
        self.patches[0] * self.patches[1]
    }

    /// Values of a picture.
    fn picture(&self) -> usize {
        self.size[0] * self.size[1] * self.channels[0]
    }

    /// Values of what a product makes of all patches of a picture.
    fn result(&self) -> usize {
        self.positions() * self.channels[1]
    }

    fn pictures_at_once(&self) -> usize {
        (CHUNK / (self.positions() * self.patch())).max(1)
    }

    /// `[K, C, k, k]` as `[K, k k C]`.
    fn rows_of_weight(&self, weight: FlexTensor) -> FlexTensor {
        let weight = weight.to_contiguous();
        let mut rows = vec![0.0; self.channels[1] * self.patch()];
        let area = self.kernel * self.kernel;
        each(slice(&weight), &mut rows, self.patch(), |planes, pixels| transpose(planes, area, pixels));
        tensor(rows, [self.channels[1], self.patch()])
    }

    /// `[n, K, rows, columns]` as `[K, n rows columns]`.
    fn planes(&self, y: &[f32]) -> FlexTensor {
        let mut planes = vec![0.0; y.len()];
        self.each_plane(y.len(), |here, there| planes[there].copy_from_slice(&y[here]));
        tensor(planes, [self.channels[1], y.len() / self.channels[1]])
    }

    /// Where each plane of `[n, K, rows, columns]`, which has so many values, is there and in `[K, n rows columns]`.
    fn each_plane(&self, len: usize, mut visit: impl FnMut(Range<usize>, Range<usize>)) {
        let (area, channels) = (self.positions(), self.channels[1]);
        let count = len / (area * channels);
        for plane in 0..count * channels {
            let there = (plane % channels * count + plane / channels) * area;
            visit(plane * area..(plane + 1) * area, there..there + area);
        }
    }

    /// `[n, C, H, W]` as `[n rows columns, k k C]`, with zeros beyond the edges.
    fn im2col(&self, pictures: &[f32]) -> FlexTensor {
        let count = pictures.len() / self.picture();
        let all = self.positions() * self.patch();
        let mut patches = vec![0.0; count * all];
        let mut picture = vec![0.0; self.picture()];
        for (planes, patches) in pictures.chunks_exact(self.picture()).zip(patches.chunks_exact_mut(all)) {
            transpose(planes, self.size[0] * self.size[1], &mut picture);
            self.each_row(|row, pixels| patches[row].copy_from_slice(&picture[pixels]));
        }
        tensor(patches, [count * self.positions(), self.patch()])
    }

    /// The adjoint of [`Geometry::im2col`].
    fn col2im(&self, patches: &[f32], pictures: &mut [f32]) {
        let all = self.positions() * self.patch();
        let mut picture = vec![0.0; self.picture()];
        for (patches, planes) in patches.chunks_exact(all).zip(pictures.chunks_exact_mut(self.picture())) {
            picture.fill(0.0);
            self.each_row(|row, pixels| {
                picture[pixels].iter_mut().zip(&patches[row]).for_each(|(sum, value)| *sum += value);
            });
            transpose(&picture, self.channels[0], planes);
        }
    }

    /// Where the rows of all patches are, as far as they lie within the picture: in the patches and in the picture.
    fn each_row(&self, mut visit: impl FnMut(Range<usize>, Range<usize>)) {
        let ([height, width], channels) = (self.size, self.channels[0]);
        for patch in 0..self.positions() {
            let (top, left) = (patch / self.patches[1] * self.stride, patch % self.patches[1] * self.stride);
            // In the picture with its frame of padding.
            let first = left.max(self.padding);
            let end = (left + self.kernel).min(self.padding + width);
            let len = end.saturating_sub(first) * channels;
            for row in 0..self.kernel {
                let y = top + row;
                if len > 0 && (self.padding..self.padding + height).contains(&y) {
                    let here = patch * self.patch() + (row * self.kernel + first - left) * channels;
                    let there = ((y - self.padding) * width + first - self.padding) * channels;
                    visit(here..here + len, there..there + len);
                }
            }
        }
    }
}

/// What the gradients of a product need of its two factors; each is kept if the other has a gradient.
#[derive(Clone, Debug)]
struct Factors<B: Backend> {
    first: Option<FloatTensor<B>>,
    weight: Option<FloatTensor<B>>,
    geometry: Geometry,
    is_transposed: bool,
}

#[derive(Debug)]
struct Product;

impl<B: Convolve> Backward<B, 2> for Product {
    type State = Factors<B>;

    fn backward(self, ops: Ops<Factors<B>, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        const KEPT: &str = "a factor is kept where the other has a gradient";
        let Factors { first, weight, geometry, is_transposed } = ops.state;
        binary::<B, _, _>(
            ops.parents,
            ops.node,
            grads,
            |grad| multiplied::<B>(grad, weight.expect(KEPT), geometry, !is_transposed),
            |grad| {
                let first = first.expect(KEPT);
                let (x, y) = if is_transposed { (grad, first) } else { (first, grad) };
                B::weight_gradient(x, y, geometry)
            },
        );
    }
}

/// One product or the other, which is its gradient with respect to the first factor.
fn multiplied<B: Convolve>(
    first: FloatTensor<B>,
    weight: FloatTensor<B>,
    geometry: Geometry,
    is_transposed: bool,
) -> FloatTensor<B> {
    if is_transposed {
        B::convolve_transposed(first, weight, geometry)
    } else {
        B::convolve(first, weight, geometry)
    }
}

/// The same, known to gradients.
fn tracked<B: Convolve, C: CheckpointStrategy>(
    first: FloatTensor<Autodiff<B, C>>,
    weight: FloatTensor<Autodiff<B, C>>,
    geometry: Geometry,
    is_transposed: bool,
) -> FloatTensor<Autodiff<B, C>> {
    let kept = Factors {
        first: weight.is_tracked().then(|| first.primitive().clone()),
        weight: first.is_tracked().then(|| weight.primitive().clone()),
        geometry,
        is_transposed,
    };
    let prepared = Product.prepare::<C>([first.node(), weight.node()]).compute_bound().stateful();
    let result = multiplied::<B>(first.into_primitive(), weight.into_primitive(), geometry, is_transposed);
    match prepared {
        OpsKind::Tracked(prep) => prep.finish(kept, result),
        OpsKind::UnTracked(prep) => prep.finish(result),
    }
}

impl<B: Convolve, C: CheckpointStrategy> Convolve for Autodiff<B, C> {
    fn convolve(x: FloatTensor<Self>, weight: FloatTensor<Self>, geometry: Geometry) -> FloatTensor<Self> {
        tracked::<B, C>(x, weight, geometry, false)
    }

    fn convolve_transposed(
        y: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        geometry: Geometry,
    ) -> FloatTensor<Self> {
        tracked::<B, C>(y, weight, geometry, true)
    }

    fn weight_gradient(_: FloatTensor<Self>, _: FloatTensor<Self>, _: Geometry) -> FloatTensor<Self> {
        unreachable!("gradients are taken once")
    }
}
