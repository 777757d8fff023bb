//! Programs of loop nests, from bytes to values, against closed forms.

use half::f16;
use pocketgan_format::{Axis, Combine, Function, Input, NestStep, Operand, Program, Role, Step, TensorData};
use pocketgan_runtime::{Generator, Model, dispatch};

/// A program being written: inputs first, then steps with places of their own.
struct Builder {
    program: Program,
}

impl Builder {
    fn new(inputs: &[(Role, [u32; 3])]) -> Self {
        let mut builder = Self { program: Program { range: [0.0, 1.0], ..Program::default() } };
        for &(role, shape) in inputs {
            let offset = builder.reserve(shape.iter().product());
            builder.program.inputs.push(Input { role, offset, shape });
        }
        builder
    }

    /// Arena offset of as many new values.
    fn reserve(&mut self, values: u32) -> u32 {
        let offset = self.program.arena_bytes;
        self.program.arena_bytes += 4 * values;
        offset
    }

    /// Index of a new tensor in half precision.
    fn tensor(&mut self, values: &[f32]) -> u32 {
        let row = |row: &[f32]| core::array::from_fn(|i| f16::from_f32(row.get(i).copied().unwrap_or(0.0)));
        self.program.tensors.push(TensorData::F16(values.chunks(8).map(row).collect()));
        self.program.tensors.len() as u32 - 1
    }

    /// A step over `[extent, a, b, out]`.
    fn nest(
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
        let step = NestStep { function, combine, layer, first_axis, axis_count, reduced, a, b, output };
        self.program.steps.push(Step::Nest(step));
    }

    /// The values at `offset` after every kernel of this CPU has run with these inputs; all kernels agree on them.
    fn run(mut self, offset: u32, shape: [u32; 3], inputs: &[&[f32]]) -> Vec<f32> {
        self.program.output_offset = offset;
        self.program.output_shape = shape;
        let file = self.program.to_bytes().expect("the program keeps the rules");
        let model = Model::load(&file).expect("just verified");
        let mut results = dispatch::available().into_iter().flatten().map(|kernels| {
            let mut arena = vec![f32::NAN; model.arena_len()];
            let mut generator =
                Generator::with_kernels(&model, &mut arena, kernels).expect("as long as it asks for");
            for (index, values) in inputs.iter().enumerate() {
                generator.input(index).copy_from_slice(values);
            }
            generator.run().values.to_vec()
        });
        let first = results.next().expect("the reference is always there");
        for other in results {
            assert_eq!(other, first);
        }
        first
    }
}

const NONE: Operand = Operand::Scalar(0.0);

fn arena(offset: u32) -> Operand {
    Operand::Arena { offset }
}

#[test]
fn softmax_is_five_nests_in_place() {
    let mut builder = Builder::new(&[(Role::Values, [1, 2, 3])]);
    let x = builder.program.inputs[0].offset;
    let row = builder.reserve(2);
    builder.nest((Function::Identity, Combine::Max), &[[2, 3, 0, 1], [3, 1, 0, 0]], 1, (arena(x), NONE, row));
    builder.nest((Function::Sub, Combine::Sum), &[[2, 3, 1, 3], [3, 1, 0, 1]], 0, (arena(x), arena(row), x));
    builder.nest((Function::Exp, Combine::Sum), &[[6, 1, 0, 1]], 0, (arena(x), NONE, x));
    builder.nest((Function::Identity, Combine::Sum), &[[2, 3, 0, 1], [3, 1, 0, 0]], 1, (arena(x), NONE, row));
    builder.nest((Function::Div, Combine::Sum), &[[2, 3, 1, 3], [3, 1, 0, 1]], 0, (arena(x), arena(row), x));
    let logits = [1.0, 2.0, 3.0, -1.0, -1.0, 40.0];
    let got = builder.run(x, [1, 2, 3], &[&logits]);
    for (row, logits) in got.chunks(3).zip(logits.chunks(3)) {
        let sum: f64 = logits.iter().map(|&x| f64::from(x).exp()).sum();
        for (got, &x) in row.iter().zip(logits) {
            let want = f64::from(x).exp() / sum;
            assert!((f64::from(*got) - want).abs() < 1e-6, "{got} instead of {want}");
        }
    }
}

#[test]
fn a_label_takes_its_embedding() {
    let mut builder = Builder::new(&[(Role::Label, [1, 1, 1])]);
    let table = builder.tensor(&(0..12).map(|i| i as f32).collect::<Vec<_>>());
    let out = builder.reserve(4);
    let label = builder.program.inputs[0].offset;
    let table = Operand::Tensor { index: table, start: 0 };
    builder.nest(
        (Function::Take, Combine::Sum),
        &[[4, 1, 0, 1], [3, 4, 0, 0]],
        0,
        (table, arena(label), out),
    );
    assert_eq!(builder.run(out, [1, 1, 4], &[&[2.0]]), [8.0, 9.0, 10.0, 11.0]);
}

#[test]
fn a_matrix_product_counts_its_multiplications() {
    // [2, 3] x [3, 4], the second in the file.
    let mut builder = Builder::new(&[(Role::Values, [1, 2, 3])]);
    let weights = builder.tensor(&(0..12).map(|i| i as f32).collect::<Vec<_>>());
    let out = builder.reserve(8);
    let x = builder.program.inputs[0].offset;
    let weights = Operand::Tensor { index: weights, start: 0 };
    builder.nest(
        (Function::Mul, Combine::Sum),
        &[[2, 3, 0, 4], [4, 0, 1, 1], [3, 1, 4, 0]],
        1,
        (arena(x), weights, out),
    );
    let file = builder.program.clone();
    let got = builder.run(out, [1, 2, 4], &[&[1.0, 10.0, 100.0, 0.0, 1.0, -1.0]]);
    assert_eq!(got, [840.0, 951.0, 1062.0, 1173.0, -4.0, -4.0, -4.0, -4.0]);
    let file =
        Program { output_offset: out, output_shape: [1, 2, 4], ..file }.to_bytes().expect("written before");
    assert_eq!(Model::load(&file).expect("just verified").file().macs(), 24);
}
