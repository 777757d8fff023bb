//! One step: updates of the discriminator, then one of the generator; or one of both that they share.

use std::sync::{Mutex, PoisonError};

use anyhow::{Result, ensure};
use burn::module::Module;
use burn::tensor::{Gradients, Tensor};

use super::noise::{self, Stream};
use super::{Trainer, average, normal, unrolled};
use crate::dataset::Dataset;
use crate::device::is_processor;
use crate::network::{Condition, Discriminator};
use crate::objective::{Judged, Objective, Pair};
use crate::regularizer::{augmented, clipped, noisy, packed};

/// What one update draws.
struct Batch {
    /// `[N, C, H, W]` of the data set.
    real: Tensor<4>,
    /// Of the generator, for as many latents, and classes like those of the real ones.
    fake: Tensor<4>,
    /// Classes of both.
    condition: Condition,
    /// Names all random numbers of the update.
    draw: u64,
}

/// Whether images are real, and who looks at them: no two looks share random numbers.
#[derive(Clone, Copy)]
enum Look {
    RealByDiscriminator,
    FakeByDiscriminator,
    RealForGenerator,
    FakeForGenerator,
}

impl Trainer {
    /// Updates the discriminator `discriminator_steps` times, then the generator once; or both once, where they share a loss.
    ///
    /// # Errors
    /// When the data set has images of another shape or no classes that the networks want, or a loss is no longer finite, which
    /// on a GPU shows some steps later.
    pub fn step(&mut self, dataset: &Dataset) -> Result<()> {
        self.check_dataset(dataset)?;
        let Some(mut others) = self.others.take() else {
            // On a thread of the pool: from outside, each of some hundred operations would wait for one to wake up. A GPU is told
            // by one thread, for which burn's own normalization remembers.
            return if is_processor(&self.device) {
                rayon::scope(|_| self.step_part(dataset))
            } else {
                self.step_part(dataset)
            };
        };
        let all: Vec<_> = core::iter::once(&mut *self).chain(&mut others.trainers).map(Mutex::new).collect();
        let ends = others.pool.broadcast(|thread| {
            let mut trainer = all[thread.index()].lock().unwrap_or_else(PoisonError::into_inner);
            trainer.step_part(dataset)
        });
        self.others = Some(others);
        ends.into_iter().collect()
    }

    /// What this replica does in a step.
    fn step_part(&mut self, dataset: &Dataset) -> Result<()> {
        let step = self.step_count();
        self.grow(step);
        let losses = match self.config.objective {
            Objective::Evidence(_) => self.reconstruct(dataset, step),
            _ => self.compete(dataset, step),
        };
        self.unread.push(self.replica.mean(Tensor::cat(losses.into(), 0)));
        let done = self.step_count();
        if done.is_multiple_of(self.read_every) || done == self.config.training.steps {
            self.read_losses()?;
        }
        Ok(())
    }

    /// Shows both networks as far as they have grown. Optimizers forget what they know of a network without its new stage, whose
    /// first updates would otherwise not be corrected for moments that begin as zero (Karras et al. 2018, in their code).
    fn grow(&mut self, step: usize) {
        let Some(growth) = self.config.growth(step) else { return };
        if self.config.growth_after(step).is_some_and(|before| before.stage < growth.stage) {
            self.optimizer_g.forget();
            self.optimizer_d.forget();
        }
        self.generator = self.generator.clone().with_growth(growth);
        self.discriminator = self.discriminator.clone().with_growth(growth);
    }

