//! Convolutions on the processor, as products of matrices.
//!
//! A convolution is the product of a matrix whose rows are the patches of pictures that its kernel sees with the weights; a
//! transposed one multiplies first and adds the rows up where they overlap. Both steps are each other's adjoint, so each is also
//! the gradient of the other. Pictures are kept with channels last, where a row of a patch is one copy. burn-flex cuts patches
//! from planes, a value at a time, and does it again for every gradient: a step of a DCGAN took half as long again.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, unary};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::{Device, Tensor, TensorData};
use rayon::prelude::*;

/// Which pixels of a picture a patch has.
#[derive(Clone, Copy, Debug)]
pub struct Geometry {
    batch: usize,
    channels: usize,
    /// Height and width of the picture.
    size: [usize; 2],
    /// Rows and columns of patches.
    patches: [usize; 2],
    kernel: usize,
    stride: usize,
    padding: usize,
}

/// The two steps. `patches` of pictures `[N, C, H, W]` are `[N rows columns, k k C]`, with zeros beyond the edges.
#[backend_extension(Flex, Autodiff)]
pub trait Patches: Backend {
    /// Cuts patches out of pictures.
    fn cut(pictures: FloatTensor<Self>, geometry: Geometry) -> FloatTensor<Self>;

    /// Adds patches up to pictures.
    fn paste(patches: FloatTensor<Self>, geometry: Geometry) -> FloatTensor<Self>;
}

/// Whether this is the way to convolve there.
pub(super) fn are_for(device: &Device) -> bool {
    device.clone().inner() == Device::flex()
}

/// What `conv2d` computes without dilation and groups.
///
/// # Shapes
/// `x`: `[N, in, H, W]`; `weight`: `[out, in, k, k]`; `bias`: `[out]`; result: `[N, out, (H + 2 padding - k) / stride + 1, ..]`.
pub(super) fn convolution(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    stride: usize,
    padding: usize,
) -> Tensor<4> {
    let [batch, channels, height, width] = x.dims();
    let [outputs, _, kernel, _] = weight.dims();
    let patches = [height, width].map(|extent| (extent + 2 * padding - kernel) / stride + 1);
    let geometry = Geometry { batch, channels, size: [height, width], patches, kernel, stride, padding };
    let cut = Tensor::<2>::from_dispatch(Dispatch::cut(x.into_dispatch(), geometry));
    let weight = weight.permute([2, 3, 1, 0]).reshape([kernel * kernel * channels, outputs]);
    let mut y = cut.matmul(weight);
    if let Some(bias) = bias {
        y = y + bias.unsqueeze();
    }
    y.reshape([batch, patches[0], patches[1], outputs]).permute([0, 3, 1, 2])
}

/// What `conv_transpose2d` computes without dilation and groups.
///
/// # Shapes
/// `x`: `[N, in, H, W]`; `weight`: `[in, out, k, k]`; `bias`: `[out]`; result:
/// `[N, out, (H - 1) stride - 2 padding + k + output_padding, ..]`.
pub(super) fn transposed(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    stride: usize,
    padding: usize,
    output_padding: usize,
) -> Tensor<4> {
    let [batch, inputs, height, width] = x.dims();
    let [_, channels, kernel, _] = weight.dims();
    let size = [height, width].map(|extent| (extent - 1) * stride + kernel + output_padding - 2 * padding);
    let geometry = Geometry { batch, channels, size, patches: [height, width], kernel, stride, padding };
    let pixels = x.permute([0, 2, 3, 1]).reshape([batch * height * width, inputs]);
    let weight = weight.permute([0, 2, 3, 1]).reshape([inputs, kernel * kernel * channels]);
    let y = Tensor::<4>::from_dispatch(Dispatch::paste(pixels.matmul(weight).into_dispatch(), geometry));
    match bias {
        Some(bias) => y + bias.reshape([1, channels, 1, 1]),
        None => y,
    }
}

