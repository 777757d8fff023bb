//! Networks that grow: stages that are faded in one after the other.

use anyhow::{Result, ensure};
use burn::module::Module;
use burn::tensor::Tensor;
use pocketgan_compiler::graph::{self, Binary, Op, Value};

use super::{AveragePool, Compute, Condition, Draft, Layer, Upsample, iterated};

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
    resize: Vec<Layer>,
    #[module(skip)]
    growth: Growth,
}

/// The lower part of a discriminator: the same in the other direction.
#[derive(Module, Debug)]
pub struct Shrinking {
    stages: Vec<Stage>,
    resize: Vec<Layer>,
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
    ($layer:ident, $resize:expr) => {
        impl $layer {
            /// Fully grown. From the smallest picture to the largest.
            ///
            /// # Panics
            /// Without a stage.
            pub fn new(stages: Vec<Stage>) -> Self {
                let growth = grown(&stages);
                Self { stages, resize: vec![$resize], growth }
            }

            fn part(&self, part: Part) -> &Vec<Layer> {
                match part {
                    Part::Body(stage) => &self.stages[stage].body,
                    Part::Image(stage) => &self.stages[stage].image,
                    Part::Resize => &self.resize,
                }
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
                Self { stages: self.stages.into_iter().map(Stage::iterated).collect(), ..self }
            }
        }
    };
}

grows!(Growing, Layer::Upsample(Upsample::new(2)));
grows!(Shrinking, Layer::AveragePool(AveragePool::new(2)));

/// A part of a network that grows.
#[derive(Clone, Copy)]
enum Part {
    Body(usize),
    Image(usize),
    /// To the next size.
    Resize,
}

impl Growing {
    /// The way through the stages of whatever follows it: a tensor, or a pair of tensors.
    fn run<S: Clone>(&self, x: S, through: impl Fn(S, Part) -> S, mixed: impl Fn(S, S, f64) -> S) -> S {
        let Growth { stage: newest, share } = self.growth;
        let mut x = through(x, Part::Body(0));
        let mut before = None;
        for stage in 1..=newest {
            before = Some(x.clone());
            x = through(x, Part::Body(stage));
        }
        let mut image = through(x, Part::Image(newest));
        if let Some(before) = before.filter(|_| share < 1.0) {
            let before = through(through(before, Part::Image(newest - 1)), Part::Resize);
            image = mixed(image, before, share);
        }
        (newest + 1..self.stages.len()).fold(image, |image, _| through(image, Part::Resize))
    }
}

impl Shrinking {
    /// The same in the other direction.
    fn run<S: Clone>(&self, image: S, through: impl Fn(S, Part) -> S, mixed: impl Fn(S, S, f64) -> S) -> S {
        let Growth { stage: newest, share } = self.growth;
        let image = (newest + 1..self.stages.len()).fold(image, |image, _| through(image, Part::Resize));
        let mut x = through(through(image.clone(), Part::Image(newest)), Part::Body(newest));
        for stage in (0..newest).rev() {
            if stage + 1 == newest && share < 1.0 {
                let before = through(through(image.clone(), Part::Resize), Part::Image(stage));
                x = mixed(x, before, share);
            }
            x = through(x, Part::Body(stage));
        }
        x
    }
}

fn mixed_pair([a, b]: [Tensor<4>; 2], [other_a, other_b]: [Tensor<4>; 2], share: f64) -> [Tensor<4>; 2] {
    [mixed(a, other_a, share), mixed(b, other_b, share)]
}

macro_rules! computes {
    ($layer:ident, $self:ident, $draft:ident, $name:ident, $x:ident => $body:expr) => {
        impl Compute for $layer {
            fn forward(&self, x: Tensor<4>, condition: &Condition) -> Tensor<4> {
                self.run(x, |x, part| self.part(part).forward(x, condition), mixed)
            }

            fn tangent(&self, x: Tensor<4>, v: Tensor<4>, condition: &Condition) -> [Tensor<4>; 2] {
                self.run([x, v], |[x, v], part| self.part(part).tangent(x, v, condition), mixed_pair)
            }

            fn beside(
                &self,
                kinks: &Self,
                x: Tensor<4>,
                at: Tensor<4>,
                condition: &Condition,
            ) -> [Tensor<4>; 2] {
                let through =
                    |[x, at]: [Tensor<4>; 2], part| self.part(part).beside(kinks.part(part), x, at, condition);
                self.run([x, at], through, mixed_pair)
            }

            fn draft(&$self, $draft: &mut Draft<'_>, $name: &str, $x: Value) -> Result<Value> {
                $body
            }
        }
    };
}

computes!(Growing, self, draft, name, x => {
    let Growth { stage: newest, share } = self.growth;
    let (mut x, mut before) = (x, x);
    for (i, stage) in self.stages[..=newest].iter().enumerate() {
        before = x;
        x = stage.body.draft(draft, &format!("{name}.stages.{i}"), x)?;
    }
    let mut image = self.stages[newest].image.draft(draft, &format!("{name}.image"), x)?;
    if newest > 0 && share < 1.0 {
        let before = self.stages[newest - 1].image.draft(draft, &format!("{name}.before"), before)?;
        let before = self.resize.draft(draft, &format!("{name}.before.larger"), before)?;
        let [new, old] = [("new", image, share), ("old", before, 1.0 - share)].map(|(part, image, share)| {
            let share = graph::Tensor::new([1], vec![share as f32]);
            let share = draft.graph.push(format!("{name}.{part}.share"), Op::Constant(share), vec![])?;
            draft.graph.push(format!("{name}.{part}"), Op::Binary(Binary::Mul), vec![image, share])
        });
        image = draft.graph.push(format!("{name}.faded"), Op::Binary(Binary::Add), vec![new?, old?])?;
    }
    (newest + 1..self.stages.len())
        .try_fold(image, |image, i| self.resize.draft(draft, &format!("{name}.larger.{i}"), image))
});

computes!(Shrinking, self, draft, name, image => {
    ensure!(self.growth == grown(&self.stages), "{name} is not fully grown");
    let newest = self.stages.len() - 1;
    let x = self.stages[newest].image.draft(draft, &format!("{name}.image"), image)?;
    self.stages.iter().enumerate().rev().try_fold(x, |x, (i, stage)| {
        stage.body.draft(draft, &format!("{name}.stages.{i}"), x)
    })
});
