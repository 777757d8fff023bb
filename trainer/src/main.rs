//! The `trainer` program; see `trainer --help`.

use clap::Parser;

/// A training step allocates and frees the same large tensors over and over.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<()> {
    pocketgan_trainer::cli::Cli::parse().run()
}
