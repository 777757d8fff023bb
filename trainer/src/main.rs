//! The `trainer` program; see `trainer --help`.

use std::process::ExitCode;

use clap::Parser;
use pocketgan_trainer::cli::{Cli, exit};

/// A training step allocates and frees the same large tensors over and over.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    exit::end_on_closed_pipe();
    exit::code(Cli::parse().run())
}
