//! Images to scores.

use anyhow::{Context as _, Result, ensure};
use burn::module::{Module, Param};
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Tensor};
use pocketgan_compiler::graph::{Graph, Input, Role};

use super::layer::{
    ClassShift, Compute, Condition, Dense, Draft, FIRST_ITERATIONS, Growth, Layer, MinibatchStd, dense,
    iterated,
};
use super::posterior::{Posterior, PosteriorHead};
use super::{
    Architecture, Conditioning, DiscriminatorOutput, NetworkConfig, dcgan, initialized, mlp, multiplied,
    progressive, resnet,
};
use crate::objective::Judged;

/// Layers from an image to features, and what it says because of them.
#[derive(Module, Debug)]
pub struct Discriminator {
    layers: Vec<Layer>,
    head: Head,
}

/// From features to a score.
#[derive(Module, Debug)]
enum Head {
    Score(Score),
    Energy(Energy),
    ClassLoss(ClassLoss),
    Posterior(PosteriorHead),
}

/// `w . f + b`, and with classes the projection `e_y . f` on what the class looks for.
#[derive(Module, Debug)]
struct Score {
    dense: Dense,
    /// `[classes, F]`
    embedding: Option<Embedding>,
}

/// A row for each class.
#[derive(Module, Debug)]
struct Embedding {
    weight: Param<Tensor<2>>,
}

/// The mean squared difference between an image and what the decoder makes of its features.
#[derive(Module, Debug)]
struct Energy {
    decoder: Vec<Layer>,
    shape: FeatureShape,
}

/// The shape of features before they were flattened.
#[derive(Module, Debug)]
struct FeatureShape {
    channels: usize,
    height: usize,
    width: usize,
}

/// Minus the log-probability of the image's class.
#[derive(Module, Debug)]
struct ClassLoss {
    dense: Dense,
}

impl Discriminator {
    /// A discriminator with initial weights drawn from `seed`.
    pub fn new(config: &NetworkConfig, seed: u64, device: &Device) -> Self {
        let width = config.judge_width();
        let (mut layers, mut features) = match config.architecture {
            Architecture::Dcgan => (dcgan::discriminator(config, device), dcgan::features(config)),
            Architecture::Resnet => (resnet::discriminator(config, device), width),
            Architecture::Progressive => {
                (progressive::discriminator(config, device), progressive::features(config))
            }
            Architecture::Mlp => (mlp::discriminator(config, device), width),
        };
        let is_spectral = config.discriminator_norm == super::DiscriminatorNorm::Spectral;
        if config.minibatch_std > 0 {
            // In a resnet before the sum over all pixels.
            let last = layers.len() - usize::from(config.architecture == Architecture::Resnet);
            layers.insert(last, Layer::MinibatchStd(MinibatchStd::new(config.minibatch_std)));
            let is_picture = matches!(config.architecture, Architecture::Dcgan | Architecture::Progressive);
            features += if is_picture { config.base() * config.base() } else { 1 };
        }
        let is_projection = config.conditioning == Conditioning::Projection;
        // Fourier features have no weights.
        let first = usize::from(config.discriminator_octaves > 0);
        if config.classes > 0
            && !is_projection
            && config.discriminator_output == DiscriminatorOutput::Score
            && let Some(channels) = first_channels(&layers[first..])
        {
            layers.insert(first + 1, Layer::ClassShift(ClassShift::new(channels, config.classes, device)));
        }
        let head = match config.discriminator_output {
            DiscriminatorOutput::Score => Head::Score(Score {
                dense: Dense::new([features, 1], device).spectral(is_spectral),
                embedding: (config.classes > 0 && is_projection).then(|| Embedding {
                    weight: Param::from_tensor(Tensor::zeros([config.classes, features], device)),
                }),
            }),
            DiscriminatorOutput::Energy => {
                let (decoder, channels, size) = match config.architecture {
                    Architecture::Mlp => (mlp::decoder(config, device), features, 1),
                    _ => {
                        let base = config.base();
                        (dcgan::decoder(config, device), features / (base * base), base)
                    }
                };
                Head::Energy(Energy { decoder, shape: FeatureShape { channels, height: size, width: size } })
            }
            DiscriminatorOutput::ClassLoss => Head::ClassLoss(ClassLoss {
                dense: Dense::new([features, config.classes], device).spectral(is_spectral),
            }),
            DiscriminatorOutput::Posterior => {
                Head::Posterior(PosteriorHead::new(features, config.latent_dim, is_spectral, device))
            }
        };
        let mut discriminator = initialized(Self { layers, head }, config.initialization, seed);
        if config.discriminator_frequency != 1.0
            && let Some(first) = discriminator.layers.get_mut(first)
        {
            *first = multiplied(first.clone(), config.discriminator_frequency);
        }
        (0..FIRST_ITERATIONS).fold(discriminator, |discriminator, _| discriminator.iterated())
    }

