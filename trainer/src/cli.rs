//! The command line: one file per sub-command.

pub mod progress;
pub mod sample;
pub mod train;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Trains small image generators and makes files of them that run anywhere.
#[derive(Debug, Parser)]
#[command(version, about)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Train a generator on a set of images
    Train(Box<train::Args>),
    /// Draw images with a trained generator
    Sample(sample::Args),
}

impl Cli {
    /// Does what the command line asks for.
    ///
    /// # Errors
    /// Whatever went wrong, with the chain of what was being done.
    pub fn run(self) -> Result<()> {
        match self.command {
            Command::Train(args) => train::run(*args),
            Command::Sample(args) => sample::run(args),
        }
    }
}
