//! The definition of every operation, in plain loops.
//!
//! In and out: slices. Slow and meant to be read; every other implementation is tested against this file.

mod gradient;
mod nest;

use half::f16;

use crate::half_float::Element;
use crate::{Kernels, PANEL, Panels, Sample, TapGemm, f16_to_f32};

pub use gradient::{GRADIENTS, input_gradient, weight_gradient};
pub use nest::nest;

/// The definition as an implementation.
pub const KERNELS: Kernels = Kernels {
    name: "reference",
    tap_gemm,
    tap_gemm_f16: Some(tap_gemm_f16),
    nest: Some(nest),
    path: |_, _| "the definition",
    product_error: 0.0,
};

/// The tap GEMM in its defined order: start at the bias; add the taps in order, each tap's channels in order, every
/// product and every sum rounded to `f32`; add what lies in the output, if it accumulates; apply the activation. A tap outside the input adds nothing.
///
/// # Panics
/// See [`TapGemm::check`].
pub fn tap_gemm(op: &TapGemm<'_>, samples: &mut [Sample<'_, f32>]) {
    samples.iter_mut().for_each(|sample| define(op, sample.input, sample.output));
}

/// [`tap_gemm`] with activations in half precision, each rounded once, after its activation function.
///
/// # Panics
/// See [`TapGemm::check`].
pub fn tap_gemm_f16(op: &TapGemm<'_>, samples: &mut [Sample<'_, f16>]) {
    samples.iter_mut().for_each(|sample| define(op, sample.input, sample.output));
}

fn define<A: Element>(op: &TapGemm<'_>, input: &[A], output: &mut [A]) {
    op.check(input.len(), output.len());
    let c = op.input.channels;
    for row in 0..op.rows {
        for col in 0..op.cols {
            let start = op.output_start(row, col);
            for n in 0..op.output.channels {
                let mut sum = op.bias[n];
                for (t, tap) in op.taps.iter().enumerate() {
                    let Some(pixel) = op.input_start(row, col, *tap) else { continue };
                    for channel in 0..c {
                        let index = (n / PANEL * op.taps.len() + t) * c + channel;
                        let weight = match op.weights {
                            Panels::F16(rows) => f16_to_f32(rows[index][n % PANEL]),
                            Panels::F32(rows) => rows[index][n % PANEL],
                        };
                        sum += input[pixel + channel].to_f32() * weight;
                    }
                }
                let value = &mut output[start + n];
                if op.accumulate {
                    sum += value.to_f32();
                }
                *value = A::from_f32(op.activation.apply(sum));
            }
        }
    }
}

/// Geometry of a convolution or a transposed one, as the frameworks state it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvGeometry {
    /// Channels read.
    pub in_channels: usize,
    /// Channels written.
    pub out_channels: usize,
    /// Height and width read.
    pub in_size: [usize; 2],
    /// Kernel height and width.
    pub kernel_size: [usize; 2],
    /// Step over the larger side: the input of a convolution, the output of a transposed one.
    pub stride: [usize; 2],
    /// Zeros (or, transposed, cut rows and columns) at top, left, bottom, right.
    pub padding: [usize; 4],
    /// Distance between kernel elements.
    pub dilation: [usize; 2],
    /// Channel groups that do not see each other.
    pub groups: usize,
    /// Rows and columns added at the bottom and the right of a transposed convolution; ignored by a convolution.
    pub output_padding: [usize; 2],
}

impl ConvGeometry {
    /// Height and width that a convolution writes.
    pub fn conv2d_size(&self) -> [usize; 2] {
        [0, 1].map(|i| {
            let padded = self.in_size[i] + self.padding[i] + self.padding[i + 2];
            let reach = self.dilation[i] * (self.kernel_size[i] - 1) + 1;
            (padded + self.stride[i]).saturating_sub(reach) / self.stride[i]
        })
    }

