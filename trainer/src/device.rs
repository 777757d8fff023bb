//! Where training computes.

use burn::tensor::Device;

/// A device by its name on the command line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum DeviceName {
    /// The processor, by burn-flex
    #[default]
    Cpu,
    /// The first NVIDIA GPU. Needs its driver, NVRTC and the CUDA headers (`CUDA_PATH`, or /usr/local/cuda)
    #[cfg(feature = "cuda")]
    Cuda,
}

impl DeviceName {
    /// The device, for inference.
    pub fn open(self) -> Device {
        match self {
            Self::Cpu => Device::flex(),
            #[cfg(feature = "cuda")]
            Self::Cuda => Device::cuda(0),
        }
    }
}
