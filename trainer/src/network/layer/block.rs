//! Layers with a way around them.

use anyhow::Result;
use burn::module::Module;
use burn::tensor::Tensor;
use pocketgan_compiler::graph::{Binary, Op, Value};

use super::{Compute, Condition, Draft, Layer, iterated};

/// `body(x) + shortcut(x)`
///
/// # Source
/// He et al. 2016, "Identity Mappings in Deep Residual Networks", arXiv:1603.05027.
#[derive(Module, Debug)]
pub struct Residual {
    body: Vec<Layer>,
    /// None for `x` itself.
    shortcut: Vec<Layer>,
}

/// `x`, and after its channels those of `body(x)`.
///
/// # Source
/// Ronneberger et al. 2015, "U-Net", arXiv:1505.04597.
#[derive(Module, Debug)]
pub struct Skip {
    pub(super) body: Vec<Layer>,
}

impl Residual {
    /// Two ways whose results have the same shape.
    pub fn new(body: Vec<Layer>, shortcut: Vec<Layer>) -> Self {
        Self { body, shortcut }
    }

    pub(super) fn parts(&self) -> impl Iterator<Item = &Layer> {
        self.body.iter().chain(&self.shortcut)
    }

    pub(super) fn parts_mut(&mut self) -> impl Iterator<Item = &mut Layer> {
        self.body.iter_mut().chain(&mut self.shortcut)
    }

    pub(super) fn iterated(self) -> Self {
        Self { body: iterated(self.body), shortcut: iterated(self.shortcut) }
    }
}

impl Skip {
    /// Layers that keep height and width.
    pub fn new(body: Vec<Layer>) -> Self {
        Self { body }
    }

    pub(super) fn iterated(self) -> Self {
        Self { body: iterated(self.body) }
    }
}

impl Compute for Residual {
    fn forward(&self, x: Tensor<4>, condition: &Condition) -> Tensor<4> {
        self.body.forward(x.clone(), condition) + self.shortcut.forward(x, condition)
    }

    fn tangent(&self, x: Tensor<4>, v: Tensor<4>, condition: &Condition) -> [Tensor<4>; 2] {
        let [body, body_v] = self.body.tangent(x.clone(), v.clone(), condition);
        let [shortcut, shortcut_v] = self.shortcut.tangent(x, v, condition);
        [body + shortcut, body_v + shortcut_v]
    }

    fn beside(&self, kinks: &Self, x: Tensor<4>, at: Tensor<4>, condition: &Condition) -> [Tensor<4>; 2] {
        let [body, body_at] = self.body.beside(&kinks.body, x.clone(), at.clone(), condition);
        let [shortcut, shortcut_at] = self.shortcut.beside(&kinks.shortcut, x, at, condition);
        [body + shortcut, body_at + shortcut_at]
    }

    fn draft(&self, draft: &mut Draft<'_>, name: &str, x: Value) -> Result<Value> {
        let body = self.body.draft(draft, &format!("{name}.body"), x)?;
        let shortcut = self.shortcut.draft(draft, &format!("{name}.shortcut"), x)?;
        draft.graph.push(format!("{name}.sum"), Op::Binary(Binary::Add), vec![body, shortcut])
    }
}

impl Compute for Skip {
    fn forward(&self, x: Tensor<4>, condition: &Condition) -> Tensor<4> {
        let body = self.body.forward(x.clone(), condition);
        Tensor::cat(vec![x, body], 1)
    }

    fn tangent(&self, x: Tensor<4>, v: Tensor<4>, condition: &Condition) -> [Tensor<4>; 2] {
        let [body, body_v] = self.body.tangent(x.clone(), v.clone(), condition);
        [Tensor::cat(vec![x, body], 1), Tensor::cat(vec![v, body_v], 1)]
    }

    fn beside(&self, kinks: &Self, x: Tensor<4>, at: Tensor<4>, condition: &Condition) -> [Tensor<4>; 2] {
        let [body, body_at] = self.body.beside(&kinks.body, x.clone(), at.clone(), condition);
        [Tensor::cat(vec![x, body], 1), Tensor::cat(vec![at, body_at], 1)]
    }

    fn draft(&self, draft: &mut Draft<'_>, name: &str, x: Value) -> Result<Value> {
        let body = self.body.draft(draft, &format!("{name}.body"), x)?;
        draft.graph.push(format!("{name}.concat"), Op::Concat { axis: 1 }, vec![x, body])
    }
}
