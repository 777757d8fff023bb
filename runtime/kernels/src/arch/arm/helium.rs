//! Cortex-M55 and M85: Helium, with eight vectors of four `f32`, which stable Rust reaches by `asm!`.
//!
//! Registers: the sums of positions 0, 1 and 2 in q0-q1, q2-q3 and q4-q5; a row of weights in q6-q7; the positions'
//! values of two channels in core registers `a0`, `b0` and so on. Sums of weights in half precision are split into even
//! and odd lanes, as the conversions of the lower and the upper halves of each word give them.
//!
//! Helium flushes subnormal numbers to zero, which moves a result by less than 2^-126 for each product.

use core::arch::asm;

use half::f16;

use super::{Loops, LoopsFor};
use crate::blocks::{DOT_CHUNK, DOT_PARTS};
use crate::{Kernels, PANEL, Sample, TapGemm, blocks, portable};

/// The implementation, which every CPU of these targets can run.
pub(crate) const KERNELS: Kernels =
    Kernels { name: "helium", tap_gemm, tap_gemm_f16: Some(tap_gemm_f16), ..portable::KERNELS };

fn tap_gemm(op: &TapGemm<'_>, samples: &mut [Sample<'_, f32>]) {
    blocks::tap_gemm(Helium, op, samples);
}

fn tap_gemm_f16(op: &TapGemm<'_>, samples: &mut [Sample<'_, f16>]) {
    blocks::tap_gemm(Helium, op, samples);
}

/// Addresses of the sums, as far as there are, to `a0`, `a1` and `a2`.
macro_rules! addresses {
    (1) => {
        "ldr {a0}, [{tile}]\n"
    };
    (2) => {
        "ldrd {a0}, {a1}, [{tile}]\n"
    };
    (3) => {
        concat!(addresses!(2), "ldr {a2}, [{tile}, #8]\n")
    };
}

/// The next values of each position: two, or one.
macro_rules! pixels {
    (1, two) => {
        "ldrd {a0}, {b0}, [{x0}], #8\n"
    };
    (2, two) => {
        concat!(pixels!(1, two), "ldrd {a1}, {b1}, [{x1}], #8\n")
    };
    (3, two) => {
        concat!(pixels!(2, two), "ldrd {a2}, {b2}, [{x2}], #8\n")
    };
    (1, one) => {
        "ldr {a0}, [{x0}], #4\n"
    };
    (2, one) => {
        concat!(pixels!(1, one), "ldr {a1}, [{x1}], #4\n")
    };
    (3, one) => {
        concat!(pixels!(2, one), "ldr {a2}, [{x2}], #4\n")
    };
}

/// Adds a row's products, with the positions' values in registers `$a`, `$b` and `$c`.
macro_rules! products {
    (1, $a:literal, $b:literal, $c:literal) => {
        concat!("vfma.f32 q0, q6, {", $a, "}\n", "vfma.f32 q1, q7, {", $a, "}\n")
    };
    (2, $a:literal, $b:literal, $c:literal) => {
        concat!(products!(1, $a, $b, $c), "vfma.f32 q2, q6, {", $b, "}\n", "vfma.f32 q3, q7, {", $b, "}\n")
    };
    (3, $a:literal, $b:literal, $c:literal) => {
        concat!(products!(2, $a, $b, $c), "vfma.f32 q4, q6, {", $c, "}\n", "vfma.f32 q5, q7, {", $c, "}\n")
    };
}

/// What differs between the storages of weights: how a row is loaded, and how sums that match it are.
macro_rules! f16_weights {
    (row) => {
        "vldrh.u16 q6, [{w}], #16\n vcvtt.f32.f16 q7, q6\n vcvtb.f32.f16 q6, q6\n"
    };
    (load, $sums:literal, $even:literal, $odd:literal) => {
        f16_weights!("vld", $sums, $even, $odd)
    };
    (store, $sums:literal, $even:literal, $odd:literal) => {
        f16_weights!("vst", $sums, $even, $odd)
    };
    ($do:literal, $sums:literal, $even:literal, $odd:literal) => {
        concat!(
            concat!($do, "20.32 {{", $even, ", ", $odd, "}}, [{", $sums, "}]\n"),
            concat!($do, "21.32 {{", $even, ", ", $odd, "}}, [{", $sums, "}]\n"),
        )
    };
}

