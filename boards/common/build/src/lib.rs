//! What the build script of every firmware does: places the memory map and the model, and reads from the model how much
//! RAM the firmware must set aside.

#![forbid(unsafe_code)]

use core::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

use pocketgan_format::{AlignedBytes, File};

/// Links with `script`, which finds the board's `memory.x`, and leaves `model.pgan` and `arena.rs`, which says
/// `ARENA_LEN`, in the folder for what is built. `POCKETGAN_MODEL` names another model than the digits.
///
/// # Errors
/// When a file cannot be read or written, or is no model.
pub fn place(script: &str) -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::copy("memory.x", out.join("memory.x"))?;
    println!("cargo:rerun-if-changed=memory.x");
    println!("cargo:rustc-link-search={}", out.display());
    println!("cargo:rustc-link-arg=-T{script}");

    println!("cargo:rerun-if-env-changed=POCKETGAN_MODEL");
    let path = env::var("POCKETGAN_MODEL").unwrap_or_else(|_| DEFAULT_MODEL.to_owned());
    println!("cargo:rerun-if-changed={path}");
    let arena_len = arena_len(Path::new(&path)).map_err(|error| format!("{path}: {error}"))?;
    fs::copy(&path, out.join("model.pgan"))?;
    fs::write(out.join("arena.rs"), format!("const ARENA_LEN: usize = {arena_len};\n"))?;
    Ok(())
}

/// Values of the arena that the model asks for.
fn arena_len(path: &Path) -> Result<usize, Box<dyn Error>> {
    let bytes = AlignedBytes::copy(&fs::read(path)?);
    Ok(File::parse(&bytes)?.arena_bytes().div_ceil(size_of::<f32>()))
}

/// Relative to the folder of a board.
const DEFAULT_MODEL: &str = "../../models/mnist-dcgan28/mnist-dcgan28.pgan";
