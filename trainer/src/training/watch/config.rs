//! What to look for, as the table `[watch]`.

use anyhow::{Result, ensure};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::metrics::Normalization;

/// When to look at a run, and what to do about it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct WatchConfig {
    /// Steps between looks at both networks; 0 for none.
    pub every: usize,
    /// Share of the diversity of real images below which generated ones have collapsed. Diversity is a mean distance: a few modes
    /// that lie far apart escape it.
    pub collapse_below: f64,
    /// What to do when they have: `warn` or `stop`.
    pub on_collapse: OnCollapse,
    /// Steps between evaluations of the averaged generator; 0 for none. Only multiples count: the last step is no exception, so
    /// that a run cut in two is evaluated as a whole one is.
    pub eval_every: usize,
    /// Generated images of each evaluation, and held-out ones as far as there are as many.
    pub eval_samples: usize,
    /// What is measured: `kid` or `frechet`.
    pub metric: Metric,
    /// Classifier whose features are compared, `file.onnx` or `file.onnx:tensor`; without one the pixels of the images, averaged
    /// to at most 8x8: they see shades and places, not shapes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub features: Option<String>,
    /// The classifier reads `(pixel / 255 - mean) / std`.
    pub features_mean: f64,
    /// The classifier reads `(pixel / 255 - mean) / std`.
    pub features_std: f64,
    /// Evaluations without a better one after which the run ends; 0 for no such end.
    pub patience: usize,
}

/// What to do about collapsed images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum OnCollapse {
    /// Say so, once, and go on.
    #[default]
    Warn,
    /// End the run with an error.
    Stop,
}

/// What an evaluation measures; less is better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Metric {
    /// The kernel distance: unbiased, so that few images suffice.
    #[default]
    Kid,
    /// The Frechet distance: wants many more images than there are features.
    Frechet,
}

impl Metric {
    /// Its name in TOML and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kid => "kid",
            Self::Frechet => "frechet",
        }
    }
}

impl Default for WatchConfig {
    fn default() -> Self {
        Self {
            every: 50,
            collapse_below: 0.6,
            on_collapse: OnCollapse::default(),
            eval_every: 0,
            eval_samples: 1000,
            metric: Metric::default(),
            features: None,
            features_mean: f64::from(Normalization::MNIST.mean),
            features_std: f64::from(Normalization::MNIST.std),
            patience: 0,
        }
    }
}

impl WatchConfig {
    /// Whether its numbers make sense.
    ///
    /// # Errors
    /// Names the value out of range.
    pub fn check(&self) -> Result<()> {
        ensure!(
            (0.0..=1.0).contains(&self.collapse_below),
            "collapse_below is {}, outside 0..=1",
            self.collapse_below
        );
        ensure!(
            self.on_collapse == OnCollapse::Warn || self.every > 0,
            "on_collapse is \"stop\", but with watch.every = 0 nobody looks"
        );
        ensure!(
            (2..=1_000_000).contains(&self.eval_samples),
            "eval_samples is {}, outside 2..=1000000",
            self.eval_samples
        );
        ensure!(
            self.features_mean.is_finite() && (self.features_std as f32).is_normal(),
            "features_mean is {}, features_std {}",
            self.features_mean,
            self.features_std
        );
        ensure!(
            self.patience == 0 || self.eval_every > 0,
            "patience counts evaluations, of which there are none: set eval_every"
        );
        Ok(())
    }
}
