//! What the two networks minimise. One file per objective.
//!
//! In: a [`Pair`] of judgements, of real and of generated images. Out: one loss to minimise, for each network. An objective
//! knows no network; penalties of gradients, packing and noise are the matter of `regularizer`.

mod energy;
mod evidence;
mod hinge;
mod least_squares;
mod loss_sensitive;
mod minimax;
mod non_saturating;
mod relativistic;
#[cfg(test)]
mod tests;
mod wasserstein;

pub use energy::Energy;
pub use evidence::Evidence;
pub use hinge::Hinge;
pub use least_squares::LeastSquares;
pub use loss_sensitive::LossSensitive;
pub use minimax::Minimax;
pub use non_saturating::NonSaturating;
pub use relativistic::{Relativistic, RelativisticAverage, RelativisticAverageLeastSquares};
pub use wasserstein::Wasserstein;

use core::fmt;
use core::ops::RangeBounds;
use core::str::FromStr;

use anyhow::{Result, ensure};
use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize};

/// What a discriminator says of a batch of images.
#[derive(Clone, Debug)]
pub struct Judged {
    /// What it looked at, `[N, C, H, W]`.
    pub images: Tensor<4>,
    /// Raw, `[N, 1]`: high for what looks real, unless the objective says that its scores are energies or losses.
    pub scores: Tensor<2>,
    /// What the score is made of, `[N, F]`.
    pub features: Tensor<2>,
}

/// Judgements of as many real as generated images.
#[derive(Clone, Debug)]
pub struct Pair {
    /// Of images of the data set.
    pub real: Judged,
    /// Of images of the generator.
    pub fake: Judged,
}

/// An objective with its numbers. In TOML, the table `[objective]` with a key `name`; without one, least squares.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "name", rename_all = "kebab-case", remote = "Self")]
pub enum Objective {
    /// Both networks share one log-likelihood, with opposite signs.
    Minimax(Minimax),
    /// The same discriminator; the generator keeps its gradient when it loses.
    NonSaturating(NonSaturating),
    /// A critic estimates how far the generated images are from the real ones.
    Wasserstein(Wasserstein),
    /// Scores count up to a margin of one on either side of zero.
    Hinge(Hinge),
    /// Squared differences from codes for real and generated images.
    LeastSquares(LeastSquares),
    /// Scores are energies: low for real images, up to a fixed margin for generated ones.
    Energy(Energy),
    /// Scores are losses: a real image shall have less than a generated one, by a margin that grows with their distance.
    LossSensitive(LossSensitive),
    /// How much more real than a generated image a real one looks.
    Relativistic(Relativistic),
    /// How much more real than the mean of the other batch an image looks.
    RelativisticAverage(RelativisticAverage),
    /// The same, with least squares.
    RelativisticAverageLeastSquares(RelativisticAverageLeastSquares),
    /// One loss of both networks, an autoencoder's.
    Evidence(Evidence),
}

/// One expression for all objectives.
macro_rules! each {
    ($self:expr, $objective:ident => $value:expr) => {
        match $self {
            Objective::Minimax($objective) => $value,
            Objective::NonSaturating($objective) => $value,
            Objective::Wasserstein($objective) => $value,
            Objective::Hinge($objective) => $value,
            Objective::LeastSquares($objective) => $value,
            Objective::Energy($objective) => $value,
            Objective::LossSensitive($objective) => $value,
            Objective::Relativistic($objective) => $value,
            Objective::RelativisticAverage($objective) => $value,
            Objective::RelativisticAverageLeastSquares($objective) => $value,
            Objective::Evidence($objective) => $value,
        }
    };
}

impl Objective {
    /// What [`Objective::name`] may say, and `FromStr` reads.
    pub const NAMES: [&'static str; 11] = [
        "minimax",
        "non-saturating",
        "wasserstein",
        "hinge",
        "least-squares",
        "energy",
        "loss-sensitive",
        "relativistic",
        "relativistic-average",
        "relativistic-average-least-squares",
        "evidence",
    ];

    /// Its name in TOML and on the command line.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Minimax(_) => "minimax",
            Self::NonSaturating(_) => "non-saturating",
            Self::Wasserstein(_) => "wasserstein",
            Self::Hinge(_) => "hinge",
            Self::LeastSquares(_) => "least-squares",
            Self::Energy(_) => "energy",
            Self::LossSensitive(_) => "loss-sensitive",
            Self::Relativistic(_) => "relativistic",
            Self::RelativisticAverage(_) => "relativistic-average",
            Self::RelativisticAverageLeastSquares(_) => "relativistic-average-least-squares",
            Self::Evidence(_) => "evidence",
        }
    }

    /// Whether its numbers make sense.
    ///
    /// # Errors
    /// Names the value out of range.
    pub fn check(&self) -> Result<()> {
        each!(self, objective => objective.check())
    }

    /// What the discriminator minimises, `[1]`.
    pub fn discriminator_loss(&self, pair: &Pair) -> Tensor<1> {
        each!(self, objective => objective.discriminator_loss(pair))
    }

    /// What the generator minimises, `[1]`.
    pub fn generator_loss(&self, pair: &Pair) -> Tensor<1> {
        each!(self, objective => objective.generator_loss(pair))
    }

    /// Whether the generator's loss depends on the scores of real images.
    pub fn generator_needs_real(&self) -> bool {
        matches!(
            self,
            Self::Relativistic(_) | Self::RelativisticAverage(_) | Self::RelativisticAverageLeastSquares(_)
        )
    }

    /// Whether a high score means real; otherwise scores are energies, losses or divergences.
    pub fn real_is_high(&self) -> bool {
        !matches!(self, Self::Energy(_) | Self::LossSensitive(_) | Self::Evidence(_))
    }
}

impl Default for Objective {
    fn default() -> Self {
        Self::LeastSquares(LeastSquares::default())
    }
}

impl fmt::Display for Objective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Objective {
    type Err = anyhow::Error;

    /// The objective of that name, with its default numbers.
    fn from_str(name: &str) -> Result<Self> {
        ensure!(Self::NAMES.contains(&name), "no objective {name:?}; there are {}", Self::NAMES.join(", "));
        let table = toml::Table::from_iter([("name".to_owned(), name.into())]);
        Ok(Self::deserialize(table)?)
    }
}

impl Serialize for Objective {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Self::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for Objective {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut table = toml::Table::deserialize(deserializer)?;
        table.entry("name").or_insert_with(|| "least-squares".into());
        Self::deserialize(table).map_err(D::Error::custom)
    }
}

/// An error unless `value` is in `range`.
fn ensure_in(name: &str, value: f64, range: impl RangeBounds<f64> + fmt::Debug) -> Result<()> {
    ensure!(value.is_finite() && range.contains(&value), "{name} is {value}, not in {range:?}");
    Ok(())
}
