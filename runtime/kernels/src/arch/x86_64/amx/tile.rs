//! The tile registers: whether they may be used, and products of tiles.

use core::arch::asm;
use core::arch::x86_64::{__cpuid_count, _xgetbv};
use core::sync::atomic::{AtomicU8, Ordering};

/// Positions, and output channels, of a tile of sums.
pub(super) const ROWS: usize = 16;

/// Input channels of a tile of activations or weights.
pub(super) const DEPTH: usize = 32;

/// A tile of weights: for each pair of input channels, both values of 16 output channels; all high parts, then all low
/// ones.
pub(super) type WeightTile = [[[u16; DEPTH]; ROWS]; 2];

/// A tile of sums: positions by output channels.
pub(super) type SumTile = [[f32; ROWS]; ROWS];

/// Whether CPU and system let this process use tiles; asks the system once.
pub(super) fn permitted() -> bool {
    static ANSWER: AtomicU8 = AtomicU8::new(UNKNOWN);
    const UNKNOWN: u8 = 2;
    match ANSWER.load(Ordering::Relaxed) {
        UNKNOWN => {
            let answer = has_amx() && request();
            ANSWER.store(answer.into(), Ordering::Relaxed);
            answer
        }
        answer => answer == 1,
    }
}

/// Whether the CPU has AMX-BF16 and AVX512-BF16, and the system saves tiles.
fn has_amx() -> bool {
    const AMX_BF16_AND_TILE: u32 = 1 << 22 | 1 << 24;
    const TILE_STATE: u64 = 0b11 << 17;
    super::super::has!("avx512bf16")
        && super::super::has!("avx512bw")
        && __cpuid_count(7, 0).edx & AMX_BF16_AND_TILE == AMX_BF16_AND_TILE
        // SAFETY: a CPU with AVX-512 has the instruction, and the system that enabled AVX-512 enabled it.
        && unsafe { xcr0() } & TILE_STATE == TILE_STATE
}

#[target_feature(enable = "xsave")]
fn xcr0() -> u64 {
    // SAFETY: the caller established `xsave`; register 0 is always there.
    unsafe { _xgetbv(0) }
}

/// Asks Linux for the right to use tile data, which it gives a process on demand.
#[cfg(target_os = "linux")]
fn request() -> bool {
    const ARCH_PRCTL: i64 = 158;
    const ARCH_REQ_XCOMP_PERM: u64 = 0x1023;
    const XFEATURE_XTILEDATA: u64 = 18;
    let result: i64;
    // SAFETY: the call changes what this process may do and nothing in its memory; Linux clobbers rcx and r11.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") ARCH_PRCTL => result,
            in("rdi") ARCH_REQ_XCOMP_PERM,
            in("rsi") XFEATURE_XTILEDATA,
            out("rcx") _,
            out("r11") _,
            options(nostack),
        );
    }
    result == 0
}

/// Other systems have other ways.
#[cfg(not(target_os = "linux"))]
fn request() -> bool {
    false
}

/// Tile registers that are set up, until it is dropped.
pub(super) struct Tiles(());

