//! The engine for computers, and the only file that names burn and its backends: burn derives the gradients of a whole batch.
//! It shares no formula with the engine for microcontrollers, and is what that is tested against.
//!
//! A tap GEMM is written as what its definition says: the pixels that the taps read, side by side, times a matrix.

use alloc::vec;
use alloc::vec::Vec;

use burn::tensor::activation::{leaky_relu, relu, sigmoid, tanh};
use burn::tensor::{Device, Int, Tensor, TensorData};
use pocketgan_format::PANEL;
use pocketgan_kernels::{Activation, Panels, TapGemm, f16_to_f32};
use pocketgan_runtime::{Kernels, dispatch};

use crate::augment::Augmentation;
use crate::chain::Layer;
use crate::engine::{Batch, Engine, Outcome, Values};
use crate::objective::Objective;
use crate::slots::{Kind, Slots};
use crate::task::{Network, Task};

/// The engine.
#[derive(Clone, Debug)]
pub struct Autodiff {
    name: &'static str,
    device: Device,
}

/// A network with the values that it has now, as one tensor whose gradient may be wanted.
struct Trained<'p> {
    network: &'p Network<'p>,
    values: Tensor<1>,
}

impl Autodiff {
    /// On burn-flex.
    #[cfg(feature = "flex")]
    pub fn flex() -> Self {
        Self::on("flex", Device::flex())
    }

