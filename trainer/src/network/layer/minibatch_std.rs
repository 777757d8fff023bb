//! Minibatch standard deviation.

use anyhow::{Result, bail};
use burn::module::Module;
use burn::tensor::Tensor;

use super::{Compute, Condition, Draft};
use crate::graph::Value;

/// `[N, C, H, W]` to `[N, C + 1, H, W]`: the last channel is, for each group of images, the mean over all values of their
/// standard deviation in the group. Groups are neighbours in the batch; a batch that is no whole number of them is one.
///
/// # Source
/// Karras et al. 2018, "Progressive Growing of GANs", arXiv:1710.10196, section 3.
#[derive(Module, Debug)]
pub struct MinibatchStd {
    group: usize,
}

/// Added to variances, so that equal images have a gradient.
const EPSILON: f64 = 1e-8;

impl MinibatchStd {
    /// With groups of so many images.
    pub fn new(group: usize) -> Self {
        Self { group }
    }

    fn groups(&self, x: Tensor<4>) -> Tensor<3> {
        let [n, c, h, w] = x.dims();
        let group = if n.is_multiple_of(self.group) { self.group } else { n };
        x.reshape([n / group, group, c * h * w])
    }

    /// One number for each group, as a channel after those of `x`.
    fn append(x: Tensor<4>, of_group: Tensor<1>) -> Tensor<4> {
        let [n, _, h, w] = x.dims();
        let groups = of_group.dims()[0];
        let channel = of_group.reshape([groups, 1]).repeat_dim(1, n / groups).reshape([n, 1, 1, 1]);
        Tensor::cat(vec![x, channel.expand([n, 1, h, w])], 1)
    }
}

impl Compute for MinibatchStd {
    fn forward(&self, x: Tensor<4>, _: &Condition) -> Tensor<4> {
        let groups = self.groups(x.clone());
        let centred = groups.clone() - groups.mean_dim(1);
        let deviation = centred.square().mean_dim(1).add_scalar(EPSILON).sqrt();
        let count = deviation.dims()[0];
        Self::append(x, deviation.mean_dim(2).reshape([count]))
    }

    fn tangent(&self, x: Tensor<4>, v: Tensor<4>, _: &Condition) -> [Tensor<4>; 2] {
        let [groups, moved] = [x.clone(), v.clone()].map(|x| {
            let groups = self.groups(x);
            groups.clone() - groups.mean_dim(1)
        });
        let deviation = groups.clone().square().mean_dim(1).add_scalar(EPSILON).sqrt();
        let deviation_v = (groups * moved).mean_dim(1) / deviation.clone();
        let count = deviation.dims()[0];
        let of_group = |values: Tensor<3>| values.mean_dim(2).reshape([count]);
        [Self::append(x, of_group(deviation)), Self::append(v, of_group(deviation_v))]
    }

    fn draft(&self, _: &mut Draft<'_>, name: &str, _: Value) -> Result<Value> {
        bail!("{name} compares the images of a batch, and there is only one")
    }
}
