//! Numbers beside those of a module: the moments of an optimizer, the average of a generator.
//!
//! On the processor they are plain numbers, which one pass updates; on a GPU they are tensors that never leave it while a run
//! goes on.

use burn::tensor::{Device, Tensor, TensorData};

use crate::network::{NamedTensor, Parameters, values};

/// As many numbers as the float tensors of a module have, in its order.
#[derive(Clone)]
pub(crate) struct Mirror {
    tensors: Vec<Mirrored>,
}

/// One tensor.
#[derive(Clone)]
pub(crate) struct Mirrored {
    name: String,
    shape: Vec<usize>,
    pub(crate) numbers: Numbers,
}

/// Of one tensor, row-major.
#[derive(Clone)]
#[expect(clippy::large_enum_variant, reason = "a network has a few dozen")]
pub(crate) enum Numbers {
    Host(Vec<f32>),
    /// Outside of any graph of gradients.
    Device(Tensor<1>),
}

impl Mirror {
    /// On the processor.
    pub(crate) fn new(parameters: Parameters) -> Self {
        let tensors = parameters.0.into_iter().map(|NamedTensor { name, shape, data }| Mirrored {
            name,
            shape,
            numbers: Numbers::Host(data),
        });
        Self { tensors: tensors.collect() }
    }

    /// The same numbers as tensors of `device`.
    pub(crate) fn on(self, device: &Device) -> Self {
        let device = device.clone().inner();
        let moved = self.read().0.into_iter().map(|NamedTensor { name, shape, data }| {
            let len = data.len();
            let numbers = Tensor::from_data(TensorData::new(data, [len]), &device);
            Mirrored { name, shape, numbers: Numbers::Device(numbers) }
        });
        Self { tensors: moved.collect() }
    }

    /// A copy on the processor.
    pub(crate) fn read(&self) -> Parameters {
        let read = |numbers: &Numbers| match numbers {
            Numbers::Host(data) => data.clone(),
            Numbers::Device(tensor) => values(tensor.clone()),
        };
        let tensors = self.tensors.iter().map(|Mirrored { name, shape, numbers }| NamedTensor {
            name: name.clone(),
            shape: shape.clone(),
            data: read(numbers),
        });
        Parameters(tensors.collect())
    }

    /// Makes all numbers zero.
    pub(crate) fn clear(&mut self) {
        for tensor in &mut self.tensors {
            match &mut tensor.numbers {
                Numbers::Host(data) => data.fill(0.0),
                Numbers::Device(tensor) => *tensor = tensor.zeros_like(),
            }
        }
    }

    /// Each tensor in turn.
    pub(crate) fn iter_mut(&mut self) -> core::slice::IterMut<'_, Mirrored> {
        self.tensors.iter_mut()
    }
}
