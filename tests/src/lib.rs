//! Shared set-up of the tests that cross crates.

pub mod burn;
pub mod npy;
pub mod shifts;

use std::path::PathBuf;

use pocketgan_runtime::latent::Normal;

/// Standard normal numbers and small integers from a printed seed.
#[derive(Debug)]
pub struct Random(Normal);

impl Random {
    /// Prints the seed, so that a failure can be repeated.
    pub fn new(test: &str, seed: u64) -> Self {
        println!("{test}: seed {seed}");
        Self(Normal::from_seed(seed))
    }

    /// An integer in `0..end`.
    pub fn below(&mut self, end: usize) -> usize {
        // The low bits of a normal's significand are uniform.
        (self.0.sample().to_bits() & 0xfff) as usize * end / 0x1000
    }

    /// Standard normal numbers.
    pub fn values(&mut self, len: usize) -> Vec<f32> {
        (0..len).map(|_| self.0.sample()).collect()
    }
}

/// The workspace's root.
pub fn root() -> PathBuf {
    let tests = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    tests.parent().map(PathBuf::from).unwrap_or(tests)
}

/// Real data sets and foreign models: `POCKETGAN_DATA`, else `../shared/data` beside the workspace. `None`, after saying
/// so, where there are none.
pub fn data_dir(test: &str) -> Option<PathBuf> {
    let dir = std::env::var_os("POCKETGAN_DATA").map_or_else(|| root().join("../shared/data"), PathBuf::from);
    if dir.is_dir() {
        return Some(dir);
    }
    println!("skipped: {test}: no data in {}; set POCKETGAN_DATA", dir.display());
    None
}