    /// On burn-ndarray.
    #[cfg(feature = "ndarray")]
    #[allow(
        deprecated,
        reason = "burn prefers flex; ndarray builds without std, and is here to compare with"
    )]
    pub fn ndarray() -> Self {
        Self::on("ndarray", Device::ndarray())
    }

    /// On a device of burn, under the name of its backend.
    fn on(name: &'static str, device: Device) -> Self {
        Self { name, device: device.autodiff() }
    }

    fn trained<'p>(&self, network: &'p Network<'p>, values: &[f32], learns: bool) -> Trained<'p> {
        // Every network has some tensor, so that a slice of it exists.
        let padded = if values.is_empty() { vec![0.0; PANEL] } else { values.to_vec() };
        let values = self.tensor(padded, [values.len().max(PANEL)]);
        Trained { network, values: if learns { values.require_grad() } else { values } }
    }

    fn tensor<const D: usize>(&self, values: Vec<f32>, shape: [usize; D]) -> Tensor<D> {
        Tensor::from_data(TensorData::new(values, shape), &self.device)
    }

    fn indices(&self, indices: Vec<i32>) -> Tensor<1, Int> {
        let len = indices.len();
        Tensor::from_data(TensorData::new(indices, [len]), &self.device)
    }

    /// What the part that learns reads, of every pair: `[N, 1, features]`.
    fn features(&self, batch: &mut Batch<'_>, task: &Task<'_>) -> Tensor<3> {
        let len = task.features_len();
        let mut work = vec![0.0; batch.work_len()];
        let mut features = Vec::with_capacity(batch.pairs() * len);
        for pair in 0..batch.pairs() {
            batch.features(pair, &mut work);
            features.extend_from_slice(&work[..len]);
        }
        self.tensor(features, [batch.pairs(), 1, len])
    }

    /// The pictures of all pairs, `[N, pixels, channels]`.
    fn drawn(&self, task: &Task<'_>, generator: &Trained<'_>, batch: &mut Batch<'_>) -> Tensor<3> {
        let features = self.features(batch, task);
        let drawn = self.forward(generator, features);
        let [height, width, channels] = task.model().output_shape();
        drawn.reshape([batch.pairs(), height * width, channels])
    }

    /// Real pictures of all pairs, unchanged and changed.
    fn real(&self, task: &Task<'_>, batch: &Batch<'_>) -> [Tensor<3>; 2] {
        let shape = task.model().output_shape();
        let [height, width, channels] = shape;
        let mut values = vec![0.0; batch.pairs() * task.image_len()];
        values.chunks_exact_mut(task.image_len()).enumerate().for_each(|(i, image)| batch.real(i, image));
        let real = self.tensor(values, [batch.pairs(), height * width, channels]);
        let changes: Vec<Augmentation> = (0..batch.pairs()).map(|pair| batch.real_change(pair)).collect();
        [real.clone(), self.changed(task, real, &changes)]
    }

    /// Runs all layers; what flows is `[N, pixels, channels]`.
    fn forward(&self, trained: &Trained<'_>, input: Tensor<3>) -> Tensor<3> {
        let chain = &trained.network.chain;
        chain.layers().iter().fold(input, |flow, layer| self.layer(trained, layer, flow))
    }

    fn layer(&self, trained: &Trained<'_>, layer: &Layer, input: Tensor<3>) -> Tensor<3> {
        let slots = &trained.network.slots;
        let n = input.dims()[0];
        let mut parts = vec![];
        let mut places = vec![];
        let mut activation = Activation::Identity;
        for (step, gemm) in trained.network.chain.operations(layer) {
            let c = gemm.input.channels;
            let pixels = gemm.input.height * gemm.input.width;
            let (read, written) = paths(&gemm);
            let positions = written.len();
            let zero = Tensor::zeros([n, 1, c], &self.device);
            let padded = Tensor::cat(vec![input.clone().reshape([n, pixels, c]), zero], 1);
            let columns = padded.select(1, self.indices(read));
            let columns = columns.reshape([n * positions, gemm.taps.len() * c]);
            let weights = match slots.find(step.weights, Kind::Weights) {
                Some(range) => trained.values.clone().slice(range),
                None => {
                    let rows = frozen(gemm.weights);
                    let len = rows.len();
                    self.tensor(rows, [len])
                }
            };
            let matrix = matrix(weights, &gemm);
            let per_channel = |values: Tensor<1>| {
                let len = gemm.output.channels;
                values.slice(0..len).reshape([1, len])
            };
            let bias = match slots.find(step.bias, Kind::Bias) {
                Some(range) => trained.values.clone().slice(range),
                None => self.tensor(gemm.bias.to_vec(), [gemm.bias.len()]),
            };
            let mut output = columns.matmul(matrix) + per_channel(bias);
            if let Some(range) = slots.find(step.bias, Kind::Factor) {
                output = output * per_channel(trained.values.clone().slice(range));
            }
            parts.push(output.reshape([n, positions, gemm.output.channels]));
            places.extend(written);
            activation = gemm.activation;
        }
        // Where each pixel of the output lies among what the steps have computed one after the other.
        let mut order = vec![0; places.len()];
        places.iter().enumerate().for_each(|(at, &place)| order[place] = at as i32);
        let output = Tensor::cat(parts, 1);
        let output = if order.is_sorted() { output } else { output.select(1, self.indices(order)) };
        match activation {
            Activation::Identity => output,
            Activation::Relu => relu(output),
            Activation::LeakyRelu(slope) => leaky_relu(output, f64::from(slope)),
            Activation::Tanh => tanh(output),
            Activation::Sigmoid => sigmoid(output),
        }
    }

    /// Scores `[N]` of pictures.
    fn judged(&self, task: &Task<'_>, discriminator: &Trained<'_>, images: Tensor<3>) -> Tensor<1> {
        let head = task.head();
        let n = images.dims()[0];
        let found = self.forward(discriminator, images);
        let len = head.gemm.input.channels;
        let find = |slots: &Slots, tensor, kind| slots.find(tensor, kind);
        let slots = &discriminator.network.slots;
        let weights = match find(slots, head.weights, Kind::Column) {
            Some(range) => discriminator.values.clone().slice(range.start..range.start + len),
            None => self.tensor(frozen(head.gemm.weights).into_iter().step_by(PANEL).collect(), [len]),
        };
        let bias = match find(slots, head.bias, Kind::Bias) {
            Some(range) => discriminator.values.clone().slice(range.start..range.start + 1),
            None => self.tensor(head.gemm.bias[..1].to_vec(), [1]),
        };
        found.reshape([n, len]).matmul(weights.reshape([len, 1])).reshape([n]) + bias
    }

    /// Pictures, each changed in its way; see [`Augmentation::apply`].
    fn changed(&self, task: &Task<'_>, images: Tensor<3>, changes: &[Augmentation]) -> Tensor<3> {
        let [height, width, channels] = task.model().output_shape();
        let range = task.model().range();
        let (n, pixels) = (changes.len(), height * width);
        let each = |f: fn(&Augmentation) -> f32| self.tensor::<3>(changes.iter().map(f).collect(), [n, 1, 1]);
        let images = images + each(|change| change.brightness);
        let grey = images.clone().mean_dim(2);
        let images = (images - grey.clone()) * each(|change| change.saturation) + grey;
        let mean = images.clone().mean_dim(2).mean_dim(1);
        let images = (images - mean.clone()) * each(|change| change.contrast) + mean;
        let empty = 0.5 * (range[0] + range[1]);
        let rows = images.reshape([n * pixels, channels]);
        let rows = Tensor::cat(vec![rows, Tensor::full([1, channels], empty, &self.device)], 0);
        let mut sources = Vec::with_capacity(n * pixels);
        for (i, change) in changes.iter().enumerate() {
            for pixel in 0..pixels {
                let source = change.source([height, width], pixel / width, pixel % width);
                sources.push(source.map_or(n * pixels, |[y, x]| i * pixels + y * width + x) as i32);
            }
        }
        rows.select(0, self.indices(sources)).reshape([n, pixels, channels])
    }
}

