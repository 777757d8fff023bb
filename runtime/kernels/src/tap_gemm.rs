//! The one operation that carries the work: dense, convolution and each phase of a transposed convolution.
//!
//! `out[p, n] = activation(bias[n] + sum over taps t, channels c of in[p * in_step + tap[t], c] * w[t, c, n])`
//! over channels-last activations. A tap that falls outside the input reads zero.

use half::f16;

/// Output channels in one panel of weights.
pub const PANEL: usize = 8;

/// Where one kernel element reads, relative to `position * in_step`. In pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tap {
    /// Rows down.
    pub dy: i16,
    /// Columns to the right.
    pub dx: i16,
}

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
    /// Storage in half precision; arithmetic is `f32`.
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

/// An implementation of [`TapGemm`]: reads `input`, writes `output`, both starting at the first channel of the first
/// pixel. All implementations panic under the same conditions, see [`TapGemm::check`].
pub type TapGemmFn = fn(op: &TapGemm<'_>, input: &[f32], output: &mut [f32]);

impl Pixels {
    /// Values from the first to the last that belong to the buffer; zero when it is empty.
    pub fn len(&self) -> usize {
        (self.height * self.width).saturating_sub(1) * self.pixel_stride
            + if self.is_empty() { 0 } else { self.channels }
    }

    /// Whether it holds no value.
    pub fn is_empty(&self) -> bool {
        self.height == 0 || self.width == 0 || self.channels == 0
    }
}