    /// Losses of discriminator and generator, like all here left on the device.
    fn compete(&mut self, dataset: &Dataset, step: usize) -> [Tensor<1>; 2] {
        let updates = self.config.training.discriminator_steps;
        let mut discriminator = Tensor::zeros([1], &self.device.clone().inner());
        let mut update = 0;
        loop {
            let batch = self.batch(dataset, (step * updates + update) as u64);
            let (loss, mut gradients) = self.discriminator_gradients(&batch);
            discriminator = discriminator + loss.div_scalar(updates as f32);
            update += 1;
            if update < updates {
                self.update_discriminator(&mut gradients, step);
                continue;
            }
            let generator = if self.config.training.simultaneous {
                let (loss, mut generator_gradients) = self.generator_gradients(&batch, step);
                self.update_discriminator(&mut gradients, step);
                self.update_generator(&mut generator_gradients, step);
                loss
            } else {
                // The same fake batch, judged by the updated discriminator.
                self.update_discriminator(&mut gradients, step);
                let (loss, mut gradients) = self.generator_gradients(&batch, step);
                self.update_generator(&mut gradients, step);
                loss
            };
            return [discriminator, generator];
        }
    }

    fn check_dataset(&self, dataset: &Dataset) -> Result<()> {
        let network = &self.config.network;
        let shape = [network.channels, network.size, network.size];
        ensure!(dataset.shape() == shape, "the data set has {:?}, the network {shape:?}", dataset.shape());
        ensure!(
            network.classes == 0 || dataset.class_count().is_some_and(|count| count <= network.classes),
            "the network is told one of {} classes, the data set has {:?}",
            network.classes,
            dataset.class_count()
        );
        Ok(())
    }

    fn batch(&mut self, dataset: &Dataset, draw: u64) -> Batch {
        let (real, condition) = self.real(dataset, draw);
        let fake = self.generator.forward_in(self.latents(draw), &condition);
        Batch { real, fake, condition, draw }
    }

    /// Images of the data set `[N, C, H, W]`, and their classes where the networks are told them.
    pub(super) fn real(&mut self, dataset: &Dataset, draw: u64) -> (Tensor<4>, Condition) {
        let indices = self.indices(dataset, draw);
        let real = dataset.tensor(&indices, &self.device);
        let classes = self.config.network.classes;
        let condition = if classes > 0 {
            let labels = indices.iter().map(|&index| dataset.label(index).map_or(0, |label| label as usize));
            Condition::new(&labels.collect::<Vec<_>>(), classes, &self.device)
        } else {
            Condition::default()
        };
        (real, condition.with_precision(self.config.training.precision))
    }

    /// As many standard normal latents, `[N, latent_dim]`.
    pub(super) fn latents(&self, draw: u64) -> Tensor<2> {
        let seed = noise::seed_of(self.config.seed, Stream::Latents, draw);
        let batch_size = self.config.training.batch_size;
        let all = normal(batch_size, self.config.network.latent_dim, seed, &self.device);
        all.slice_dim(0, self.replica.part(batch_size))
    }

    /// The images of update number `draw`: the next ones in the order of their epoch.
    fn indices(&mut self, dataset: &Dataset, draw: u64) -> Vec<usize> {
        let (batch_size, len) = (self.config.training.batch_size as u64, dataset.len() as u64);
        let first = draw * batch_size;
        self.replica
            .part(self.config.training.batch_size)
            .map(|place| first + place as u64)
            .map(|position| self.order(position / len, dataset.len())[(position % len) as usize] as usize)
            .collect()
    }

    /// What the discriminator is shown of images: with noise, changed, packed.
    fn seen(&self, images: Tensor<4>, draw: u64, look: Look) -> Tensor<4> {
        let regularizer = &self.config.regularizer;
        let seed =
            |stream| noise::seed_of(self.config.seed, stream, self.replica.own(4 * draw + look as u64));
        let sigma = regularizer.instance_noise_at(self.step_count());
        let images = noisy(images, sigma, regularizer.instance_noise_power, seed(Stream::InstanceNoise));
        let images = augmented(&regularizer.augment, images, seed(Stream::Augment));
        packed(images, self.config.network.pack)
    }

