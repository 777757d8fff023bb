//! Networks that grow: stages that are faded in one after the other.

use anyhow::{Result, ensure};
use burn::module::Module;
use burn::tensor::Tensor;

use super::{AveragePool, Compute, Condition, Draft, Layer, Upsample, iterated};
use crate::graph::Value;

/// How far a network has grown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Growth {
    /// Number of stages before the newest one.
    pub stage: usize,
    /// Share of the newest stage in the result, above 0; the rest is that of the one before.
    pub share: f64,
}

/// The upper part of a generator: stages that double a picture, and for each a layer that makes an image of it. Images of early
/// stages are enlarged, each pixel several times, so that all have one size.
///
/// # Source
/// Karras et al. 2018, "Progressive Growing of GANs", arXiv:1710.10196, section 2.
#[derive(Module, Debug)]
pub struct Growing {
    stages: Vec<Stage>,
    #[module(skip)]
    growth: Growth,
}

/// The lower part of a discriminator: the same in the other direction.
#[derive(Module, Debug)]
pub struct Shrinking {
    stages: Vec<Stage>,
    #[module(skip)]
    growth: Growth,
}

/// Layers of one size.
#[derive(Module, Debug)]
pub struct Stage {
    /// From the smaller picture, or, in a discriminator, to it.
    body: Vec<Layer>,
    /// To an image, or from one.
    image: Vec<Layer>,
}

impl Stage {
    /// Of its two parts.
    pub fn new(body: Vec<Layer>, image: Vec<Layer>) -> Self {
        Self { body, image }
    }

    fn iterated(self) -> Self {
        Self { body: iterated(self.body), image: iterated(self.image) }
    }
}

fn grown(stages: &[Stage]) -> Growth {
    Growth { stage: stages.len() - 1, share: 1.0 }
}

/// `a share + b (1 - share)`
fn mixed(a: Tensor<4>, b: Tensor<4>, share: f64) -> Tensor<4> {
    a.mul_scalar(share) + b.mul_scalar(1.0 - share)
}

macro_rules! grows {
    ($layer:ident) => {
        impl $layer {
            /// Fully grown. From the smallest picture to the largest.
            ///
            /// # Panics
            /// Without a stage.
            pub fn new(stages: Vec<Stage>) -> Self {
                let growth = grown(&stages);
                Self { stages, growth }
            }

            pub(super) fn set_growth(&mut self, growth: Growth) {
                self.growth = Growth { stage: growth.stage.min(self.stages.len() - 1), ..growth };
            }

            pub(super) fn parts(&self) -> impl Iterator<Item = &Layer> {
                self.stages.iter().flat_map(|stage| stage.body.iter().chain(&stage.image))
            }

            pub(super) fn parts_mut(&mut self) -> impl Iterator<Item = &mut Layer> {
                self.stages.iter_mut().flat_map(|stage| stage.body.iter_mut().chain(&mut stage.image))
            }

            pub(super) fn iterated(self) -> Self {
                Self { stages: self.stages.into_iter().map(Stage::iterated).collect(), growth: self.growth }
            }
        }
    };
}

grows!(Growing);
grows!(Shrinking);

/// The same steps for one tensor, and for a tensor with its tangent.
trait Steps: Clone {
    fn through(self, layers: &Vec<Layer>, condition: &Condition) -> Self;
    fn mixed(self, other: Self, share: f64) -> Self;
}

impl Steps for Tensor<4> {
    fn through(self, layers: &Vec<Layer>, condition: &Condition) -> Self {
        layers.forward(self, condition)
    }

    fn mixed(self, other: Self, share: f64) -> Self {
        mixed(self, other, share)
    }
}

impl Steps for [Tensor<4>; 2] {
    fn through(self, layers: &Vec<Layer>, condition: &Condition) -> Self {
        let [x, v] = self;
        layers.tangent(x, v, condition)
    }

    fn mixed(self, other: Self, share: f64) -> Self {
        let ([x, v], [other_x, other_v]) = (self, other);
        [mixed(x, other_x, share), mixed(v, other_v, share)]
    }
}

impl Growing {
    fn run<S: Steps>(&self, x: S, condition: &Condition) -> S {
        let Growth { stage: newest, share } = self.growth;
        let larger = vec![Layer::Upsample(Upsample::new())];
        let (mut x, mut image, mut before) = (x, None, None);
        for stage in &self.stages[..=newest] {
            x = x.through(&stage.body, condition);
            before = image.take();
            image = Some(x.clone());
        }
        let mut image = x.through(&self.stages[newest].image, condition);
        if let Some(before) = before.filter(|_| share < 1.0) {
            let before =
                before.through(&self.stages[newest - 1].image, condition).through(&larger, condition);
            image = image.mixed(before, share);
        }
        (newest + 1..self.stages.len()).fold(image, |image, _| image.through(&larger, condition))
    }
}

impl Shrinking {
    fn run<S: Steps>(&self, image: S, condition: &Condition) -> S {
        let Growth { stage: newest, share } = self.growth;
        let smaller = vec![Layer::AveragePool(AveragePool::new())];
        let skipped = self.stages.len() - 1 - newest;
        let image = (0..skipped).fold(image, |image, _| image.through(&smaller, condition));
        let stage = &self.stages[newest];
        let mut x = image.clone().through(&stage.image, condition).through(&stage.body, condition);
        for (i, stage) in self.stages[..newest].iter().enumerate().rev() {
            if i + 1 == newest && share < 1.0 {
                let image = image.clone().through(&smaller, condition).through(&stage.image, condition);
                x = x.mixed(image, share);
            }
            x = x.through(&stage.body, condition);
        }
        x
    }
}

impl Compute for Growing {
    fn forward(&self, x: Tensor<4>, condition: &Condition) -> Tensor<4> {
        self.run(x, condition)
    }

    fn tangent(&self, x: Tensor<4>, v: Tensor<4>, condition: &Condition) -> [Tensor<4>; 2] {
        self.run([x, v], condition)
    }

    fn draft(&self, draft: &mut Draft<'_>, name: &str, x: Value) -> Result<Value> {
        let Growth { stage: newest, share } = self.growth;
        ensure!(share >= 1.0, "{name} is being faded in; export it before or after");
        let stages = self.stages[..=newest].iter().enumerate();
        let x = stages
            .into_iter()
            .try_fold(x, |x, (i, stage)| stage.body.draft(draft, &format!("{name}.stages.{i}"), x))?;
        let image = self.stages[newest].image.draft(draft, &format!("{name}.image"), x)?;
        let larger = Upsample::new();
        (newest + 1..self.stages.len())
            .try_fold(image, |image, i| larger.draft(draft, &format!("{name}.larger.{i}"), image))
    }
}

impl Compute for Shrinking {
    fn forward(&self, image: Tensor<4>, condition: &Condition) -> Tensor<4> {
        self.run(image, condition)
    }

    fn tangent(&self, image: Tensor<4>, v: Tensor<4>, condition: &Condition) -> [Tensor<4>; 2] {
        self.run([image, v], condition)
    }

    fn draft(&self, draft: &mut Draft<'_>, name: &str, image: Value) -> Result<Value> {
        ensure!(self.growth == grown(&self.stages), "{name} is not fully grown");
        let newest = self.stages.len() - 1;
        let x = self.stages[newest].image.draft(draft, &format!("{name}.image"), image)?;
        self.stages
            .iter()
            .enumerate()
            .rev()
            .try_fold(x, |x, (i, stage)| stage.body.draft(draft, &format!("{name}.stages.{i}"), x))
    }
}
