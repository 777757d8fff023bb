//! What keeps a discriminator smooth. One file per method.

mod spectral_norm;

pub use spectral_norm::SpectralNorm;
