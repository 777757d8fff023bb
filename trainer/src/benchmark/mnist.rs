//! Handwritten digits, measured by distances on the features of a small classifier.

use super::{Benchmark, Better, Figure, Measure};
use crate::config::Config;
use crate::dataset::Source;

pub(super) const BENCHMARK: Benchmark = Benchmark {
    name: "mnist",
    description: "Handwritten digits: how far are generated ones from real ones?",
    source: "The networks and training of `trainer train`, the figures of `trainer eval`. No paper's figures are comparable: \
             they depend on the classifier.",
    eval_every: 1000,
    samples: 5000,
    measure: Measure::Distances,
    figures: &[FRECHET, KID, PRECISION, RECALL],
    published: &[],
    base_config,
};

fn base_config() -> Config {
    image_config(Source::Mnist)
}

/// The defaults of `trainer train`.
pub(super) fn image_config(dataset: Source) -> Config {
    Config { dataset, ..Config::default() }
}

const FRECHET: Figure = Figure {
    key: "frechet",
    name: "Frechet distance",
    unit: "",
    scale: 1.0,
    digits: 2,
    better: Better::Less,
};
const KID: Figure =
    Figure { key: "kid", name: "kernel distance", unit: "", scale: 1.0, digits: 4, better: Better::Less };
const PRECISION: Figure =
    Figure { key: "precision", name: "precision", unit: "", scale: 1.0, digits: 3, better: Better::More };
const RECALL: Figure =
    Figure { key: "recall", name: "recall", unit: "", scale: 1.0, digits: 3, better: Better::More };
