//! Cortex-M4F, M7 and M33: a scalar floating-point unit with 32 registers, fused multiply-adds and conversions of
//! halves, which stable Rust reaches by `asm!`.
//!
//! Registers: the sums of positions 0, 1 and 2 in s0-s7, s8-s15 and s16-s23; a row of weights in s24-s28; the
//! positions' values of this row's channel in s29-s31.

use core::arch::asm;

use half::f16;

use super::{Loops, LoopsFor};
use crate::blocks::{DOT_CHUNK, DOT_PARTS};
use crate::{Kernels, PANEL, Sample, TapGemm, blocks, portable};

/// The implementation, which every CPU of these targets can run.
pub(crate) const KERNELS: Kernels =
    Kernels { name: "arm-fpu", tap_gemm, tap_gemm_f16: Some(tap_gemm_f16), ..portable::KERNELS };

fn tap_gemm(op: &TapGemm<'_>, samples: &mut [Sample<'_, f32>]) {
    blocks::tap_gemm(Fpu, op, samples);
}

fn tap_gemm_f16(op: &TapGemm<'_>, samples: &mut [Sample<'_, f16>]) {
    blocks::tap_gemm(Fpu, op, samples);
}

/// Loads the sums of a position.
macro_rules! load {
    (0) => {
        "vldmia {sum0}, {{s0-s7}}"
    };
    (1) => {
        "vldmia {sum1}, {{s8-s15}}"
    };
    (2) => {
        "vldmia {sum2}, {{s16-s23}}"
    };
}

/// Stores the sums of a position.
macro_rules! store {
    (0) => {
        "vstmia {sum0}, {{s0-s7}}"
    };
    (1) => {
        "vstmia {sum1}, {{s8-s15}}"
    };
    (2) => {
        "vstmia {sum2}, {{s16-s23}}"
    };
}

/// Adds a pixel's value times one weight, in register `$w`, to a lane of each position.
macro_rules! lane {
    (1, $w:literal, $a:literal, $b:literal, $c:literal) => {
        concat!("vfma.f32 ", $a, ", s29, ", $w, "\n")
    };
    (2, $w:literal, $a:literal, $b:literal, $c:literal) => {
        concat!(lane!(1, $w, $a, $b, $c), "vfma.f32 ", $b, ", s30, ", $w, "\n")
    };
    (3, $w:literal, $a:literal, $b:literal, $c:literal) => {
        concat!(lane!(2, $w, $a, $b, $c), "vfma.f32 ", $c, ", s31, ", $w, "\n")
    };
}

/// The next value of each position.
macro_rules! pixels {
    (1) => {
        "vldmia {x0}!, {{s29}}\n"
    };
    (2) => {
        concat!(pixels!(1), "vldmia {x1}!, {{s30}}\n")
    };
    (3) => {
        concat!(pixels!(2), "vldmia {x2}!, {{s31}}\n")
    };
}

/// A row in half precision: one load brings it, as four words.
macro_rules! f16_row {
    ($p:tt) => {
        concat!(
            "vldmia {w}!, {{s24-s27}}\n",
            pixels!($p),
            f16_row!($p, "s24", "s0", "s8", "s16", "s1", "s9", "s17"),
            f16_row!($p, "s25", "s2", "s10", "s18", "s3", "s11", "s19"),
            f16_row!($p, "s26", "s4", "s12", "s20", "s5", "s13", "s21"),
            f16_row!($p, "s27", "s6", "s14", "s22", "s7", "s15", "s23"),
        )
    };
    ($p:tt, $w:literal, $a:literal, $b:literal, $c:literal, $d:literal, $e:literal, $f:literal) => {
        concat!(
            concat!("vcvtt.f32.f16 s28, ", $w, "\n"),
            concat!("vcvtb.f32.f16 ", $w, ", ", $w, "\n"),
            lane!($p, "s28", $d, $e, $f),
            lane!($p, $w, $a, $b, $c),
        )
    };
}

/// A row in single precision, in two parts.
macro_rules! f32_row {
    ($p:tt) => {
        concat!(
            pixels!($p),
            "vldmia {w}!, {{s24-s27}}\n",
            lane!($p, "s24", "s0", "s8", "s16"),
            lane!($p, "s25", "s1", "s9", "s17"),
            lane!($p, "s26", "s2", "s10", "s18"),
            lane!($p, "s27", "s3", "s11", "s19"),
            "vldmia {w}!, {{s24-s27}}\n",
            lane!($p, "s24", "s4", "s12", "s20"),
            lane!($p, "s25", "s5", "s13", "s21"),
            lane!($p, "s26", "s6", "s14", "s22"),
            lane!($p, "s27", "s7", "s15", "s23"),
        )
    };
}