/// As `f16_weights`.
macro_rules! f32_weights {
    (row) => {
        "vldrw.u32 q6, [{w}], #16\n vldrw.u32 q7, [{w}], #16\n"
    };
    (load, $sums:literal, $low:literal, $high:literal) => {
        f32_weights!("vldrw.u32 ", $sums, $low, $high)
    };
    (store, $sums:literal, $low:literal, $high:literal) => {
        f32_weights!("vstrw.32 ", $sums, $low, $high)
    };
    ($do:literal, $sums:literal, $low:literal, $high:literal) => {
        concat!(concat!($do, $low, ", [{", $sums, "}]\n"), concat!($do, $high, ", [{", $sums, "}, #16]\n"),)
    };
}

/// Loads or stores the sums of all positions.
macro_rules! sums {
    (1, $weights:ident, $do:ident) => {
        concat!($weights!($do, "a0", "q0", "q1"))
    };
    (2, $weights:ident, $do:ident) => {
        concat!(sums!(1, $weights, $do), $weights!($do, "a1", "q2", "q3"))
    };
    (3, $weights:ident, $do:ident) => {
        concat!(sums!(2, $weights, $do), $weights!($do, "a2", "q4", "q5"))
    };
}

/// An inner loop for `$p` positions, two rows in a round, before an odd one.
macro_rules! tile {
    ($name:ident, $w:ty, $weights:ident, $p:tt, $($i:tt $x:ident $a:ident $b:ident),*) => {
        #[inline(always)]
        fn $name(pixels: [&[f32]; $p], weights: &[[$w; PANEL]], sums: [&mut [f32; PANEL]; $p]) {
            assert!(pixels.iter().all(|pixel| pixel.len() == weights.len()), "a value for each row");
            let odd = weights.len() % 2;
            let mut tile = Tile { sums: [core::ptr::null_mut(); 3], odd };
            tile.sums.iter_mut().zip(sums).for_each(|(address, sums)| *address = sums);
            // SAFETY: the target has the instructions. Each row reads itself and one value of each pixel, as many as
            // were asserted; of the sums, arrays of eight are read and written.
            unsafe {
                asm!(
                    addresses!($p),
                    sums!($p, $weights, load),
                    "wls lr, lr, 3f",
                    "2:",
                    pixels!($p, two),
                    $weights!(row),
                    products!($p, "a0", "a1", "a2"),
                    $weights!(row),
                    products!($p, "b0", "b1", "b2"),
                    "le lr, 2b",
                    "3:",
                    "ldr {a0}, [{tile}, #12]",
                    "cmp {a0}, #0",
                    "beq 4f",
                    pixels!($p, one),
                    $weights!(row),
                    products!($p, "a0", "a1", "a2"),
                    "4:",
                    addresses!($p),
                    sums!($p, $weights, store),
                    tile = in(reg) &tile,
                    w = inout(reg) weights.as_ptr() => _,
                    $($x = inout(reg) pixels[$i].as_ptr() => _, $a = out(reg) _, $b = out(reg) _,)*
                    inout("lr") weights.len() / 2 => _,
                    out("d0") _, out("d1") _, out("d2") _, out("d3") _,
                    out("d4") _, out("d5") _, out("d6") _, out("d7") _,
                    out("d8") _, out("d9") _, out("d10") _, out("d11") _,
                    out("d12") _, out("d13") _, out("d14") _, out("d15") _,
                    options(nostack),
                );
            }
        }
    };
}