impl Engine for Autodiff {
    fn name(&self) -> &'static str {
        self.name
    }

    fn kernels(&self) -> Kernels {
        dispatch::best()
    }

    fn discriminator(
        &mut self,
        task: &Task<'_>,
        values: Values<'_>,
        batch: &mut Batch<'_>,
        gradients: &mut [f32],
    ) -> Outcome {
        let generator = self.trained(task.generator(), values.generator, false);
        let discriminator = self.trained(task.discriminator(), values.discriminator, true);
        let drawn = self.drawn(task, &generator, batch);
        let [real, seen] = self.real(task, batch);
        let distance = (real - drawn.clone()).abs().mean_dim(2).mean_dim(1).reshape([batch.pairs()]);
        let changes: Vec<Augmentation> = (0..batch.pairs()).map(|pair| batch.fake_change(pair)).collect();
        let on_real = self.judged(task, &discriminator, seen);
        let on_fake = self.judged(task, &discriminator, self.changed(task, drawn, &changes));
        let [r, f] = [on_real.clone(), on_fake.clone()];
        let loss = match batch.objective() {
            Objective::LeastSquares { a, b, .. } => {
                (half_mean_square(r.sub_scalar(b)) + half_mean_square(f.sub_scalar(a))).reshape([1])
            }
            Objective::RelativisticAverage => {
                let (mean_r, mean_f) = (r.clone().mean(), f.clone().mean());
                mean_square((r - mean_f).sub_scalar(1.0)) + mean_square((f - mean_r).add_scalar(1.0))
            }
            Objective::LossSensitive { margin, weight } => {
                let hinge = relu(distance.mul_scalar(margin) - r.clone() + f);
                hinge.mean().mul_scalar(weight) - r.mean()
            }
        };
        self.add_gradient(&loss, &discriminator.values, gradients);
        Outcome { loss: scalar(loss), real: scalar(on_real.mean()), fake: scalar(on_fake.mean()) }
    }

    fn generator(
        &mut self,
        task: &Task<'_>,
        values: Values<'_>,
        batch: &mut Batch<'_>,
        gradients: &mut [f32],
    ) -> Outcome {
        let generator = self.trained(task.generator(), values.generator, true);
        let discriminator = self.trained(task.discriminator(), values.discriminator, false);
        let drawn = self.drawn(task, &generator, batch);
        let changes: Vec<Augmentation> = (0..batch.pairs()).map(|pair| batch.judged_change(pair)).collect();
        let on_fake = self.judged(task, &discriminator, self.changed(task, drawn, &changes));
        let f = on_fake.clone();
        let loss = match batch.objective() {
            Objective::LeastSquares { c, .. } => half_mean_square(f.sub_scalar(c)),
            Objective::RelativisticAverage => {
                let [_, seen] = self.real(task, batch);
                let r = self.judged(task, &discriminator, seen);
                let (mean_r, mean_f) = (r.clone().mean(), f.clone().mean());
                mean_square((f - mean_r).sub_scalar(1.0)) + mean_square((r - mean_f).add_scalar(1.0))
            }
            Objective::LossSensitive { .. } => f.mean().neg(),
        };
        self.add_gradient(&loss, &generator.values, gradients);
        Outcome { loss: scalar(loss), real: 0.0, fake: scalar(on_fake.mean()) }
    }

    fn draw(
        &mut self,
        task: &Task<'_>,
        values: Values<'_>,
        batch: &mut Batch<'_>,
        each: &mut dyn FnMut(&[f32], f32),
    ) {
        let generator = self.trained(task.generator(), values.generator, false);
        let discriminator = self.trained(task.discriminator(), values.discriminator, false);
        let drawn = self.drawn(task, &generator, batch);
        let scores = floats(self.judged(task, &discriminator, drawn.clone()));
        let images = floats(drawn);
        images.chunks_exact(task.image_len()).zip(scores).for_each(|(image, score)| each(image, score));
    }

    fn score(&mut self, task: &Task<'_>, values: Values<'_>, image: &[f32]) -> f32 {
        let discriminator = self.trained(task.discriminator(), values.discriminator, false);
        let [height, width, channels] = task.model().output_shape();
        let image = self.tensor(image.to_vec(), [1, height * width, channels]);
        scalar(self.judged(task, &discriminator, image))
    }
}

