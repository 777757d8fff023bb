//! Pictures enlarged by repeating each pixel, and what reads them.
//!
//! A convolution over such a picture is a transposed convolution over the small one, whose kernel holds the sums of those
//! weights that meet the same pixel: fewer products, and no large picture. A convolution that sees one pixel at a time,
//! and a function of each value, come before the repetition; a function of two pictures reads the small one repeatedly.

use anyhow::Result;

use super::Folder;
use crate::export::phases::LARGEST_STRIDE;
use crate::graph::{Binary, Conv2dGeometry, Op, Tensor, Unary, Value};

impl Folder {
    /// A convolution over an enlarged picture, computed on the small one; none if that is not possible, or no gain.
    pub(super) fn convolution_of_enlarged(
        &mut self,
        name: &str,
        (weight, bias, g): (&Tensor, Option<&Tensor>, &Conv2dGeometry),
        input: Value,
    ) -> Result<Option<Value>> {
        let Some((small, times)) = self.enlarged(input) else { return Ok(None) };
        if g.stride != [1, 1] {
            return Ok(None);
        }
        if g.kernel_size == [1, 1] && g.padding == [0; 4] {
            let op = Op::Conv2d { weight: weight.clone(), bias: bias.cloned(), geometry: g.clone() };
            let value = self.push(name, op, vec![small])?;
            return self.enlarge(name, value, times).map(Some);
        }
        let reach = [0, 1].map(|axis| g.dilation[axis] * (g.kernel_size[axis] - 1));
        let kernel_size = [0, 1].map(|axis| times[axis] + reach[axis]);
        // What lies further outside than the kernel reaches has no place in a transposed convolution.
        let inside = g.padding.iter().zip(reach.iter().cycle()).all(|(padding, reach)| padding <= reach);
        let [taps, own_taps] = [kernel_size, g.kernel_size].map(|[height, width]| height * width);
        let repeats = times[0] * times[1];
        let steps = self.graph.shape(small)[0] * g.groups * repeats;
        let sums = (weight.data.len() / own_taps).saturating_mul(taps).saturating_add(self.sums);
        let fits =
            times.iter().all(|&times| times <= LARGEST_STRIDE) && steps <= MOST_STEPS && sums <= MOST_SUMS;
        if !inside || taps >= own_taps * repeats || !fits {
            return Ok(None);
        }
        self.sums = sums;
        let geometry = Conv2dGeometry {
            kernel_size,
            stride: times,
            padding: core::array::from_fn(|side| reach[side % 2] - g.padding[side]),
            dilation: [1, 1],
            groups: g.groups,
            output_padding: [0, 0],
        };
        let weight = summed(weight, g, times, kernel_size);
        self.push(name, Op::ConvTranspose2d { weight, bias: bias.cloned(), geometry }, vec![small]).map(Some)
    }

    /// A function of each value of an enlarged picture that nothing else reads.
    pub(super) fn function_of_enlarged(
        &mut self,
        name: &str,
        function: Unary,
        input: Value,
    ) -> Result<Option<Value>> {
        match self.enlarged(input).filter(|_| self.sole[input.index()]) {
            Some((small, times)) => {
                let value = self.push(name, Op::Unary(function), vec![small])?;
                self.enlarge(name, value, times).map(Some)
            }
            None => Ok(None),
        }
    }

    /// A function of two pictures of one shape, of which at least one is enlarged.
    pub(super) fn function_with_enlarged(
        &mut self,
        name: &str,
        function: Binary,
        [a, b]: [Value; 2],
    ) -> Result<Option<Value>> {
        let shape = self.graph.shape(a).to_vec();
        let times = match [a, b].map(|value| self.enlarged(value)) {
            [Some((_, a)), Some((_, b))] if a != b => return Ok(None),
            [Some((_, times)), _] | [_, Some((_, times))] => times,
            [None, None] => return Ok(None),
        };
        if a == b || self.graph.shape(b) != shape {
            return Ok(None);
        }
        let split = split(&shape, times);
        let mut part = |value: Value, which: &str| match self.enlarged(value) {
            // What the last reshape of an enlargement reads.
            Some(_) => Ok(self.graph.node(value).map_or(value, |node| node.inputs[0])),
            None => self.reshape(&format!("{name}.{which}"), &split, value),
        };
        let parts = vec![part(a, "a")?, part(b, "b")?];
        let value = self.push(name, Op::Binary(function), parts)?;
        self.push(&format!("{name}.whole"), Op::Reshape(shape), vec![value]).map(Some)
    }

    /// A reshape that ends an enlargement, in whatever steps that was made, in the form that [`enlarged`](Self::enlarged) knows.
    pub(super) fn normalize_enlargement(&mut self, name: &str, value: Value) -> Result<Value> {
        if self.enlarged(value).is_some() {
            return Ok(value);
        }
        match self.repetition(value) {
            Some((source, shape, times)) => {
                let small = self.reshape(&format!("{name}.small"), &shape, source)?;
                self.enlarge(name, small, times)
            }
            None => Ok(value),
        }
    }

    /// The picture, each pixel `times` down and across.
    fn enlarge(&mut self, name: &str, small: Value, times: [usize; 2]) -> Result<Value> {
        let &[n, c, h, w] = self.graph.shape(small) else { anyhow::bail!("{name}: no picture") };
        let [down, across] = times;
        let shape = [n, c, h * down, w * across];
        // Not one with the reshape that the small picture may be, so that this remains in sight.
        let apart = self.push(&format!("{name}.pixels"), Op::Reshape(vec![n, c, h, 1, w, 1]), vec![small])?;
        let repeated =
            self.push(&format!("{name}.repeated"), Op::Broadcast(split(&shape, times)), vec![apart])?;
        self.push(&format!("{name}.enlarged"), Op::Reshape(shape.to_vec()), vec![repeated])
    }

