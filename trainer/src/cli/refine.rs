//! `trainer refine`: the start of a run in which a second generator refines the images of a first one.

use std::path::PathBuf;

use anyhow::{Result, bail};

use super::lock::Lock;
use crate::checkpoint::{self, FILE_NAME, write_atomically};
use crate::method::Method;
use crate::training::Trainer;

/// Options of `trainer refine`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder of the run whose generator becomes the first stage, or a checkpoint
    run: PathBuf,
    /// Folder of the new run
    #[arg(long, value_name = "DIR", default_value = "refined")]
    out: PathBuf,
    /// Channels of the second stage
    #[arg(long, value_name = "N", default_value_t = 16)]
    width: usize,
    /// Method by which it learns; without one as the first did, or, after an autoencoder, with least squares
    #[arg(long, value_name = "NAME")]
    method: Option<String>,
}

/// Writes a run of no steps, which `trainer train --resume` goes on with.
///
/// # Errors
/// When the run cannot be read or refined, or the new one exists, is in use or cannot be written.
pub fn run(args: Args) -> Result<()> {
    let _lock = Lock::take(&args.out)?;
    let of_run = args.out.join("train.toml");
    if let Some(path) = checkpoint::existing(&args.out).or_else(|| of_run.exists().then(|| of_run.clone())) {
        bail!("{} exists; choose another --out", path.display());
    }
    let path = args.out.join(FILE_NAME);
    let method = args.method.as_deref().map(Method::named).transpose()?;
    let trainer = Trainer::refining(&checkpoint::load(&args.run)?, args.width, method)?;
    write_atomically(&of_run, trainer.config().to_toml().as_bytes())?;
    trainer.checkpoint().save(&path)?;
    println!("wrote {}; train it with: trainer train --resume --out {}", path.display(), args.out.display());
    Ok(())
}