    /// Height and width that a transposed convolution writes.
    pub fn conv_transpose2d_size(&self) -> [usize; 2] {
        [0, 1].map(|i| {
            let full =
                (self.in_size[i] - 1) * self.stride[i] + self.dilation[i] * (self.kernel_size[i] - 1) + 1;
            (full + self.output_padding[i]).saturating_sub(self.padding[i] + self.padding[i + 2])
        })
    }

    fn check(&self, weight: &[f32], bias: Option<&[f32]>, images: [&[f32]; 2], out_size: [usize; 2]) {
        assert!(
            self.groups > 0 && self.in_channels.is_multiple_of(self.groups),
            "groups divide the channels read"
        );
        assert!(self.out_channels.is_multiple_of(self.groups), "groups divide the channels written");
        let kernel = self.kernel_size[0] * self.kernel_size[1];
        assert_eq!(weight.len(), self.in_channels * self.out_channels / self.groups * kernel, "weights");
        assert!(bias.is_none_or(|bias| bias.len() == self.out_channels), "bias");
        assert_eq!(images[0].len(), self.in_channels * self.in_size[0] * self.in_size[1], "input");
        assert_eq!(images[1].len(), self.out_channels * out_size[0] * out_size[1], "output");
    }
}

/// Convolution of one image.
///
/// # Shapes
/// `input`: `[in, h, w]`; `weight`: `[out, in / groups, kh, kw]`; `bias`: `[out]`;
/// `output`: `[out]` and [`ConvGeometry::conv2d_size`].
///
/// # Panics
/// When a slice has another length, or `groups` does not divide the channels.
pub fn conv2d(
    geometry: &ConvGeometry,
    weight: &[f32],
    bias: Option<&[f32]>,
    input: &[f32],
    output: &mut [f32],
) {
    let g = geometry;
    let [out_h, out_w] = g.conv2d_size();
    g.check(weight, bias, [input, output], [out_h, out_w]);
    let ([in_h, in_w], [kh, kw]) = (g.in_size, g.kernel_size);
    let (group_in, group_out) = (g.in_channels / g.groups, g.out_channels / g.groups);
    for n in 0..g.out_channels {
        for y in 0..out_h {
            for x in 0..out_w {
                let mut sum = bias.map_or(0.0, |bias| bias[n]);
                for c in 0..group_in {
                    for ky in 0..kh {
                        for kx in 0..kw {
                            let in_y = (y * g.stride[0] + ky * g.dilation[0]).wrapping_sub(g.padding[0]);
                            let in_x = (x * g.stride[1] + kx * g.dilation[1]).wrapping_sub(g.padding[1]);
                            if in_y < in_h && in_x < in_w {
                                let channel = n / group_out * group_in + c;
                                sum += input[(channel * in_h + in_y) * in_w + in_x]
                                    * weight[((n * group_in + c) * kh + ky) * kw + kx];
                            }
                        }
                    }
                }
                output[(n * out_h + y) * out_w + x] = sum;
            }
        }
    }
}

