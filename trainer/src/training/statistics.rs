//! What belongs to averaged weights and is not an average: standing statistics of batch norm, which replace those of the batch at
//! inference, and the singular vectors of spectral norms.

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

/// Steps of power iteration for averaged weights: what is left of the other singular vectors shrinks by the ratio of the singular
/// values in each.
const ITERATIONS: usize = 50;

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
    if let Some(growth) = config.growth_after(steps) {
        generator = generator.with_growth(growth);
    }
    // The means of singular vectors that turned are none: shorter than one, and of other weights.
    if config.network.generator_spectral {
        generator = (0..ITERATIONS).fold(generator, |generator, _| generator.iterated());
    }
    Ok(reestimate(generator, BATCHES, BATCH_SIZE, config.seed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Initialization, values};

    /// Vectors that were averaged are shorter than one, and a weight divided by what they say is too large.
    #[test]
    fn averaged_weights_are_normalized_by_their_own_singular_vectors() {
        let mut config = Config::default();
        config.network.width = 2;
        config.network.latent_dim = 4;
        config.network.generator_spectral = true;
        config.network.initialization = Initialization::Orthogonal;
        let device = training_device();
        let start = Parameters::read(&Generator::new(&config.network, 1, &device));
        let draw = |weights: &Parameters| {
            let generator = averaged(&config, weights, 1, &device).unwrap();
            values(generator.forward(normal(2, 4, 1, &Device::flex())))
        };
        let mut shorter = start.clone();
        let vectors = shorter.0.iter_mut().filter(|t| t.name.ends_with(".u") || t.name.ends_with(".v"));
        let count = vectors.map(|vector| vector.data.iter_mut().for_each(|value| *value *= 0.5)).count();
        assert!(count > 0);
        for (found, expected) in draw(&shorter).iter().zip(draw(&start)) {
            // Both are iterated often; only the first half-length differs, up to rounding in each of a few layers.
            assert!((found - expected).abs() < 1e-4, "{found} {expected}");
        }
    }
}
