//! Self-attention between the pixels of a picture.

use anyhow::{Result, ensure};
use burn::module::{Module, Param};
use burn::tensor::activation::softmax;
use burn::tensor::{Device, Tensor};
use pocketgan_compiler::graph::{Binary, Op, Reduction, Value};

use super::{AveragePool, Compute, Condition, Convolution, Draft};
use crate::network::graph_tensor;

/// `x + sigma o(softmax(theta(x)^T phi(x)) g(x))`: `theta`, `phi`, `g` and `o` are 1x1 convolutions, `phi` and `g` of the
/// picture at half its size.
///
/// The reference code takes maxima where this takes means of 2x2: their gradient, and their tangent, do not jump.
///
/// # Source
/// Zhang et al. 2019, "Self-Attention Generative Adversarial Networks", arXiv:1805.08318, and its code: C/8 channels for
/// `theta` and `phi`, C/2 for `g`.
#[derive(Module, Debug)]
pub struct Attention {
    theta: Convolution,
    phi: Convolution,
    g: Convolution,
    o: Convolution,
    /// Starts at 0: the layer begins as nothing. `[1]`
    sigma: Param<Tensor<1>>,
}

impl Attention {
    /// For so many channels.
    pub fn new(channels: usize, spectral: bool, device: &Device) -> Self {
        let (keys, values) = ((channels / 8).max(1), (channels / 2).max(1));
        let one = |inputs, outputs| {
            Convolution::new([inputs, outputs], 1, 1, 0, device).with_bias(false).spectral(spectral)
        };
        Self {
            theta: one(channels, keys),
            phi: one(channels, keys),
            g: one(channels, values),
            o: one(values, channels),
            sigma: Param::from_tensor(Tensor::zeros([1], device)),
        }
    }

    pub(super) fn iterated(self) -> Self {
        Self {
            theta: self.theta.iterated(),
            phi: self.phi.iterated(),
            g: self.g.iterated(),
            o: self.o.iterated(),
            sigma: self.sigma,
        }
    }

    fn sigma(&self) -> Tensor<4> {
        self.sigma.val().reshape([1; 4])
    }

    /// The maps for `x`: `[N, keys, P]`, `[N, keys, P / 4]`, `[N, values, P / 4]`.
    fn maps(&self, x: Tensor<4>, condition: &Condition) -> [Tensor<3>; 3] {
        let small = AveragePool::new(2).forward(x.clone(), condition);
        let flat = |map: Tensor<4>| map.flatten::<3>(2, 3);
        let [theta, phi, g] = [(&self.theta, x), (&self.phi, small.clone()), (&self.g, small)]
            .map(|(layer, x)| flat(layer.forward(x, condition)));
        [theta, phi, g]
    }
}

impl Compute for Attention {
    fn forward(&self, x: Tensor<4>, condition: &Condition) -> Tensor<4> {
        let product = |a, b| condition.precision.product(a, b, Tensor::matmul);
        let [theta, phi, g] = self.maps(x.clone(), condition);
        let weights = softmax(product(theta.swap_dims(1, 2), phi), 2);
        let seen = product(g, weights.swap_dims(1, 2));
        let [n, _, height, width] = x.dims();
        let seen = seen.reshape([n as i32, -1, height as i32, width as i32]);
        x + self.o.forward(seen, condition) * self.sigma()
    }

    fn tangent(&self, x: Tensor<4>, v: Tensor<4>, condition: &Condition) -> [Tensor<4>; 2] {
        let product = |a, b| condition.precision.product(a, b, Tensor::matmul);
        let [theta, phi, g] = self.maps(x.clone(), condition);
        // Without biases the maps are linear.
        let [theta_v, phi_v, g_v] = self.maps(v.clone(), condition);
        let weights = softmax(product(theta.clone().swap_dims(1, 2), phi.clone()), 2);
        let scores_v = product(theta_v.swap_dims(1, 2), phi) + product(theta.swap_dims(1, 2), phi_v);
        let weighted = weights.clone() * scores_v;
        let weights_v = weighted.clone() - weights.clone() * weighted.sum_dim(2);
        let seen = product(g.clone(), weights.clone().swap_dims(1, 2));
        let seen_v = product(g_v, weights.swap_dims(1, 2)) + product(g, weights_v.swap_dims(1, 2));
        let [n, _, height, width] = x.dims();
        let picture = |seen: Tensor<3>| seen.reshape([n as i32, -1, height as i32, width as i32]);
        let o = |seen| self.o.forward(picture(seen), condition) * self.sigma();
        [x + o(seen), v + o(seen_v)]
    }

    fn draft(&self, draft: &mut Draft<'_>, name: &str, x: Value) -> Result<Value> {
        let [_, channels, height, width] = *draft.graph.shape(x) else {
            anyhow::bail!("{name} reads a picture, not {:?}", draft.graph.shape(x));
        };
        ensure!(height % 2 == 0 && width % 2 == 0, "{name} halves pictures of {height}x{width}");
        let small = AveragePool::new(2).draft(draft, &format!("{name}.half"), x)?;
        let theta = self.theta.draft(draft, &format!("{name}.theta"), x)?;
        let phi = self.phi.draft(draft, &format!("{name}.phi"), small)?;
        let g = self.g.draft(draft, &format!("{name}.g"), small)?;
        let graph = &mut *draft.graph;
        let mut push = |part: &str, op, inputs| graph.push(format!("{name}.{part}"), op, inputs);
        let (pixels, seen) = (height * width, height * width / 4);
        let keys = (channels / 8).max(1);
        let values = (channels / 2).max(1);
        let theta = push("theta.flat", Op::Reshape(vec![keys, pixels]), vec![theta])?;
        let phi = push("phi.flat", Op::Reshape(vec![keys, seen]), vec![phi])?;
        let g = push("g.flat", Op::Reshape(vec![values, seen]), vec![g])?;
        // Labels: 0 keys, 1 pixels, 2 pixels seen, 3 values.
        let scores = Op::Contract { a: vec![0, 1], b: vec![0, 2], out: vec![1, 2] };
        let scores = push("scores", scores, vec![theta, phi])?;
        let along = |reduction| Op::Reduce { reduction, axes: vec![1] };
        let largest = push("max", along(Reduction::Max), vec![scores])?;
        let weights = push("exp", Op::Binary(Binary::ExpSub), vec![scores, largest])?;
        let sum = push("sum", along(Reduction::Sum), vec![weights])?;
        let weights = push("softmax", Op::Binary(Binary::Div), vec![weights, sum])?;
        let read = Op::Contract { a: vec![3, 2], b: vec![1, 2], out: vec![3, 1] };
        let read = push("read", read, vec![g, weights])?;
        let read = push("picture", Op::Reshape(vec![1, values, height, width]), vec![read])?;
        let o = self.o.draft(draft, &format!("{name}.o"), read)?;
        let graph = &mut *draft.graph;
        let mut push = |part: &str, op, inputs| graph.push(format!("{name}.{part}"), op, inputs);
        let sigma = push("sigma", Op::Constant(graph_tensor(self.sigma())), vec![])?;
        let o = push("scaled", Op::Binary(Binary::Mul), vec![o, sigma])?;
        push("around", Op::Binary(Binary::Add), vec![x, o])
    }
}