/// What a loop needs at its ends, when the registers are full.
#[repr(C)]
struct Tile {
    sums: [*mut [f32; PANEL]; 3],
    /// One where the number of rows is odd.
    odd: usize,
}

/// The targets for which this file is compiled promise the instructions.
#[derive(Clone, Copy)]
struct Helium;

impl Loops for Helium {
    #[inline(always)]
    fn widen(halves: &[f16; 8], wide: &mut [f32; 8]) {
        // SAFETY: the target has the instructions; arrays of eight are read and written.
        unsafe {
            asm!(
                "vldrh.u16 q0, [{halves}]",
                "vcvtt.f32.f16 q1, q0",
                "vcvtb.f32.f16 q0, q0",
                "vst20.32 {{q0, q1}}, [{wide}]",
                "vst21.32 {{q0, q1}}, [{wide}]",
                halves = in(reg) halves.as_ptr(), wide = in(reg) wide.as_mut_ptr(),
                out("d0") _, out("d1") _, out("d2") _, out("d3") _,
                options(nostack, preserves_flags),
            );
        }
    }

    #[inline(never)]
    fn dots(input: &[f32], step: usize, weights: &[f32; DOT_CHUNK], sums: &mut [[f32; PANEL]]) {
        let last = sums.len().saturating_sub(1) * step;
        assert!(!sums.is_empty() && last + DOT_CHUNK <= input.len(), "a pixel for each position");
        // The weights stay in q0-q3; each part is a lane.
        // SAFETY: the target has the instructions. Of each of the sums' arrays, the last four values are read and
        // written, and for each sixteen of the input are read, which the assertion leaves inside.
        unsafe {
            asm!(
                "vldrw.u32 q0, [{w}]",
                "vldrw.u32 q1, [{w}, #16]",
                "vldrw.u32 q2, [{w}, #32]",
                "vldrw.u32 q3, [{w}, #48]",
                "dls lr, lr",
                "2:",
                "vldrw.u32 q6, [{sums}]",
                "vldrw.u32 q4, [{x}]",
                "vfma.f32 q6, q4, q0",
                "vldrw.u32 q5, [{x}, #16]",
                "vfma.f32 q6, q5, q1",
                "vldrw.u32 q4, [{x}, #32]",
                "vfma.f32 q6, q4, q2",
                "vldrw.u32 q5, [{x}, #48]",
                "vfma.f32 q6, q5, q3",
                "add {x}, {step}",
                "vstrw.32 q6, [{sums}], #32",
                "le lr, 2b",
                w = in(reg) weights.as_ptr(), x = inout(reg) input.as_ptr() => _,
                step = in(reg) step * size_of::<f32>(), inout("lr") sums.len() => _,
                sums = inout(reg) sums.as_flattened_mut()[PANEL - DOT_PARTS..].as_mut_ptr() => _,
                out("d0") _, out("d1") _, out("d2") _, out("d3") _,
                out("d4") _, out("d5") _, out("d6") _, out("d7") _,
                out("d8") _, out("d9") _, out("d10") _, out("d11") _,
                out("d12") _, out("d13") _, options(nostack),
            );
        }
    }
}

impl LoopsFor<f16> for Helium {
    tile!(add_1, f16, f16_weights, 1, 0 x0 a0 b0);
    tile!(add_2, f16, f16_weights, 2, 0 x0 a0 b0, 1 x1 a1 b1);
    tile!(add_3, f16, f16_weights, 3, 0 x0 a0 b0, 1 x1 a1 b1, 2 x2 a2 b2);
}

impl LoopsFor<f32> for Helium {
    tile!(add_1, f32, f32_weights, 1, 0 x0 a0 b0);
    tile!(add_2, f32, f32_weights, 2, 0 x0 a0 b0, 1 x1 a1 b1);
    tile!(add_3, f32, f32_weights, 3, 0 x0 a0 b0, 1 x1 a1 b1, 2 x2 a2 b2);
}
