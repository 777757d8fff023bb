//! Says which instructions an Arm microcontroller has, as `cfg(arm_fpu)` and `cfg(arm_helium)`: the stable compiler's
//! `cfg(target_feature)` does not know them.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(arm_fpu, arm_helium)");
    let target = env::var("TARGET").unwrap_or_default();
    // Cargo builds this again when they change.
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    // Every floating-point unit of these has fused multiply-adds and conversions of halves.
    if FPU_TARGETS.contains(&target.as_str()) {
        println!("cargo::rustc-cfg=arm_fpu");
        if HELIUM_FLAGS.iter().any(|flag| flags.contains(flag)) {
            println!("cargo::rustc-cfg=arm_helium");
        }
    }
}

/// Cortex-M4F and M7; M33, M35P, M55 and M85.
const FPU_TARGETS: [&str; 2] = ["thumbv7em-none-eabihf", "thumbv8m.main-none-eabihf"];

/// What asks for Helium with floating-point numbers.
const HELIUM_FLAGS: [&str; 3] = ["target-cpu=cortex-m55", "target-cpu=cortex-m85", "+mve.fp"];