impl Autodiff {
    fn add_gradient(&self, loss: &Tensor<1>, values: &Tensor<1>, gradients: &mut [f32]) {
        let found = loss.backward();
        if let Some(gradient) = values.grad(&found) {
            gradients.iter_mut().zip(floats(gradient)).for_each(|(sum, value)| *sum += value);
        }
    }
}

/// For each position and tap, the pixel that is read, or one past the last outside the input; and for each position the pixel
/// that is written.
fn paths(gemm: &TapGemm<'_>) -> (Vec<i32>, Vec<usize>) {
    let (mut read, mut written) = (vec![], vec![]);
    let pixels = gemm.input.height * gemm.input.width;
    for row in 0..gemm.rows {
        for col in 0..gemm.cols {
            for &[dy, dx] in gemm.taps {
                let y = (row * gemm.in_step[0]).checked_add_signed(dy.into());
                let x = (col * gemm.in_step[1]).checked_add_signed(dx.into());
                let inside = y.zip(x).filter(|&(y, x)| y < gemm.input.height && x < gemm.input.width);
                read.push(inside.map_or(pixels, |(y, x)| y * gemm.input.width + x) as i32);
            }
            let y = gemm.out_offset[0] + row * gemm.out_step[0];
            let x = gemm.out_offset[1] + col * gemm.out_step[1];
            written.push(y * gemm.output.width + x);
        }
    }
    (read, written)
}

/// Panels as `[taps * channels, output channels]`.
fn matrix(panels: Tensor<1>, gemm: &TapGemm<'_>) -> Tensor<2> {
    let rows = gemm.taps.len() * gemm.input.channels;
    let count = gemm.output.channels.div_ceil(PANEL);
    let matrix = panels.reshape([count, rows, PANEL]).permute([1, 0, 2]).reshape([rows, count * PANEL]);
    matrix.slice([0..rows, 0..gemm.output.channels])
}

fn frozen(panels: Panels<'_>) -> Vec<f32> {
    match panels {
        Panels::F16(rows) => rows.as_flattened().iter().map(|&value| f16_to_f32(value)).collect(),
        Panels::F32(rows) => rows.as_flattened().to_vec(),
    }
}

fn mean_square(values: Tensor<1>) -> Tensor<1> {
    (values.clone() * values).mean()
}

fn half_mean_square(values: Tensor<1>) -> Tensor<1> {
    mean_square(values).mul_scalar(0.5)
}

fn floats<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec().unwrap_or_default()
}

fn scalar(tensor: Tensor<1>) -> f32 {
    floats(tensor).first().copied().unwrap_or(f32::NAN)
}
