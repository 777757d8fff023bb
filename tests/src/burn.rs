//! Runs the graph of a trained network on burn: a second implementation of its operations.

use burn::tensor::ops::{ConvOptions, ConvTransposeOptions};
use burn::tensor::{Device, Tensor as Burn, TensorData, activation, module};
use pocketgan_compiler::graph::{Graph, Op, Tensor, Unary};

/// Pictures `[N, C, H, W]` of latent vectors `[N, latent_dim]`.
///
/// # Panics
/// When the graph is no chain of the operations that trained networks have.
pub fn evaluate(graph: &Graph, latents: &[f32]) -> Vec<f32> {
    let device = Device::flex();
    let batch = latents.len() / graph.latent_dim();
    let mut x: Burn<4> =
        Burn::from_data(TensorData::new(latents.to_vec(), [batch, graph.latent_dim(), 1, 1]), &device);
    for (value, node) in graph.nodes() {
        let shape = graph.shape(value);
        let axis = |i: usize| shape.get(i).copied().unwrap_or(1);
        x = apply(&node.op, x, &device).reshape([batch, axis(1), axis(2), axis(3)]);
    }
    x.into_data().try_to_vec().expect("the CPU device computes in f32")
}

fn apply(op: &Op, x: Burn<4>, device: &Device) -> Burn<4> {
    match op {
        Op::Dense { weight, bias } => {
            let [batch, c, h, w] = x.dims();
            let y = x.reshape([batch, c * h * w]).matmul(load::<2>(weight, device).transpose());
            let y = match bias {
                Some(bias) => y + load::<1>(bias, device).unsqueeze(),
                None => y,
            };
            y.unsqueeze_dims(&[2, 3])
        }
        Op::Conv2d { weight, bias, geometry: g } => {
            let [top, left, bottom, right] = g.padding;
            let padding = [(top, bottom), (left, right)];
            let options = ConvOptions::new_with_padding(g.stride, padding, g.dilation, g.groups);
            module::conv2d(x, load(weight, device), bias.as_ref().map(|b| load(b, device)), options)
        }
        Op::ConvTranspose2d { weight, bias, geometry: g } => {
            let options = ConvTransposeOptions::new(g.stride, [0, 0], g.output_padding, g.dilation, g.groups);
            let bias = bias.as_ref().map(|b| load(b, device));
            let y = module::conv_transpose2d(x, load(weight, device), bias, options);
            // burn cuts the same from both sides; this cuts any.
            let [top, left, bottom, right] = g.padding;
            let [batch, c, h, w] = y.dims();
            y.slice([0..batch, 0..c, top..h - bottom, left..w - right])
        }
        Op::BatchNorm { gamma, beta, mean, variance, epsilon } => {
            let per_channel = |t: &Tensor| load::<1>(t, device).reshape([1, -1, 1, 1]);
            let deviation = per_channel(variance).add_scalar(*epsilon).sqrt();
            (x - per_channel(mean)) / deviation * per_channel(gamma) + per_channel(beta)
        }
        Op::Unary(Unary::Relu) => activation::relu(x),
        Op::Unary(Unary::LeakyRelu(slope)) => activation::leaky_relu(x, f64::from(*slope)),
        Op::Unary(Unary::Tanh) => activation::tanh(x),
        Op::Unary(Unary::Sigmoid) => activation::sigmoid(x),
        Op::Reshape(_) => x,
        op => panic!("no network that is trained here has {op:?}"),
    }
}

fn load<const D: usize>(tensor: &Tensor, device: &Device) -> Burn<D> {
    Burn::from_data(TensorData::new(tensor.data.clone(), tensor.shape.clone()), device)
}