    fn discriminator_gradients(&self, batch: &Batch) -> (Tensor<1>, Gradients) {
        let Batch { real, fake, condition, draw } = batch;
        let real = self.seen(real.clone(), *draw, Look::RealByDiscriminator);
        let fake = self.seen(fake.clone().detach(), *draw, Look::FakeByDiscriminator);
        let judge = |images| self.discriminator.judge(images, condition);
        let pair = Pair { real: judge(real.clone()), fake: judge(fake.clone()) };
        let mut loss = self.config.objective.discriminator_loss(&pair);
        let mut value = loss.clone().inner();
        if let Some(penalty) = &self.config.regularizer.gradient_penalty {
            let seed = noise::seed_of(self.config.seed, Stream::Penalty, self.replica.own(*draw));
            for points in penalty.points(real, fake, seed) {
                let slopes = slopes(&self.discriminator, points.clone(), condition);
                let (penalized, direction) = penalty.value_and_direction(slopes);
                value = value + penalized.inner();
                // Its derivative by the weights is that of the penalty; its value means nothing.
                loss = loss + self.discriminator.tangent(points, direction, condition).sum();
            }
        }
        (value, loss.backward())
    }

    fn generator_gradients(&self, batch: &Batch, step: usize) -> (Tensor<1>, Gradients) {
        let Batch { real, fake, condition, draw } = batch;
        let objective = &self.config.objective;
        let generator_loss = |discriminator: &Discriminator, fake: Tensor<4>| {
            let fake = self.seen(fake, *draw, Look::FakeForGenerator);
            let fake = discriminator.judge(fake, condition);
            let real = if objective.generator_needs_real() {
                let real = self.seen(real.clone(), *draw, Look::RealForGenerator);
                discriminator.judge(real, condition)
            } else {
                // Nobody looks at it.
                Judged {
                    images: fake.images.clone(),
                    scores: fake.scores.clone(),
                    features: fake.features.clone(),
                }
            };
            objective.generator_loss(&Pair { real, fake })
        };
        let steps = self.config.training.unroll;
        if steps == 0 {
            // Nobody needs the discriminator's own gradients.
            let loss = generator_loss(&self.discriminator.clone().no_grad(), fake.clone());
            return (loss.clone().inner(), loss.backward());
        }
        let real = self.seen(real.clone(), *draw, Look::RealByDiscriminator);
        let discriminator_loss = |discriminator: &Discriminator, kinks: &Discriminator, fake: Tensor<4>| {
            let fake = self.seen(fake, *draw, Look::FakeByDiscriminator);
            let judge = |images| discriminator.judge_beside(kinks, images, condition);
            objective.discriminator_loss(&Pair { real: judge(real.clone()), fake: judge(fake) })
        };
        let lr = self.config.training.lr_d_at(step);
        let ahead = unrolled::unrolled(
            &self.discriminator,
            &self.optimizer_d,
            lr,
            steps,
            &fake.clone().detach(),
            discriminator_loss,
            generator_loss,
        );
        let loss = Tensor::from_floats([ahead.loss], &self.device.clone().inner());
        (loss, (fake.clone() * ahead.gradient).sum().backward())
    }

    pub(super) fn update_discriminator(&mut self, gradients: &mut Gradients, step: usize) {
        let lr = self.config.training.lr_d_at(step);
        self.optimizer_d.step(&mut self.discriminator, gradients, lr);
        let mut discriminator = self.discriminator.clone().iterated();
        if self.config.regularizer.weight_clip > 0.0 {
            discriminator = clipped(discriminator, self.config.regularizer.weight_clip);
        }
        self.discriminator = discriminator;
    }

    pub(super) fn update_generator(&mut self, gradients: &mut Gradients, step: usize) {
        let lr = self.config.training.lr_g_at(step);
        self.optimizer_g.step(&mut self.generator, gradients, lr);
        self.generator = self.generator.clone().iterated();
        average::update(&mut self.average, &self.generator, self.config.training.ema_decay, step);
    }
}

/// The gradient of the sum of the scores with respect to the images.
fn slopes(discriminator: &Discriminator, images: Tensor<4>, condition: &Condition) -> Tensor<4> {
    let images = images.require_grad();
    let scores = discriminator.clone().no_grad().judge(images.clone(), condition).scores;
    images.grad(&scores.sum().backward()).expect("scores depend on images")
}
