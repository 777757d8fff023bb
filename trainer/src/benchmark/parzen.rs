//! Handwritten digits by log-likelihood under Parzen windows, as the first GAN was compared in 2014.

use super::{Benchmark, Better, Figure, Measure, Published, Reported};
use crate::config::Config;
use crate::dataset::Source;
use crate::network::{Activations, Architecture, DiscriminatorNorm, NetworkConfig};

pub(super) const BENCHMARK: Benchmark = Benchmark {
    name: "parzen",
    description: "Handwritten digits of dense layers: how likely are test digits among generated ones?",
    source: "Goodfellow et al. 2014, arXiv:1406.2661, table 1, and its reference code, mnist.yaml and parzen_ll.py in \
             goodfeli/adversarial. There latents are uniform, the discriminator has dropout, gradients are followed with \
             momentum, not by Adam, the digits that choose the width of windows are not trained on, and nothing says when \
             to stop: here it is where the momentum stops growing. Published errors are of the mean over test digits. Such \
             a likelihood says little of how digits look (Theis et al. 2016, arXiv:1511.01844).",
    eval_every: 10_000,
    samples: 10_000,
    measure: Measure::Likelihood,
    figures: &[PARZEN],
    published: &PUBLISHED,
    base_config,
};

const PARZEN: Figure = Figure {
    key: "parzen",
    name: "Parzen log-likelihood",
    unit: "nats",
    scale: 1.0,
    digits: 1,
    better: Better::More,
};

fn base_config() -> Config {
    let mut config = Config { dataset: Source::Mnist, ..Config::default() };
    config.network = NetworkConfig {
        architecture: Architecture::Mlp,
        latent_dim: 100,
        width: 1200,
        generator_depth: 2,
        generator_norm: false,
        discriminator_norm: DiscriminatorNorm::None,
        discriminator_width: 240,
        discriminator_depth: 2,
        activations: Activations::Maxout,
        ..NetworkConfig::default()
    };
    let training = &mut config.training;
    training.steps = 125_000;
    training.batch_size = 100;
    (training.lr_g, training.lr_d) = (2e-4, 2e-4);
    training.beta_1 = 0.5;
    training.ema_decay = 0.0;
    config
}

const PUBLISHED: [Published; 6] = [
    goodfellow("Deep belief network", None, &[("parzen", 138.0, Some(2.0))]),
    goodfellow("Stacked contractive autoencoder", None, &[("parzen", 121.0, Some(1.6))]),
    goodfellow("Deep generative stochastic network", None, &[("parzen", 214.0, Some(1.1))]),
    goodfellow("Adversarial nets", Some("gan"), &[("parzen", 225.0, Some(2.0))]),
    Published {
        name: "Conditional adversarial nets",
        method: None,
        figures: &[("parzen", 132.0, Some(1.8))],
        source: "Mirza and Osindero 2014, arXiv:1411.1784, table 1",
    },
    Published {
        name: "True distribution",
        method: None,
        figures: &[("parzen", 243.0, None)],
        source: "Theis et al. 2016, arXiv:1511.01844, table 1",
    },
];

const fn goodfellow(
    name: &'static str,
    method: Option<&'static str>,
    figures: &'static [Reported],
) -> Published {
    Published { name, method, figures, source: "Goodfellow et al. 2014, table 1" }
}
