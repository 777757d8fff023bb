//! What one product does to a batch of pictures: the tap GEMMs, their weights, and pictures with channels last.

use core::array;
use core::cell::RefCell;
use core::ops::Range;
use std::sync::LazyLock;

use pocketgan_compiler::export::panels;
use pocketgan_compiler::export::phases::{self, Phase};
use pocketgan_compiler::graph::Conv2dGeometry;
use pocketgan_kernels::{
    Activation, GradientKernels, Kernels, PANEL, Panels, Pixels, Sample, Tap, TapGemm, dispatch,
};
use rayon::prelude::*;

use super::Geometry;
use crate::network::layer::processor::{CHUNK, zeros};

/// Values of pictures that are transposed at once: a quarter of a megabyte.
const TRANSPOSED: usize = 1 << 16;

/// Positions over which a gradient with respect to weights is summed before it is added to the others.
const SUMMED: usize = 256;

/// The fastest kernels whose products are off by no more than the rounding of `f32`.
static KERNELS: LazyLock<Kernels> = LazyLock::new(|| {
    let mut precise =
        dispatch::available().into_iter().flatten().filter(|kernels| kernels.product_error == 0.0);
    precise.next_back().expect("portable kernels are always there")
});

static GRADIENTS: LazyLock<GradientKernels> = LazyLock::new(dispatch::gradients);

/// A product with weights, from pictures to pictures.
pub(super) struct Pass {
    input: Pixels,
    output: Pixels,
    steps: Vec<Step>,
    /// Zeros.
    bias: Vec<f32>,
}

/// A tap GEMM of a pass.
struct Step {
    phase: Phase,
    taps: Vec<Tap>,
    weights: Vec<[f32; PANEL]>,
}

impl Geometry {
    /// From pictures to positions. `weight`: `[K, C, k, k]`.
    pub(super) fn pass(&self, weight: &[f32]) -> Pass {
        let Self { channels: [inputs, _], kernel, .. } = *self;
        self.strided(|n, c, [row, column]| weight[((n * inputs + c) * kernel + row) * kernel + column])
    }

    /// From positions to pictures. `weight`: `[K, C, k, k]`.
    pub(super) fn transposed_pass(&self, weight: &[f32]) -> Pass {
        let Self { channels: [outputs, _], size, kernel, .. } = *self;
        let phases = phases::conv_transpose2d(&self.conv2d(), size);
        Pass::new([self.small(), self.large()], phases, |n, c, [row, column]| {
            weight[((c * outputs + n) * kernel + row) * kernel + column]
        })
    }

    fn strided(&self, weight: impl Fn(usize, usize, [usize; 2]) -> f32 + Sync) -> Pass {
        let phase = phases::conv2d(&self.conv2d(), self.positions);
        Pass::new([self.large(), self.small()], vec![phase], weight)
    }

    fn conv2d(&self) -> Conv2dGeometry {
        Conv2dGeometry::square(self.kernel, self.stride, self.padding)
    }

    /// The gradient with respect to the weights, `[K, C, k, k]`.
    pub(super) fn weight_gradient(&self, x: &[f32], y: &[f32]) -> Vec<f32> {
        let Self { channels: [inputs, outputs], kernel, .. } = *self;
        let area = kernel * kernel;
        // Its weights are not read.
        let pass = self.strided(|_, _, _| 0.0);
        let step = &pass.steps[0];
        let (op, rows) = (pass.op(step), step.weights.len());
        let at_once = SUMMED.div_ceil(op.rows * op.cols);
        let pairs = x.par_chunks(at_once * op.input.len()).zip(y.par_chunks(at_once * op.output.len()));
        let parts: Vec<_> = pairs
            .map(|(x, y)| {
                let (mut weights, mut bias) = (vec![[0.0; PANEL]; rows], pass.bias.clone());
                with_scratch([x.len(), y.len()], |[pixels_x, pixels_y]| {
                    channels_last(x, op.input, pixels_x);
                    channels_last(y, op.output, pixels_y);
                    let pairs =
                        pixels_x.chunks_exact(op.input.len()).zip(pixels_y.chunks_exact(op.output.len()));
                    pairs.for_each(|(x, y)| (GRADIENTS.weight_gradient)(&op, x, y, &mut weights, &mut bias));
                });
                weights
            })
            .collect();
        // In their order, however many threads there are.
        let sum = by_row(rows, |row| {
            let mut sum = [0.0; PANEL];
            for part in &parts {
                sum.iter_mut().zip(part[row]).for_each(|(sum, value)| *sum += value);
            }
            sum
        });
        let weight = (0..outputs * inputs * area).into_par_iter().with_min_len(CHUNK).map(|i| {
            let (n, c, t) = (i / area / inputs, i / area % inputs, i % area);
            sum[(n / PANEL * area + t) * inputs + c][n % PANEL]
        });
        weight.collect()
    }

