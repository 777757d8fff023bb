//! The mixture on which the authors of LSGAN compare stability.

use super::{Benchmark, ring};
use crate::config::Config;
use crate::dataset::Source;
use crate::network::{Activations, Architecture, DiscriminatorNorm, Initialization, NetworkConfig};

pub(super) const BENCHMARK: Benchmark = Benchmark {
    name: "mixture",
    description: "8 Gaussians on the unit circle, the first with twice the weight: does training stay stable?",
    source: "Mao et al. 2019, arXiv:1712.06391, and its reference code, stability_comparison/mixture_gaussian. The paper \
             shows pictures: the non-saturating GAN collapses after some 15,000 steps, least squares learn the mixture.",
    eval_every: 1000,
    published: &[],
    base_config,
    ..ring::BENCHMARK
};

fn base_config() -> Config {
    let mut config = Config { dataset: Source::Mixture, ..Config::default() };
    config.network = NetworkConfig {
        architecture: Architecture::Mlp,
        size: 1,
        channels: 2,
        latent_dim: 256,
        width: 128,
        generator_depth: 2,
        generator_norm: false,
        discriminator_norm: DiscriminatorNorm::None,
        discriminator_depth: 2,
        activations: Activations::Tanh,
        initialization: Initialization::Orthogonal,
        ..NetworkConfig::default()
    };
    let training = &mut config.training;
    training.steps = 35_000;
    training.batch_size = 512;
    (training.lr_g, training.lr_d) = (1e-3, 1e-4);
    (training.beta_1, training.beta_2) = (0.5, 0.999);
    training.ema_decay = 0.0;
    config
}
