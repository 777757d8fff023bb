//! Draws pictures of a generator on the framebuffer of a Linux board, or, where there is none, into a PNG file.

mod canvas;
mod framebuffer;

use core::ops::Range;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow, ensure};
use boards_common::{Screen, exhibit};
use clap::Parser;
use embedded_graphics_core::geometry::Size;
use pocketgan_format::AlignedBytes;
use pocketgan_runtime::{Model, dispatch};

use canvas::Canvas;
use framebuffer::Framebuffer;

/// Draws pictures of a generator on the framebuffer, or into a PNG file.
#[derive(Parser)]
struct Args {
    /// The generator, a .pgan file.
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// Seed of the first picture; the next ones have the next seeds.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// How many pictures.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    count: u32,
    /// The framebuffer.
    #[arg(long, value_name = "DEVICE", default_value = "/dev/fb0", conflicts_with = "png")]
    fb: PathBuf,
    /// Draws into this file, and on no framebuffer.
    #[arg(long, value_name = "FILE")]
    png: Option<PathBuf>,
    /// Pixels of the file.
    #[arg(long, value_name = "WIDTHxHEIGHT", default_value = "640x480", value_parser = size, requires = "png")]
    size: Size,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let end = args.seed.checked_add(args.count.into()).context("--seed and --count: seeds end at 2^64")?;
    let seeds = args.seed..end;
    match &args.png {
        Some(path) => {
            let canvas = draw(&args, seeds, args.size)?;
            canvas.write_png(path).with_context(|| format!("writing {}", path.display()))
        }
        None => {
            let device = || format!("the framebuffer {} (--png FILE needs none)", args.fb.display());
            let mut framebuffer = Framebuffer::open(&args.fb).with_context(device)?;
            let canvas = draw(&args, seeds, framebuffer.size())?;
            framebuffer.show(&canvas).with_context(device)
        }
    }
}

/// The pictures, computed exactly, so that every machine draws the same.
fn draw(args: &Args, seeds: Range<u64>, size: Size) -> Result<Canvas> {
    let path = args.model.display();
    let bytes = fs::read(&args.model).with_context(|| format!("reading {path}"))?;
    let file = AlignedBytes::copy(&bytes);
    let model = Model::load(&file).with_context(|| format!("loading {path}"))?;
    let mut arena = vec![0.0; model.arena_len()];
    let Ok(mut screen) = Screen::new(Canvas::new(size), args.count);
    exhibit(&*file, &mut screen, &mut arena, dispatch::exact(), seeds, || ())
        .map_err(|error| anyhow!("{path}: {error}"))?;
    Ok(screen.into_target())
}

/// Sides that a display may have.
fn size(text: &str) -> Result<Size> {
    let (width, height) = text.split_once('x').context("WIDTHxHEIGHT, such as 640x480")?;
    let (width, height) = (width.parse().context("the width")?, height.parse().context("the height")?);
    ensure!(
        (1..=MAX_SIDE).contains(&width) && (1..=MAX_SIDE).contains(&height),
        "sides have 1 to {MAX_SIDE} pixels"
    );
    Ok(Size::new(width, height))
}

const MAX_SIDE: u32 = 8192;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_sound() {
        use clap::CommandFactory as _;
        Args::command().debug_assert();
    }

    #[test]
    fn sizes_are_bounded() {
        assert_eq!(size("1x8192").expect("both are allowed"), Size::new(1, 8192));
        for wrong in ["", "640", "640x", "x480", "0x1", "1x0", "8193x1", "-1x1", "1x1x1", "99999999999x1"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }
}
