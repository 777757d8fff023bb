//! `trainer stamp`: a `.pgan` file made before files stated what they draw gets that line.

use std::path::PathBuf;

use anyhow::{Context, Result};
use pocketgan_compiler::export::stamp;
use pocketgan_runtime::Model;

use super::open;
use crate::checkpoint::write_atomically;

/// Options of `trainer stamp`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The .pgan file, written anew
    file: PathBuf,
}

/// Runs `trainer stamp`.
///
/// # Errors
/// When the file cannot be read, is not a model, or cannot be written.
pub fn run(args: Args) -> Result<()> {
    let stamped = stamp(&open(&args.file)?).with_context(|| format!("stamping {}", args.file.display()))?;
    write_atomically(&args.file, &stamped)?;
    let model = Model::load(&stamped).context("the file just written")?;
    let sha256: String = model.file().sha256().iter().map(|byte| format!("{byte:02x}")).collect();
    println!("exact        {}", model.conformance().map(|stated| stated.to_string()).unwrap_or_default());
    println!("flash bytes  {}", stamped.len());
    println!("sha256       {sha256}");
    Ok(())
}
