//! Writes the seed corpora: one small file for each shape of step, and a delta for each kind of change.

use std::error::Error;
use std::fs;
use std::path::Path;

use half::f16;
use pocketgan_format::{
    Activation, Axis, Buffer, Change, Combine, Delta, DeltaSummary, File, Function, Input, LearnedTensor,
    Losses, NestStep, Network, Operand, PANEL, Preset, Program, Role, Step, Tap, TapGemmStep, Target,
    TensorData, ValueType,
};
use pocketgan_runtime::latent::Normal;

fn main() -> Result<(), Box<dyn Error>> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let [folder, deltas] = ["load", "delta"].map(|target| corpus.join(target));
    fs::create_dir_all(&folder)?;
    fs::create_dir_all(&deltas)?;
    let seeds = [
        ("dense", dense()),
        ("convolution", convolution()),
        ("dcgan28", dcgan28()),
        ("attention", attention()),
        ("nests", nests()),
    ];
    for (name, builder) in seeds {
        let bytes = builder.finish().to_bytes()?;
        fs::write(folder.join(name).with_extension("pgan"), &bytes[..])?;
        println!("{name}: {} bytes", bytes.len());
    }
    for (name, network, change) in [
        ("replace", Network::Generator, Change::Replace),
        ("factor", Network::Generator, Change::Factor),
        ("discriminator", Network::Discriminator, Change::Replace),
    ] {
        let bytes = delta(network, change)?;
        fs::write(deltas.join(name).with_extension("pgdl"), &bytes)?;
        println!("{name}: {} bytes", bytes.len());
    }
    Ok(())
}