/// Transposed convolution of one image, by scattering each input value.
///
/// # Shapes
/// `input`: `[in, h, w]`; `weight`: `[in, out / groups, kh, kw]`; `bias`: `[out]`;
/// `output`: `[out]` and [`ConvGeometry::conv_transpose2d_size`].
///
/// # Panics
/// When a slice has another length, or `groups` does not divide the channels.
pub fn conv_transpose2d(
    geometry: &ConvGeometry,
    weight: &[f32],
    bias: Option<&[f32]>,
    input: &[f32],
    output: &mut [f32],
) {
    let g = geometry;
    let [out_h, out_w] = g.conv_transpose2d_size();
    g.check(weight, bias, [input, output], [out_h, out_w]);
    let ([in_h, in_w], [kh, kw]) = (g.in_size, g.kernel_size);
    let (group_in, group_out) = (g.in_channels / g.groups, g.out_channels / g.groups);
    for n in 0..g.out_channels {
        output[n * out_h * out_w..][..out_h * out_w].fill(bias.map_or(0.0, |bias| bias[n]));
    }
    for c in 0..g.in_channels {
        for y in 0..in_h {
            for x in 0..in_w {
                let value = input[(c * in_h + y) * in_w + x];
                for n in 0..group_out {
                    for ky in 0..kh {
                        for kx in 0..kw {
                            let out_y = (y * g.stride[0] + ky * g.dilation[0]).wrapping_sub(g.padding[0]);
                            let out_x = (x * g.stride[1] + kx * g.dilation[1]).wrapping_sub(g.padding[1]);
                            if out_y < out_h && out_x < out_w {
                                let channel = c / group_in * group_out + n;
                                output[(channel * out_h + out_y) * out_w + out_x] +=
                                    value * weight[((c * group_out + n) * kh + ky) * kw + kx];
                            }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::vec;
    use std::vec::Vec;

    use super::*;

    crate::kernel_tests!(Some(KERNELS));

    #[test]
    fn conv2d_of_a_counted_image() {
        // Rows 0 1 2, 3 4 5, 6 7 8 with a zero column on the left and a zero row below; the kernel is 1 10 / 100 1000.
        let geometry = ConvGeometry {
            in_channels: 1,
            out_channels: 1,
            in_size: [3, 3],
            kernel_size: [2, 2],
            stride: [2, 1],
            padding: [0, 1, 1, 0],
            dilation: [1, 1],
            groups: 1,
            output_padding: [0, 0],
        };
        assert_eq!(geometry.conv2d_size(), [2, 3]);
        let input: Vec<f32> = (0..9).map(|i| i as f32).collect();
        let mut output = [0.0; 6];
        conv2d(&geometry, &[1.0, 10.0, 100.0, 1000.0], Some(&[0.5]), &input, &mut output);
        assert_eq!(output, [3000.5, 4310.5, 5421.5, 60.5, 76.5, 87.5]);
    }

    /// A transposed convolution is the adjoint of the convolution with the same weights and geometry: for all x and y,
    /// `<conv(x), y> = <x, conv_transpose(y)>`. Small integers make both sides exact.
    #[test]
    fn conv_transpose2d_is_the_adjoint_of_conv2d() {
        for (size, kernel_size, stride, padding, dilation, groups) in [
            ([7, 6], [4, 4], [2, 2], [1, 1, 1, 1], [1, 1], 1),
            ([9, 11], [3, 5], [2, 3], [1, 2, 0, 1], [1, 2], 2),
            ([8, 8], [1, 2], [3, 1], [0, 1, 2, 0], [2, 1], 3),
            ([5, 7], [5, 3], [1, 2], [4, 0, 3, 2], [1, 3], 1),
        ] {
            let (many, few) = (2 * groups, groups);
            let forward = ConvGeometry {
                in_channels: few,
                out_channels: many,
                in_size: size,
                kernel_size,
                stride,
                padding,
                dilation,
                groups,
                output_padding: [0, 0],
            };
            let small = forward.conv2d_size();
            let mut backward =
                ConvGeometry { in_channels: many, out_channels: few, in_size: small, ..forward };
            // What the stride cut off comes back by output padding.
            let reached = backward.conv_transpose2d_size();
            backward.output_padding = [size[0] - reached[0], size[1] - reached[1]];
            assert_eq!(backward.conv_transpose2d_size(), size);

            let values = |len: usize, factor: usize| -> Vec<f32> {
                (0..len).map(|i| (i * factor % 13) as f32 - 6.0).collect()
            };
            let weight = values(many * few / groups * kernel_size[0] * kernel_size[1], 5);
            let x = values(few * size[0] * size[1], 7);
            let y = values(many * small[0] * small[1], 11);
            let mut forward_x = vec![0.0; y.len()];
            let mut backward_y = vec![0.0; x.len()];
            conv2d(&forward, &weight, None, &x, &mut forward_x);
            conv_transpose2d(&backward, &weight, None, &y, &mut backward_y);
            let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
            assert_eq!(dot(&forward_x, &y), dot(&x, &backward_y), "{forward:?}");
            assert!(forward_x.iter().any(|x| *x != 0.0));
        }
    }
}
