//! This computer as a board that draws: `host MODEL.pgan [VALUES]` talks on standard input and output.
//!
//! `VALUES` receives the picture of seed 0 as `f32`, little-endian, channels last, drawn as fast as this CPU can.

#![forbid(unsafe_code)]

use std::{env, fs, path::PathBuf, process::ExitCode};

use anyhow::{Context, Result};
use boards_common::{Device, End};
use embedded_io_adapters::std::FromStd;
use host::{Standard, Started};
use pocketgan_format::AlignedBytes;
use pocketgan_runtime::{Generator, Latent, Model, dispatch};

fn main() -> Result<ExitCode> {
    let mut args = env::args_os().skip(1).map(PathBuf::from);
    let path = args.next().context("usage: host MODEL.pgan [VALUES]")?;
    let bytes = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
    let file = AlignedBytes::copy(&bytes);
    let model = Model::load(&file).with_context(|| format!("loading {}", path.display()))?;
    let mut arena = vec![0.0; model.arena_len()];
    if let Some(path) = args.next() {
        let mut generator = Generator::new(&model, &mut arena)?;
        let image = generator.generate(Latent::from_seed(0));
        let bytes: Vec<u8> = image.values.iter().flat_map(|value| value.to_le_bytes()).collect();
        fs::write(&path, bytes).with_context(|| format!("writing {}", path.display()))?;
    }
    let device = Device {
        model: &file,
        port: FromStd::new(Standard),
        clock: Started::now(),
        arena: &mut arena,
        fast: dispatch::best(),
        exact: dispatch::exact(),
        usage: || None,
    };
    Ok(match device.draw() {
        End::Failed => ExitCode::FAILURE,
        End::Exit | End::Reset => ExitCode::SUCCESS,
    })
}
