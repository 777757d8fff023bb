//! `trainer sample`: a checkpoint to a PNG grid.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use burn::tensor::Device;

use crate::{checkpoint, grid, training};

/// Options of `trainer sample`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Checkpoint, or the folder of a run
    model: PathBuf,
    /// Picture to write
    #[arg(short, long, value_name = "FILE", default_value = "samples.png")]
    out: PathBuf,
    /// Seed of the latents
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Number of images
    #[arg(long, value_name = "N", default_value_t = 64)]
    count: usize,
    /// Images in a row
    #[arg(long, value_name = "N", default_value_t = 8)]
    columns: usize,
}

/// Draws images.
///
/// # Errors
/// When the checkpoint cannot be read or the picture not be written.
pub fn run(args: Args) -> Result<()> {
    ensure!((1..=65536).contains(&args.count), "--count is {}, outside 1..=65536", args.count);
    let checkpoint = checkpoint::load(&args.model)?;
    let generator = checkpoint.ema_generator(&Device::flex())?;
    let images = training::generate(&generator, args.count, args.seed);
    let network = &checkpoint.config.network;
    grid::write(&args.out, &images, [network.channels, network.size, network.size], args.columns)
}
