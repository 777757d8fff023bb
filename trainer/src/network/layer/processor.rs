//! What operations of our own on the processor share: the values of burn-flex's tensors, and their planes.

use core::array;

use burn::backend::flex::{FlexTensor, Layout};
use burn::tensor::{Bytes, DType, Shape};
use rayon::prelude::*;

/// The values of a tensor without gaps.
pub(super) fn slice(tensor: &FlexTensor) -> &[f32] {
    tensor.as_slice().expect("networks compute in f32, and this has no gaps")
}

/// The tensor of values in their order, which are not copied.
pub(super) fn tensor(values: Vec<f32>, shape: impl Into<Shape>) -> FlexTensor {
    FlexTensor::new(Bytes::from_elems(values), Layout::contiguous(shape.into()), DType::F32)
}

/// Values that a core takes at once: enough to be worth a thread's while.
pub(super) const CHUNK: usize = 1 << 14;

/// The planes of a tensor `[N, C, ...]`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Planes {
    pub(super) batch: usize,
    pub(super) channels: usize,
    /// Values of a plane.
    pub(super) area: usize,
}

impl Planes {
    pub(super) fn of(shape: &Shape) -> Self {
        Self { batch: shape[0], channels: shape[1], area: shape.iter().skip(2).product() }
    }

    /// The plane with a number, which is in channel `index % channels`.
    pub(super) fn plane<'a>(&self, values: &'a [f32], index: usize) -> &'a [f32] {
        &values[index * self.area..][..self.area]
    }

    /// The numbers of the planes of a channel.
    fn of_channel(&self, channel: usize) -> impl Iterator<Item = usize> {
        (channel..self.batch * self.channels).step_by(self.channels)
    }

    /// As many planes, each made from its number, on all cores.
    pub(super) fn make(&self, make: impl Fn(usize, &mut [f32]) + Sync) -> Vec<f32> {
        let mut values = vec![0.0; self.batch * self.channels * self.area];
        self.each(&mut values, make);
        values
    }

    /// Visits each plane with its number, on all cores.
    pub(super) fn each(&self, values: &mut [f32], visit: impl Fn(usize, &mut [f32]) + Sync) {
        let at_once = (CHUNK / self.area).max(1);
        values.par_chunks_mut(at_once * self.area).enumerate().for_each(|(chunk, values)| {
            for (i, plane) in values.chunks_exact_mut(self.area).enumerate() {
                visit(chunk * at_once + i, plane);
            }
        });
    }

    /// The sum of a function of two tensors, of which one may be the other, over a channel: of each plane in as many parts as fit into
    /// registers, and always in the same order.
    pub(super) fn sum(&self, channel: usize, [a, b]: [&[f32]; 2], term: impl Fn(f32, f32) -> f32) -> f64 {
        const PARTS: usize = 16;
        let mut sums = [0.0f64; PARTS];
        for index in self.of_channel(channel) {
            let (a, rest_a) = self.plane(a, index).as_chunks::<PARTS>();
            let (b, rest_b) = self.plane(b, index).as_chunks::<PARTS>();
            let mut parts = [0.0f32; PARTS];
            for (a, b) in a.iter().zip(b) {
                let terms: [f32; PARTS] = array::from_fn(|i| term(a[i], b[i]));
                parts.iter_mut().zip(terms).for_each(|(part, term)| *part += term);
            }
            for ((part, a), b) in parts.iter_mut().zip(rest_a).zip(rest_b) {
                *part += term(*a, *b);
            }
            sums.iter_mut().zip(parts).for_each(|(sum, part)| *sum += f64::from(part));
        }
        sums.iter().sum()
    }
}
