//! Proves a file: the runtime draws from it what burn draws from the graph it was made of.

use anyhow::{Context, Result, ensure};
use pocketgan_runtime::{Generator, Kernels, Latent, Model, dispatch, latent};

use crate::graph::Graph;
use crate::graph::evaluate::evaluate;

/// How far two sets of pictures are apart.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Parity {
    /// Largest difference of two values.
    pub max_abs_diff: f32,
    /// Mean difference of two values.
    pub mean_abs_diff: f64,
    /// Largest difference of two pixels in 256 levels.
    pub max_u8_diff: u8,
    /// Share of pixels that differ in 256 levels.
    pub share_u8_changed: f64,
}

/// Pictures compared at every export.
pub const VERIFY_SEEDS: u64 = 8;

/// Largest difference allowed between the runtime and burn on equal weights: values in [-1, 1] after sums of up to a few
/// thousand products in another order.
const TOLERANCE: f32 = 1e-4;

/// Draws with every kernel that this CPU has, from an arena full of NaN, so that nothing stale can pass.
pub(crate) fn verify(rounded: &Graph, file: &[u8]) -> Result<Parity> {
    let model = Model::load(file).context("the file just written does not load")?;
    let latents = latents(&model, VERIFY_SEEDS);
    let expected = evaluate(rounded, &latents)?;
    let mut worst = Parity::default();
    for kernels in dispatch::available().into_iter().flatten() {
        let parity = compare(&expected, &draw(&model, kernels, &latents)?, model.range());
        ensure!(
            parity.max_abs_diff <= TOLERANCE,
            "the {} kernels draw another picture than the network: values differ by {}, allowed is {TOLERANCE}",
            kernels.name,
            parity.max_abs_diff
        );
        if parity.max_abs_diff >= worst.max_abs_diff {
            worst = parity;
        }
    }
    Ok(worst)
}

/// Latent vectors of seeds `0..count`, `[count, latent_dim]`.
pub fn latents(model: &Model<'_>, count: u64) -> Vec<f32> {
    let mut latents = vec![0.0; count as usize * model.latent_dim()];
    for (seed, z) in (0..count).zip(latents.chunks_exact_mut(model.latent_dim())) {
        latent::fill_normal(seed, z);
    }
    latents
}

/// Pictures `[N, C, H, W]` of latent vectors `[N, latent_dim]`, drawn by the runtime.
///
/// # Errors
/// Never with an arena as large as the model says; this one is.
pub fn draw(model: &Model<'_>, kernels: Kernels, latents: &[f32]) -> Result<Vec<f32>> {
    let mut arena = vec![f32::NAN; model.arena_len()];
    let mut generator = Generator::with_kernels(model, &mut arena, kernels)?;
    let [height, width, channels] = model.output_shape();
    let mut pictures = Vec::with_capacity(latents.len() / model.latent_dim() * height * width * channels);
    for z in latents.chunks_exact(model.latent_dim()) {
        let image = generator.generate(Latent::from(z));
        for channel in 0..channels {
            pictures.extend(image.values.iter().skip(channel).step_by(channels));
        }
    }
    Ok(pictures)
}

/// Compares values, and the pixels that they become in `range`. Values that are not numbers differ infinitely.
///
/// # Panics
/// When the two have different lengths.
pub fn compare(expected: &[f32], got: &[f32], [low, high]: [f32; 2]) -> Parity {
    assert_eq!(expected.len(), got.len(), "two sets of pictures of one shape");
    let byte = |v: f32| ((v - low) / (high - low) * 255.0 + 0.5) as u8;
    let mut parity = Parity::default();
    let (mut sum, mut changed) = (0.0, 0_usize);
    for (&a, &b) in expected.iter().zip(got) {
        let diff = if a.is_nan() || b.is_nan() { f32::INFINITY } else { (a - b).abs() };
        let levels = byte(a).abs_diff(byte(b));
        parity.max_abs_diff = parity.max_abs_diff.max(diff);
        parity.max_u8_diff = parity.max_u8_diff.max(levels);
        sum += f64::from(diff);
        changed += usize::from(levels > 0);
    }
    let count = expected.len().max(1) as f64;
    Parity { mean_abs_diff: sum / count, share_u8_changed: changed as f64 / count, ..parity }
}
