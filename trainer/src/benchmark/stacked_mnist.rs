//! Stacked MNIST with the small networks of Metz et al., as PacGAN repeats it.

use super::{Benchmark, MODES, Measure, Published, REVERSE_KL, Reported};
use crate::config::Config;
use crate::dataset::Source;
use crate::network::DiscriminatorNorm;

pub(super) const BENCHMARK: Benchmark = Benchmark {
    name: "stacked-mnist",
    description: "Three digits as the colours of a picture: how many of the 1000 numbers does the generator draw against a \
                  discriminator of half its channels?",
    source: "Metz et al. 2017, arXiv:1611.02163, as repeated by Lin et al. 2018, PacGAN, arXiv:1712.04086, table 3. There samples are \
             normalized with the statistics of their own batch, here with standing ones, as an exported generator is. The \
             Kullback-Leibler divergence is from uniform classes.",
    eval_every: 2000,
    samples: 25_600,
    measure: Measure::StackedDigits,
    figures: &[MODES, REVERSE_KL],
    published: &PUBLISHED,
    base_config,
};

/// The same with half of the discriminator's channels.
pub(super) const QUARTER: Benchmark = Benchmark {
    name: "stacked-mnist-quarter",
    description: "Three digits as the colours of a picture: how many of the 1000 numbers does the generator draw against a \
                  discriminator of a quarter of its channels?",
    published: &PUBLISHED_QUARTER,
    base_config: || {
        let mut config = base_config();
        config.network.discriminator_width = 2;
        config
    },
    ..BENCHMARK
};

fn base_config() -> Config {
    let mut config = Config { dataset: Source::StackedMnist, ..Config::default() };
    let network = &mut config.network;
    (network.size, network.channels) = (28, 3);
    network.latent_dim = 256;
    network.kernel = 3;
    network.width = 8;
    network.leaky_slope = 0.3;
    network.discriminator_width = 4;
    network.discriminator_norm = DiscriminatorNorm::Batch;
    let training = &mut config.training;
    training.steps = 500_000;
    training.batch_size = 128;
    (training.lr_g, training.lr_d) = (1e-4, 2e-4);
    (training.beta_1, training.beta_2) = (0.5, 0.99);
    training.ema_decay = 0.0;
    config
}

const PUBLISHED: [Published; 9] = [
    half("DCGAN of Metz et al.", None, &[("modes", 628.0, Some(140.9)), ("reverse_kl", 2.58, Some(0.75))]),
    half("Unrolled, 1 step", Some("unrolled-1"), &[("modes", 523.6, None), ("reverse_kl", 2.44, None)]),
    half(
        "Unrolled, 5 steps",
        Some("unrolled-5"),
        &[("modes", 732.0, Some(44.98)), ("reverse_kl", 1.66, None)],
    ),
    half("Unrolled, 10 steps", None, &[("modes", 817.4, Some(37.91)), ("reverse_kl", 1.43, None)]),
    half("DCGAN", Some("gan"), &[("modes", 487.7, Some(34.59)), ("reverse_kl", 2.24, Some(0.15))]),
    half("PacDCGAN2", Some("pacgan-2"), &[("modes", 840.7, Some(15.92)), ("reverse_kl", 1.00, Some(0.05))]),
    half("PacDCGAN3", Some("pacgan-3"), &[("modes", 866.6, Some(12.10)), ("reverse_kl", 0.90, Some(0.04))]),
    half("PacDCGAN4", Some("pacgan-4"), &[("modes", 820.2, Some(25.50)), ("reverse_kl", 1.15, Some(0.14))]),
    R3GAN,
];

const PUBLISHED_QUARTER: [Published; 9] = [
    quarter("Unrolled, 1 step", Some("unrolled-1"), &[("modes", 65.4, None), ("reverse_kl", 5.91, None)]),
    quarter(
        "Unrolled, 5 steps",
        Some("unrolled-5"),
        &[("modes", 236.4, Some(63.30)), ("reverse_kl", 4.67, None)],
    ),
    quarter("DCGAN of Metz et al.", None, &[("modes", 30.6, Some(20.73)), ("reverse_kl", 5.99, Some(0.42))]),
    quarter("Unrolled, 10 steps", None, &[("modes", 327.2, Some(74.67)), ("reverse_kl", 4.66, None)]),
    quarter("DCGAN", Some("gan"), &[("modes", 78.5, Some(17.56)), ("reverse_kl", 5.21, Some(0.19))]),
    quarter(
        "PacDCGAN2",
        Some("pacgan-2"),
        &[("modes", 484.5, Some(32.99)), ("reverse_kl", 2.61, Some(0.22))],
    ),
    quarter(
        "PacDCGAN3",
        Some("pacgan-3"),
        &[("modes", 601.3, Some(32.18)), ("reverse_kl", 2.00, Some(0.17))],
    ),
    quarter(
        "PacDCGAN4",
        Some("pacgan-4"),
        &[("modes", 667.4, Some(29.00)), ("reverse_kl", 1.81, Some(0.15))],
    ),
    R3GAN,
];

const R3GAN: Published = Published {
    name: "R3GAN",
    method: None,
    figures: &[("modes", 1000.0, None), ("reverse_kl", 0.029, None)],
    source: "Huang et al. 2024, R3GAN, arXiv:2501.05441; larger networks",
};

/// A row for these networks. Unrolled runs and the first DCGAN are those of Metz et al., the others of PacGAN.
const fn half(name: &'static str, method: Option<&'static str>, figures: &'static [Reported]) -> Published {
    Published { name, method, figures, source: "Lin et al. 2018, PacGAN, table 3; these networks" }
}

/// A row for a discriminator of 2, 4 and 8 channels.
const fn quarter(
    name: &'static str,
    method: Option<&'static str>,
    figures: &'static [Reported],
) -> Published {
    Published { name, method, figures, source: "Lin et al. 2018, PacGAN, table 3; these networks" }
}
