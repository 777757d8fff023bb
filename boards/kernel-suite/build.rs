//! Chooses the memory map by the target, and places the models whose layers and steps are counted.

use core::error::Error;
use std::path::PathBuf;
use std::{env, fs};

fn main() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let (map, script) = match env::var("TARGET")?.as_str() {
        "riscv32imafc-unknown-none-elf" => ("virt.x", "virt.x"),
        "thumbv8m.main-none-eabihf" => ("an547.x", "link.x"),
        _ => ("mps2.x", "link.x"),
    };
    let name = if script == map { map } else { "memory.x" };
    fs::copy(PathBuf::from("memory").join(map), out.join(name))?;
    for (file, name) in [(MODEL, "model.pgan"), (LEARNING_MODEL, "learning.pgan"), (EXAMPLES, "examples.raw")]
    {
        fs::copy(file, out.join(name))?;
        println!("cargo::rerun-if-changed={file}");
    }
    println!("cargo::rustc-link-search={}", out.display());
    println!("cargo::rustc-link-arg-bins=-T{script}");
    println!("cargo::rerun-if-changed=memory");
    Ok(())
}

// Relative to this file.
const MODEL: &str = "../../models/mnist-dcgan28/mnist-dcgan28.pgan";
const LEARNING_MODEL: &str = "../../models/mnist-dcgan28/mnist-dcgan28-tail.pgan";
const EXAMPLES: &str = "../common/examples/bold-digits.raw";
