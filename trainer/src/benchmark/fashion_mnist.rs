//! Pieces of clothing, measured as the digits are.

use super::{Benchmark, mnist};
use crate::config::Config;
use crate::dataset::Source;

pub(super) const BENCHMARK: Benchmark = Benchmark {
    name: "fashion-mnist",
    description: "Pieces of clothing: how far are generated ones from real ones?",
    base_config,
    ..mnist::BENCHMARK
};

fn base_config() -> Config {
    mnist::image_config(Source::FashionMnist)
}
