//! `bold MODEL.pgan EXAMPLES`: a few pictures of the model with thicker strokes, as bytes, for boards to learn from.
//!
//! A pixel becomes the brightest of its 3x3 neighbours. Exact arithmetic draws the pictures, so that every computer writes
//! the same file.

#![forbid(unsafe_code)]

use std::{env, fs};

use anyhow::{Context, Result};
use pocketgan_format::AlignedBytes;
use pocketgan_runtime::{Generator, Latent, Model};

fn main() -> Result<()> {
    let mut args = env::args().skip(1);
    let usage = "usage: bold MODEL.pgan EXAMPLES";
    let (model, examples) = (args.next().context(usage)?, args.next().context(usage)?);
    let bytes = AlignedBytes::copy(&fs::read(&model).with_context(|| format!("reading {model}"))?);
    let model = Model::load(&bytes).with_context(|| format!("loading {model}"))?;
    let mut arena = vec![0.0; model.arena_len()];
    let mut generator = Generator::exact(&model, &mut arena)?;
    let mut out = Vec::new();
    for seed in FIRST_SEED..FIRST_SEED + COUNT {
        let image = generator.generate(Latent::from_seed(seed));
        let (height, width) = (image.height, image.width);
        let mut pixels = vec![0; height * width];
        image.to_gray8(&mut pixels);
        let brightest = |at: usize| {
            let near = |at: usize, extent: usize| at.saturating_sub(1)..(at + 2).min(extent);
            let rows = near(at / width, height);
            rows.flat_map(|row| near(at % width, width).map(move |col| row * width + col))
                .map(|at| pixels[at])
                .max()
        };
        out.extend((0..pixels.len()).filter_map(brightest));
    }
    fs::write(&examples, out).with_context(|| format!("writing {examples}"))
}

/// None that a board draws to show what it has learned.
const FIRST_SEED: u64 = 1000;
const COUNT: u64 = 16;