    /// What scores are made of.
    ///
    /// # Shapes
    /// `images`: `[N, pack * C, H, W]`; result: `[N, F]`.
    pub fn features(&self, images: Tensor<4>, condition: &Condition) -> Tensor<2> {
        dense::flat(self.layers.forward(images, condition))
    }

    /// Scores of images, and the features that they are made of. No sigmoid. The score of an encoder is the divergence of
    /// the posterior from the prior.
    ///
    /// # Shapes
    /// `images`: `[N, pack * C, H, W]`.
    pub fn judge(&self, images: Tensor<4>, condition: &Condition) -> Judged {
        let features = self.features(images.clone(), condition);
        let scores = match &self.head {
            Head::Score(head) => head.scores(features.clone(), condition),
            Head::Energy(head) => {
                let drawn = head.decoder.forward(head.shape.picture(features.clone()), condition);
                head.energies(drawn, &images)
            }
            Head::ClassLoss(head) => head.losses(features.clone(), condition),
            Head::Posterior(head) => head.posterior(features.clone(), condition).divergence(),
        };
        Judged { images, scores, features }
    }

    /// The same on the side of every kink of its layers where `kinks`, another discriminator of the same shape, is for these
    /// images: differences between discriminators near each other are then those of smooth functions.
    pub(crate) fn judge_beside(&self, kinks: &Self, images: Tensor<4>, condition: &Condition) -> Judged {
        let [x, at] = self.layers.beside(&kinks.layers, images.clone(), images.clone(), condition);
        let features = dense::flat(x);
        let scores = match (&self.head, &kinks.head) {
            (Head::Score(head), _) => head.scores(features.clone(), condition),
            (Head::Energy(head), Head::Energy(kinks)) => {
                let x = head.shape.picture(features.clone());
                let [drawn, _] = head.decoder.beside(&kinks.decoder, x, at, condition);
                head.energies(drawn, &images)
            }
            (Head::Energy(head), _) => head.energies(head.decoder.forward(at, condition), &images),
            (Head::ClassLoss(head), _) => head.losses(features.clone(), condition),
            (Head::Posterior(head), _) => head.posterior(features.clone(), condition).divergence(),
        };
        Judged { images, scores, features }
    }

    /// What an encoder says of the latents of images with these features; nothing where it is none.
    ///
    /// # Shapes
    /// `features`: `[N, F]`.
    pub fn posterior(&self, features: Tensor<2>, condition: &Condition) -> Option<Posterior> {
        match &self.head {
            Head::Posterior(head) => Some(head.posterior(features, condition)),
            _ => None,
        }
    }

    /// How the scores change when the images move along `v`. The derivative of the sum of the result by a weight is a second
    /// derivative, exact wherever there is one.
    ///
    /// # Shapes
    /// `images`, `v`: `[N, pack * C, H, W]`; result: `[N, 1]`.
    pub fn tangent(&self, images: Tensor<4>, v: Tensor<4>, condition: &Condition) -> Tensor<2> {
        let [features, features_v] =
            self.layers.tangent(images.clone(), v.clone(), condition).map(dense::flat);
        match &self.head {
            Head::Score(head) => head.scores_along(features_v, condition),
            Head::Energy(head) => {
                let [features, features_v] = [features, features_v].map(|f| head.shape.picture(f));
                let [drawn, drawn_v] = head.decoder.tangent(features, features_v, condition);
                dense::flat((drawn - images) * (drawn_v - v)).mean_dim(1).mul_scalar(2.0)
            }
            Head::ClassLoss(head) => {
                let logits = head.dense.matrix(features, condition);
                let logits_v = head.dense.linear(features_v, condition);
                let classes = condition.classes.clone().expect("a loss of classes is told them");
                let probabilities = log_softmax(logits, 1).exp();
                ((probabilities - classes) * logits_v).sum_dim(1)
            }
            Head::Posterior(head) => head.divergence_along(features, features_v, condition),
        }
    }

