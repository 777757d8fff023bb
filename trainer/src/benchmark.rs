//! Published experiments that tell methods apart, and their figures to compare ours with.
//!
//! In: methods and seeds. Out: one line of a file for every figure that was measured, and a table of means and standard
//! errors beside what the papers report. A benchmark is networks, data and numbers of training; a [`Method`] changes the
//! rest. Runs are independent of each other, and each is as deterministic as a training.
//!
//! [`Method`]: crate::method::Method

mod fashion_mnist;
mod grid;
mod meter;
mod mixture;
mod mnist;
mod parzen;
mod results;
mod ring;
mod runner;
mod stacked_mnist;
mod summary;
pub mod table;

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};

pub use meter::{Meter, MeterOptions};
pub use results::{Outcome, Record, Results};
pub use runner::{Job, PICTURES, Plan, train, work_off};
pub use summary::{Estimate, MethodSummary, Summary};

use crate::config::Config;

/// An experiment that can be done again.
#[derive(Debug)]
pub struct Benchmark {
    /// What the command line calls it.
    pub name: &'static str,
    /// One sentence about the data and the question.
    pub description: &'static str,
    /// The paper whose protocol it follows, and where it does not.
    pub source: &'static str,
    /// Steps between two measurements.
    pub eval_every: usize,
    /// Generated samples in a measurement.
    pub samples: usize,
    /// How samples become figures.
    pub measure: Measure,
    /// What is measured, the most important first.
    pub figures: &'static [Figure],
    /// What others report.
    pub published: &'static [Published],
    base_config: fn() -> Config,
}

/// How samples become figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Points, by the nearest centre of the distribution that they should follow.
    Points,
    /// Stacks of digits, each read by a classifier of digits.
    StackedDigits,
    /// Images, by distances on features of a classifier.
    Distances,
    /// Images, by the likelihood of real ones under windows around them.
    Likelihood,
}

/// A quantity that is measured.
#[derive(Clone, Copy, Debug)]
pub struct Figure {
    /// Its name in files.
    pub key: &'static str,
    /// Its name for people.
    pub name: &'static str,
    /// What a shown number counts, where that does not go without saying.
    pub unit: &'static str,
    /// What a shown number is multiplied with.
    pub scale: f64,
    /// Shown digits behind the point.
    pub digits: usize,
    /// Which of two values is better.
    pub better: Better,
}

/// Which of two values is better.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Better {
    /// The larger one.
    More,
    /// The smaller one.
    Less,
    /// The one that is closer to this.
    Near(f64),
}

/// What somebody reports of a method.
#[derive(Clone, Copy, Debug)]
pub struct Published {
    /// Its name there.
    pub name: &'static str,
    /// Name of the [`Method`](crate::method::Method) that does the same, if one does under the same conditions.
    pub method: Option<&'static str>,
    /// What is reported of it.
    pub figures: &'static [Reported],
    /// Where it is printed.
    pub source: &'static str,
}

/// Key of a [`Figure`], mean, and standard error where it is given.
pub type Reported = (&'static str, f64, Option<f64>);

/// Measured values by the keys of their [`Figure`]s. What cannot be said of some samples is absent.
pub type Figures = BTreeMap<String, f64>;

/// All benchmarks.
pub const BENCHMARKS: [&Benchmark; 8] = [
    &ring::BENCHMARK,
    &grid::BENCHMARK,
    &mixture::BENCHMARK,
    &stacked_mnist::BENCHMARK,
    &stacked_mnist::QUARTER,
    &mnist::BENCHMARK,
    &fashion_mnist::BENCHMARK,
    &parzen::BENCHMARK,
];

impl Benchmark {
    /// The benchmark of that name.
    ///
    /// # Errors
    /// When there is none; the message lists all names.
    pub fn named(name: &str) -> Result<&'static Self> {
        BENCHMARKS.into_iter().find(|benchmark| benchmark.name == name).with_context(|| {
            let names = BENCHMARKS.map(|benchmark| benchmark.name).join(", ");
            format!("no benchmark is called {name:?}; there are {names}")
        })
    }

    /// Networks, data and numbers of training as published, for a method to change.
    pub fn base_config(&self) -> Config {
        (self.base_config)()
    }
}

impl Measure {
    /// Whether a classifier measures.
    pub fn needs_classifier(self) -> bool {
        matches!(self, Self::StackedDigits | Self::Distances)
    }
}

impl Better {
    /// Whether `a` is better than `b`.
    pub fn prefers(self, a: f64, b: f64) -> bool {
        match self {
            Self::More => a > b,
            Self::Less => a < b,
            Self::Near(aim) => (a - aim).abs() < (b - aim).abs(),
        }
    }
}

impl Figure {
    /// Name and unit.
    pub fn heading(&self) -> String {
        if self.unit.is_empty() { self.name.to_owned() } else { format!("{}, {}", self.name, self.unit) }
    }
}

const MODES: Figure =
    Figure { key: "modes", name: "modes", unit: "", scale: 1.0, digits: 1, better: Better::More };
const HIGH_QUALITY: Figure = Figure {
    key: "high_quality",
    name: "high quality",
    unit: "%",
    scale: 100.0,
    digits: 1,
    better: Better::More,
};
const REVERSE_KL: Figure = Figure {
    key: "reverse_kl",
    name: "reverse KL",
    unit: "nats",
    scale: 1.0,
    digits: 3,
    better: Better::Less,
};
const VARIANCE_RATIO: Figure = Figure {
    key: "variance_ratio",
    name: "variance ratio",
    unit: "",
    scale: 1.0,
    digits: 2,
    better: Better::Near(1.0),
};

#[cfg(test)]
mod tests;
