//! The one operation that carries the work: dense, convolution and each phase of a transposed convolution.
//!
//! `out[p, n] = activation(bias[n] + sum over taps t, channels c of in[p * in_step + tap[t], c] * w[t, c, n])`
//! over channels-last activations. A tap that falls outside the input reads zero. An operation that accumulates adds
//! `out[p, n]` to the sum.

use core::ops::Range;

use half::f16;

use crate::half_float::Element;

/// Output channels in one panel of weights.
pub const PANEL: usize = 8;

/// Where one kernel element reads, relative to `position * in_step`: rows down and columns to the right, `[dy, dx]`, as
/// it lies in the file.
pub type Tap = [i16; 2];

/// The elementwise function applied while the tile is in registers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activation {
    /// `x`
    Identity,
    /// `max(x, 0)`
    Relu,
    /// `x` where positive, else `slope * x`
    LeakyRelu(f32),
    /// Hyperbolic tangent.
    Tanh,
    /// Logistic function.
    Sigmoid,
}

/// Weights as they lie in the file: `[n.div_ceil(8)][tap][c]` rows of 8 output channels, the last panel padded with
/// zeros.
#[derive(Clone, Copy, Debug)]
pub enum Panels<'a> {
    /// Storage in half precision; arithmetic is `f32`. It starts at a multiple of 4 bytes, as files' and deltas' tensors do:
    /// Cortex-M's loads of several words fault elsewhere.
    F16(&'a [[f16; PANEL]]),
    /// Storage in single precision.
    F32(&'a [[f32; PANEL]]),
}

/// A buffer of pixels, channels last, inside a larger slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pixels {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Channels that this operation reads or writes, from the start of each pixel.
    pub channels: usize,
    /// Values from one pixel to the next; at least `channels`.
    pub pixel_stride: usize,
}

/// One tap GEMM, everything but the activations.
///
/// # Shapes
/// `input.channels = c`, `output.channels = n`; `weights`: `n.div_ceil(8) * taps.len() * c` rows;
/// `bias`: `n.div_ceil(8) * 8`. Output position `(row, col)` for `row < rows`, `col < cols` reads pixel
/// `(row * in_step[0] + dy, col * in_step[1] + dx)` for each tap and writes pixel
/// `(out_offset[0] + row * out_step[0], out_offset[1] + col * out_step[1])`.
#[derive(Clone, Copy, Debug)]
pub struct TapGemm<'a> {
    /// Kernel elements.
    pub taps: &'a [Tap],
    /// One row of 8 for each panel, tap and channel.
    pub weights: Panels<'a>,
    /// One value for each output channel, padded to whole panels.
    pub bias: &'a [f32],
    /// Whether what lies in the output is added to the sum, as a residual block has it.
    pub accumulate: bool,
    /// Applied last.
    pub activation: Activation,
    /// What is read.
    pub input: Pixels,
    /// What is written.
    pub output: Pixels,
    /// Output rows computed.
    pub rows: usize,
    /// Output columns computed.
    pub cols: usize,
    /// Input pixels from one position to the next, down and right.
    pub in_step: [usize; 2],
    /// Output pixels from one position to the next, down and right.
    pub out_step: [usize; 2],
    /// First output pixel, down and right.
    pub out_offset: [usize; 2],
}

/// What an operation reads and writes of one sample of a batch, both from the first channel of the first pixel on.
#[derive(Debug, Default)]
pub struct Sample<'a, A> {
    /// What is read.
    pub input: &'a [A],
    /// What is written.
    pub output: &'a mut [A],
}

/// An implementation of [`TapGemm`], for every sample of a batch: weights are read once for all. All implementations panic
/// under the same conditions, see [`TapGemm::check`].
pub type TapGemmFn = fn(op: &TapGemm<'_>, samples: &mut [Sample<'_, f32>]);

/// [`TapGemmFn`] with activations stored in half precision: what is read is exact, sums are `f32`, and what is written
/// is rounded once, to nearest.
pub type TapGemmF16Fn = fn(op: &TapGemm<'_>, samples: &mut [Sample<'_, f16>]);

