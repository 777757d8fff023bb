//! Methods of the literature by name: what each changes in a configuration.
//!
//! A method is an objective with the regularizers that make it what it is, and with the optimizer and its rates where its authors
//! tie them to it, as the critics' do. It says nothing of the size of networks, data or the length of a run, so that methods can
//! be compared with all of these equal.

use anyhow::{Result, bail};

use crate::config::{Config, TrainingConfig};
use crate::network::{DiscriminatorNorm, DiscriminatorOutput, NetworkConfig};
use crate::objective::Objective;
use crate::regularizer::{Augment, GradientPenalty, PenaltyForm, PenaltyPoints, RegularizerConfig};
use crate::training::OptimizerName;

/// A method of the literature.
#[derive(Debug)]
pub struct Method {
    /// What `--method` calls it.
    pub name: &'static str,
    /// In a few words.
    pub description: &'static str,
    /// The paper.
    pub source: &'static str,
    change: fn(&mut Config),
}

impl Method {
    /// The method of this name.
    ///
    /// # Errors
    /// When there is none; lists those that there are.
    pub fn named(name: &str) -> Result<&'static Self> {
        let Some(method) = METHODS.iter().find(|method| method.name == name) else {
            let names: Vec<&str> = METHODS.iter().map(|method| method.name).collect();
            bail!("there is no method {name:?}; there are {}", names.join(", "));
        };
        Ok(method)
    }

    /// Makes `config`, which is one of no method, one of this.
    pub fn apply(&self, config: &mut Config) {
        (self.change)(config);
    }

    /// Makes `config` one of this method instead of that which it is of.
    pub fn replace(&self, config: &mut Config) {
        forget(config);
        self.apply(config);
    }
}

/// Makes all that methods change as it is by default, but for the normalization of the discriminator, which is part of its shape.
pub(crate) fn forget(config: &mut Config) {
    let (network, training) = (NetworkConfig::default(), TrainingConfig::default());
    config.objective = Objective::default();
    config.regularizer = RegularizerConfig::default();
    config.network.discriminator_output = network.discriminator_output;
    config.network.pack = network.pack;
    config.network.minibatch_std = network.minibatch_std;
    let TrainingConfig { optimizer, lr_g, lr_d, beta_1, beta_2, .. } = training;
    let TrainingConfig { discriminator_steps, simultaneous, unroll, .. } = training;
    config.training = TrainingConfig {
        optimizer,
        lr_g,
        lr_d,
        beta_1,
        beta_2,
        discriminator_steps,
        simultaneous,
        unroll,
        ..config.training.clone()
    };
}

fn objective(config: &mut Config, name: &str) {
    config.objective = name.parse().expect("methods name objectives that there are");
}

/// A discriminator whose scores depend on one image each, as penalties of gradients presume.
fn unmixed(config: &mut Config) {
    if config.network.discriminator_norm == DiscriminatorNorm::Batch {
        config.network.discriminator_norm = DiscriminatorNorm::None;
    }
}

fn penalty(config: &mut Config, at: PenaltyPoints, form: PenaltyForm, weight: f64) {
    unmixed(config);
    config.regularizer.gradient_penalty = Some(GradientPenalty { at, form, weight });
}

/// Gradients of both networks, five updates of the discriminator.
fn wasserstein_with_penalty(config: &mut Config) {
    objective(config, "wasserstein");
    penalty(config, PenaltyPoints::Interpolates, PenaltyForm::TwoSided, 10.0);
    let training = &mut config.training;
    training.discriminator_steps = 5;
    (training.lr_g, training.lr_d) = (1e-4, 1e-4);
    (training.beta_1, training.beta_2) = (0.5, 0.9);
}

fn packed(config: &mut Config, pack: usize) {
    objective(config, "non-saturating");
    config.network.pack = pack;
}

fn unrolled(config: &mut Config, steps: usize) {
    objective(config, "non-saturating");
    config.training.unroll = steps;
    // The generator looks from where the discriminator has arrived.
    config.training.simultaneous = false;
}

/// A margin, in units of the mean absolute difference of two images.
fn loss_sensitive(config: &mut Config, slope: f64) {
    objective(config, "loss-sensitive");
    if let Objective::LossSensitive(objective) = &mut config.objective {
        objective.slope = slope;
    }
}

