//! The command line: one file per sub-command.

pub mod bench;
pub mod classify;
pub mod compare;
pub mod completions;
pub mod data;
pub mod delta;
pub mod demo;
pub mod encode;
pub mod eval;
pub mod exit;
pub mod export;
pub mod finetune;
pub mod import;
pub mod init;
pub mod inputs;
pub mod inspect;
pub mod interrupt;
mod lock;
pub mod man;
pub mod note;
pub mod plan;
pub mod progress;
pub mod refine;
pub mod sample;
pub mod stamp;
pub mod train;
pub mod translate;

use std::path::Path;

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};
use image::ImageFormat;
use pocketgan_compiler::file;
use pocketgan_format::{AlignedBytes, Delta};
use pocketgan_runtime::Model;

/// Trains small image generators and makes files of them that run anywhere.
#[derive(Debug, Parser)]
#[command(name = "trainer", version, about, after_help = exit::CODES)]
pub struct Cli {
    /// No progress and no notes: nothing on stderr but errors and warnings
    #[arg(short, long, global = true)]
    quiet: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Train, export, compare and show a small generator: the whole way in one command
    Demo(demo::Args),
    /// Write a configuration with every key, its default and what it means
    Init(init::Args),
    /// Say what a generator would take on a device, before any training, or how wide it may be
    Plan(plan::Args),
    /// Train a generator on a set of images
    Train(Box<train::Args>),
    /// Train a network from pictures to pictures, from pairs
    Translate(Box<translate::Args>),
    /// Start a run whose generator refines the images of another
    Refine(refine::Args),
    /// Draw images with a trained generator
    Sample(sample::Args),
    /// Measure how close generated images come to real ones
    Eval(eval::Args),
    /// Train with several methods and seeds on a published benchmark, and compare the figures with those of the papers
    Compare(compare::Args),
    /// Tell classes apart by features of a discriminator, with few labels
    Classify(classify::Args),
    /// Find latents of images, and images that are alike
    Encode(encode::Args),
    /// Make a .pgan or ONNX file of a checkpoint
    Export(export::Args),
    /// Make a .pgan file of a generator in ONNX, and compare the two
    Import(import::Args),
    /// Look at a data set: counts, classes, colours, duplicates, and a sheet of images
    Data(data::Args),
    /// Let a generator learn from some images, as a device would
    Finetune(Box<finetune::Args>),
    /// Look at what devices learned, and use it
    Delta(delta::Args),
    /// Show every step of a .pgan file, and what it takes
    Inspect(inspect::Args),
    /// State in a .pgan file what one seed draws, as export and import do
    Stamp(stamp::Args),
    /// Measure the runtime's speed on a .pgan file
    Bench(bench::Args),
    /// Print a script with which a shell completes commands and options
    Completions(completions::Args),
    /// Print the manual page, or write one of each command
    Man(man::Args),
}

impl Cli {
    /// Does what the command line asks for.
    ///
    /// # Errors
    /// Whatever went wrong, with the chain of what was being done.
    pub fn run(self) -> Result<()> {
        if self.quiet {
            note::be_quiet();
        }
        match self.command {
            Command::Demo(args) => demo::run(args),
            Command::Init(args) => init::run(args),
            Command::Plan(args) => plan::run(args),
            Command::Train(args) => train::run(*args),
            Command::Translate(args) => translate::run(*args),
            Command::Compare(args) => compare::run(args),
            Command::Refine(args) => refine::run(args),
            Command::Sample(args) => sample::run(args),
            Command::Eval(args) => eval::run(args),
            Command::Classify(args) => classify::run(args),
            Command::Encode(args) => encode::run(args),
            Command::Export(args) => export::run(args),
            Command::Import(args) => import::run(args),
            Command::Data(args) => data::run(args),
            Command::Finetune(args) => finetune::run(*args),
            Command::Delta(args) => delta::run(args),
            Command::Inspect(args) => inspect::run(args),
            Command::Stamp(args) => stamp::run(args),
            Command::Bench(args) => bench::run(args),
            Command::Completions(args) => completions::run(args),
            Command::Man(args) => man::run(args),
        }
    }
}

/// The model with a delta, as far as its file lets it move.
pub(crate) fn with_delta<'a>(model: Model<'a>, delta: &'a [u8]) -> Result<Model<'a>> {
    let bound = model.file().learning()?.map_or(f32::INFINITY, |learning| learning.rule.bound);
    Ok(model.with_delta(Delta::parse(delta)?, bound)?)
}

/// Whether a file can be written, as far as its name says: to be known before long work.
///
/// # Errors
/// When its folder does not exist.
pub(crate) fn ensure_folder_of(path: &Path) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    ensure!(folder.is_dir(), "{} cannot be written: {} is no folder", path.display(), folder.display());
    Ok(())
}

/// The same of a picture.
///
/// # Errors
/// As of [`ensure_folder_of`], and when its name does not end as those of pictures do.
pub(crate) fn ensure_picture(path: &Path) -> Result<()> {
    let format = ImageFormat::from_path(path).ok().filter(ImageFormat::writing_enabled);
    format.with_context(|| format!("{} is no name of a picture: let it end with .png", path.display()))?;
    ensure_folder_of(path)
}

/// The bytes of a `.pgan` file or a delta, aligned for the runtime.
pub(crate) fn open(path: &Path) -> Result<AlignedBytes> {
    Ok(AlignedBytes::copy(&file::read(path, file::MAX_MODEL_BYTES)?))
}
