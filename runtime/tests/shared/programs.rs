//! Small programs of every kind of step.

use half::f16;
use pocketgan_format::{
    Activation, Axis, Buffer, Combine, Function, Input, NestStep, Operand, Program, Role, Step, TapGemmStep,
    TensorData, ValueType,
};

/// Two layers: dense 4 -> 2x2x8, then the four phases of a transposed convolution to 4x4x1.
pub(crate) fn tap_gemms() -> Program {
    let row = |i: usize| core::array::from_fn(|lane| f16::from_f32((i + lane) as f32 / 64.0 - 0.3));
    let buffer = |offset, [height, width, channels]: [u16; 3]| Buffer {
        offset,
        height,
        width,
        channels,
        pixel_stride: channels,
    };
    let bias = |rows| TensorData::F32(vec![[0.125; 8]; rows]);
    let dense = TapGemmStep {
        accumulate: false,
        activation: Activation::LeakyRelu(0.2),
        layer: 0,
        first_tap: 0,
        tap_count: 1,
        weights: 0,
        bias: 1,
        input: buffer(0, [1, 1, 4]),
        output: buffer(64, [1, 1, 32]),
        rows: 1,
        cols: 1,
        in_step: [1, 1],
        out_step: [1, 1],
        out_offset: [0, 0],
        values: ValueType::F32,
    };
    let phase = |i: u16| TapGemmStep {
        accumulate: false,
        activation: Activation::Tanh,
        layer: 1,
        first_tap: 1,
        tap_count: 4,
        weights: 2,
        bias: 3,
        input: buffer(64, [2, 2, 8]),
        output: buffer(0, [4, 4, 1]),
        rows: 2,
        cols: 2,
        in_step: [1, 1],
        out_step: [2, 2],
        out_offset: [i / 2, i % 2],
        values: ValueType::F32,
    };
    Program {
        inputs: vec![Input { role: Role::Latent, offset: 0, shape: [1, 1, 4] }],
        output_shape: [4, 4, 1],
        range: [-1.0, 1.0],
        arena_bytes: 64 + 4 * 32,
        output_offset: 0,
        steps: core::iter::once(dense).chain((0..4).map(phase)).map(Step::TapGemm).collect(),
        tensors: vec![
            TensorData::F16((0..4 * 4).map(row).collect()),
            bias(4),
            TensorData::F16((0..4 * 8).map(row).collect()),
            bias(1),
        ],
        taps: vec![[0, 0], [0, 0], [0, -1], [-1, 0], [-1, -1]],
        axes: vec![],
        metadata: vec![("name".into(), "small".into()), ("layers".into(), "dense,conv".into())],
    }
}

/// A label's embedding added to a latent vector, a picture multiplied by a matrix, and what comes of both: every kind of
/// operand, reduced and not, in place and not.
pub(crate) fn nests() -> Program {
    use Combine::{Max, Sum};
    let inputs = [(Role::Latent, [1, 1, 6]), (Role::Label, [1; 3]), (Role::Image, [2, 3, 1])];
    let mut builder = Builder::new(&inputs);
    let [z, label, image] = [0, 1, 2].map(|i| builder.program.inputs[i].offset);
    let numbers: Vec<f32> = (0..30).map(|i| (i * 7 % 30) as f32 / 15.0 - 1.0).collect();
    let [table, matrix] = [0, 12].map(|from| builder.tensor(&numbers[from..]));
    let tensor = |index| Operand::Tensor { index, start: 0 };
    let [embedding, product, mask, largest, picture] = [6, 8, 8, 1, 16].map(|len| builder.reserve(len));

    let axes = [[6, 1, 0, 1], [5, 6, 0, 0]];
    builder.nest((Function::Take, Sum), &axes, 0, (tensor(table), arena(label), embedding));
    builder.nest((Function::Add, Sum), &[[6, 1, 1, 1]], 0, (arena(embedding), arena(z), embedding));
    let axes = [[2, 3, 0, 4], [4, 0, 1, 1], [3, 1, 4, 0]];
    builder.nest((Function::Mul, Sum), &axes, 1, (arena(image), tensor(matrix), product));
    builder.nest((Function::Less, Sum), &[[8, 1, 0, 1]], 0, (arena(product), Operand::Scalar(0.0), mask));
    builder.nest((Function::Select, Sum), &[[8, 1, 0, 1]], 0, (arena(mask), Operand::Scalar(0.25), product));
    builder.nest((Function::Abs, Max), &[[6, -1, 0, 0]], 1, (arena(embedding + 4 * 5), NONE, largest));
    let axes = [[2, 4, 0, 8], [4, 1, 0, 2], [2, 0, 0, 1]];
    builder.nest((Function::Mul, Sum), &axes, 0, (arena(product), arena(largest), picture));
    builder.nest((Function::Tanh, Sum), &[[16, 1, 0, 1]], 0, (arena(picture), NONE, picture));
    builder.program.output_offset = picture;
    builder.program.output_shape = [4, 4, 1];
    builder.program.metadata = vec![("name".into(), "nests".into()), ("inputs".into(), "z,label,x".into())];
    builder.program
}

/// A program being written: inputs first, then steps with places of their own.
pub(crate) struct Builder {
    /// What there is so far.
    pub(crate) program: Program,
}

impl Builder {
    /// A program with these inputs, and no step yet.
    pub(crate) fn new(inputs: &[(Role, [u32; 3])]) -> Self {
        let mut builder = Self { program: Program { range: [0.0, 1.0], ..Program::default() } };
        for &(role, shape) in inputs {
            let offset = builder.reserve(shape.iter().product());
            builder.program.inputs.push(Input { role, offset, shape });
        }
        builder
    }

    /// Arena offset of as many new values.
    pub(crate) fn reserve(&mut self, values: u32) -> u32 {
        let offset = self.program.arena_bytes;
        self.program.arena_bytes += 4 * values;
        offset
    }

    /// Index of a new tensor in half precision.
    pub(crate) fn tensor(&mut self, values: &[f32]) -> u32 {
        let row = |row: &[f32]| core::array::from_fn(|i| f16::from_f32(row.get(i).copied().unwrap_or(0.0)));
        self.program.tensors.push(TensorData::F16(values.chunks(8).map(row).collect()));
        self.program.tensors.len() as u32 - 1
    }

    /// A step over `[extent, a, b, out]`.
    pub(crate) fn nest(
        &mut self,
        (function, combine): (Function, Combine),
        axes: &[[i32; 4]],
        reduced: u8,
        views: (Operand, Operand, u32),
    ) {
        let first_axis = self.program.axes.len() as u32;
        let axis = |&[extent, a, b, out]: &[i32; 4]| Axis { extent: extent as u32, a, b, out };
        self.program.axes.extend(axes.iter().map(axis));
        let (a, b, output) = views;
        let layer = self.program.steps.len() as u16;
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
}

/// The second operand of a function of one.
pub(crate) const NONE: Operand = Operand::Scalar(0.0);

/// An operand in the arena.
pub(crate) fn arena(offset: u32) -> Operand {
    Operand::Arena { offset }
}
