//! Sub-pixel convolutions: a convolution whose channels are spread over the pixels of a larger picture, as `DepthToSpace`
//! and PyTorch's `PixelShuffle` do, in whatever reshapes and transpositions that was written.
//!
//! Channels that belong to one place of each square of pixels are a phase: it writes them where they belong, and nothing is
//! copied.
//!
//! Source: Shi et al. 2016, "Real-time single image and video super-resolution using an efficient sub-pixel convolutional
//! neural network", arXiv:1609.05158.

use pocketgan_format::PANEL;

use super::Lowering;
use crate::export::phases::{LARGEST_STRIDE, Phase};
use crate::graph::{Op, Value};

/// Where the channels of a convolution go.
pub(super) struct Shuffle {
    /// The larger picture.
    pub(super) value: Value,
    /// What is between it and the convolution, itself included.
    pub(super) values: Vec<Value>,
    /// Pixels of the larger picture for each of the convolution, down and across.
    times: [usize; 2],
    /// For each phase, row by row, and each channel of the larger picture: a channel of the convolution.
    channels: Vec<usize>,
}

impl Shuffle {
    /// The phases of a convolution's positions, and the channels of each.
    pub(super) fn phases(&self, whole: &Phase) -> Vec<(Phase, Vec<usize>)> {
        let per_phase = self.channels.len() / (self.times[0] * self.times[1]);
        let phase = |(i, channels): (usize, &[usize])| {
            let out_offset = [i / self.times[1], i % self.times[1]];
            (Phase { out_step: self.times, out_offset, ..whole.clone() }, channels.to_vec())
        };
        self.channels.chunks(per_phase).enumerate().map(phase).collect()
    }
}

impl Lowering<'_> {
    /// Where the channels of a picture go that nothing reads as it is; none if they go nowhere, or if panels of weights
    /// would have more padding.
    pub(super) fn shuffle(&self, value: Value) -> Option<Shuffle> {
        let &[1, n, h, w] = self.graph.shape(value) else { return None };
        if n * h * w > MOST_VALUES {
            return None;
        }
        // The number of each value, through all that only rearranges them.
        let mut numbers: Vec<usize> = (0..n * h * w).collect();
        let (mut last, mut values) = (value, vec![]);
        loop {
            let (reader, node) = self.only_reader(last)?;
            match &node.op {
                Op::Reshape(_) => {}
                Op::Transpose(permutation) => {
                    numbers = transposed(&numbers, self.graph.shape(last), permutation);
                }
                _ => return None,
            }
            values.push(reader);
            last = reader;
            if let Some((times, channels)) = squares(&numbers, [n, h, w], self.graph.shape(last)) {
                let phases = times[0] * times[1];
                let panels = (n / phases).div_ceil(PANEL) * phases;
                let fits = panels <= n.div_ceil(PANEL) && times.iter().all(|&times| times <= LARGEST_STRIDE);
                return fits.then_some(Shuffle { value: last, values, times, channels });
            }
        }
    }
}

/// The values of `shape` in the order of its axes that the permutation says.
fn transposed(values: &[usize], shape: &[usize], permutation: &[usize]) -> Vec<usize> {
    let strides: Vec<usize> = (0..shape.len()).map(|axis| shape[axis + 1..].iter().product()).collect();
    let place = |mut i: usize| {
        let mut place = 0;
        for &axis in permutation.iter().rev() {
            place += i % shape[axis] * strides[axis];
            i /= shape[axis];
        }
        place
    };
    (0..values.len()).map(|i| values[place(i)]).collect()
}

/// How many pixels of a larger picture each pixel of a small one becomes, and which channels make each of them; none if
/// values are no such picture.
fn squares(numbers: &[usize], [n, h, w]: [usize; 3], shape: &[usize]) -> Option<([usize; 2], Vec<usize>)> {
    let &[1, c, to_h, to_w] = shape else { return None };
    let times = [to_h / h, to_w / w];
    if times == [1, 1] || [times[0] * h, times[1] * w, times[0] * times[1] * c] != [to_h, to_w, n] {
        return None;
    }
    let number = |channel: usize, y: usize, x: usize| numbers[(channel * to_h + y) * to_w + x];
    let mut channels = Vec::with_capacity(n);
    for (i, j) in (0..times[0]).flat_map(|i| (0..times[1]).map(move |j| (i, j))) {
        channels.extend((0..c).map(|channel| number(channel, i, j) / (h * w)));
    }
    let belongs = |i: usize| {
        let (channel, y, x) = (i / (to_h * to_w), i / to_w % to_h, i % to_w);
        let from = channels[(y % times[0] * times[1] + x % times[1]) * c + channel];
        numbers[i] == (from * h + y / times[0]) * w + x / times[1]
    };
    (0..numbers.len()).all(belongs).then_some((times, channels))
}

/// Larger pictures are not looked into.
const MOST_VALUES: usize = 1 << 24;
