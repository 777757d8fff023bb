//! Convolutions on the processor, by the kernels that draw on devices.
//!
//! A convolution is a tap GEMM. Its gradient with respect to the pictures, which is also what a transposed convolution does, is
//! one for each phase of the stride; that with respect to the weights has a kernel of its own, which fine-tuning on devices
//! runs. Both read and write channels last, a few pictures at a time, so that what is transposed stays in the cache.
//!
//! burn-flex cuts patches out of planes, a value at a time, for a whole batch, and a gradient with respect to weights is to it a
//! convolution with a kernel as large as the picture.

mod pass;
#[cfg(test)]
mod tests;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, binary};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::Tensor;

use crate::network::layer::processor::{slice, tensor};

/// Which pixels of a picture a position of the kernel has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Geometry {
    batch: usize,
    /// Of the pictures that the kernel runs over, and of what a product with the weights makes of a position.
    channels: [usize; 2],
    /// Height and width of the pictures that the kernel runs over.
    size: [usize; 2],
    /// Rows and columns of positions.
    positions: [usize; 2],
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
    let positions = size.map(|extent| (extent + 2 * padding - kernel) / stride + 1);
    let geometry = Geometry { batch, channels: [inputs, outputs], size, positions, kernel, stride, padding };
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
    let positions = [height, width];
    let size = positions.map(|extent| (extent - 1) * stride + kernel + output_padding - 2 * padding);
    let geometry = Geometry { batch, channels: [outputs, inputs], size, positions, kernel, stride, padding };
    let y = Dispatch::convolve_transposed(x.into_dispatch(), weight.into_dispatch(), geometry);
    Tensor::from_dispatch(y)
}

impl Convolve for Flex {
    fn convolve(x: FlexTensor, weight: FlexTensor, geometry: Geometry) -> FlexTensor {
        let (x, weight) = (x.to_contiguous(), weight.to_contiguous());
        let y = geometry.pass(slice(&weight)).run(slice(&x));
        let Geometry { batch, channels: [_, outputs], positions: [rows, columns], .. } = geometry;
        tensor(y, [batch, outputs, rows, columns])
    }

    fn convolve_transposed(y: FlexTensor, weight: FlexTensor, geometry: Geometry) -> FlexTensor {
        let (y, weight) = (y.to_contiguous(), weight.to_contiguous());
        let x = geometry.transposed_pass(slice(&weight)).run(slice(&y));
        let Geometry { batch, channels: [inputs, _], size: [height, width], .. } = geometry;
        tensor(x, [batch, inputs, height, width])
    }

    fn weight_gradient(x: FlexTensor, y: FlexTensor, geometry: Geometry) -> FlexTensor {
        let (x, y) = (x.to_contiguous(), y.to_contiguous());
        let Geometry { channels: [inputs, outputs], kernel, .. } = geometry;
        tensor(geometry.weight_gradient(slice(&x), slice(&y)), [outputs, inputs, kernel, kernel])
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
