//! Runs in two stages: a second generator learns to refine the images of a first one, which stands still.

use anyhow::{Result, ensure};
use burn::tensor::Device;

use super::mirror::Mirror;
use super::{Moments, Optimizer, Trainer};
use crate::checkpoint::Checkpoint;
use crate::method::{Method, forget};
use crate::network::{DiscriminatorOutput, Parameters};

impl Trainer {
    /// A run before its first step, like `first`, whose generator is the averaged one of `first` and a second stage of `width`
    /// channels. The discriminator begins anew; in place of the encoder of an autoencoder there is one that judges. A `method`
    /// other than that of `first` may be named.
    ///
    /// The first stage keeps its standing statistics: it computes in training what it computes later.
    ///
    /// # Errors
    /// When `first` has two stages, there is no second stage of such a `width`, or tensors do not fit the configuration.
    pub fn refining(first: &Checkpoint, width: usize, method: Option<&Method>) -> Result<Self> {
        ensure!(first.config.network.refiner == 0, "the run has a second stage");
        ensure!(width > 0, "a second stage without channels is none");
        let mut config = first.config.clone();
        config.network.refiner = width;
        match method {
            Some(method) => method.replace(&mut config),
            None if config.network.discriminator_output == DiscriminatorOutput::Posterior => {
                forget(&mut config)
            }
            None => (),
        }
        let mut trainer = Self::untrained(&config)?;
        let mut parameters = Parameters::read(&first.ema_generator(&Device::flex())?);
        let second = Parameters::read(&trainer.generator).0.into_iter();
        parameters.0.extend(second.filter(|tensor| tensor.name.starts_with("refiner.")));
        trainer.generator = parameters.write(trainer.generator)?;
        trainer.optimizer_g = Optimizer::new(Moments::zeros(&parameters), &config.training);
        trainer.average = Mirror::new(parameters);
        Ok(trainer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::dataset::Dataset;
    use crate::network::values;
    use crate::training::{normal, train};
    use pocketgan_compiler::export;

    fn first() -> (Checkpoint, Dataset) {
        let mut config = Config::default();
        config.network.width = 2;
        config.network.latent_dim = 4;
        config.network.generator_spectral = true;
        config.training.batch_size = 4;
        config.training.steps = 3;
        let pixels = (0..7 * 28 * 28).map(|i| (i * i % 251) as u8).collect();
        let dataset = Dataset::new("tiny", [1, 28, 28], pixels, None).unwrap();
        (train(&config, &dataset, |_| Ok(())).unwrap().checkpoint(), dataset)
    }

    fn stages(parameters: &Parameters) -> [Vec<&[f32]>; 2] {
        ["layers.", "refiner."].map(|stage| {
            parameters.0.iter().filter(|t| t.name.starts_with(stage)).map(|t| &t.data[..]).collect()
        })
    }

    #[test]
    fn only_the_second_stage_learns_and_resumes_with_the_same_bits() {
        let (first, dataset) = first();
        let mut trainer = Trainer::refining(&first, 2, None).unwrap();
        let start = trainer.checkpoint();
        let mut half = None;
        trainer
            .run(&dataset, |trainer| {
                half.get_or_insert_with(|| trainer.checkpoint().to_bytes());
                Ok(())
            })
            .unwrap();
        let end = trainer.checkpoint();
        for (before, after) in [(&start.generator, &end.generator), (&start.average, &end.average)] {
            assert_eq!(stages(before)[0], stages(after)[0]);
            assert_ne!(stages(before)[1], stages(after)[1]);
        }
        let half = Checkpoint::from_bytes(&half.unwrap()).unwrap();
        let mut resumed = Trainer::resume(&half).unwrap();
        resumed.run(&dataset, |_| Ok(())).unwrap();
        assert!(resumed.checkpoint().to_bytes() == end.to_bytes());
    }

    #[test]
    fn without_its_last_weight_the_second_stage_is_nothing() {
        let (first, _) = first();
        let mut refining = Trainer::refining(&first, 2, None).unwrap().checkpoint();
        let last = refining.average.0.iter().rposition(|t| t.name.ends_with(".weight")).unwrap();
        refining.average.0[last].data.fill(0.0);
        let latents = normal(2, 4, 1, &Device::flex());
        let draw = |checkpoint: &Checkpoint| {
            values(checkpoint.ema_generator(&Device::flex()).unwrap().forward(latents.clone()))
        };
        assert_eq!(draw(&refining), draw(&first));
    }

    #[test]
    fn both_stages_are_one_file() {
        let refining = Trainer::refining(&first().0, 2, None).unwrap();
        // Exports verify themselves: the runtime draws what the graph draws.
        let graph = refining.ema_generator().unwrap().graph();
        let export = export::export(&graph, &export::Options::default()).unwrap();
        assert!(export.file.len() > 1000);
    }

    #[test]
    fn a_second_stage_needs_a_first() {
        let (first, _) = first();
        let refining = Trainer::refining(&first, 2, None).unwrap().checkpoint();
        assert!(Trainer::new(&refining.config).is_err());
        assert!(Trainer::refining(&refining, 2, None).is_err());
        assert!(Trainer::refining(&first, 0, None).is_err());
        assert!(Trainer::refining(&first, 100_000, None).is_err());
    }
    #[test]
    fn an_autoencoder_is_refined_against_a_discriminator() {
        let (mut first, dataset) = first();
        Method::named("vae").unwrap().apply(&mut first.config);
        let first = Trainer::new(&first.config).unwrap().checkpoint();
        for (method, objective) in [(None, "least-squares"), (Some("hinge"), "hinge")] {
            let method = method.map(|name| Method::named(name).unwrap());
            let mut trainer = Trainer::refining(&first, 2, method).unwrap();
            assert_eq!(trainer.config().objective.name(), objective);
            assert_eq!(trainer.config().training.beta_1, Config::default().training.beta_1);
            trainer.step(&dataset).unwrap();
        }
    }
}
