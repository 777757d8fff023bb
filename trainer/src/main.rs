//! The `trainer` program; see `trainer --help`.

use clap::Parser;

fn main() -> anyhow::Result<()> {
    pocketgan_trainer::cli::Cli::parse().run()
}
