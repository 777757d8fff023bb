//! The step of a variational autoencoder: the discriminator encodes, the generator draws, and both follow one gradient.

use burn::tensor::Tensor;

use super::Trainer;
use crate::dataset::Dataset;
use crate::objective::{Judged, Pair};

impl Trainer {
    /// Updates both networks from one loss.
    pub(super) fn reconstruct(&mut self, dataset: &Dataset, step: usize) -> [Tensor<1>; 2] {
        let draw = step as u64;
        let (images, condition) = self.real(dataset, draw);
        let real = self.discriminator.judge(images, &condition);
        let posterior = self.discriminator.posterior(real.features.clone(), &condition);
        let posterior = posterior.expect("the configuration was checked: evidence goes with an encoder");
        let drawn = self.generator.forward_in(posterior.sample(self.latents(draw)), &condition);
        // Nobody looks at its scores.
        let fake = Judged { images: drawn, scores: real.scores.clone(), features: real.features.clone() };
        let loss = self.config.objective.generator_loss(&Pair { real, fake });
        let value = loss.clone().inner();
        let mut gradients = loss.backward();
        self.update_discriminator(&mut gradients, step);
        self.update_generator(&mut gradients, step);
        [value.clone(), value]
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;
    use crate::dataset::Dataset;
    use crate::method::Method;
    use crate::network::Precision;
    use crate::training::train;

    /// Pictures with one bright half each: one bit of news, which the latents have to carry.
    fn halves() -> Dataset {
        let image =
            |bright_left: bool| (0..28 * 28).map(move |i| if (i % 28 < 14) == bright_left { 255 } else { 0 });
        let pixels = (0..8).flat_map(|i| image(i % 2 == 0)).collect();
        Dataset::new("halves", [1, 28, 28], pixels, None).unwrap()
    }

    #[test]
    fn an_autoencoder_tells_images_apart() {
        check_telling_apart(Precision::F32);
    }

    #[test]
    fn an_autoencoder_in_bf16_tells_images_apart() {
        check_telling_apart(Precision::Bf16);
    }

    fn check_telling_apart(precision: Precision) {
        let mut config = Config::default();
        config.training.precision = precision;
        Method::named("vae").unwrap().apply(&mut config);
        config.network.width = 2;
        config.network.latent_dim = 2;
        config.training.batch_size = 8;
        config.training.steps = 150;
        let trainer = train(&config, &halves(), |_| Ok(())).unwrap();
        // The mean of both pictures costs half of every pixel's square: every pixel is 1 off. Less than that says which half
        // is bright.
        let mean_image = 0.5 * 28.0 * 28.0;
        let last = trainer.losses().last().unwrap();
        assert!(last.generator < 0.5 * mean_image, "{last:?}, the mean image {mean_image}");
        assert_eq!(last.discriminator, last.generator);
    }
}