/// An inner loop for `$p` positions, where `$row` gives the instructions of a row.
macro_rules! tile {
    ($name:ident, $w:ty, $row:ident, $p:tt, $($i:tt $x:ident $sum:ident),*) => {
        #[inline(always)]
        fn $name(pixels: [&[f32]; $p], weights: &[[$w; PANEL]], sums: [&mut [f32; PANEL]; $p]) {
            assert!(pixels.iter().all(|pixel| pixel.len() == weights.len()), "a value for each row");
            // SAFETY: the target has the instructions. Each of the `n` rows reads itself and one value of each pixel,
            // as many as were asserted; of the sums, arrays of eight are read and written. Rows of halves that start between
            // words, which `Panels` rules out, fault at the first load: that ends a program as a panic does.
            unsafe {
                asm!(
                    $(load!($i),)*
                    // Two rows in a round, after an odd one.
                    "lsrs {n}, {n}, #1",
                    "bcc 2f",
                    $row!($p),
                    "2:",
                    "beq 4f",
                    "3:",
                    $row!($p),
                    $row!($p),
                    "subs {n}, {n}, #1",
                    "bne 3b",
                    "4:",
                    $(store!($i),)*
                    n = inout(reg) weights.len() => _,
                    w = inout(reg) weights.as_ptr() => _,
                    $($x = inout(reg) pixels[$i].as_ptr() => _,)*
                    $($sum = in(reg) sums[$i].as_mut_ptr(),)*
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

/// The targets for which this file is compiled promise the instructions.
#[derive(Clone, Copy)]
pub(super) struct Fpu;

impl Loops for Fpu {
    fn widen(halves: &[f16; 8], wide: &mut [f32; 8]) {
        // Pixels in half precision may start between words, where only core registers can be loaded.
        // SAFETY: the target has the instructions, and unaligned loads; arrays of eight are read and written.
        unsafe {
            asm!(
                "ldr {a}, [{halves}]",
                "ldr {b}, [{halves}, #4]",
                "ldr {c}, [{halves}, #8]",
                "ldr {d}, [{halves}, #12]",
                "vmov s0, s1, {a}, {b}",
                "vmov s2, s3, {c}, {d}",
                "vcvtb.f32.f16 s4, s0",
                "vcvtt.f32.f16 s5, s0",
                "vcvtb.f32.f16 s6, s1",
                "vcvtt.f32.f16 s7, s1",
                "vcvtb.f32.f16 s8, s2",
                "vcvtt.f32.f16 s9, s2",
                "vcvtb.f32.f16 s10, s3",
                "vcvtt.f32.f16 s11, s3",
                "vstmia {wide}, {{s4-s11}}",
                halves = in(reg) halves.as_ptr(), wide = in(reg) wide.as_mut_ptr(),
                a = out(reg) _, b = out(reg) _, c = out(reg) _, d = out(reg) _,
                out("d0") _, out("d1") _, out("d2") _, out("d3") _, out("d4") _, out("d5") _,
                options(nostack, preserves_flags),
            );
        }
    }

    #[inline(never)]
    fn dots(input: &[f32], step: usize, weights: &[f32; DOT_CHUNK], sums: &mut [[f32; PANEL]]) {
        let last = sums.len().saturating_sub(1) * step;
        assert!(!sums.is_empty() && last + DOT_CHUNK <= input.len(), "a pixel for each position");
        // The weights stay in s0-s15.
        // SAFETY: the target has the instructions. Of each of the sums' arrays, the last four values are read and
        // written, and for each sixteen of the input are read, which the assertion leaves inside.
        unsafe {
            asm!(
                "vldmia {w}, {{s0-s15}}",
                "2:",
                "vldmia {x}, {{s16-s27}}",
                "vldmia {sums}, {{s28-s31}}",
                "vfma.f32 s28, s16, s0",
                "vfma.f32 s29, s17, s1",
                "vfma.f32 s30, s18, s2",
                "vfma.f32 s31, s19, s3",
                "vldr s16, [{x}, #48]",
                "vldr s17, [{x}, #52]",
                "vldr s18, [{x}, #56]",
                "vldr s19, [{x}, #60]",
                "vfma.f32 s28, s20, s4",
                "vfma.f32 s29, s21, s5",
                "vfma.f32 s30, s22, s6",
                "vfma.f32 s31, s23, s7",
                "vfma.f32 s28, s24, s8",
                "vfma.f32 s29, s25, s9",
                "vfma.f32 s30, s26, s10",
                "vfma.f32 s31, s27, s11",
                "add {x}, {step}",
                "vfma.f32 s28, s16, s12",
                "vfma.f32 s29, s17, s13",
                "vfma.f32 s30, s18, s14",
                "vfma.f32 s31, s19, s15",
                "subs {n}, #1",
                "vstmia {sums}, {{s28-s31}}",
                "add {sums}, {sums}, #32",
                "bne 2b",
                w = in(reg) weights.as_ptr(), x = inout(reg) input.as_ptr() => _,
                step = in(reg) step * size_of::<f32>(), n = inout(reg) sums.len() => _,
                sums = inout(reg) sums.as_flattened_mut()[PANEL - DOT_PARTS..].as_mut_ptr() => _,
                out("d0") _, out("d1") _, out("d2") _, out("d3") _,
                out("d4") _, out("d5") _, out("d6") _, out("d7") _,
                out("d8") _, out("d9") _, out("d10") _, out("d11") _,
                out("d12") _, out("d13") _, out("d14") _, out("d15") _,
                options(nostack),
            );
        }
    }
}

impl LoopsFor<f16> for Fpu {
    tile!(add_1, f16, f16_row, 1, 0 x0 sum0);
    tile!(add_2, f16, f16_row, 2, 0 x0 sum0, 1 x1 sum1);
    tile!(add_3, f16, f16_row, 3, 0 x0 sum0, 1 x1 sum1, 2 x2 sum2);
}

impl LoopsFor<f32> for Fpu {
    tile!(add_1, f32, f32_row, 1, 0 x0 sum0);
    tile!(add_2, f32, f32_row, 2, 0 x0 sum0, 1 x1 sum1);
    tile!(add_3, f32, f32_row, 3, 0 x0 sum0, 1 x1 sum1, 2 x2 sum2);
}