/// A delta of `dcgan28` that changes its last layer, weights and bias or the latter only.
fn delta(network: Network, change: Change) -> Result<Vec<u8>, Box<dyn Error>> {
    let base = dcgan28().finish().to_bytes()?;
    let base = File::parse(&base)?;
    let summary = DeltaSummary {
        base: base.sha256(),
        seed: 1,
        steps: 100,
        examples: 10,
        first: Losses { discriminator: 0.5, generator: 0.5 },
        last: Losses { discriminator: 0.25, generator: 0.75 },
        merged: 1,
        preset: Preset::Tail,
    };
    let count = base.tensor_count() as u32;
    let values = vec![0.125; 8 * 1024];
    let learned = |tensor: u32| {
        let old = base.tensor(tensor as usize)?;
        let target = Target { network, tensor, change };
        Some(LearnedTensor { target, stored: old.value_type(), values: values.get(..old.rows() * PANEL)? })
    };
    let first = if change == Change::Factor { count - 1 } else { count - 2 };
    let learned = (first..count).filter_map(learned);
    let mut bytes = vec![0; Delta::encoded_bytes(learned.clone())];
    Delta::encode(&summary, learned, &mut bytes)?;
    Ok(bytes)
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

/// A label's embedding, then attention among the pixels of a small picture: products of matrices and a softmax.
fn attention() -> Builder {
    use Function::*;
    let mut builder = Builder::new("attention", 6);
    let label = builder.input(Role::Label, [1; 3]);
    let table = builder.tensor(40);
    let embedding = builder.values(4);
    builder.nest((Take, Combine::Sum), &[[4, 1, 0, 1], [10, 4, 0, 0]], 0, [table, label], embedding);
    builder.dense([4, 4, 4], Activation::Relu);
    let x = Operand::Arena { offset: builder.last.offset };
    let (scores, row, out) = (builder.values(256), builder.values(16), builder.reserve([4, 4, 4]));
    let [in_scores, in_row, in_embedding] = [scores, row, embedding].map(|offset| Operand::Arena { offset });
    let by_row = [[16, 16, 1, 16], [16, 1, 0, 1]];
    builder.nest(
        (Add, Combine::Sum),
        &[[16, 4, 0, 4], [4, 1, 1, 1]],
        0,
        [x, in_embedding],
        builder.last.offset,
    );
    builder.nest((Mul, Combine::Sum), &[[16, 4, 0, 16], [16, 0, 4, 1], [4, 1, 1, 0]], 1, [x, x], scores);
    builder.nest((Identity, Combine::Max), &[[16, 16, 0, 1], [16, 1, 0, 0]], 1, [in_scores, NONE], row);
    builder.nest((Sub, Combine::Sum), &by_row, 0, [in_scores, in_row], scores);
    builder.nest((Exp, Combine::Sum), &[[256, 1, 0, 1]], 0, [in_scores, NONE], scores);
    builder.nest((Identity, Combine::Sum), &[[16, 16, 0, 1], [16, 1, 0, 0]], 1, [in_scores, NONE], row);
    builder.nest((Div, Combine::Sum), &by_row, 0, [in_scores, in_row], scores);
    builder.nest(
        (Mul, Combine::Sum),
        &[[16, 16, 0, 4], [4, 0, 1, 1], [16, 1, 4, 0]],
        1,
        [in_scores, x],
        out.offset,
    );
    builder.last = out;
    builder.convolution(3, 3, 1, 1, Activation::Tanh);
    builder
}

/// Every function once, from one operand or two to a row of its own, with strides of every sign.
fn nests() -> Builder {
    let mut builder = Builder::new("nests", 7);
    let image = builder.input(Role::Image, [3, 5, 1]);
    let values = builder.tensor(64);
    let rows = Function::ALL.len() as u16;
    let picture = builder.reserve([rows, 5, 1]);
    for (i, function) in Function::ALL.into_iter().enumerate() {
        let out = picture.offset + 4 * 5 * i as u32;
        let b = if function.is_unary() { NONE } else { image };
        let axes: &[[i32; 4]] = match function {
            Function::Take => &[[5, 1, 1, 1], [9, 5, 0, 0]],
            Function::Select => &[[5, 1, 1, 1]],
            _ => &[[5, 1, 3, 1], [3, 5, 1, 0]],
        };
        let combine = [Combine::Sum, Combine::Product, Combine::Max, Combine::Min][i % 4];
        let reduced = axes.iter().any(|axis| axis[0] == 3).into();
        let a = if i % 3 == 0 { values } else { Operand::Tensor { index: 0, start: 2 } };
        builder.nest((function, combine), axes, reduced, [a, b], out);
    }
    let last = Operand::Arena { offset: picture.offset + 4 * (5 * u32::from(rows) - 1) };
    let mirrored = builder.reserve([rows, 5, 1]);
    let extent = 5 * i32::from(rows);
    builder.nest(
        (Function::Min, Combine::Sum),
        &[[extent, -1, 0, 1]],
        0,
        [last, Operand::Scalar(1.0)],
        mirrored.offset,
    );
    builder.last = mirrored;
    builder
}

/// The second operand of a function of one.
const NONE: Operand = Operand::Scalar(0.0);

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
        let inputs = vec![Input { role: Role::Latent, offset: 0, shape: [1, 1, latent_dim.into()] }];
        let program = Program { inputs, range: [-1.0, 1.0], metadata, ..Program::default() };
        let last = Buffer { offset: 0, height: 1, width: 1, channels: latent_dim, pixel_stride: latent_dim };
        Self { program, normal: Normal::from_seed(28), last, arena_end: latent_dim.into() }
    }

    fn dense(&mut self, [height, width, channels]: [u16; 3], activation: Activation) {
        // One position with many channels, which the next layer reads as a picture.
        let flat = height * width * channels;
        let output = self.reserve([1, 1, flat]);
        let step = self.step(output, &[[0, 0]], activation);
        self.program.steps.push(Step::TapGemm(step));
        self.last = Buffer { height, width, channels, pixel_stride: channels, ..output };
    }

    fn convolution(&mut self, channels: u16, k: i16, stride: u8, padding: i16, activation: Activation) {
        let extent = |size: u16| (size + 2 * padding as u16 - k as u16) / u16::from(stride) + 1;
        let output = self.reserve([extent(self.last.height), extent(self.last.width), channels]);
        let taps: Vec<Tap> = (0..k * k).map(|i| [i / k - padding, i % k - padding]).collect();
        let step = self.step(output, &taps, activation);
        self.program.steps.push(Step::TapGemm(TapGemmStep { in_step: [stride; 2], ..step }));
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
            self.program.steps.push(Step::TapGemm(TapGemmStep {
                accumulate: false,
                layer,
                rows: self.last.height,
                cols: self.last.width,
                out_step: [2; 2],
                out_offset: [down as u16, right as u16],
                ..step
            }));
        }
        self.last = output;
    }

    /// Another input.
    fn input(&mut self, role: Role, shape: [u32; 3]) -> Operand {
        let offset = self.values(shape.iter().product());
        self.program.inputs.push(Input { role, offset, shape });
        Operand::Arena { offset }
    }

    /// A loop nest over `[extent, a, b, out]`.
    fn nest(
        &mut self,
        (function, combine): (Function, Combine),
        axes: &[[i32; 4]],
        reduced: u8,
        [a, b]: [Operand; 2],
        output: u32,
    ) {
        let (first_axis, layer) = (self.program.axes.len() as u32, self.layer());
        let axis = |&[extent, a, b, out]: &[i32; 4]| Axis { extent: extent as u32, a, b, out };
        self.program.axes.extend(axes.iter().map(axis));
        let axis_count = axes.len() as u8;
        let output_values = ValueType::F32;
        let step = NestStep {
            shift: None,
            activation: Activation::Identity,
            function,
            combine,
            layer,
            first_axis,
            axis_count,
            reduced,
            a,
            b,
            output,
            output_values,
        };
        self.program.steps.push(Step::Nest(step));
    }

    /// A new tensor in half precision.
    fn tensor(&mut self, len: usize) -> Operand {
        let rows =
            (0..len.div_ceil(PANEL)).map(|_| std::array::from_fn(|_| f16::from_f32(self.normal.sample())));
        self.program.tensors.push(TensorData::F16(rows.collect()));
        Operand::Tensor { index: self.program.tensors.len() as u32 - 1, start: 0 }
    }

    fn finish(mut self) -> Program {
        let Buffer { offset, height, width, channels, .. } = self.last;
        self.program.output_shape = [height, width, channels].map(u32::from);
        self.program.output_offset = offset;
        self.program.arena_bytes = 4 * self.arena_end;
        self.program
    }

    /// A step from the last buffer that computes every output position, and its weights.
    fn step(&mut self, output: Buffer, taps: &[Tap], activation: Activation) -> TapGemmStep {
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
        TapGemmStep {
            accumulate: false,
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
            values: ValueType::F32,
        }
    }

    /// The number of the layer being written.
    fn layer(&self) -> u16 {
        self.program.steps.last().map_or(0, |step| step.layer() + 1)
    }

    fn reserve(&mut self, [height, width, channels]: [u16; 3]) -> Buffer {
        let offset = self.values(u32::from(height) * u32::from(width) * u32::from(channels));
        Buffer { offset, height, width, channels, pixel_stride: channels }
    }

    /// Arena offset of as many new values.
    fn values(&mut self, len: u32) -> u32 {
        self.arena_end += len;
        4 * (self.arena_end - len)
    }
}
