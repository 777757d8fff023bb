//! The program, and a run so small that a step takes no time.

use std::path::Path;
use std::process::{Command, Stdio};

/// A small network on images that need no file.
pub(crate) const TINY: [&str; 8] = [
    "train",
    "--width=4",
    "--batch-size=4",
    "--latent-dim=2",
    "--set=network.architecture=mlp",
    "--set=network.generator_norm=false",
    "--watch-every=0",
    "--lr-g=0.001",
];

/// `trainer ARGS --out OUT MORE`, whose output can be read.
pub(crate) fn trainer(args: &[&str], out: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trainer"));
    command.args(args).arg("--out").arg(out).args(more);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}
