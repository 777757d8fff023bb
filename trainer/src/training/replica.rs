//! Data-parallel training: several devices compute the gradients of a part of every batch each, and all take the same updates
//! from their mean.
//!
//! What a network knows of a whole batch, such as the statistics of batch normalization, relativistic averages and minibatch
//! deviations, it knows of its part, as in other data-parallel trainers; an unrolled look-ahead, too, is one of the part. Noise, changes
//! of images and places of penalties are drawn for each part. Everything else is as with one device, but for the order in which
//! gradients are added.

use core::ops::Range;
use std::sync::{Arc, Barrier, Mutex, PoisonError};

use burn::tensor::{Device, Tensor};

use crate::device::is_processor;
use crate::network::values;

/// Which part of every batch a run computes, and how it learns of the others'.
#[derive(Clone)]
pub(super) struct Replica {
    rank: usize,
    count: usize,
    exchange: Exchange,
}

#[derive(Clone)]
enum Exchange {
    /// Alone.
    None,
    /// Threads of this program, which all compute on the processor.
    Host(Arc<Slots>),
    /// Collective operations of these devices.
    Devices(Vec<Device>),
}

struct Slots {
    barrier: Barrier,
    /// What each has to say.
    values: Mutex<Vec<Vec<f32>>>,
}

impl Replica {
    /// The only one.
    pub(super) fn alone() -> Self {
        Self { rank: 0, count: 1, exchange: Exchange::None }
    }

    /// One for each of `devices`, without gradients; the processor may be named more than once.
    pub(super) fn all(devices: &[Device]) -> Vec<Self> {
        let count = devices.len();
        let exchange = if devices.iter().all(is_processor) {
            Exchange::Host(Arc::new(Slots {
                barrier: Barrier::new(count),
                values: Mutex::new(vec![vec![]; count]),
            }))
        } else {
            Exchange::Devices(devices.to_vec())
        };
        (0..count).map(|rank| Self { rank, count, exchange: exchange.clone() }).collect()
    }

    /// Its part of something that belongs to a batch, e.g. of `batch_size` images.
    pub(super) fn part(&self, batch_size: usize) -> Range<usize> {
        let len = batch_size / self.count;
        self.rank * len..(self.rank + 1) * len
    }

    /// A number of its own for each that all share.
    pub(super) fn own(&self, number: u64) -> u64 {
        number * self.count as u64 + self.rank as u64
    }

    /// The mean over all replicas, which all have to ask for it. The processor adds in their order, so that a run has the same
    /// bits again.
    pub(super) fn mean<const D: usize>(&self, tensor: Tensor<D>) -> Tensor<D> {
        match &self.exchange {
            Exchange::None => tensor,
            Exchange::Host(slots) => {
                let (shape, device) = (tensor.shape(), tensor.device());
                let mean = slots.mean(self.rank, values(tensor));
                Tensor::from_data(burn::tensor::TensorData::new(mean, shape), &device)
            }
            Exchange::Devices(devices) => {
                use burn::tensor::distributed::{ReduceOperation, all_reduce};
                all_reduce(tensor, ReduceOperation::Mean, devices.clone()).resolve()
            }
        }
    }
}

impl Slots {
    fn mean(&self, rank: usize, own: Vec<f32>) -> Vec<f32> {
        let lock = || self.values.lock().unwrap_or_else(PoisonError::into_inner);
        lock()[rank] = own;
        self.barrier.wait();
        let mean = {
            let all = lock();
            let sum = |i: usize| all.iter().map(|values| values[i]).sum::<f32>();
            (0..all[rank].len()).map(|i| sum(i) / all.len() as f32).collect()
        };
        // Nobody says anything new before all have read.
        self.barrier.wait();
        mean
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_learn_the_mean() {
        let replicas = Replica::all(&[Device::flex(), Device::flex(), Device::flex()]);
        let means: Vec<Vec<Vec<f32>>> = std::thread::scope(|scope| {
            let threads: Vec<_> = replicas
                .iter()
                .map(|replica| {
                    scope.spawn(|| {
                        let mean = |scale: f32| {
                            let own = Tensor::<2>::from_floats([[1.0, 2.0]], &Device::flex());
                            values(replica.mean(own.mul_scalar(scale * (1 << replica.rank) as f32)))
                        };
                        // Twice, so that one may not overtake the others.
                        vec![mean(3.0), mean(6.0)]
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(means, vec![vec![vec![7.0, 14.0], vec![14.0, 28.0]]; 3]);
    }

    #[test]
    fn parts_make_a_whole() {
        let replicas = Replica::all(&[Device::flex(), Device::flex()]);
        assert_eq!(
            replicas.iter().flat_map(|replica| replica.part(6)).collect::<Vec<_>>(),
            [0, 1, 2, 3, 4, 5]
        );
        assert_eq!(Replica::alone().part(6), 0..6);
        let own: Vec<u64> = replicas.iter().flat_map(|replica| [replica.own(0), replica.own(1)]).collect();
        assert_eq!(own, [0, 2, 1, 3]);
        assert_eq!(Replica::alone().own(5), 5);
    }
}
