//! Expanded operations with NEON.

use super::COUNT;
use super::neon::Neon;
use crate::ExpansionKernels;
use crate::tiled::Tiling;

/// What this CPU has, in the order of its kernels.
pub(crate) fn expansions() -> [Option<ExpansionKernels>; COUNT] {
    [Some(winograd_kernels!("neon", 8, Tiling { wide: Neon, narrow: Neon, max_rows: 4 }))]
}

#[cfg(test)]
mod tests {
    mod neon {
        crate::expansion_tests!(super::super::expansions()[0]);
    }
}