impl Tiles {
    /// Sets up eight tiles of 16 rows of 64 bytes.
    ///
    /// # Safety
    /// [`permitted`] said yes.
    pub(super) unsafe fn set_up() -> Self {
        #[repr(align(64))]
        struct Config(#[allow(dead_code, reason = "the CPU reads it")] [u8; 64]);
        const CONFIG: Config = {
            let mut config = [0; 64];
            config[0] = 1;
            let mut tile = 0;
            while tile < 8 {
                config[16 + 2 * tile] = 64;
                config[48 + tile] = ROWS as u8;
                tile += 1;
            }
            Config(config)
        };
        // SAFETY: the caller vouches for the instruction; the 64 bytes are those of palette 1.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &CONFIG, options(nostack, readonly)) };
        Self(())
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        // SAFETY: a value of this type exists only where tiles may be used.
        unsafe { asm!("tilerelease", options(nostack, nomem)) };
    }
}

/// Activations of consecutive positions.
#[derive(Clone, Copy)]
pub(super) struct Pixels {
    /// The first position.
    pub(super) first: *const u16,
    /// From one position to the next, in bytes.
    pub(super) stride: usize,
    /// From the high parts to the low ones, in bytes.
    pub(super) low: usize,
}

/// Adds products of `M` tiles of positions and `N` tiles of output channels, where `M * N` is 4, over the steps of depth
/// that `weights` has. Step `i` reads activations `offsets[i]` bytes after those of `pixels`.
///
/// # Panics
/// When there are fewer offsets than weights.
///
/// # Safety
/// `_tiles` are set up. At every offset, `16 * M` positions have 32 values in both parts.
pub(super) unsafe fn add_products<const M: usize, const N: usize>(
    _tiles: &Tiles,
    pixels: Pixels,
    offsets: &[usize],
    weights: &[[WeightTile; N]],
    sums: &mut [[SumTile; N]; M],
) {
    assert!(offsets.len() >= weights.len(), "an offset for each step");
    if weights.is_empty() {
        return;
    }
    // Registers 0 to 3 hold sums, 4 and 5 activations, 6 and 7 weights. Products that add to one register stand four
    // apart, because each takes as long as four.
    macro_rules! products {
        ($($line:expr),* $(,)?) => {
            // SAFETY: the caller vouches for tiles and pixels; the other pointers are those of references, of which the
            // loop reads as many elements as `weights` has.
            unsafe {
                asm!(
                    "tileloadd tmm0, [{sums} + {row}*1]",
                    "tileloadd tmm1, [{sums} + {row}*1 + 1024]",
                    "tileloadd tmm2, [{sums} + {row}*1 + 2048]",
                    "tileloadd tmm3, [{sums} + {row}*1 + 3072]",
                    "2:",
                    "mov {a}, [{offset}]",
                    "add {a}, {first} /* {next}: unused with one tile of positions */",
                    $($line,)*
                    "add {offset}, 8",
                    "add {b}, {step}",
                    "dec {left}",
                    "jnz 2b",
                    "tilestored [{sums} + {row}*1], tmm0",
                    "tilestored [{sums} + {row}*1 + 1024], tmm1",
                    "tilestored [{sums} + {row}*1 + 2048], tmm2",
                    "tilestored [{sums} + {row}*1 + 3072], tmm3",
                    first = in(reg) pixels.first,
                    offset = inout(reg) offsets.as_ptr() => _,
                    a = out(reg) _,
                    b = inout(reg) weights.as_ptr() => _,
                    step = const size_of::<[WeightTile; N]>(),
                    left = inout(reg) weights.len() => _,
                    sums = in(reg) sums.as_mut_ptr(),
                    pixel = in(reg) pixels.stride,
                    next = in(reg) ROWS * pixels.stride,
                    low = in(reg) pixels.low,
                    row = in(reg) 64_usize,
                    t = out(reg) _,
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                    out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                    options(nostack),
                );
            }
        };
    }
    match M {
        // Four tiles of channels: their high weights with the high and the low activations, then their low ones.
        1 => products!(
            high!(4, 0),
            low!(5, 0),
            weights!(6, "0"),
            dot!(0, 4, 6),
            weights!(7, "2048"),
            dot!(1, 4, 7),
            weights!(6, "4096"),
            dot!(2, 4, 6),
            weights!(7, "6144"),
            dot!(3, 4, 7),
            weights!(6, "0"),
            dot!(0, 5, 6),
            weights!(7, "2048"),
            dot!(1, 5, 7),
            weights!(6, "4096"),
            dot!(2, 5, 6),
            weights!(7, "6144"),
            dot!(3, 5, 7),
            weights!(6, "1024"),
            dot!(0, 4, 6),
            weights!(7, "3072"),
            dot!(1, 4, 7),
            weights!(6, "5120"),
            dot!(2, 4, 6),
            weights!(7, "7168"),
            dot!(3, 4, 7),
            weights!(6, "1024"),
            dot!(0, 5, 6),
            weights!(7, "3072"),
            dot!(1, 5, 7),
            weights!(6, "5120"),
            dot!(2, 5, 6),
            weights!(7, "7168"),
            dot!(3, 5, 7),
        ),
        2 => products!(
            weights!(6, "0"),
            weights!(7, "2048"),
            high!(4, 0),
            high!(5, 1),
            dot!(0, 4, 6),
            dot!(1, 4, 7),
            dot!(2, 5, 6),
            dot!(3, 5, 7),
            low!(4, 0),
            low!(5, 1),
            dot!(0, 4, 6),
            dot!(1, 4, 7),
            dot!(2, 5, 6),
            dot!(3, 5, 7),
            weights!(6, "1024"),
            weights!(7, "3072"),
            dot!(0, 4, 6),
            dot!(1, 4, 7),
            dot!(2, 5, 6),
            dot!(3, 5, 7),
            high!(4, 0),
            high!(5, 1),
            dot!(0, 4, 6),
            dot!(1, 4, 7),
            dot!(2, 5, 6),
            dot!(3, 5, 7),
        ),
        4 => products!(
            weights!(6, "0"),
            weights!(7, "1024"),
            high!(4, 0),
            dot!(0, 4, 6),
            high!(5, 1),
            dot!(1, 5, 6),
            high!(4, 2),
            dot!(2, 4, 6),
            high!(5, 3),
            dot!(3, 5, 6),
            low!(4, 0),
            dot!(0, 4, 6),
            low!(5, 1),
            dot!(1, 5, 6),
            low!(4, 2),
            dot!(2, 4, 6),
            low!(5, 3),
            dot!(3, 5, 6),
            low!(4, 0),
            dot!(0, 4, 7),
            low!(5, 1),
            dot!(1, 5, 7),
            low!(4, 2),
            dot!(2, 4, 7),
            low!(5, 3),
            dot!(3, 5, 7),
            high!(4, 0),
            dot!(0, 4, 7),
            high!(5, 1),
            dot!(1, 5, 7),
            high!(4, 2),
            dot!(2, 4, 7),
            high!(5, 3),
            dot!(3, 5, 7),
        ),
        _ => unreachable!("four tiles of sums, whole positions by whole channels"),
    }
}

/// The address of a tile of positions.
macro_rules! tile_of_positions {
    (0) => {
        "mov {t}, {a}\n"
    };
    (1) => {
        "lea {t}, [{a} + {next}]\n"
    };
    (2) => {
        "lea {t}, [{a} + {next}*2]\n"
    };
    (3) => {
        "lea {t}, [{a} + {next}*2]\nadd {t}, {next}\n"
    };
}

/// Loads the high parts of a tile of positions.
macro_rules! high {
    ($register:literal, $tile:tt) => {
        concat!(tile_of_positions!($tile), "tileloadd tmm", $register, ", [{t} + {pixel}*1]")
    };
}

/// Loads the low parts of a tile of positions.
macro_rules! low {
    ($register:literal, $tile:tt) => {
        concat!(tile_of_positions!($tile), "add {t}, {low}\ntileloadd tmm", $register, ", [{t} + {pixel}*1]")
    };
}

/// Loads a part of a tile of weights.
macro_rules! weights {
    ($register:literal, $offset:literal) => {
        concat!("tileloadd tmm", $register, ", [{b} + {row}*1 + ", $offset, "]")
    };
}

/// Adds the products of two tiles.
macro_rules! dot {
    ($sum:literal, $a:literal, $b:literal) => {
        concat!("tdpbf16ps tmm", $sum, ", tmm", $a, ", tmm", $b)
    };
}

use {dot, high, low, tile_of_positions, weights};
