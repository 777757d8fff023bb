//! What the build script of every firmware does: places the memory map and the model, and reads from the model how much
//! RAM the firmware must set aside.

#![forbid(unsafe_code)]

use core::error::Error;
use std::path::PathBuf;
use std::{env, fs};

use boards_common::Plan;
use pocketgan_format::{AlignedBytes, File};
use pocketgan_runtime::Model;

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

    place_model("POCKETGAN_MODEL", DEFAULT_MODEL, ["model.pgan", "arena.rs"], |file| {
        Ok(File::parse(file)?.arena_bytes().div_ceil(size_of::<f32>()))
    })
}

/// Leaves `learning.pgan`, `learning.rs`, which says `LEARNING_LEN`, and `examples.raw` there too, for firmware that learns
/// by `plan`. `POCKETGAN_LEARNING_MODEL` names another model than the digits, `POCKETGAN_EXAMPLES` other pictures than bold
/// ones.
///
/// # Errors
/// When a file cannot be read or written, or is no model that can learn.
pub fn place_learning(plan: Plan) -> Result<(), Box<dyn Error>> {
    let examples = chosen("POCKETGAN_EXAMPLES", DEFAULT_EXAMPLES);
    fs::copy(&examples, PathBuf::from(env::var("OUT_DIR")?).join("examples.raw"))
        .map_err(|error| format!("{examples}: {error}"))?;
    place_model("POCKETGAN_LEARNING_MODEL", LEARNING_MODEL, ["learning.pgan", "learning.rs"], |file| {
        Ok(plan.arena_len(&Model::load(file)?)?)
    })
}

/// Places the model that `variable` names, and a constant with the length of the arena that it needs, whose name is in the
/// second file's: `arena.rs` says `ARENA_LEN`.
fn place_model(
    variable: &str,
    default: &str,
    [model, constant]: [&str; 2],
    arena_len: impl Fn(&[u8]) -> Result<usize, Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let path = chosen(variable, default);
    let bytes = fs::read(&path).map_err(|error| format!("{path}: {error}"))?;
    let len = arena_len(&AlignedBytes::copy(&bytes)).map_err(|error| format!("{path}: {error}"))?;
    fs::write(out.join(model), bytes)?;
    let name = constant.trim_end_matches(".rs").to_uppercase();
    fs::write(out.join(constant), format!("const {name}_LEN: usize = {len};\n"))?;
    Ok(())
}

/// The path that an environment variable holds, or else the default; the build runs again when either changes.
fn chosen(variable: &str, default: &str) -> String {
    let path = env::var(variable).unwrap_or_else(|_| default.to_owned());
    println!("cargo:rerun-if-env-changed={variable}");
    println!("cargo:rerun-if-changed={path}");
    path
}

// Relative to the folder of a board.
const DEFAULT_MODEL: &str = "../../models/mnist-dcgan28/mnist-dcgan28.pgan";
const LEARNING_MODEL: &str = "../../models/mnist-dcgan28/mnist-dcgan28-tail.pgan";
const DEFAULT_EXAMPLES: &str = "../common/examples/bold-digits.raw";