    /// The small picture of which this is an enlargement as [`enlarge`](Self::enlarge) makes it, and how often each pixel is repeated.
    fn enlarged(&self, value: Value) -> Option<(Value, [usize; 2])> {
        let whole = self.graph.node(value).filter(|node| matches!(node.op, Op::Reshape(_)))?;
        let repeated = self.graph.node(whole.inputs[0])?;
        let Op::Broadcast(shape) = &repeated.op else { return None };
        let apart = self.graph.node(repeated.inputs[0])?;
        let &[n, c, h, down, w, across] = &shape[..] else { return None };
        let small = *apart.inputs.first()?;
        let matches = matches!(apart.op, Op::Reshape(_))
            && self.graph.shape(repeated.inputs[0]) == [n, c, h, 1, w, 1]
            && self.graph.shape(small) == [n, c, h, w]
            && self.graph.shape(value) == [n, c, h * down, w * across];
        matches.then_some((small, [down, across]))
    }

    /// As [`enlarged`](Self::enlarged), for reshapes and repetitions in any number and order: the value that is repeated,
    /// and its shape as a picture.
    fn repetition(&self, value: Value) -> Option<(Value, [usize; 4], [usize; 2])> {
        let (mut source, mut chain) = (value, vec![]);
        while let Some(node) = self.graph.node(source)
            && matches!(node.op, Op::Reshape(_) | Op::Broadcast(_))
        {
            chain.push(source);
            source = node.inputs[0];
        }
        let &[n, c, to_h, to_w] = self.graph.shape(value) else { return None };
        let len = self.graph.shape(source).iter().product::<usize>();
        let pixels = len / (n * c);
        let repeats = len * 2 <= n * c * to_h * to_w;
        if !repeats || !len.is_multiple_of(n * c) || n * c * to_h * to_w > MOST_VALUES {
            return None;
        }
        // Follows the number of each value through the chain.
        let mut numbers: Vec<usize> = (0..n * c * pixels).collect();
        let mut from = source;
        for &to in chain.iter().rev() {
            if let Some(Op::Broadcast(shape)) = self.graph.node(to).map(|node| &node.op) {
                numbers = repeat(&numbers, self.graph.shape(from), shape);
            }
            from = to;
        }
        let across = numbers.iter().take(to_w).take_while(|&&number| number == numbers[0]).count();
        let (w, down) = (to_w / across, to_h * to_w / pixels / across);
        if w * across != to_w || down == 0 || !to_h.is_multiple_of(down) || to_h / down * w != pixels {
            return None;
        }
        let h = to_h / down;
        let expected = |i: usize| {
            let (plane, y, x) = (i / (to_h * to_w), i / to_w % to_h, i % to_w);
            (plane * h + y / down) * w + x / across
        };
        let matches = numbers.iter().enumerate().all(|(i, &number)| number == expected(i));
        matches.then_some((source, [n, c, h, w], [down, across]))
    }
}

/// `[n, c, h, down, w, across]` of a picture enlarged to `[n, c, h * down, w * across]`.
fn split(shape: &[usize], [down, across]: [usize; 2]) -> Vec<usize> {
    vec![shape[0], shape[1], shape[2] / down, down, shape[3] / across, across]
}

/// Values of `shape`, repeated as `to` says.
fn repeat(values: &[usize], shape: &[usize], to: &[usize]) -> Vec<usize> {
    let ahead = to.len() - shape.len();
    let place = |mut i: usize| {
        let (mut place, mut stride) = (0, 1);
        for (axis, &extent) in to.iter().enumerate().rev() {
            let own = axis.checked_sub(ahead).map_or(1, |axis| shape[axis]);
            place += if own == 1 { 0 } else { i % extent * stride };
            stride *= own;
            i /= extent;
        }
        place
    };
    (0..to.iter().product()).map(|i| values[place(i)]).collect()
}

/// The kernel `[in, out / groups, kh, kw]` of the transposed convolution. Element `t` of a kernel that reaches `reach`
/// meets, from the repetition `r` of a pixel, the element `r + reach - t * dilation`. Sums are double.
fn summed(weight: &Tensor, g: &Conv2dGeometry, times: [usize; 2], size: [usize; 2]) -> Tensor {
    let (outputs, inputs) = (weight.shape[0], weight.shape[1]);
    let per_group = outputs / g.groups;
    let mut sums = vec![0.0_f64; inputs * outputs * size[0] * size[1]];
    let [kh, kw] = g.kernel_size;
    for (plane, weights) in weight.data.chunks_exact(kh * kw).enumerate() {
        let (n, c) = (plane / inputs, plane % inputs);
        let plane = (n / per_group * inputs + c) * per_group + n % per_group;
        let sums = &mut sums[plane * size[0] * size[1]..][..size[0] * size[1]];
        for (t, &weight) in weights.iter().enumerate() {
            let first = [(kh - 1 - t / kw) * g.dilation[0], (kw - 1 - t % kw) * g.dilation[1]];
            for y in first[0]..first[0] + times[0] {
                for x in first[1]..first[1] + times[1] {
                    sums[y * size[1] + x] += f64::from(weight);
                }
            }
        }
    }
    let shape = [inputs * g.groups, per_group, size[0], size[1]];
    Tensor::new(shape, sums.into_iter().map(|sum| sum as f32).collect())
}

/// Steps of one layer: a quarter of those that the format has for a file.
const MOST_STEPS: usize = 1024;

/// Values of all kernels of sums in a graph, of which a weight may become a thousand: half a gigabyte.
const MOST_SUMS: usize = 1 << 27;

/// Larger pictures are not looked into.
const MOST_VALUES: usize = 1 << 24;