impl Patches for Flex {
    fn cut(pictures: FlexTensor, geometry: Geometry) -> FlexTensor {
        let pictures = pictures.permute(&[0, 2, 3, 1]).to_contiguous();
        let values = pictures.as_slice::<f32>().expect("networks compute in f32");
        let mut patches = vec![0.0; geometry.picture_patches() * geometry.batch];
        let pairs = patches.par_chunks_exact_mut(geometry.picture_patches());
        pairs.zip(values.par_chunks_exact(geometry.picture())).for_each(|(patches, picture)| {
            geometry.each_row(|row, pixels| patches[row].copy_from_slice(&picture[pixels]));
        });
        let rows = geometry.batch * geometry.patches[0] * geometry.patches[1];
        FlexTensor::from_data(TensorData::new(patches, [rows, geometry.patch()]))
    }

    fn paste(patches: FlexTensor, geometry: Geometry) -> FlexTensor {
        let patches = patches.to_contiguous();
        let values = patches.as_slice::<f32>().expect("networks compute in f32");
        let mut pictures = vec![0.0f32; geometry.picture() * geometry.batch];
        let pairs = pictures.par_chunks_exact_mut(geometry.picture());
        pairs.zip(values.par_chunks_exact(geometry.picture_patches())).for_each(|(picture, patches)| {
            geometry.each_row(|row, pixels| {
                picture[pixels].iter_mut().zip(&patches[row]).for_each(|(sum, value)| *sum += value);
            });
        });
        let [height, width] = geometry.size;
        let shape = [geometry.batch, height, width, geometry.channels];
        FlexTensor::from_data(TensorData::new(pictures, shape)).permute(&[0, 3, 1, 2])
    }
}

impl Geometry {
    /// Values of a patch.
    fn patch(&self) -> usize {
        self.kernel * self.kernel * self.channels
    }

    /// Values of all patches of a picture.
    fn picture_patches(&self) -> usize {
        self.patches[0] * self.patches[1] * self.patch()
    }

    /// Values of a picture.
    fn picture(&self) -> usize {
        self.size[0] * self.size[1] * self.channels
    }

    /// Where the rows of all patches are, as far as they lie within the picture: in the patches and in the picture.
    fn each_row(&self, mut visit: impl FnMut(core::ops::Range<usize>, core::ops::Range<usize>)) {
        let [height, width] = self.size;
        let row = self.kernel * self.channels;
        for (top, left, patch) in (0..self.patches[0] * self.patches[1]).map(|patch| {
            (patch / self.patches[1] * self.stride, patch % self.patches[1] * self.stride, patch)
        }) {
            // In the picture with its frame of padding: from the first of these to before the second is the picture.
            let first = left.max(self.padding);
            let end = (left + self.kernel).min(self.padding + width);
            let len = end.saturating_sub(first) * self.channels;
            for i in 0..self.kernel {
                let y = top + i;
                if len > 0 && (self.padding..self.padding + height).contains(&y) {
                    let here = patch * self.patch() + i * row + (first - left) * self.channels;
                    let there = ((y - self.padding) * width + first - self.padding) * self.channels;
                    visit(here..here + len, there..there + len);
                }
            }
        }
    }
}

impl<B: Patches, C: CheckpointStrategy> Patches for Autodiff<B, C> {
    fn cut(pictures: FloatTensor<Self>, geometry: Geometry) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct Cut;

        impl<B: Patches> Backward<B, 1> for Cut {
            type State = Geometry;

            fn backward(self, ops: Ops<Geometry, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
                unary::<B, _>(ops.parents, ops.node, grads, |grad| B::paste(grad, ops.state));
            }
        }

        match Cut.prepare::<C>([pictures.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(geometry, B::cut(pictures.into_primitive(), geometry)),
            OpsKind::UnTracked(prep) => prep.finish(B::cut(pictures.into_primitive(), geometry)),
        }
    }

    fn paste(patches: FloatTensor<Self>, geometry: Geometry) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct Paste;

        impl<B: Patches> Backward<B, 1> for Paste {
            type State = Geometry;

            fn backward(self, ops: Ops<Geometry, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
                unary::<B, _>(ops.parents, ops.node, grads, |grad| B::cut(grad, ops.state));
            }
        }

