//! Random draws of learning: each a function of (seed, stream, step, index), so that nothing is saved to go on later.

use rand_core::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro128PlusPlus;

/// What is drawn.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stream {
    /// Which latent vectors.
    Latents = 1,
    /// Which examples.
    Examples = 2,
    /// How real pictures are augmented.
    Real = 3,
    /// How generated pictures are augmented while the discriminator learns.
    Fake = 4,
    /// The same while the generator learns.
    Judged = 5,
}

/// A few random numbers.
#[derive(Clone, Debug)]
pub(crate) struct Draws(Xoshiro128PlusPlus);

impl Draws {
    pub(crate) fn new(seed: u64, stream: Stream, step: u32, index: usize) -> Self {
        Self(Xoshiro128PlusPlus::seed_from_u64(seed_of(seed, stream, step, index)))
    }

    /// Uniform within 0..=1, in steps of 2^-24.
    pub(crate) fn unit(&mut self) -> f32 {
        (self.0.next_u32() >> 8) as f32 * (1.0 / ((1 << 24) - 1) as f32)
    }

    /// Uniform within `0..below`; 0 where `below` is.
    pub(crate) fn below(&mut self, below: usize) -> usize {
        ((u64::from(self.0.next_u32()) * below as u64) >> 32) as usize
    }
}

/// The seed of one draw: the step and the index one after the other through the finalizer of SplitMix64.
pub(crate) fn seed_of(seed: u64, stream: Stream, step: u32, index: usize) -> u64 {
    let place = (u64::from(step) << 16 | (index as u64 & 0xffff)) << 8 | stream as u64;
    mix(mix(seed).wrapping_add(place))
}

fn mix(value: u64) -> u64 {
    let z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
