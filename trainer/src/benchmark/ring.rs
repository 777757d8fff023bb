//! The 2D ring of PacGAN: eight places of a circle.

use super::{Benchmark, HIGH_QUALITY, MODES, Measure, Published, REVERSE_KL, Reported, VARIANCE_RATIO};
use crate::config::Config;
use crate::dataset::Source;
use crate::network::{Activations, Architecture, DiscriminatorNorm, NetworkConfig};

pub(super) const BENCHMARK: Benchmark = Benchmark {
    name: "ring",
    description: "8 Gaussians on the unit circle, sigma 0.01: how many does the generator draw?",
    source: "Lin et al. 2018, PacGAN, arXiv:1712.04086, 2D-ring. There standing statistics are a moving average, here \
             those of 8192 latents. A perfect \
             generator has 98.9 % high quality: more means that its modes are too narrow.",
    eval_every: 1000,
    samples: 2500,
    measure: Measure::Points,
    figures: &[MODES, HIGH_QUALITY, REVERSE_KL, VARIANCE_RATIO],
    published: &PUBLISHED,
    base_config,
};

fn base_config() -> Config {
    points_config(Source::Ring)
}

/// Networks and training of PacGAN's experiments in two dimensions.
pub(super) fn points_config(dataset: Source) -> Config {
    let mut config = Config { dataset, ..Config::default() };
    config.network = NetworkConfig {
        architecture: Architecture::Mlp,
        size: 1,
        channels: 2,
        latent_dim: 2,
        width: 400,
        generator_depth: 4,
        discriminator_norm: DiscriminatorNorm::None,
        discriminator_width: 200,
        discriminator_depth: 3,
        activations: Activations::Maxout,
        ..NetworkConfig::default()
    };
    let training = &mut config.training;
    training.steps = 400_000;
    training.batch_size = 100;
    (training.lr_g, training.lr_d) = (1e-4, 1e-4);
    (training.beta_1, training.beta_2) = (0.8, 0.999);
    training.ema_decay = 0.0;
    training.simultaneous = true;
    config
}

const PUBLISHED: [Published; 9] = [
    pacgan(
        "GAN",
        Some("gan"),
        &[("modes", 6.3, Some(0.5)), ("high_quality", 0.982, Some(0.002)), ("reverse_kl", 0.45, Some(0.09))],
    ),
    pacgan(
        "ALI",
        None,
        &[("modes", 6.6, Some(0.3)), ("high_quality", 0.976, Some(0.004)), ("reverse_kl", 0.36, Some(0.04))],
    ),
    pacgan(
        "PacGAN2",
        Some("pacgan-2"),
        &[("modes", 7.9, Some(0.1)), ("high_quality", 0.956, Some(0.020)), ("reverse_kl", 0.07, Some(0.03))],
    ),
    pacgan(
        "PacGAN3",
        Some("pacgan-3"),
        &[("modes", 7.8, Some(0.1)), ("high_quality", 0.977, Some(0.003)), ("reverse_kl", 0.10, Some(0.02))],
    ),
    pacgan(
        "PacGAN4",
        Some("pacgan-4"),
        &[("modes", 7.8, Some(0.1)), ("high_quality", 0.959, Some(0.014)), ("reverse_kl", 0.07, Some(0.02))],
    ),
    veegan("GAN", &[("modes", 1.0, None), ("high_quality", 0.993, None)]),
    veegan("ALI", &[("modes", 2.8, None), ("high_quality", 0.0013, None)]),
    veegan("Unrolled, 5 steps", &[("modes", 7.6, None), ("high_quality", 0.356, None)]),
    veegan("VEEGAN", &[("modes", 8.0, None), ("high_quality", 0.529, None)]),
];

/// A row of the paper whose protocol this is.
pub(super) const fn pacgan(
    name: &'static str,
    method: Option<&'static str>,
    figures: &'static [Reported],
) -> Published {
    Published { name, method, figures, source: "Lin et al. 2018, PacGAN, table 1; 10 runs" }
}

/// A row of a paper with other networks, whose figures differ much from those above for the same methods.
pub(super) const fn veegan(name: &'static str, figures: &'static [Reported]) -> Published {
    let source = "Srivastava et al. 2017, VEEGAN, table 1; other networks, 5 runs";
    Published { name, method: None, figures, source }
}
