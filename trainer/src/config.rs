//! What a run is: everything that decides its result, as `train.toml`.

mod assignment;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use pocketgan_compiler::file;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::dataset::Source;
use crate::network::{
    Architecture, DiscriminatorNorm, DiscriminatorOutput, Growth, NetworkConfig, Precision,
};
use crate::objective::Objective;
use crate::regularizer::RegularizerConfig;
use crate::training::OptimizerName;
use crate::training::watch::WatchConfig;

/// A whole run. Every value has a default, so an empty file is a valid one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What to learn from: images, or points of a plane.
    pub dataset: Source,
    /// Folder with the files of the data set; without it the user's cache.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_dir: Option<PathBuf>,
    /// Decides every random number of the run.
    pub seed: u64,
    /// Shape of both networks.
    pub network: NetworkConfig,
    /// What the networks minimise.
    pub objective: Objective,
    /// What keeps the discriminator smooth, or its task hard.
    pub regularizer: RegularizerConfig,
    /// Optimizers and lengths.
    pub training: TrainingConfig,
    /// What to look for while it runs, and when to stop.
    pub watch: WatchConfig,
}

/// Optimizers and lengths.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TrainingConfig {
    /// Length of the whole run, resumed parts included. One step updates each network once.
    pub steps: usize,
    /// Real images, and generated ones, in each step.
    pub batch_size: usize,
    /// Learning rate of the generator.
    pub lr_g: f64,
    /// Learning rate of the discriminator.
    pub lr_d: f64,
    /// Updates of the discriminator in each step, each with a batch of its own.
    pub discriminator_steps: usize,
    /// Whether both networks are updated from the gradients at one place, rather than the generator after the discriminator.
    pub simultaneous: bool,
    /// Updates of the discriminator that the generator looks ahead (Metz et al. 2017); 0 for none.
    pub unroll: usize,
    /// Steps of each stage of a `progressive` network: in the first half the stage is faded in, in the second it stands. 0 for one that
    /// has all of its stages from the start.
    pub growth_steps: usize,
    /// First step at which the learning rates are lower than at the start.
    pub decay_start: usize,
    /// Step at which the decay arrives at its end; 0 for no decay. Absolute, not relative to `steps`, so that a
    /// run cut into parts does the same as a whole one.
    pub decay_end: usize,
    /// How they fall between these two: `linear`, or `exponential`, to a hundredth, where they stay.
    pub decay: Decay,
    /// Whose learning rates fall: those of `both` networks, or that of the `generator`, whose discriminator then goes on judging what
    /// hardly moves any more.
    pub decayed: Decayed,
    /// Which rule moves the weights of both networks: `adam`, `rmsprop` or `sgd`.
    pub optimizer: OptimizerName,
    /// Adam's memory of the gradient.
    pub beta_1: f64,
    /// Adam's memory of the squared gradient.
    pub beta_2: f64,
    /// The memory of the gradient of `sgd`.
    pub momentum: f64,
    /// Share of the old value in the moving average of the generator; reached after a warm-up.
    pub ema_decay: f64,
    /// What layers multiply in while they are trained: with `bf16` inputs, weights and results of products are rounded, which GPUs
    /// compute faster. Weights themselves, optimizers and all else stay in `f32`.
    pub precision: Precision,
    /// Steps between checkpoints; there is always one at the end.
    pub checkpoint_every: usize,
    /// Steps between sample grids.
    pub sample_every: usize,
}

/// How learning rates fall.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Decay {
    /// By as much in every step, to zero.
    #[default]
    Linear,
    /// By the same factor in every step, to a hundredth: half of the steps have less than a tenth.
    Exponential,
}

/// Which learning rates fall.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Decayed {
    /// Those of both networks.
    #[default]
    Both,
    /// That of the generator.
    Generator,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            dataset: Source::Glyphs,
            data_dir: None,
            seed: 0,
            network: NetworkConfig::default(),
            objective: Objective::default(),
            regularizer: RegularizerConfig::default(),
            training: TrainingConfig::default(),
            watch: WatchConfig::default(),
        }
    }
}

impl Default for TrainingConfig {
    fn default() -> Self {
        Self {
            steps: 5000,
            batch_size: 64,
            lr_g: 1e-3,
            lr_d: 1e-3,
            discriminator_steps: 1,
            simultaneous: false,
            unroll: 0,
            growth_steps: 1000,
            decay_start: 0,
            decay_end: 0,
            decay: Decay::Linear,
            decayed: Decayed::Both,
            optimizer: OptimizerName::Adam,
            beta_1: 0.5,
            beta_2: 0.999,
            momentum: 0.0,
            ema_decay: 0.999,
            precision: Precision::F32,
            checkpoint_every: 500,
            sample_every: 500,
        }
    }
}

