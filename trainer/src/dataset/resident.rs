//! Batches as tensors; on a GPU, out of a copy of the whole set that stays there.

use burn::tensor::{Device, Int, Tensor, TensorData};

use super::Dataset;
use crate::device::is_processor;

/// A copy of a set on a device, `[N, C H W]`; none where it does not fit.
#[derive(Clone, Debug)]
pub(super) struct Resident(Option<Tensor<2>>);

/// The largest copy on a device: as `f32`, Fashion-MNIST takes 188 MB, CIFAR-10 614 MB.
const LARGEST: usize = 1 << 30;

impl Dataset {
    /// The chosen images or points.
    ///
    /// The first call for a GPU copies the whole set to it, where it takes at most 1 GiB as `f32`; later ones send no more than
    /// the indices.
    ///
    /// # Shapes
    /// Result: `[indices.len(), C, H, W]`; images in [-1, 1].
    ///
    /// # Panics
    /// When an index is not below `len`.
    pub fn tensor(&self, indices: &[usize], device: &Device) -> Tensor<4> {
        let place = device.clone().inner();
        let resident = if is_processor(device) { None } else { self.resident(&place) };
        let tensor = resident.map_or_else(|| self.copied(indices, &place), |all| self.picked(all, indices));
        if device.is_autodiff() { Tensor::from_inner(tensor) } else { tensor }
    }

    /// The copy on this device.
    fn resident(&self, device: &Device) -> Option<Tensor<2>> {
        let (len, image) = (self.len(), self.shape().iter().product::<usize>());
        let Resident(copy) = self.resident.get_or_init(|| {
            let fits = len.saturating_mul(image).saturating_mul(size_of::<f32>()) <= LARGEST;
            Resident(fits.then(|| self.copied(&(0..len).collect::<Vec<_>>(), device).flatten(1, 3)))
        });
        copy.clone().filter(|copy| copy.device() == *device)
    }

    fn copied(&self, indices: &[usize], device: &Device) -> Tensor<4> {
        let [c, h, w] = self.shape();
        Tensor::from_data(TensorData::new(self.images(indices), [indices.len(), c, h, w]), device)
    }

    fn picked(&self, all: Tensor<2>, indices: &[usize]) -> Tensor<4> {
        let [c, h, w] = self.shape();
        let rows =
            indices.iter().inspect(|&&index| assert!(index < self.len(), "image {index} of {}", self.len()));
        let rows: Vec<i32> = rows.map(|&index| index as i32).collect();
        let rows = Tensor::<1, Int>::from_data(TensorData::new(rows, [indices.len()]), &all.device());
        all.select(0, rows).reshape([indices.len(), c, h, w])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::values;

    #[test]
    fn both_ways_give_the_images_asked_for() {
        let device = Device::flex();
        let pixels = (0..7 * 2 * 3 * 3).map(|i| (i * i % 251) as u8).collect();
        let dataset = Dataset::new("tiny", [2, 3, 3], pixels, None).unwrap();
        let indices = [4, 0, 6, 4];
        let expected = dataset.images(&indices);
        let copied = dataset.tensor(&indices, &device.clone().autodiff());
        assert!(copied.device().is_autodiff());
        let all = dataset.resident(&device).unwrap();
        assert_eq!(all.dims(), [7, 18]);
        for found in [copied, dataset.picked(all, &indices)] {
            assert_eq!(found.dims(), [4, 2, 3, 3]);
            assert_eq!(values(found), expected);
        }
    }

    #[test]
    fn what_does_not_fit_is_not_kept() {
        // As bytes these are 256 MiB and one image.
        let image = 1 << 20;
        let dataset = Dataset::new("large", [1, 1024, 1024], vec![7; 257 * image], None).unwrap();
        assert!(dataset.resident(&Device::flex()).is_none());
        assert_eq!(dataset.tensor(&[256], &Device::flex()).dims(), [1, 1, 1024, 1024]);
    }
}
