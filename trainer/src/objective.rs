//! What the two networks minimise. One file per objective.
//!
//! In: a [`Pair`] of judgements, of real and of generated images. Out: one loss to minimise, for each network. An objective
//! knows no network; penalties of gradients, packing and noise are the matter of `regularizer`.

mod least_squares;

pub use least_squares::LeastSquares;

use burn::tensor::Tensor;
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", remote = "Self")]
pub enum Objective {
    /// Squared differences from codes for real and generated images.
    LeastSquares(LeastSquares),
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

impl Default for Objective {
    fn default() -> Self {
        Self::LeastSquares(LeastSquares::default())
    }
}

impl Objective {
    /// Whether its numbers make sense.
    ///
    /// # Errors
    /// Names the value out of range.
    pub fn check(&self) -> anyhow::Result<()> {
        match self {
            Self::LeastSquares(objective) => objective.check(),
        }
    }

    /// What the discriminator minimises.
    pub fn discriminator_loss(&self, pair: &Pair) -> Tensor<1> {
        match self {
            Self::LeastSquares(objective) => objective.discriminator_loss(pair),
        }
    }

    /// What the generator minimises.
    pub fn generator_loss(&self, pair: &Pair) -> Tensor<1> {
        match self {
            Self::LeastSquares(objective) => objective.generator_loss(pair),
        }
    }

    /// Whether the generator's loss depends on the scores of real images.
    pub fn generator_needs_real(&self) -> bool {
        match self {
            Self::LeastSquares(_) => false,
        }
    }
}