impl Config {
    /// Reads a `train.toml`.
    ///
    /// # Errors
    /// When it cannot be read, names unknown keys, or holds values out of range.
    pub fn load(path: &Path) -> Result<Self> {
        /// More than a thousand times the length of one with every key.
        const MAX_BYTES: u64 = 1 << 24;
        let context = || format!("in {}", path.display());
        let text = String::from_utf8(file::read(path, MAX_BYTES)?).with_context(context)?;
        Self::parse(&text).with_context(context)
    }

    /// Reads the text of a `train.toml`.
    ///
    /// # Errors
    /// When it names unknown keys or holds values out of range.
    pub fn parse(text: &str) -> Result<Self> {
        let config: Self = toml::from_str(text)?;
        config.check()?;
        Ok(config)
    }

    /// The text of a `train.toml` that means this run.
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self).expect("a config holds numbers and strings only")
    }

    /// What a file made of this run after so many steps says of its origin.
    pub(crate) fn metadata(&self, name: String, steps: usize) -> Vec<(String, String)> {
        let pairs = [
            ("name", name),
            ("dataset", self.dataset.to_string()),
            ("objective", self.objective.name().to_owned()),
            ("seed", self.seed.to_string()),
            ("steps", steps.to_string()),
        ];
        pairs.map(|(key, value)| (key.to_owned(), value)).into()
    }

    /// Whether a run can be made of it.
    ///
    /// # Errors
    /// Names the value out of range.
    pub fn check(&self) -> Result<()> {
        self.network.check()?;
        ensure!(
            self.data_dir.as_ref().is_none_or(|dir| dir.to_str().is_some()),
            "data_dir is no text in UTF-8, as a file of the run must be"
        );
        let t = &self.training;
        ensure!((2..=65536).contains(&t.batch_size), "batch_size is {}, outside 2..=65536", t.batch_size);
        for (name, lr) in [("lr_g", t.lr_g), ("lr_d", t.lr_d)] {
            ensure!(lr.is_finite() && lr >= 0.0, "{name} is {lr}, not a number from 0");
        }
        for (name, value) in
            [("beta_1", t.beta_1), ("beta_2", t.beta_2), ("momentum", t.momentum), ("ema_decay", t.ema_decay)]
        {
            ensure!((0.0..1.0).contains(&value), "{name} is {value}, outside 0..1");
        }
        ensure!(t.decay_end == 0 || t.decay_start < t.decay_end, "decay_start is not before decay_end");
        for (name, count) in [("discriminator_steps", t.discriminator_steps), ("unroll", t.unroll + 1)] {
            ensure!((1..=100).contains(&count), "{name} is out of range");
        }
        self.objective.check()?;
        self.regularizer.check()?;
        self.watch.check()?;
        self.check_together()
    }
}

impl Config {
    /// How far the stages of a `progressive` network have grown in a step, counted from zero; none of networks that do not grow.
    pub(crate) fn growth(&self, step: usize) -> Option<Growth> {
        let length = self.training.growth_steps;
        (self.network.architecture == Architecture::Progressive && length > 0).then(|| {
            let (stage, within) = (step / length, step % length);
            let last = self.network.sizes().len() - 1;
            let is_faded_in = stage == 0 || stage > last;
            let share = if is_faded_in { 1.0 } else { 2.0 * (within + 1) as f64 / length as f64 };
            Growth { stage: stage.min(last), share: share.min(1.0) }
        })
    }

    /// The same of what so many steps have left.
    pub(crate) fn growth_after(&self, steps: usize) -> Option<Growth> {
        self.growth(steps.saturating_sub(1))
    }

    /// Whether the parts fit each other.
    fn check_together(&self) -> Result<()> {
        let (network, training) = (&self.network, &self.training);
        ensure!(
            training.batch_size.is_multiple_of(network.pack),
            "batch_size {} is no multiple of pack {}",
            training.batch_size,
            network.pack
        );
        let is_score = network.discriminator_output == DiscriminatorOutput::Score;
        ensure!(
            is_score || !self.objective.real_is_high(),
            "objective {} wants scores that are high for real images: discriminator_output is to be \"score\"",
            self.objective.name()
        );
        ensure!(
            self.regularizer.augment.is_empty() || network.size > 1,
            "regularizer.augment is for pictures: of a point it would hide all there is"
        );
        let is_autoencoder = matches!(self.objective, Objective::Evidence(_));
        ensure!(
            is_autoencoder == (network.discriminator_output == DiscriminatorOutput::Posterior),
            "objective \"evidence\" and discriminator_output \"posterior\" go together"
        );
        ensure!(
            !is_autoencoder
                || self.regularizer == RegularizerConfig::default()
                    && training.unroll == 0
                    && training.discriminator_steps == 1,
            "an autoencoder has no adversary: regularizers, unroll and discriminator_steps mean nothing to it"
        );
        let has_penalty = self.regularizer.gradient_penalty.is_some();
        ensure!(
            !has_penalty || network.discriminator_norm != DiscriminatorNorm::Batch,
            "a penalty of gradients presumes scores of single images: discriminator_norm is to be \"none\" or \"spectral\""
        );
        ensure!(
            training.unroll == 0
                || !has_penalty && self.regularizer.weight_clip == 0.0 && !training.simultaneous,
            "unroll goes with neither gradient_penalty nor weight_clip nor simultaneous"
        );
        ensure!(
            training.unroll == 0 || training.precision == Precision::F32,
            "unroll takes differences of gradients, which rounding to bf16 hides: precision is to be \"f32\""
        );
        Ok(())
    }
}

