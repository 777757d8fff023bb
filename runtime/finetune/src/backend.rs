//! The backends of burn that gradients are computed on: the only file that names them.

use burn::tensor::Device;

use crate::autodiff::Autodiff;

impl Autodiff {
    /// On burn-flex.
    #[cfg(feature = "flex")]
    pub fn flex() -> Self {
        Self::on("flex", Device::flex())
    }

    /// On burn-ndarray.
    #[cfg(feature = "ndarray")]
    #[allow(
        deprecated,
        reason = "burn prefers flex; ndarray builds without std, and is here to compare with"
    )]
    pub fn ndarray() -> Self {
        Self::on("ndarray", Device::ndarray())
    }
}