    /// The pictures that the kernel runs over.
    fn large(&self) -> Pixels {
        pixels(self.size, self.channels[0])
    }

    /// What it makes of its positions.
    fn small(&self) -> Pixels {
        pixels(self.positions, self.channels[1])
    }
}

impl Pass {
    /// Each weight by its output, input and place in the kernel.
    fn new(
        [input, output]: [Pixels; 2],
        phases: Vec<Phase>,
        weight: impl Fn(usize, usize, [usize; 2]) -> f32 + Sync,
    ) -> Self {
        let step = |phase: Phase| {
            let shape = [output.channels, phase.taps.len(), input.channels];
            let count = shape[0].div_ceil(PANEL) * shape[1] * shape[2];
            let weights =
                by_row(count, |i| panels::row(shape, i, |n, tap, c| weight(n, c, phase.taps[tap].kernel)));
            // A kernel is far smaller than what this holds.
            let taps = phase.taps.iter().map(|tap| tap.offset.map(|offset| offset as i16)).collect();
            Step { phase, taps, weights }
        };
        let bias = vec![0.0; output.channels.next_multiple_of(PANEL)];
        Self { input, output, steps: phases.into_iter().map(step).collect(), bias }
    }

    fn op<'a>(&'a self, Step { phase, taps, weights }: &'a Step) -> TapGemm<'a> {
        TapGemm {
            taps,
            weights: Panels::F32(weights),
            bias: &self.bias,
            accumulate: false,
            activation: Activation::Identity,
            input: self.input,
            output: self.output,
            rows: phase.positions[0],
            cols: phase.positions[1],
            in_step: phase.in_step,
            out_step: phase.out_step,
            out_offset: phase.out_offset,
        }
    }

    /// What it makes of each picture, all as planes.
    pub(super) fn run(&self, x: &[f32]) -> Vec<f32> {
        let [from, to] = [self.input.len(), self.output.len()];
        let mut y = zeros(x.len() / from * to);
        let at_once = (TRANSPOSED / (from + to)).max(1);
        y.par_chunks_mut(at_once * to).zip(x.par_chunks(at_once * from)).for_each(|(y, x)| {
            with_scratch([x.len(), y.len()], |[pixels_x, pixels_y]| {
                channels_last(x, self.input, pixels_x);
                let pairs = pixels_x.chunks_exact(from).zip(pixels_y.chunks_exact_mut(to));
                let mut samples: Vec<_> = pairs.map(|(input, output)| Sample { input, output }).collect();
                for step in &self.steps {
                    (KERNELS.tap_gemm)(&self.op(step), &mut samples);
                }
                each(pixels_y, y, to, |pixels, planes| transpose(pixels, self.output.channels, planes));
            });
        });
        y
    }
}

fn pixels([height, width]: [usize; 2], channels: usize) -> Pixels {
    Pixels { height, width, channels, pixel_stride: channels }
}

/// Rows of panels, on all cores.
fn by_row(rows: usize, row: impl Fn(usize) -> [f32; PANEL] + Sync) -> Vec<[f32; PANEL]> {
    (0..rows).into_par_iter().with_min_len(CHUNK / PANEL).map(&row).collect()
}

/// Planes of some pictures as their pixels.
fn channels_last(pictures: &[f32], like: Pixels, pixels: &mut [f32]) {
    each(pictures, pixels, like.len(), |planes, pixels| transpose(planes, like.height * like.width, pixels));
}

/// Lends so many values each, whatever they are, which stay with the thread and in its cache.
fn with_scratch(lens: [usize; 2], run: impl FnOnce([&mut [f32]; 2])) {
    thread_local! {
        static SCRATCH: RefCell<[Vec<f32>; 2]> = const { RefCell::new([Vec::new(), Vec::new()]) };
    }
    SCRATCH.with_borrow_mut(|[first, second]| {
        for (values, len) in [&mut *first, &mut *second].into_iter().zip(lens) {
            values.resize(len.max(values.len()), 0.0);
        }
        run([&mut first[..lens[0]], &mut second[..lens[1]]]);
    })
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