impl TrainingConfig {
    /// Learning rate of the generator at a step.
    pub fn lr_g_at(&self, step: usize) -> f64 {
        self.decay_at(step) * self.lr_g
    }

    /// Learning rate of the discriminator at a step.
    pub fn lr_d_at(&self, step: usize) -> f64 {
        match self.decayed {
            Decayed::Both => self.decay_at(step) * self.lr_d,
            Decayed::Generator => self.lr_d,
        }
    }

    /// Factor of the learning rates that fall at a step.
    fn decay_at(&self, step: usize) -> f64 {
        if self.decay_end == 0 || step < self.decay_start {
            return 1.0;
        }
        let length = self.decay_end - self.decay_start;
        let left = self.decay_end.saturating_sub(step) as f64 / length as f64;
        match self.decay {
            Decay::Linear => left,
            Decay::Exponential => 100f64.powf(left - 1.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_means_the_same_run() {
        let mut config = Config::default();
        config.training.lr_g = 0.1 + 0.2;
        config.data_dir = Some("some where".into());
        assert_eq!(Config::parse(&config.to_toml()).unwrap(), config);
        assert_eq!(Config::parse("").unwrap(), Config::default());
    }

    #[test]
    fn what_a_file_does_not_name_is_as_it_always_was() {
        let config = Config::parse("[network]\nwidth = 8").unwrap();
        let network =
            NetworkConfig { width: 8, generator_tail: 0, discriminator_depth: 1, ..NetworkConfig::default() };
        assert_eq!(config.network, network);
    }

    #[test]
    fn typos_and_nonsense_are_errors() {
        for text in [
            "[network]\ndiscriminator_extent = 4.0",
            "[network]\narchitecture = \"mlp\"\ndiscriminator_norm = \"none\"\ndiscriminator_octaves = 1\ndiscriminator_extent = 0.0",
            "stepz = 3",
            "[training]\nstepz = 3",
            "[network]\nsize = 29",
            "[network]\nchannels = 2",
            "[network]\ngenerator_tail = 513",
            "[network]\ndiscriminator_norm = \"spectre\"",
            "[network]\ndiscriminator_depth = 0",
            "[training]\nbatch_size = 0",
            "[training]\nlr_g = nan",
            "[training]\nema_decay = 1.0",
            "[training]\nmomentum = 1.0",
            "[training]\noptimizer = \"rms\"",
            "[training]\nprecision = \"f16\"",
            "[training]\nprecision = \"bf16\"\nunroll = 1",
            "[training]\ndecay_start = 5\ndecay_end = 5",
            "[objective]\na = inf",
            "[watch]\npatience = 1",
            "[watch]\non_collapse = \"panic\"",
            "[watch]\nevery = 0\non_collapse = \"stop\"",
            "[watch]\ncollapse_below = nan",
            "[watch]\neval_samples = 1",
            "[watch]\nfeatures_std = 0.0",
            "[objective]\nname = \"evidence\"",
            "[network]\ndiscriminator_output = \"posterior\"",
            "[network]\narchitecture = \"mlp\"\nrefiner = 4",
            "[objective]\nname = \"evidence\"\n[network]\ndiscriminator_output = \"posterior\"\npack = 2",
            "[objective]\nname = \"evidence\"\n[network]\ndiscriminator_output = \"posterior\"\n[training]\nunroll = 1",
        ] {
            assert!(Config::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn decay_is_linear_or_exponential_between_its_ends() {
        let training = TrainingConfig { decay_start: 10, decay_end: 20, ..TrainingConfig::default() };
        let at = |training: &TrainingConfig| [0, 10, 15, 20, 30].map(|step| training.decay_at(step));
        assert_eq!(at(&training), [1.0, 1.0, 0.5, 0.0, 0.0]);
        let training = TrainingConfig { decay: Decay::Exponential, ..training };
        assert_eq!(at(&training), [1.0, 1.0, 0.1, 0.01, 0.01]);
        assert_eq!(TrainingConfig::default().decay_at(1_000_000), 1.0);
        for (decayed, lr_d) in [(Decayed::Both, 0.4), (Decayed::Generator, 4.0)] {
            let halfway = TrainingConfig { lr_g: 1.0, lr_d: 4.0, decayed, ..training.clone() };
            assert_eq!([halfway.lr_g_at(15), halfway.lr_d_at(15)], [0.1, lr_d], "{decayed:?}");
        }
    }
}
