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

/// Zeros, which each core writes where it will write results: the first to touch new memory waits for the system.
pub(super) fn zeros(len: usize) -> Vec<f32> {
    const PART: usize = 1024;
    let mut parts = Vec::with_capacity(len.div_ceil(PART));
    (0..len / PART)
        .into_par_iter()
        .with_min_len(CHUNK / PART)
        .map(|_| [0.0; PART])
        .collect_into_vec(&mut parts);
    let mut values = parts.into_flattened();
    values.resize(len, 0.0);
    values
}

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

    /// Values made of those of `inputs` in the same place and of what their channel has, on all cores.
    pub(super) fn map<K: Copy + Sync, const N: usize>(
        &self,
        of_channel: &[K],
        inputs: [&[f32]; N],
        function: impl Fn(K, [f32; N]) -> f32 + Sync,
    ) -> Vec<f32> {
        let mut values = zeros(self.batch * self.channels * self.area);
        self.each(&mut values, of_channel, inputs, |value, k, inputs| *value = function(k, inputs));
        values
    }

    /// Visits each value with what its channel has and the values of `inputs` in the same place, on all cores.
    pub(super) fn each<K: Copy + Sync, const N: usize>(
        &self,
        values: &mut [f32],
        of_channel: &[K],
        inputs: [&[f32]; N],
        visit: impl Fn(&mut f32, K, [f32; N]) + Sync,
    ) {
        // A plane at a time, and of a matrix, whose planes are single values, a row.
        let len = if self.area == 1 { self.channels } else { self.area };
        let at_once = (CHUNK / len).max(1);
        values.par_chunks_mut(at_once * len).enumerate().for_each(|(chunk, values)| {
            for (i, values) in values.chunks_exact_mut(len).enumerate() {
                let index = chunk * at_once + i;
                let inputs = inputs.map(|input| &input[index * len..][..len]);
                if self.area == 1 {
                    for (j, (value, k)) in values.iter_mut().zip(of_channel).enumerate() {
                        visit(value, *k, inputs.map(|input| input[j]));
                    }
                } else {
                    let k = of_channel[index % self.channels];
                    for (j, value) in values.iter_mut().enumerate() {
                        visit(value, k, inputs.map(|input| input[j]));
                    }
                }
            }
        });
    }

    /// For each channel the sum of a function of what it has and of values of `inputs` in the same place: on all cores,
    /// and always in the same order.
    pub(super) fn sums<K: Copy + Sync, const N: usize>(
        &self,
        of_channel: &[K],
        inputs: [&[f32]; N],
        term: impl Fn(K, [f32; N]) -> f32 + Sync,
    ) -> Vec<f64> {
        const COLUMNS: usize = 32;
        let mut sums = vec![0.0; self.channels];
        if self.area > 1 {
            sums.par_iter_mut().zip(of_channel).enumerate().for_each(|(channel, (sum, k))| {
                *sum = self.sum(channel, inputs, |values| term(*k, values));
            });
            return sums;
        }
        let columns = sums.par_chunks_mut(COLUMNS).zip(of_channel.par_chunks(COLUMNS)).enumerate();
        columns.for_each(|(i, (sums, of_channel))| {
            for row in 0..self.batch {
                let start = row * self.channels + i * COLUMNS;
                let inputs = inputs.map(|input| &input[start..][..sums.len()]);
                for (j, (sum, k)) in sums.iter_mut().zip(of_channel).enumerate() {
                    *sum += f64::from(term(*k, inputs.map(|input| input[j])));
                }
            }
        });
        sums
    }

    /// The sum over one channel: of each plane in as many parts as fit into registers.
    fn sum<const N: usize>(
        &self,
        channel: usize,
        inputs: [&[f32]; N],
        term: impl Fn([f32; N]) -> f32,
    ) -> f64 {
        const PARTS: usize = 16;
        let mut sums = [0.0f64; PARTS];
        for index in (channel..self.batch * self.channels).step_by(self.channels) {
            let planes = inputs.map(|input| input[index * self.area..][..self.area].as_chunks::<PARTS>());
            let mut parts = [0.0f32; PARTS];
            for i in 0..self.area / PARTS {
                let values = planes.map(|(chunks, _)| chunks[i]);
                let terms: [f32; PARTS] = array::from_fn(|j| term(values.map(|values| values[j])));
                parts.iter_mut().zip(terms).for_each(|(part, term)| *part += term);
            }
            for (i, part) in parts.iter_mut().enumerate().take(self.area % PARTS) {
                *part += term(planes.map(|(_, rest)| rest[i]));
            }
            sums.iter_mut().zip(parts).for_each(|(sum, part)| *sum += f64::from(part));
        }
        sums.iter().sum()
    }
}
