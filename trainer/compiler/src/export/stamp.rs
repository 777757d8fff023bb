//! States in a file what one seed draws in exact arithmetic, so that every device can prove itself.

use anyhow::{Context, Result, ensure};
use pocketgan_format::AlignedBytes;
use pocketgan_runtime::{Conformance, Generator, Model, dispatch};

/// The file with that line of metadata, new or in place of the old one; nothing else changes.
///
/// # Errors
/// When the file does not load, or this computer's exact kernels do not draw the same bytes.
pub fn stamp(file: &[u8]) -> Result<AlignedBytes> {
    let model = Model::load(file).context("the file does not load")?;
    let mut drawn: Option<Conformance> = None;
    for kernels in dispatch::available_exact().into_iter().flatten() {
        let mut arena = vec![f32::NAN; model.arena_len()];
        let other = Generator::with_kernels(&model, &mut arena, kernels)?.conformance(SEED);
        let first = *drawn.get_or_insert(other);
        ensure!(other == first, "the {} kernels draw other bytes than the reference", kernels.name);
    }
    let drawn = drawn.context("the reference is always there")?;
    model.file().with_metadata(Conformance::KEY, &drawn.to_string()).context("writing the file")
}

/// Of the picture that files speak of.
const SEED: u64 = 0;