        match Paste.prepare::<C>([patches.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(geometry, B::paste(patches.into_primitive(), geometry)),
            OpsKind::UnTracked(prep) => prep.finish(B::paste(patches.into_primitive(), geometry)),
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::module::{conv_transpose2d, conv2d};
    use burn::tensor::ops::{ConvOptions, ConvTransposeOptions};

    use super::*;
    use crate::network::values;
    use crate::training::noise;

    fn random<const D: usize>(seed: u64, shape: [usize; D], device: &Device) -> Tensor<D> {
        let mut data = vec![0.0; shape.iter().product()];
        noise::fill_normal(seed, &mut data);
        Tensor::from_data(TensorData::new(data, shape), device).require_grad()
    }

    /// Values and gradients are those of burn-flex's own convolutions, which burn tests against PyTorch's.
    fn check(name: &str, mine: Tensor<4>, burns: Tensor<4>, leaves: (Tensor<4>, Tensor<4>, Tensor<1>), terms: usize) {
        assert_eq!(mine.dims(), burns.dims(), "{name}");
        // Sums of so many products of two numbers below 5, which two orders of adding round differently.
        let close = |found: Vec<f32>, expected: Vec<f32>, terms: usize| {
            let tolerance = 25.0 * f32::EPSILON * terms as f32;
            for (found, expected) in found.into_iter().zip(expected) {
                assert!((found - expected).abs() <= tolerance, "{name}: {found} {expected} {tolerance}");
            }
        };
        close(values(mine.clone()), values(burns.clone()), terms);
        let direction = random(9, mine.dims(), &mine.device()).detach();
        let positions = direction.shape().num_elements();
        let slopes = |y: Tensor<4>| {
            let grads = (y * direction.clone()).sum().backward();
            let (x, weight, bias) = &leaves;
            [values(x.grad(&grads).unwrap()), values(weight.grad(&grads).unwrap()), values(bias.grad(&grads).unwrap())]
        };
        let [found, expected] = [slopes(mine), slopes(burns)];
        for (found, expected) in found.into_iter().zip(expected) {
            close(found, expected, positions);
        }
    }

    #[test]
    fn they_convolve_as_burn_does() {
        let device = Device::flex().autodiff();
        for (kernel, stride, padding, height, width) in
            [(4, 2, 1, 8, 6), (3, 1, 1, 5, 7), (3, 2, 1, 7, 6), (1, 1, 0, 4, 4), (4, 2, 1, 2, 2), (5, 3, 2, 9, 4)]
        {
            let x = random(1, [3, 2, height, width], &device);
            let weight = random(2, [4, 2, kernel, kernel], &device);
            let bias = random(3, [4], &device);
            let options = ConvOptions::new([stride; 2], [padding; 2], [1; 2], 1);
            let burns = conv2d(x.clone(), weight.clone(), Some(bias.clone()), options);
            let mine = convolution(x.clone(), weight.clone(), Some(bias.clone()), stride, padding);
            let name = format!("convolution k{kernel} s{stride} p{padding} of {height}x{width}");
            check(&name, mine, burns, (x, weight, bias), 2 * kernel * kernel);
        }
    }

    #[test]
    fn they_convolve_transposed_as_burn_does() {
        let device = Device::flex().autodiff();
        for (kernel, stride, padding, output_padding, height, width) in
            [(4, 2, 1, 0, 4, 3), (3, 2, 1, 1, 3, 5), (3, 2, 1, 0, 4, 4), (3, 1, 1, 0, 5, 2), (2, 3, 0, 1, 3, 3)]
        {
            let x = random(1, [3, 4, height, width], &device);
            let weight = random(2, [4, 2, kernel, kernel], &device);
            let bias = random(3, [2], &device);
            let options =
                ConvTransposeOptions::new([stride; 2], [padding; 2], [output_padding; 2], [1; 2], 1);
            let burns = conv_transpose2d(x.clone(), weight.clone(), Some(bias.clone()), options);
            let mine = transposed(x.clone(), weight.clone(), Some(bias.clone()), stride, padding, output_padding);
            let name = format!("transposed k{kernel} s{stride} p{padding}+{output_padding} of {height}x{width}");
            check(&name, mine, burns, (x, weight, bias), 4 * kernel * kernel);
        }
    }
}
