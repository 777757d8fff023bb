//! Networks of every kind of layer, with weights from a seed.

use std::vec;
use std::vec::Vec;

use half::f16;
use pocketgan_format::{
    Activation, AlignedBytes, Buffer, File, Input, PANEL, Preset, Program, Role, Rule, Step, Tap,
    TapGemmStep, TensorData, ValueType,
};
use pocketgan_runtime::latent::Normal;

/// What a model learns.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) preset: Preset,
    /// Trained steps of the generator.
    pub(crate) generator: [u16; 2],
    /// Trained steps of the discriminator.
    pub(crate) discriminator: [u16; 2],
    /// Of the hidden layers of both.
    pub(crate) activation: Activation,
}

/// 3 latent values; dense to 2x2x8; transposed convolution k4 s2 p1 to 4x4x5; convolution k3 s1 p1 to 4x4x3, tanh. The
/// discriminator: convolution k3 s2 p1 to 2x2x6, k3 s1 p1 to 2x2x4, dense to a score.
pub(crate) fn model(shape: &Shape) -> AlignedBytes {
    changed(shape, |_| {}, |_| {})
}

/// The same with a generator and a discriminator that were changed before they were written.
pub(crate) fn changed(
    shape: &Shape,
    generator: impl FnOnce(&mut Program),
    discriminator: impl FnOnce(&mut Program),
) -> AlignedBytes {
    let mut g = Builder::new(7);
    let act = shape.activation;
    let line = |n| buffer(0, [1, 1, n]);
    g.layer(act, &[[0, 0]], [line(3), buffer(1024, [1, 1, 32])], [1, 1], None);
    let bias = g.bias(5);
    for phase in 0..4_i16 {
        let (py, px) = (phase / 2, phase % 2);
        // Phase 0 of an axis reads the pixels before and at its own, phase 1 its own and the next.
        let taps: Vec<Tap> = (0..4).map(|t| [t / 2 + py - 1, t % 2 + px - 1]).collect();
        g.phase(act, &taps, [buffer(1024, [2, 2, 8]), buffer(2048, [4, 4, 5])], [py as u16, px as u16], bias);
    }
    let around: Vec<Tap> = (0..9).map(|t| [t / 3 - 1, t % 3 - 1]).collect();
    g.layer(Activation::Tanh, &around, [buffer(2048, [4, 4, 5]), buffer(0, [4, 4, 3])], [4, 4], None);
    let latent = Input { role: Role::Latent, offset: 0, shape: [1, 1, 3] };
    let generator = g.finish(latent, [4, 4, 3], 0, generator);

    let mut d = Builder::new(8);
    let image = buffer(0, [4, 4, 3]);
    d.layer(act, &around, [image, buffer(1024, [2, 2, 6])], [2, 2], Some([2, 2]));
    d.layer(act, &around, [buffer(1024, [2, 2, 6]), buffer(0, [2, 2, 4])], [2, 2], None);
    d.layer(Activation::Identity, &[[0, 0]], [buffer(0, [1, 1, 16]), buffer(1024, [1, 1, 1])], [1, 1], None);
    let picture = Input { role: Role::Image, offset: 0, shape: [4, 4, 3] };
    let discriminator = d.finish(picture, [1, 1, 1], 1024, discriminator);

    let rule = Rule {
        preset: shape.preset,
        a: -1.0,
        b: 1.0,
        c: 0.0,
        lr_g: 0.01,
        lr_d: 0.02,
        bound: 4.0,
        generator: shape.generator,
        discriminator: shape.discriminator,
    };
    let generator = File::parse(&generator).expect("a generator");
    let discriminator = File::parse(&discriminator).expect("a discriminator");
    generator.with_learning(&rule, &discriminator, 4096).expect("a model that learns")
}

fn buffer(offset: u32, [height, width, channels]: [u16; 3]) -> Buffer {
    Buffer { offset, height, width, channels, pixel_stride: channels }
}

