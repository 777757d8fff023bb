//! Gradients with NEON.

use super::COUNT;
use super::neon::Neon;
use crate::GradientKernels;
use crate::exact::Exact;
use crate::tiled::Tiling;

/// What this CPU has, the fastest last.
pub(crate) fn gradients() -> [Option<GradientKernels>; COUNT] {
    [Some(tiled_gradients!("neon", 8, Tiling { wide: Neon, narrow: Neon, max_rows: 4 }))]
}

/// What this CPU has of gradients that give the bits of the reference, the fastest last.
pub(crate) fn gradients_exact() -> [Option<GradientKernels>; COUNT] {
    [Some(tiled_gradients!("neon-exact", 8, Tiling { wide: Exact(Neon), narrow: Exact(Neon), max_rows: 4 }))]
}

#[cfg(test)]
mod tests {
    mod neon {
        crate::gradient_tests!(super::super::gradients()[0]);
    }

    mod neon_exact {
        crate::gradient_tests!(super::super::gradients_exact()[0], Bits);
    }
}
