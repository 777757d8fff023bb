//! What keeps a discriminator smooth, or its task hard. One file per method.
//!
//! In: images, gradients or weights as tensors. Out: the same, changed, or a penalty. A method keeps no state but what its type
//! holds, and draws from the seed that it is given.

mod augment;
mod gradient_penalty;
mod instance_noise;
mod minibatch_std;
mod packing;
mod spectral_norm;
mod weight_clip;

pub use augment::{Augment, augmented};
pub use gradient_penalty::{GradientPenalty, PenaltyForm, PenaltyPoints};
pub use instance_noise::noisy;
pub use minibatch_std::{minibatch_std, minibatch_std_tangent};
pub use packing::packed;
pub use spectral_norm::SpectralNorm;
pub use weight_clip::clipped;

use anyhow::{Result, ensure};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which methods a run uses; all are off by default. In TOML, the table `[regularizer]`.
///
/// Normalizations, packing and minibatch standard deviation are part of the networks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RegularizerConfig {
    /// Bound of the weights and biases of the discriminator after each update; 0 for none.
    pub weight_clip: f64,
    /// Standard deviation of the noise on real and generated images in the first step, the greatest if they differ; 0 for none.
    pub instance_noise: f64,
    /// Step at which the noise, which shrinks linearly, is gone; 0 keeps it as it is.
    pub instance_noise_steps: usize,
    /// How much more images with little noise there are than with much: each has its share `u^power` of the standard deviation, with
    /// `u` from U\[0, 1\]. 0 gives all the same.
    pub instance_noise_power: f64,
    /// Changes of real and generated images before they are judged, in this order.
    pub augment: Vec<Augment>,
    /// Penalty of the gradient of the discriminator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gradient_penalty: Option<GradientPenalty>,
}

impl Default for RegularizerConfig {
    fn default() -> Self {
        Self {
            weight_clip: 0.0,
            instance_noise: 0.0,
            instance_noise_steps: 0,
            instance_noise_power: 0.0,
            augment: vec![],
            gradient_penalty: None,
        }
    }
}

impl RegularizerConfig {
    /// Whether its numbers make sense.
    ///
    /// # Errors
    /// Names the value out of range.
    pub fn check(&self) -> Result<()> {
        for (name, value) in [
            ("weight_clip", self.weight_clip),
            ("instance_noise", self.instance_noise),
            ("instance_noise_power", self.instance_noise_power),
        ] {
            ensure!(value.is_finite() && value >= 0.0, "{name} is {value}, not a number from 0");
        }
        for (i, augment) in self.augment.iter().enumerate() {
            ensure!(!self.augment[..i].contains(augment), "augment names {augment:?} twice");
        }
        self.gradient_penalty.as_ref().map_or(Ok(()), GradientPenalty::check)
    }

    /// Standard deviation of the instance noise at a step, counted from zero.
    pub fn instance_noise_at(&self, step: usize) -> f64 {
        match self.instance_noise_steps {
            0 => self.instance_noise,
            steps => self.instance_noise * steps.saturating_sub(step) as f64 / steps as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_means_the_same_methods() {
        let text = "weight_clip = 0.01\ninstance_noise = 0.1\ninstance_noise_steps = 100\n\
            instance_noise_power = 3.0\n\
            augment = [\"color\", \"translation\", \"cutout\"]\n\
            [gradient_penalty]\nat = \"real\"\nform = \"squared\"\nweight = 5.0";
        let config: RegularizerConfig = toml::from_str(text).unwrap();
        config.check().unwrap();
        let expected = RegularizerConfig {
            weight_clip: 0.01,
            instance_noise: 0.1,
            instance_noise_steps: 100,
            instance_noise_power: 3.0,
            augment: vec![Augment::Color, Augment::Translation, Augment::Cutout],
            gradient_penalty: Some(GradientPenalty {
                at: PenaltyPoints::Real,
                form: PenaltyForm::Squared,
                weight: 5.0,
            }),
        };
        assert_eq!(config, expected);
        for config in [config, RegularizerConfig::default()] {
            let text = toml::to_string_pretty(&config).unwrap();
            assert_eq!(toml::from_str::<RegularizerConfig>(&text).unwrap(), config);
        }
    }

    #[test]
    fn an_empty_table_changes_nothing() {
        let config: RegularizerConfig = toml::from_str("").unwrap();
        assert_eq!(config, RegularizerConfig::default());
        config.check().unwrap();
        let penalty: RegularizerConfig = toml::from_str("[gradient_penalty]").unwrap();
        assert_eq!(penalty.gradient_penalty, Some(GradientPenalty::default()));
    }

    #[test]
    fn typos_and_nonsense_are_errors() {
        for text in [
            "wheight_clip = 0.01",
            "weight_clip = -0.01",
            "weight_clip = nan",
            "instance_noise = inf",
            "instance_noise_steps = -1",
            "instance_noise_power = -0.5",
            "augment = [\"colour\"]",
            "augment = [\"cutout\", \"cutout\"]",
            "[gradient_penalty]\nkind = \"real\"",
            "[gradient_penalty]\nat = \"everywhere\"",
            "[gradient_penalty]\nform = \"two_sided\"",
            "[gradient_penalty]\nweight = -1.0",
        ] {
            let config = toml::from_str::<RegularizerConfig>(text).map_err(anyhow::Error::from);
            assert!(config.and_then(|config| config.check()).is_err(), "{text}");
        }
    }

    #[test]
    fn instance_noise_shrinks_linearly() {
        let config =
            RegularizerConfig { instance_noise: 0.5, instance_noise_steps: 10, ..Default::default() };
        assert_eq!([0, 5, 10, 11].map(|step| config.instance_noise_at(step)), [0.5, 0.25, 0.0, 0.0]);
        let config = RegularizerConfig { instance_noise_steps: 0, ..config };
        assert_eq!(config.instance_noise_at(1_000_000), 0.5);
    }
}
