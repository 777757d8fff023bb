//! What the build script of every firmware does: places the memory map and the model, and reads from the model how much
//! RAM the firmware must set aside.

#![forbid(unsafe_code)]

use core::error::Error;
use std::path::PathBuf;
use std::{env, fs};

use boards_common::Plan;
use pocketgan_format::{AlignedBytes, File, Step};
use pocketgan_runtime::Model;

/// Links with `script`, which finds the board's `memory.x`, and leaves the digits as `model.pgan`, and `arena.rs`, which
/// says `ARENA_LEN` and `NESTS`, whether the model has loop nests, in the folder for what is built. `POCKETGAN_MODEL` names
/// another model.
///
/// # Errors
/// When a file cannot be read or written, is no model, or does not fit the board's memory; the error has both numbers.
pub fn place(script: &str) -> Result<(), Box<dyn Error>> {
    place_with(script, DIGITS)
}

/// [`place`] with another model than the digits.
///
/// # Errors
/// Those of [`place`].
pub fn place_with(script: &str, model: &str) -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(env::var("OUT_DIR")?);
    // Of some chips the HAL has the map.
    if fs::exists("memory.x")? {
        fs::copy("memory.x", out.join("memory.x"))?;
    }
    println!("cargo:rerun-if-changed=memory.x");
    println!("cargo:rustc-link-search={}", out.display());
    println!("cargo:rustc-link-arg=-T{script}");

    place_model(DRAWN, model, ["model.pgan", "arena.rs"], |file| {
        let file = File::parse(file)?;
        let nests = file.steps().any(|step| matches!(step, Step::Nest(_)));
        let len = file.arena_bytes().div_ceil(size_of::<f32>());
        Ok((len, format!("const ARENA_LEN: usize = {len};\nconst NESTS: bool = {nests};\n")))
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
        let len = plan.arena_len(&Model::load(file)?)?;
        Ok((len, format!("const LEARNING_LEN: usize = {len};\n")))
    })
}

/// Places the model that `variable` names, and the constants that `describe` gives beside the length of its arena.
fn place_model(
    variable: &str,
    default: &str,
    [model, constants]: [&str; 2],
    describe: impl Fn(&[u8]) -> Result<(usize, String), Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let path = chosen(variable, default);
    let bytes = fs::read(&path).map_err(|error| format!("{path}: {error}"))?;
    let map = if fs::exists("memory.x")? { fs::read_to_string("memory.x")? } else { String::new() };
    // External memory, where a board has it and the model is the one that only draws.
    let external = variable == DRAWN && region_bytes(&map, "DDR").is_some();
    let in_flash = fits(&map, if external { "DDR" } else { "FLASH" }, bytes.len());
    in_flash.map_err(|error| format!("{path} has {error}"))?;
    let described = describe(&AlignedBytes::copy(&bytes));
    let (len, text) = described.map_err(|error| format!("{path}: {error}"))?;
    let in_ram = fits(&map, "RAM", len * size_of::<f32>());
    in_ram.map_err(|error| format!("the arena of {path} has {error}"))?;
    fs::write(out.join(model), bytes)?;
    fs::write(out.join(constants), text)?;
    Ok(())
}

/// Whether so many bytes fit a region of a memory map. The linker refuses what is too large only by the code that comes to
/// it, and says by how much.
fn fits(map: &str, region: &str, bytes: usize) -> Result<(), String> {
    match region_bytes(map, region) {
        Some(have) if bytes > have => Err(format!("{bytes} bytes, and {region} of memory.x {have}")),
        _ => Ok(()),
    }
}

/// The length of a region of a linker script; `None` where it has none of that name, or its length is no plain number.
fn region_bytes(map: &str, region: &str) -> Option<usize> {
    let rest = map.lines().find_map(|line| {
        let rest = line.trim_start().strip_prefix(region)?.trim_start();
        rest.starts_with([':', '(']).then_some(rest)
    })?;
    let length = rest.split_once("LENGTH")?.1.trim_start().strip_prefix('=')?.split_whitespace().next()?;
    let (digits, unit) = match length.strip_suffix('K') {
        Some(digits) => (digits, 1 << 10),
        None => length.strip_suffix('M').map_or((length, 1), |digits| (digits, 1 << 20)),
    };
    let number = match digits.strip_prefix("0x") {
        Some(digits) => usize::from_str_radix(digits, 16),
        None => digits.parse(),
    };
    number.ok()?.checked_mul(unit)
}

/// The path that an environment variable holds, or else the default; the build runs again when either changes.
fn chosen(variable: &str, default: &str) -> String {
    let path = env::var(variable).unwrap_or_else(|_| default.to_owned());
    println!("cargo:rerun-if-env-changed={variable}");
    println!("cargo:rerun-if-changed={path}");
    path
}

/// The variable that names the model of a board that draws.
const DRAWN: &str = "POCKETGAN_MODEL";

// Relative to the folder of a board.
const DIGITS: &str = "../../models/mnist-dcgan28/mnist-dcgan28.pgan";
const LEARNING_MODEL: &str = "../../models/mnist-dcgan28/mnist-dcgan28-tail.pgan";
const DEFAULT_EXAMPLES: &str = "../common/examples/bold-digits.raw";

#[cfg(test)]
mod tests {
    use super::*;

    const MAP: &str = "
MEMORY
{
  FLASH : ORIGIN = 0x00000000, LENGTH = 256K
  RAM2 (rwx) : ORIGIN = 0x30000000, LENGTH = 0x100
  RAM : ORIGIN = 0x20000000, LENGTH = 16384
  DDR : ORIGIN = 0x60000000, LENGTH = 2M
  REST : ORIGIN = 0x70000000, LENGTH = LENGTH(DDR) - 4
}";

    #[test]
    fn lengths_of_regions_are_found() {
        let found = ["FLASH", "RAM", "RAM2", "DDR", "REST", "ITCM"].map(|region| region_bytes(MAP, region));
        assert_eq!(found, [Some(262_144), Some(16_384), Some(256), Some(2_097_152), None, None]);
    }

    #[test]
    fn what_does_not_fit_is_refused_with_both_numbers() {
        assert_eq!(fits(MAP, "RAM", 16_384), Ok(()));
        let error = fits(MAP, "RAM", 16_385);
        assert_eq!(error, Err("16385 bytes, and RAM of memory.x 16384".to_owned()));
    }
}
