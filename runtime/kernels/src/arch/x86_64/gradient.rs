//! Gradients with AVX2 and AVX-512.

use super::COUNT;
use super::avx2::{Avx2, avx2};
use super::avx512::{Avx512, avx512};
use crate::GradientKernels;
use crate::exact::Exact;
use crate::tiled::Tiling;

/// What this CPU has, the fastest last.
pub(crate) fn gradients() -> [Option<GradientKernels>; COUNT] {
    [
        avx2().map(|_| {
            tiled_gradients!(
                "avx2",
                8,
                Tiling { wide: Avx2::new(), narrow: Avx2::new(), max_rows: 6 },
                "avx2,fma,f16c"
            )
        }),
        avx512().map(|_| {
            tiled_gradients!(
                "avx512",
                16,
                Tiling { wide: Avx512::new(), narrow: Avx2::new(), max_rows: 8 },
                "avx512f,avx512vl,avx2,fma,f16c"
            )
        }),
        None,
    ]
}

/// What this CPU has of gradients that give the bits of the reference, the fastest last.
pub(crate) fn gradients_exact() -> [Option<GradientKernels>; COUNT] {
    [
        avx2().map(|_| {
            tiled_gradients!(
                "avx2-exact",
                8,
                Tiling { wide: Exact(Avx2::new()), narrow: Exact(Avx2::new()), max_rows: 6 },
                "avx2,fma,f16c"
            )
        }),
        avx512().map(|_| {
            tiled_gradients!(
                "avx512-exact",
                16,
                Tiling { wide: Exact(Avx512::new()), narrow: Exact(Avx2::new()), max_rows: 8 },
                "avx512f,avx512vl,avx2,fma,f16c"
            )
        }),
        None,
    ]
}

#[cfg(test)]
mod tests {
    mod avx2 {
        crate::gradient_tests!(super::super::gradients()[0]);
    }

    mod avx2_exact {
        crate::gradient_tests!(super::super::gradients_exact()[0], Bits);
    }

    mod avx512 {
        crate::gradient_tests!(super::super::gradients()[1]);
    }

    mod avx512_exact {
        crate::gradient_tests!(super::super::gradients_exact()[1], Bits);
    }
}
