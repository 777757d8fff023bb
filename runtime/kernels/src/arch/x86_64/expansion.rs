//! Expanded operations with AVX2 and AVX-512.

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
        amx().and(avx512).map(|avx512| ExpansionKernels { name: "amx", pays: pays_beside_amx, ..avx512 }),
    ]
}

/// With tiles of `bfloat16` pairs an operation takes half the time: then 2x2 taps stay as they are, most often, and 3x3
/// are faster with products in single precision. Pairs would multiply transformed values with an error that is no
/// longer small beside the transforms'.
fn pays_beside_amx(op: &TapGemm<'_>, samples: usize, from: Storage) -> bool {
    winograd::pays(op, samples, from, 16, if uses_tiles(op, samples) { 0.5 } else { 1.0 })
}

#[cfg(test)]
mod tests {
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
