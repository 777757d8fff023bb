//! Splits convolutions into tap GEMMs.
//!
//! A convolution is one. A transposed convolution with stride `s` is `s * s`: output rows (and columns) with the same
//! remainder modulo `s` meet the same kernel elements, so that each such phase is a small ordinary convolution whose
//! results lie `s` apart. No zero is inserted and no intermediate is built.

use crate::graph::Conv2dGeometry;

/// The largest stride of the format.
pub(super) const LARGEST_STRIDE: usize = u8::MAX as usize;

/// One phase: a convolution with unit output and its place in the whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phase {
    /// Positions computed, down and across.
    pub positions: [usize; 2],
    /// Input pixels from one position to the next.
    pub in_step: [usize; 2],
    /// Output pixels from one position to the next.
    pub out_step: [usize; 2],
    /// First output pixel.
    pub out_offset: [usize; 2],
    /// Kernel elements met.
    pub taps: Vec<PhaseTap>,
}

/// A kernel element and the pixel it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PhaseTap {
    /// Row and column in the kernel.
    pub kernel: [usize; 2],
    /// Pixel read, relative to `position * in_step`.
    pub offset: [i64; 2],
}

/// The one phase of a convolution with an output of `[height, width]`.
pub fn conv2d(g: &Conv2dGeometry, output: [usize; 2]) -> Phase {
    let taps = product(g.kernel_size).map(|kernel| PhaseTap {
        kernel,
        offset: [0, 1].map(|axis| to_i64(kernel[axis] * g.dilation[axis]) - to_i64(g.padding[axis])),
    });
    Phase { positions: output, in_step: g.stride, out_step: [1, 1], out_offset: [0, 0], taps: taps.collect() }
}

/// The phases of a transposed convolution with an output of `[height, width]`. A phase may meet no kernel element (when
/// the stride exceeds the kernel): its outputs are the bias alone.
pub fn conv_transpose2d(g: &Conv2dGeometry, output: [usize; 2]) -> Vec<Phase> {
    // For each remainder the kernel rows, or columns, that it meets, and what they read.
    let [rows, cols] = [0, 1].map(|axis| {
        let met = |remainder| {
            let kernel = 0..g.kernel_size[axis];
            kernel.filter_map(|k| Some((k, source(g, axis, remainder, k)?))).collect::<Vec<_>>()
        };
        (0..g.stride[axis].min(output[axis])).map(met).collect::<Vec<_>>()
    });
    product([rows.len(), cols.len()])
        .map(|remainder| {
            let [rows, cols] = [&rows[remainder[0]], &cols[remainder[1]]];
            let taps = product([rows.len(), cols.len()]).map(|[row, col]| PhaseTap {
                kernel: [rows[row].0, cols[col].0],
                offset: [rows[row].1, cols[col].1],
            });
            Phase {
                positions: [0, 1].map(|axis| (output[axis] - remainder[axis]).div_ceil(g.stride[axis])),
                in_step: [1, 1],
                out_step: g.stride,
                out_offset: remainder,
                taps: taps.collect(),
            }
        })
        .collect()
}

/// Input row `i` reaches output row `i * stride + k * dilation - padding`. For output row `position * stride +
/// remainder` and kernel row `k` that is `position + (remainder + padding - k * dilation) / stride`, where it divides.
fn source(g: &Conv2dGeometry, axis: usize, remainder: usize, k: usize) -> Option<i64> {
    let distance = to_i64(remainder + g.padding[axis]) - to_i64(k * g.dilation[axis]);
    let stride = to_i64(g.stride[axis]);
    (distance % stride == 0).then_some(distance / stride)
}

fn product([rows, cols]: [usize; 2]) -> impl Iterator<Item = [usize; 2]> {
    (0..rows).flat_map(move |row| (0..cols).map(move |col| [row, col]))
}

fn to_i64(v: usize) -> i64 {
    i64::try_from(v).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dcgan_layer_is_four_2x2_convolutions() {
        let phases = conv_transpose2d(&Conv2dGeometry::square(4, 2, 1), [8, 8]);
        let offsets: Vec<Vec<[i64; 2]>> =
            phases.iter().map(|p| p.taps.iter().map(|t| t.offset).collect()).collect();
        assert_eq!(offsets[0], [[0, 0], [0, -1], [-1, 0], [-1, -1]]);
        assert_eq!(offsets[3], [[1, 1], [1, 0], [0, 1], [0, 0]]);
        assert!(phases.iter().all(|p| p.positions == [4, 4] && p.out_step == [2, 2]));
    }

    #[test]
    fn stride_beyond_the_kernel_leaves_phases_without_taps() {
        let phases = conv_transpose2d(&Conv2dGeometry::square(1, 2, 0), [3, 3]);
        let taps: Vec<usize> = phases.iter().map(|p| p.taps.len()).collect();
        assert_eq!(taps, [1, 0, 0, 0]);
        assert_eq!(phases[1].positions, [2, 1]);
    }
}