struct Builder {
    program: Program,
    normal: Normal,
    layers: u16,
}

impl Builder {
    fn new(seed: u64) -> Self {
        Self { program: Program::default(), normal: Normal::from_seed(seed), layers: 0 }
    }

    fn bias(&mut self, n: usize) -> u32 {
        let mut rows = vec![[0.0; PANEL]; n.div_ceil(PANEL)];
        for channel in 0..n {
            rows[channel / PANEL][channel % PANEL] = 0.3 * self.normal.sample();
        }
        self.program.tensors.push(TensorData::F32(rows));
        self.program.tensors.len() as u32 - 1
    }

    /// A dense layer or a convolution, whose positions are `in_step` pixels apart.
    fn layer(
        &mut self,
        activation: Activation,
        taps: &[Tap],
        buffers: [Buffer; 2],
        [rows, cols]: [u16; 2],
        in_step: Option<[u8; 2]>,
    ) {
        let bias = self.bias(buffers[1].channels.into());
        let step =
            TapGemmStep { rows, cols, in_step: in_step.unwrap_or([1, 1]), ..step(activation, buffers) };
        self.push(step, taps, bias);
        self.layers += 1;
    }

    /// One of the four phases of a transposed convolution; the last of them ends the layer.
    fn phase(
        &mut self,
        activation: Activation,
        taps: &[Tap],
        buffers: [Buffer; 2],
        out_offset: [u16; 2],
        bias: u32,
    ) {
        let [rows, cols] = [buffers[0].height, buffers[0].width];
        let step = TapGemmStep { rows, cols, out_step: [2, 2], out_offset, ..step(activation, buffers) };
        self.push(step, taps, bias);
        if out_offset == [1, 1] {
            self.layers += 1;
        }
    }

    fn push(&mut self, mut step: TapGemmStep, taps: &[Tap], bias: u32) {
        step.layer = self.layers;
        step.first_tap = self.program.taps.len() as u32;
        step.tap_count = taps.len() as u32;
        self.program.taps.extend(taps);
        let (c, n) = (usize::from(step.input.channels), usize::from(step.output.channels));
        // Steep enough that gradients reach the first layer.
        let gain = if step.activation == Activation::Sigmoid { 5.0 } else { 1.5 };
        let spread = gain / ((c * taps.len()) as f32).sqrt();
        let mut rows = vec![[f16::ZERO; PANEL]; n.div_ceil(PANEL) * taps.len() * c];
        for (index, row) in rows.iter_mut().enumerate() {
            let lanes = PANEL.min(n - index / (taps.len() * c) * PANEL);
            row[..lanes].fill_with(|| f16::from_f32(spread * self.normal.sample()));
        }
        self.program.tensors.push(TensorData::F16(rows));
        step.weights = self.program.tensors.len() as u32 - 1;
        step.bias = bias;
        self.program.steps.push(Step::TapGemm(step));
    }

    fn finish(
        mut self,
        input: Input,
        output_shape: [u32; 3],
        output_offset: u32,
        change: impl FnOnce(&mut Program),
    ) -> AlignedBytes {
        self.program.inputs = vec![input];
        self.program.output_shape = output_shape;
        self.program.range = [-1.0, 1.0];
        self.program.arena_bytes = 4096;
        self.program.output_offset = output_offset;
        change(&mut self.program);
        self.program.to_bytes().expect("a program")
    }
}

fn step(activation: Activation, [input, output]: [Buffer; 2]) -> TapGemmStep {
    TapGemmStep {
        accumulate: false,
        activation,
        layer: 0,
        first_tap: 0,
        tap_count: 0,
        weights: 0,
        bias: 0,
        input,
        output,
        rows: 1,
        cols: 1,
        in_step: [1, 1],
        out_step: [1, 1],
        out_offset: [0, 0],
        values: ValueType::F32,
    }
}
