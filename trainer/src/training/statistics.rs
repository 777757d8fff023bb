//! Standing statistics of batch norm: means and variances that replace those of the batch at inference.

use anyhow::Result;
use burn::module::Module;
use burn::tensor::Device;

use super::noise::{self, Stream};
use super::{normal, training_device};
use crate::config::Config;
use crate::network::{Condition, Generator, Parameters};

/// Batches and their size that standing statistics are averaged over.
const BATCHES: usize = 32;
const BATCH_SIZE: usize = 256;

/// A generator for inference whose standing statistics are the plain average over `batches` batches of latents; with
/// classes, of each in turn.
///
/// The running statistics of training belong to other weights than the averaged ones.
pub fn reestimate(generator: Generator, batches: usize, batch_size: usize, seed: u64) -> Generator {
    let device = training_device();
    let mut generator = generator.fork(&device).no_grad();
    let batches = if generator.has_statistics() { batches } else { 0 };
    for i in 0..batches {
        generator = generator.with_momentum(1.0 / (i + 1) as f64);
        let latents = normal(
            batch_size,
            generator.latent_dim(),
            noise::seed_of(seed, Stream::Statistics, i as u64),
            &device,
        );
        let condition = Condition::in_turn(i * batch_size, batch_size, generator.classes(), &device);
        generator.forward_in(latents, &condition);
    }
    generator.valid()
}

/// The generator of `config` with `weights` after `steps` steps, for inference.
pub(crate) fn averaged(
    config: &Config,
    weights: &Parameters,
    steps: usize,
    device: &Device,
) -> Result<Generator> {
    // Made anew: clones of a burn module share their running statistics.
    let mut generator = weights.write(Generator::new(&config.network, 0, device))?;
    if let Some(growth) = config.growth(steps.saturating_sub(1)) {
        generator = generator.with_growth(growth);
    }
    Ok(reestimate(generator, BATCHES, BATCH_SIZE, config.seed))
}
