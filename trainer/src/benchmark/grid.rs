//! The 2D grid of PacGAN: the crossings of five lines with five.

use super::ring::{pacgan, points_config, veegan};
use super::{Benchmark, Published, ring};
use crate::config::Config;
use crate::dataset::Source;

pub(super) const BENCHMARK: Benchmark = Benchmark {
    name: "grid",
    description: "25 Gaussians on a grid from -4 to 4, sigma 0.05: how many does the generator draw?",
    source: "Lin et al. 2018, PacGAN, arXiv:1712.04086, 2D-grid, with the differences of the ring.",
    published: &PUBLISHED,
    base_config,
    ..ring::BENCHMARK
};

fn base_config() -> Config {
    points_config(Source::Grid)
}

const PUBLISHED: [Published; 9] = [
    pacgan(
        "GAN",
        Some("gan"),
        &[("modes", 17.3, Some(0.8)), ("high_quality", 0.948, Some(0.007)), ("reverse_kl", 0.70, Some(0.07))],
    ),
    pacgan(
        "ALI",
        None,
        &[("modes", 24.1, Some(0.4)), ("high_quality", 0.957, Some(0.006)), ("reverse_kl", 0.14, Some(0.03))],
    ),
    pacgan(
        "PacGAN2",
        Some("pacgan-2"),
        &[("modes", 23.8, Some(0.7)), ("high_quality", 0.913, Some(0.008)), ("reverse_kl", 0.13, Some(0.04))],
    ),
    pacgan(
        "PacGAN3",
        Some("pacgan-3"),
        &[("modes", 24.6, Some(0.4)), ("high_quality", 0.942, Some(0.004)), ("reverse_kl", 0.06, Some(0.02))],
    ),
    pacgan(
        "PacGAN4",
        Some("pacgan-4"),
        &[("modes", 24.8, Some(0.2)), ("high_quality", 0.936, Some(0.006)), ("reverse_kl", 0.04, Some(0.01))],
    ),
    veegan("GAN", &[("modes", 3.3, None), ("high_quality", 0.005, None)]),
    veegan("ALI", &[("modes", 15.8, None), ("high_quality", 0.016, None)]),
    veegan("Unrolled, 5 steps", &[("modes", 23.6, None), ("high_quality", 0.16, None)]),
    veegan("VEEGAN", &[("modes", 24.6, None), ("high_quality", 0.40, None)]),
];
