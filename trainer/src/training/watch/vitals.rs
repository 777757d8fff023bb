//! One look at both networks.

use burn::module::Module;
use burn::tensor::{Tensor, TensorData};

use crate::config::Config;
use crate::dataset::Dataset;
use crate::network::{Condition, values};
use crate::regularizer::packed;
use crate::training::noise::{self, Stream};
use crate::training::{Trainer, normal};

/// How both networks do at one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Vitals {
    /// Steps done.
    pub step: usize,
    /// Share of the pairs of a real and a generated image that the discriminator orders rightly: 1 where it tells all apart, 1/2
    /// where it guesses. It asks for no threshold, and so means the same for every objective.
    pub ordered: f32,
    /// Mean distance of two generated images, as a part of that of two real ones: 0 where all are the same.
    pub diversity: f32,
}

/// The images and latents of all looks of a run.
pub(super) struct Subjects {
    /// `[count, C, H, W]`
    real: Vec<f32>,
    shape: [usize; 3],
    /// Their classes, if the networks are told them.
    labels: Option<Vec<usize>>,
    count: usize,
    real_distance: f64,
}

/// Images of each kind.
const COUNT: usize = 64;

impl Subjects {
    /// Draws them; none when the data set is too small to tell diversity.
    pub(super) fn choose(config: &Config, train: &Dataset) -> Option<Self> {
        let count = COUNT.min(train.len()) / config.network.pack * config.network.pack;
        if count < 2 {
            return None;
        }
        let seed = noise::seed_of(config.seed, Stream::Watch, 0);
        let indices = noise::permutation(seed, train.len());
        let indices: Vec<usize> = indices[..count].iter().map(|&index| index as usize).collect();
        let label = |&index: &usize| Some(train.label(index)? as usize);
        let labels = (config.network.classes > 0).then(|| indices.iter().map(label).collect()).flatten();
        let real = train.images(&indices);
        let real_distance = mean_distance(&real, count);
        Some(Self { real, shape: train.shape(), labels, count, real_distance })
    }

    /// Looks at the networks as they are in training, with copies, whose running statistics are their own.
    pub(super) fn look(&self, trainer: &Trainer) -> Vitals {
        let network = &trainer.config.network;
        let generator = trainer.generator.valid().train().no_grad();
        let discriminator = trainer.discriminator.valid().train().no_grad();
        let device = &trainer.device;
        let condition = match &self.labels {
            Some(labels) => Condition::new(labels, network.classes, device),
            None => Condition::default(),
        };
        let seed = noise::seed_of(trainer.config.seed, Stream::Watch, 1);
        let latents = normal(self.count, network.latent_dim, seed, device);
        let fake = generator.forward_in(latents, &condition);
        let [c, h, w] = self.shape;
        let real = Tensor::from_data(TensorData::new(self.real.clone(), [self.count, c, h, w]), device);
        let judge = |images| values(discriminator.judge(packed(images, network.pack), &condition).scores);
        let (real_scores, fake_scores) = (judge(real), judge(fake.clone()));
        let (high, low) = if trainer.config.objective.real_is_high() {
            (real_scores, fake_scores)
        } else {
            (fake_scores, real_scores)
        };
        let distance = mean_distance(&values(fake), self.count);
        // Real images that are all the same ask for no diversity.
        let diversity = if self.real_distance > 0.0 { distance / self.real_distance } else { 1.0 };
        Vitals {
            step: trainer.step_count(),
            ordered: ordered_share(&high, &low) as f32,
            diversity: diversity as f32,
        }
    }
}

/// Share of all pairs in which `high` is above `low`; equals count half.
///
/// # Source
/// The statistic of Mann and Whitney 1947, which is the area under the ROC curve (Hanley and McNeil 1982).
fn ordered_share(high: &[f32], low: &[f32]) -> f64 {
    let points =
        |high: f32| low.iter().map(|&low| f64::from(high > low) + f64::from(high >= low)).sum::<f64>();
    high.iter().map(|&high| points(high)).sum::<f64>() / (2 * high.len() * low.len()) as f64
}

/// Mean Euclidean distance of two of `count` images.
fn mean_distance(images: &[f32], count: usize) -> f64 {
    let images: Vec<&[f32]> = images.chunks_exact(images.len() / count).collect();
    let distance =
        |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt();
    let sum: f64 =
        images.iter().enumerate().flat_map(|(i, a)| images[..i].iter().map(move |b| distance(a, b))).sum();
    sum / (count * (count - 1) / 2) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_count_by_hand() {
        assert_eq!(ordered_share(&[2.0, 3.0], &[0.0, 1.0]), 1.0);
        assert_eq!(ordered_share(&[0.0, 1.0], &[2.0, 3.0]), 0.0);
        assert_eq!(ordered_share(&[1.0], &[1.0]), 0.5);
        // 3 > 0, 3 > 2, 1 > 0, but not 1 > 2.
        assert_eq!(ordered_share(&[1.0, 3.0], &[0.0, 2.0]), 0.75);
    }

    #[test]
    fn distances_count_by_hand() {
        // A triangle of the sides 3, 4 and 5.
        assert_eq!(mean_distance(&[0.0, 0.0, 3.0, 0.0, 0.0, 4.0], 3), 4.0);
        assert_eq!(mean_distance(&[0.5; 8], 4), 0.0);
    }
}