/// All methods.
pub const METHODS: &[Method] = &[
    Method {
        name: "minimax",
        description: "one log-likelihood with opposite signs",
        source: "Goodfellow et al. 2014, arXiv:1406.2661",
        change: |config| objective(config, "minimax"),
    },
    Method {
        name: "gan",
        description: "non-saturating log-likelihoods",
        source: "Goodfellow et al. 2014, arXiv:1406.2661",
        change: |config| objective(config, "non-saturating"),
    },
    Method {
        name: "smoothing",
        description: "gan with 0.9 as the code of real images",
        source: "Salimans et al. 2016, arXiv:1606.03498",
        change: |config| {
            objective(config, "non-saturating");
            if let Objective::NonSaturating(objective) = &mut config.objective {
                objective.smoothing = 0.1;
            }
        },
    },
    Method {
        name: "least-squares",
        description: "LSGAN with codes 0, 1, 1",
        source: "Mao et al. 2017, arXiv:1611.04076",
        change: |config| objective(config, "least-squares"),
    },
    Method {
        name: "least-squares-symmetric",
        description: "LSGAN with codes -1, 1, 0: the Pearson divergence",
        source: "Mao et al. 2017, arXiv:1611.04076",
        change: |config| {
            let codes = crate::objective::LeastSquares { a: -1.0, b: 1.0, c: 0.0 };
            config.objective = Objective::LeastSquares(codes);
        },
    },
    Method {
        name: "hinge",
        description: "scores count up to one on either side",
        source: "Lim and Ye 2017, arXiv:1705.02894",
        change: |config| objective(config, "hinge"),
    },
    Method {
        name: "ebgan",
        description: "an autoencoder's error as energy, and pulling away",
        source: "Zhao et al. 2017, arXiv:1609.03126",
        change: |config| {
            objective(config, "energy");
            config.network.discriminator_output = DiscriminatorOutput::Energy;
        },
    },
    Method {
        name: "vae",
        description: "a variational autoencoder: the discriminator encodes, nobody judges",
        source: "Kingma and Welling 2014, arXiv:1312.6114",
        change: |config| {
            objective(config, "evidence");
            config.network.discriminator_output = DiscriminatorOutput::Posterior;
            let training = &mut config.training;
            (training.lr_g, training.lr_d) = (1e-3, 1e-3);
            (training.beta_1, training.beta_2) = (0.9, 0.999);
        },
    },
    Method {
        name: "wgan",
        description: "a critic with clipped weights, RMSProp, five updates",
        source: "Arjovsky et al. 2017, arXiv:1701.07875",
        change: |config| {
            objective(config, "wasserstein");
            config.regularizer.weight_clip = 0.01;
            let training = &mut config.training;
            training.optimizer = OptimizerName::RmsProp;
            training.discriminator_steps = 5;
            (training.lr_g, training.lr_d) = (5e-5, 5e-5);
        },
    },
    Method {
        name: "wgan-gp",
        description: "a critic whose gradient shall have length one, five updates",
        source: "Gulrajani et al. 2017, arXiv:1704.00028",
        change: wasserstein_with_penalty,
    },
    Method {
        name: "ttur",
        description: "wgan-gp with one update at three times the generator's rate",
        source: "Heusel et al. 2017, arXiv:1706.08500",
        change: |config| {
            wasserstein_with_penalty(config);
            config.training.discriminator_steps = 1;
            config.training.lr_d = 3e-4;
        },
    },
    Method {
        name: "dragan",
        description: "gan with a penalty of gradients near real images",
        source: "Kodali et al. 2017, arXiv:1705.07215",
        change: |config| {
            objective(config, "non-saturating");
            penalty(config, PenaltyPoints::Dragan, PenaltyForm::TwoSided, 10.0);
        },
    },
    Method {
        name: "r1",
        description: "gan with a penalty of squared gradients at real images",
        source: "Mescheder et al. 2018, arXiv:1801.04406",
        change: |config| {
            objective(config, "non-saturating");
            penalty(config, PenaltyPoints::Real, PenaltyForm::Squared, 1.0);
        },
    },
    Method {
        name: "r3gan",
        description: "paired relativistic scores with squared gradients at real and generated images",
        source: "Huang et al. 2024, arXiv:2501.05441",
        change: |config| {
            objective(config, "relativistic");
            penalty(config, PenaltyPoints::Both, PenaltyForm::Squared, 1.0);
        },
    },
    Method {
        name: "spectral",
        description: "hinge with spectral normalization",
        source: "Miyato et al. 2018, arXiv:1802.05957",
        change: |config| {
            objective(config, "hinge");
            config.network.discriminator_norm = DiscriminatorNorm::Spectral;
        },
    },
    Method {
        name: "loss-sensitive",
        description: "LS-GAN: a margin that grows with the distance of two images",
        source: "Qi 2017, arXiv:1701.06264",
        change: |config| loss_sensitive(config, 0.0),
    },
    Method {
        name: "gls-gan",
        description: "LS-GAN with a leaky cost, slope 0.2, and gradients at real images",
        source: "Qi 2017, arXiv:1701.06264",
        change: |config| {
            loss_sensitive(config, 0.2);
            penalty(config, PenaltyPoints::Real, PenaltyForm::Norm, 10.0);
        },
    },
    Method {
        name: "cls-gan",
        description: "LS-GAN with losses of classes",
        source: "Qi 2017, arXiv:1701.06264",
        change: |config| {
            loss_sensitive(config, 0.0);
            if let Objective::LossSensitive(objective) = &mut config.objective {
                // As in the authors' code: margins that are kept would leave the classes of real images unlearned.
                objective.gamma = 1.0;
            }
            config.network.discriminator_output = DiscriminatorOutput::ClassLoss;
        },
    },
    Method {
        name: "rsgan",
        description: "paired relativistic scores",
        source: "Jolicoeur-Martineau 2019, arXiv:1807.00734",
        change: |config| objective(config, "relativistic"),
    },
    Method {
        name: "rasgan",
        description: "scores relative to the mean of the other batch",
        source: "Jolicoeur-Martineau 2019, arXiv:1807.00734",
        change: |config| objective(config, "relativistic-average"),
    },
    Method {
        name: "ralsgan",
        description: "least squares relative to the mean of the other batch",
        source: "Jolicoeur-Martineau 2019, arXiv:1807.00734",
        change: |config| objective(config, "relativistic-average-least-squares"),
    },
    Method {
        name: "unrolled-1",
        description: "gan against the discriminator one update ahead",
        source: "Metz et al. 2017, arXiv:1611.02163",
        change: |config| unrolled(config, 1),
    },
    Method {
        name: "unrolled-5",
        description: "gan against the discriminator five updates ahead",
        source: "Metz et al. 2017, arXiv:1611.02163",
        change: |config| unrolled(config, 5),
    },
    Method {
        name: "pacgan-2",
        description: "gan with two images for each score",
        source: "Lin et al. 2018, arXiv:1712.04086",
        change: |config| packed(config, 2),
    },
    Method {
        name: "pacgan-3",
        description: "gan with three images for each score",
        source: "Lin et al. 2018, arXiv:1712.04086",
        change: |config| packed(config, 3),
    },
    Method {
        name: "pacgan-4",
        description: "gan with four images for each score",
        source: "Lin et al. 2018, arXiv:1712.04086",
        change: |config| packed(config, 4),
    },
    Method {
        name: "minibatch-std",
        description: "gan with the standard deviation of groups of four as a feature",
        source: "Karras et al. 2018, arXiv:1710.10196",
        change: |config| {
            objective(config, "non-saturating");
            config.network.minibatch_std = 4;
        },
    },
    Method {
        name: "diffaugment",
        description: "hinge with differentiable changes of colour, place and cutouts",
        source: "Zhao et al. 2020, arXiv:2006.10738",
        change: |config| {
            objective(config, "hinge");
            config.regularizer.augment = vec![Augment::Color, Augment::Translation, Augment::Cutout];
        },
    },
    Method {
        name: "instance-noise",
        description: "gan with noise on all images that fades over the run",
        source: "Arjovsky and Bottou 2017, arXiv:1701.04862",
        change: |config| {
            objective(config, "non-saturating");
            config.regularizer.instance_noise = 0.1;
            config.regularizer.instance_noise_steps = config.training.steps / 2;
        },
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Architecture;

    #[test]
    fn every_method_is_a_valid_run_and_survives_its_text() {
        let plane = NetworkConfig {
            architecture: Architecture::Mlp,
            size: 1,
            channels: 2,
            ..NetworkConfig::default()
        };
        for method in METHODS {
            for network in [NetworkConfig::default(), plane.clone()] {
                let mut config = Config { network, ..Config::default() };
                if method.name == "cls-gan" {
                    config.network.classes = 10;
                }
                config.training.batch_size = 12;
                method.apply(&mut config);
                if method.name == "diffaugment" && config.network.size == 1 {
                    assert!(config.check().is_err(), "points are no pictures");
                    continue;
                }
                let text = config.to_toml();
                let parsed =
                    Config::parse(&text).unwrap_or_else(|error| panic!("{}: {error:#}\n{text}", method.name));
                assert_eq!(parsed, config, "{}", method.name);
            }
        }
        let mut names: Vec<&str> = METHODS.iter().map(|method| method.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), METHODS.len());
        assert!(Method::named("lsgan").unwrap_err().to_string().contains("least-squares"));
    }

    /// Whatever the one before set.
    #[test]
    fn a_method_that_replaces_another_leaves_nothing_of_it() {
        let of = |method: &Method| {
            let mut config = Config::default();
            config.training.batch_size = 12;
            config.network.discriminator_norm = DiscriminatorNorm::None;
            config.network.classes = if method.name == "cls-gan" { 10 } else { 0 };
            method.apply(&mut config);
            config
        };
        for (before, after) in
            METHODS.iter().flat_map(|before| METHODS.iter().map(move |after| (before, after)))
        {
            let (mut found, expected) = (of(before), of(after));
            after.replace(&mut found);
            let names = (before.name, after.name);
            assert_eq!(
                (&found.objective, &found.regularizer),
                (&expected.objective, &expected.regularizer),
                "{names:?}"
            );
            assert_eq!(found.training, expected.training, "{names:?}");
            found.network.discriminator_norm = expected.network.discriminator_norm;
            found.network.classes = expected.network.classes;
            assert_eq!(found.network, expected.network, "{names:?}");
        }
    }
}