    /// The operations as they are for one image, normalized weights in place, for export.
    ///
    /// # Errors
    /// When scores depend on other images or on a class, or are no scores.
    pub fn graph(&self, [channels, height, width]: [usize; 3]) -> Result<Graph> {
        ensure!(
            !self.layers.iter().any(Layer::mixes_images),
            "a discriminator with batch normalization scores no image alone"
        );
        let Head::Score(Score { dense, embedding: None }) = &self.head else {
            anyhow::bail!("only a discriminator with one score for each image is exported");
        };
        let image =
            Input { name: "image".into(), role: Role::Image, shape: vec![1, channels, height, width] };
        let mut graph = Graph::new(vec![image]);
        let image = graph.input(0);
        let mut draft = Draft { graph: &mut graph, label: None };
        let features = self.layers.draft(&mut draft, "layers", image)?;
        dense.draft(&mut draft, "score", features).context("the score")?;
        Ok(graph)
    }

    /// With as much of its stages as they have grown, where it has any.
    pub(crate) fn with_growth(mut self, growth: Growth) -> Self {
        self.layers.iter_mut().for_each(|layer| layer.set_growth(growth));
        self
    }

    /// Whether the score of an image depends on others of its batch.
    pub fn mixes_images(&self) -> bool {
        self.layers.iter().any(Layer::mixes_images)
    }

    /// The weight of a first dense layer.
    #[cfg(test)]
    pub(super) fn first_weight(&self) -> Tensor<2> {
        let Some(Layer::Dense(layer)) = self.layers.first() else { panic!("the first layer is another one") };
        layer.weight.val()
    }

    /// Lets the spectral norms, if there are any, follow the weights by a step of power iteration.
    pub(crate) fn iterated(self) -> Self {
        let head = match self.head {
            Head::Score(head) => Head::Score(Score { dense: head.dense.iterated(), ..head }),
            Head::Energy(head) => Head::Energy(Energy { decoder: iterated(head.decoder), ..head }),
            Head::ClassLoss(head) => Head::ClassLoss(ClassLoss { dense: head.dense.iterated() }),
            Head::Posterior(head) => Head::Posterior(head.iterated()),
        };
        Self { layers: iterated(self.layers), head }
    }
}

/// Channels after the first layer, where it is a linear one, or the largest of linear ones.
fn first_channels(layers: &[Layer]) -> Option<usize> {
    match layers.first()? {
        Layer::Dense(layer) => Some(layer.weight.dims()[1]),
        Layer::Maxout(layer) => Some(layer.outputs()),
        Layer::Convolution(layer) => Some(layer.weight.dims()[0]),
        _ => None,
    }
}

impl Score {
    fn scores(&self, features: Tensor<2>, condition: &Condition) -> Tensor<2> {
        let scores = self.dense.matrix(features.clone(), condition);
        match &self.embedding {
            Some(embedding) => scores + embedding.projection(features, condition),
            None => scores,
        }
    }

    fn scores_along(&self, features_v: Tensor<2>, condition: &Condition) -> Tensor<2> {
        let scores = self.dense.linear(features_v.clone(), condition);
        match &self.embedding {
            Some(embedding) => scores + embedding.projection(features_v, condition),
            None => scores,
        }
    }
}

impl Embedding {
    fn projection(&self, features: Tensor<2>, condition: &Condition) -> Tensor<2> {
        let classes = condition.classes.clone().expect("a projection on a class is told it");
        (classes.matmul(self.weight.val()) * features).sum_dim(1)
    }
}

impl FeatureShape {
    fn picture(&self, features: Tensor<2>) -> Tensor<4> {
        let n = features.dims()[0];
        features.reshape([n, self.channels, self.height, self.width])
    }
}

impl Energy {
    fn energies(&self, drawn: Tensor<4>, images: &Tensor<4>) -> Tensor<2> {
        dense::flat((drawn - images.clone()).square()).mean_dim(1)
    }
}

impl ClassLoss {
    fn losses(&self, features: Tensor<2>, condition: &Condition) -> Tensor<2> {
        let classes = condition.classes.clone().expect("a loss of classes is told them");
        (log_softmax(self.dense.matrix(features, condition), 1) * classes).sum_dim(1).neg()
    }
}
