//! Writes the seed corpus: one small file for each shape of step.

use std::error::Error;
use std::fs;
use std::path::Path;

use half::f16;
use pocketgan_format::{Activation, Buffer, PANEL, Program, Step, Tap, TensorData};
use pocketgan_runtime::latent::Normal;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/load");
    fs::create_dir_all(&folder)?;
    let seeds = [("dense", dense()), ("convolution", convolution()), ("dcgan28", dcgan28())];
    for (name, builder) in seeds {
        let bytes = builder.finish().to_bytes()?;
        fs::write(folder.join(name).with_extension("pgan"), &bytes[..])?;
        println!("{name}: {} bytes", bytes.len());
    }
    Ok(())
}

/// Latent vector to picture at once.
fn dense() -> Builder {
    let mut builder = Builder::new("dense", 3);
    builder.dense([4, 5, 1], Activation::Sigmoid);
    builder
}

/// A stride, a border, three channels, leaky ReLU.
fn convolution() -> Builder {
    let mut builder = Builder::new("convolution", 5);
    builder.dense([7, 9, 2], Activation::LeakyRelu(0.2));
    builder.convolution(3, 3, 2, 1, Activation::Tanh);
    builder
}

/// The DCGAN shape: 7x7, 14x14, 28x28 by transposed convolutions k4 s2 p1.
fn dcgan28() -> Builder {
    let mut builder = Builder::new("dcgan28", 16);
    builder.dense([7, 7, 16], Activation::Relu);
    builder.upsampling(8, Activation::Relu);
    builder.upsampling(1, Activation::Tanh);
    builder
}

/// A network being written, its weights drawn from a fixed seed and scaled to keep the variance (He et al. 2015).
struct Builder {
    program: Program,
    normal: Normal,
    /// What the next layer reads.
    last: Buffer,
    /// Values of the arena that nothing uses yet.
    arena_end: u32,
}

impl Builder {
    fn new(name: &str, latent_dim: u16) -> Self {
        let metadata = vec![("name".to_owned(), name.to_owned())];
        let program =
            Program { latent_dim: latent_dim.into(), range: [-1.0, 1.0], metadata, ..Program::default() };
        let last = Buffer { offset: 0, height: 1, width: 1, channels: latent_dim, pixel_stride: latent_dim };
        Self { program, normal: Normal::from_seed(28), last, arena_end: latent_dim.into() }
    }

    fn dense(&mut self, [height, width, channels]: [u16; 3], activation: Activation) {
        // One position with many channels, which the next layer reads as a picture.
        let flat = height * width * channels;
        let output = self.reserve([1, 1, flat]);
        let step = self.step(output, &[[0, 0]], activation);
        self.program.steps.push(step);
        self.last = Buffer { height, width, channels, pixel_stride: channels, ..output };
    }

    fn convolution(&mut self, channels: u16, k: i16, stride: u8, padding: i16, activation: Activation) {
        let extent = |size: u16| (size + 2 * padding as u16 - k as u16) / u16::from(stride) + 1;
        let output = self.reserve([extent(self.last.height), extent(self.last.width), channels]);
        let taps: Vec<Tap> = (0..k * k).map(|i| [i / k - padding, i % k - padding]).collect();
        let step = self.step(output, &taps, activation);
        self.program.steps.push(Step { in_step: [stride; 2], ..step });
        self.last = output;
    }

    /// A transposed convolution with kernel 4, stride 2 and padding 1: four phases of two by two taps.
    fn upsampling(&mut self, channels: u16, activation: Activation) {
        let output = self.reserve([2 * self.last.height, 2 * self.last.width, channels]);
        let layer = self.layer();
        for phase in 0..4 {
            let [down, right] = [phase / 2, phase % 2];
            let taps = [[down - 1, right - 1], [down - 1, right], [down, right - 1], [down, right]];
            let step = self.step(output, &taps, activation);
            self.program.steps.push(Step {
                layer,
                rows: self.last.height,
                cols: self.last.width,
                out_step: [2; 2],
                out_offset: [down as u16, right as u16],
                ..step
            });
        }
        self.last = output;
    }

    fn finish(mut self) -> Program {
        let Buffer { offset, height, width, channels, .. } = self.last;
        self.program.output_shape = [height, width, channels].map(u32::from);
        self.program.output_offset = offset;
        self.program.arena_bytes = 4 * self.arena_end;
        self.program
    }

    /// A step from the last buffer that computes every output position, and its weights.
    fn step(&mut self, output: Buffer, taps: &[Tap], activation: Activation) -> Step {
        let input = match taps {
            // A dense layer reads everything as one pixel.
            [_] => {
                let flat = self.last.height * self.last.width * self.last.channels;
                Buffer { height: 1, width: 1, channels: flat, pixel_stride: flat, ..self.last }
            }
            _ => self.last,
        };
        let panels = usize::from(output.channels).div_ceil(PANEL);
        let fan_in = taps.len() * usize::from(input.channels);
        let scale = (2.0 / fan_in as f32).sqrt();
        let mut row = |panel: usize| -> [f16; PANEL] {
            std::array::from_fn(|n| {
                let padding = panel * PANEL + n >= usize::from(output.channels);
                if padding { f16::ZERO } else { f16::from_f32(scale * self.normal.sample()) }
            })
        };
        let weights = (0..panels).flat_map(|panel| vec![panel; fan_in]).map(&mut row).collect();
        let first_tap = self.program.taps.len() as u32;
        let first_tensor = self.program.tensors.len() as u32;
        let layer = self.layer();
        self.program.taps.extend(taps);
        self.program.tensors.extend([TensorData::F16(weights), TensorData::F32(vec![[0.0; PANEL]; panels])]);
        Step {
            activation,
            layer,
            first_tap,
            tap_count: taps.len() as u32,
            weights: first_tensor,
            bias: first_tensor + 1,
            input,
            output,
            rows: output.height,
            cols: output.width,
            in_step: [1; 2],
            out_step: [1; 2],
            out_offset: [0; 2],
        }
    }

    /// The number of the layer being written.
    fn layer(&self) -> u16 {
        self.program.steps.last().map_or(0, |step| step.layer + 1)
    }

    fn reserve(&mut self, [height, width, channels]: [u16; 3]) -> Buffer {
        let buffer = Buffer { offset: 4 * self.arena_end, height, width, channels, pixel_stride: channels };
        self.arena_end += u32::from(height) * u32::from(width) * u32::from(channels);
        buffer
    }
}
