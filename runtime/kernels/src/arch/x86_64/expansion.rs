//! Expanded operations with AVX2 and AVX-512.

use core::arch::x86_64::{__cpuid, __cpuid_count};

use super::COUNT;
use super::amx::{amx, uses_tiles};
use super::avx2::{Avx2, avx2};
use super::avx512::{Avx512, avx512};
use crate::tiled::Tiling;
use crate::{ExpansionKernels, Storage, TapGemm, winograd};

/// What this CPU has, in the order of its kernels.
pub(crate) fn expansions() -> [Option<ExpansionKernels>; COUNT] {
    let avx512 = avx512().map(|_| {
        winograd_kernels!(
            "avx512",
            16,
            Tiling { wide: Avx512::new(), narrow: Avx2::new(), max_rows: 8 },
            "avx512f,avx512vl,avx2,fma,f16c"
        )
    });
    [
        avx2().map(|_| {
            winograd_kernels!(
                "avx2",
                8,
                Tiling { wide: Avx2::new(), narrow: Avx2::new(), max_rows: 6 },
                "avx2,fma,f16c"
            )
        }),
        avx512,
        amx().and(avx512).map(|avx512| ExpansionKernels { name: "amx", gain: gain_beside_amx, ..avx512 }),
    ]
}

/// With tiles of `bfloat16` pairs an operation takes half the time: then 2x2 taps stay as they are, most often, and 3x3
/// are faster with products in single precision. Pairs would multiply transformed values with an error that is no
/// longer small beside the transforms'.
fn gain_beside_amx(op: &TapGemm<'_>, samples: usize, from: Storage) -> f64 {
    winograd::gain(op, samples, from, 16, if uses_tiles(op, samples) { 0.5 } else { 1.0 })
}

/// Size of the cache that cores share, as CPUID tells it: leaf 4 of Intel's CPUs, leaf 0x8000001d of AMD's.
pub(crate) fn third_level_bytes() -> Option<usize> {
    let leaves = [(0, 4), (0x8000_0000, 0x8000_001d)];
    let known = leaves.into_iter().filter(|&(first, leaf)| __cpuid(first).eax >= leaf);
    known.flat_map(|(_, leaf)| (0..CACHES).map(move |cache| __cpuid_count(leaf, cache))).find_map(|cache| {
        // Less one each: lines of a set, partitions of a line, bytes of a partition; and the number of sets.
        let field = |shift: u32, bits: u32| (cache.ebx >> shift & ((1 << bits) - 1)) as usize + 1;
        let level = (cache.eax & 31 != 0).then_some(cache.eax >> 5 & 7)?;
        let bytes = field(22, 10).checked_mul(field(12, 10))?.checked_mul(field(0, 12))?;
        bytes.checked_mul(cache.ecx as usize + 1).filter(|_| level == 3)
    })
}

/// Caches that are asked for; a CPU has four or five.
const CACHES: u32 = 8;

#[cfg(test)]
mod tests {
    /// What Linux says, where it says anything.
    #[test]
    fn the_third_level_cache_has_the_size_that_the_system_tells() {
        let Ok(told) = std::fs::read_to_string("/sys/devices/system/cpu/cpu0/cache/index3/size") else {
            return;
        };
        let kib = told.trim().strip_suffix('K').and_then(|kib| kib.parse::<usize>().ok());
        assert_eq!(super::third_level_bytes(), kib.map(|kib| kib << 10), "{told}");
    }

    mod avx2 {
        crate::expansion_tests!(super::super::expansions()[0]);
    }

    mod avx512 {
        crate::expansion_tests!(super::super::expansions()[1]);
    }

    mod amx {
        crate::expansion_tests!(super::super::expansions()[2]);
    }
}
