//! How fast this core could multiply and add at most: the measure that benches give their figures against.

use core::hint::black_box;
use core::time::Duration;
use std::time::Instant;

use crate::arch;
use crate::simd::Simd;

/// Billions of floating-point operations per second of one core at the widest fused multiply-add that this crate uses;
/// none where it uses none. Takes about 50 ms.
pub fn fma_gflops() -> Option<f64> {
    arch::fma_loops().into_iter().flatten().next_back().map(|fma| gflops(fma.run))
}

/// As [`fma_gflops`], for each instruction set this crate uses, by the name of its [`Kernels`](crate::Kernels).
pub fn fma_gflops_each() -> impl Iterator<Item = (&'static str, f64)> {
    arch::fma_loops().into_iter().flatten().map(|fma| (fma.name, gflops(fma.run)))
}

/// A loop of independent multiply-adds.
#[derive(Clone, Copy)]
pub(crate) struct FmaLoop {
    pub(crate) name: &'static str,
    /// Runs so many rounds and returns the floating-point operations done.
    pub(crate) run: fn(rounds: u64) -> u64,
}

/// Twelve chains of multiply-adds: enough to cover the latency, few enough for 16 registers.
#[inline(always)]
pub(crate) fn fma_loop<S: Simd<L>, const L: usize>(simd: S, rounds: u64) -> u64 {
    let (a, b) = (simd.splat(black_box(0.5)), simd.splat(black_box(0.25)));
    let mut chains = [a; 12];
    for _ in 0..rounds {
        for chain in &mut chains {
            *chain = simd.mul_add(*chain, a, b);
        }
    }
    black_box(chains.map(|chain| simd.sum(chain)));
    rounds * 12 * 2 * L as u64
}

/// The best of short runs: other work on the machine can only make one slower.
fn gflops(run: fn(u64) -> u64) -> f64 {
    let mut best = 0.0f64;
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_millis(50) {
        let start = Instant::now();
        let operations = run(ROUNDS);
        best = best.max(operations as f64 / start.elapsed().as_secs_f64() / 1e9);
    }
    best
}

/// Rounds of one run, some hundred microseconds.
const ROUNDS: u64 = 50_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_loop_does_a_billion_operations_a_second() {
        let all: std::vec::Vec<_> = fma_gflops_each().collect();
        std::println!("{all:?}");
        assert!(all.iter().all(|(_, gflops)| *gflops > 1.0));
    }
}