impl TapGemm<'_> {
    /// Checks the operation against the lengths of a sample's buffers. Every implementation calls it first.
    ///
    /// After it, every pixel that `input_start` or `output_start` names
    /// lies inside its buffer with all its channels.
    ///
    /// # Panics
    /// When weights or bias have not the length that taps and channels ask for; when a pixel's stride is less than its
    /// channels; when a buffer is shorter than its pixels; when a written position lies outside the output, or
    /// positions coincide (`out_step` of zero); when any of these numbers overflows `usize`.
    pub fn check(&self, input_len: usize, output_len: usize) {
        // `Debug` would bring its builders and the tables of Unicode into every firmware, some KB.
        let shown = |number: Option<usize>| number.unwrap_or(usize::MAX);
        let panels = self.output.channels.div_ceil(PANEL);
        let weights = match self.weights {
            Panels::F16(rows) => rows.len(),
            Panels::F32(rows) => rows.len(),
        };
        let need = panels.checked_mul(self.taps.len()).and_then(|rows| rows.checked_mul(self.input.channels));
        assert!(need == Some(weights), "weights have {weights} rows, not {}", shown(need));
        // `panels` is at most `usize::MAX / 8 + 1`, and a slice is never that long.
        assert!(self.bias.len().is_multiple_of(PANEL), "bias is not padded to whole panels");
        assert!(
            self.bias.len() / PANEL == panels,
            "bias has {} panels, not {panels}",
            self.bias.len() / PANEL
        );
        let need = self.input.checked_len();
        assert!(
            need.is_some_and(|need| need <= input_len),
            "input has {input_len} values, not {}",
            shown(need)
        );
        let need = self.output.checked_len();
        assert!(
            need.is_some_and(|need| need <= output_len),
            "output has {output_len} values, not {}",
            shown(need)
        );
        for (count, axis, extent) in [(self.rows, 0, self.output.height), (self.cols, 1, self.output.width)] {
            assert!(self.out_step[axis] > 0, "output positions coincide");
            let Some(last) = count.checked_sub(1) else { continue };
            let written =
                last.checked_mul(self.out_step[axis]).and_then(|p| p.checked_add(self.out_offset[axis]));
            assert!(
                written.is_some_and(|p| p < extent),
                "position {} is outside the output's {extent}",
                shown(written)
            );
            let read = last.checked_mul(self.in_step[axis]);
            assert!(read.is_some_and(|p| p <= LAST_READ), "position {} cannot be read", shown(read));
        }
    }

    /// First value of the pixel that `tap` reads for output position `(row, col)`; none outside the input.
    #[inline(always)]
    pub(crate) fn input_start(&self, row: usize, col: usize, [dy, dx]: Tap) -> Option<usize> {
        // A negative sum wraps to more than any height or width; `check` bounded the products. Only those of columns past
        // the last may wrap, and whatever pixel is read for these is not used.
        let y = (row * self.in_step[0]).wrapping_add_signed(isize::from(dy));
        let x = col.wrapping_mul(self.in_step[1]).wrapping_add_signed(isize::from(dx));
        (y < self.input.height && x < self.input.width)
            .then(|| (y * self.input.width + x) * self.input.pixel_stride)
    }

    /// The rows and the columns of positions for which `tap` reads inside the input.
    #[inline(always)]
    pub(crate) fn inside(&self, [dy, dx]: Tap) -> [Range<usize>; 2] {
        [
            inside(self.rows, self.in_step[0], dy, self.input.height),
            inside(self.cols, self.in_step[1], dx, self.input.width),
        ]
    }

    /// The sample, row and column of a position counted through all samples.
    #[inline(always)]
    pub(crate) fn place(&self, position: usize) -> (usize, usize, usize) {
        let row = position / self.cols;
        (row / self.rows, row % self.rows, position % self.cols)
    }

    /// Adds what lies in an output pixel to its sums, where the operation accumulates.
    #[inline(always)]
    pub(crate) fn add_output<A: Element>(&self, sums: &mut [f32], pixel: &[A]) {
        if self.accumulate {
            sums.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += value.to_f32());
        }
    }

    /// First value of the pixel that output position `(row, col)` writes.
    #[inline(always)]
    pub fn output_start(&self, row: usize, col: usize) -> usize {
        let y = self.out_offset[0] + row * self.out_step[0];
        let x = self.out_offset[1] + col * self.out_step[1];
        (y * self.output.width + x) * self.output.pixel_stride
    }
}

impl Pixels {
    /// Values from the first to the last that belong to the buffer; zero without pixels.
    ///
    /// # Panics
    /// In debug builds, when the number overflows `usize`.
    pub fn len(&self) -> usize {
        match self.height * self.width {
            0 => 0,
            pixels => (pixels - 1) * self.pixel_stride + self.channels,
        }
    }

    /// Whether it holds no value.
    pub fn is_empty(&self) -> bool {
        self.height == 0 || self.width == 0 || self.channels == 0
    }

    /// [`len`](Self::len) of a buffer that can exist: no overflow, and pixels that do not overlap.
    fn checked_len(&self) -> Option<usize> {
        if self.pixel_stride < self.channels {
            return None;
        }
        match self.height.checked_mul(self.width)? {
            0 => Some(0),
            pixels => (pixels - 1).checked_mul(self.pixel_stride)?.checked_add(self.channels),
        }
    }
}

/// Which of `count` positions, `step` apart, read inside `extent` when moved by `offset`.
#[inline(always)]
fn inside(count: usize, step: usize, offset: i16, extent: usize) -> Range<usize> {
    let offset = isize::from(offset);
    let end = extent.saturating_add_signed(-offset);
    if step == 0 {
        return if offset >= 0 && end > 0 { 0..count } else { 0..0 };
    }
    let start = 0usize.saturating_add_signed(-offset).div_ceil(step);
    start..end.div_ceil(step).min(count)
}

/// The farthest row or column from which a tap cannot leave the range of `isize`.
const LAST_READ: usize = isize::MAX as usize - i16::MAX as usize;
