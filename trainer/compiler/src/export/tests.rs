//! Graphs of every shape through the whole export, which compares each file with its graph, on every kernel.

mod attention;
mod enlarge;
mod epilogues;

use pocketgan_runtime::{Model, latent};

use super::*;
use crate::graph::{Binary, Conv2dGeometry, Input, Op, Reduction, Role, Tensor, Unary, Value};

/// Builds a graph; weights and constants are standard normal.
struct Builder {
    graph: Graph,
    seed: u64,
}

impl Builder {
    fn new(shapes: &[&[usize]]) -> Self {
        let input = |(i, shape): (usize, &&[usize])| Input {
            name: format!("x{i}"),
            role: Role::Values,
            shape: shape.to_vec(),
        };
        Self { graph: Graph::new(shapes.iter().enumerate().map(input).collect()), seed: 1 }
    }

    fn push(&mut self, op: Op, inputs: &[Value]) -> Value {
        let name = format!("n{}", self.graph.value_count());
        self.graph.push(name, op, inputs.to_vec()).expect("the test's shapes fit")
    }

    fn tensor(&mut self, shape: &[usize]) -> Tensor {
        let mut data = vec![0.0; shape.iter().product()];
        self.seed += 1;
        latent::fill_normal(self.seed, &mut data);
        data.iter_mut().for_each(|v| *v *= 0.5);
        Tensor::new(shape, data)
    }

    fn constant(&mut self, shape: &[usize]) -> Value {
        let tensor = self.tensor(shape);
        self.push(Op::Constant(tensor), &[])
    }

    fn conv(&mut self, x: Value, outputs: usize, geometry: Conv2dGeometry) -> Value {
        let inputs = self.graph.shape(x)[1] / geometry.groups;
        let [kh, kw] = geometry.kernel_size;
        let (weight, bias) = (self.tensor(&[outputs, inputs, kh, kw]), Some(self.tensor(&[outputs])));
        self.push(Op::Conv2d { weight, bias, geometry }, &[x])
    }

    fn same_conv(&mut self, x: Value, outputs: usize) -> Value {
        self.conv(x, outputs, Conv2dGeometry::square(3, 1, 1))
    }

    fn up(&mut self, x: Value, outputs: usize) -> Value {
        let inputs = self.graph.shape(x)[1];
        let (weight, bias) = (self.tensor(&[inputs, outputs, 4, 4]), None);
        self.push(Op::ConvTranspose2d { weight, bias, geometry: Conv2dGeometry::square(4, 2, 1) }, &[x])
    }

    fn dense(&mut self, x: Value, outputs: usize) -> Value {
        let inputs = *self.graph.shape(x).last().expect("a dense layer has an axis to read");
        let (weight, bias) = (self.tensor(&[outputs, inputs]), Some(self.tensor(&[outputs])));
        self.push(Op::Dense { weight, bias }, &[x])
    }

    fn norm(&mut self, x: Value) -> Value {
        let c = self.graph.shape(x)[1];
        let [gamma, beta, mean] = [0; 3].map(|_| self.tensor(&[c]));
        let mut variance = self.tensor(&[c]);
        variance.data.iter_mut().for_each(|v| *v = v.abs() + 0.5);
        self.push(Op::BatchNorm { gamma, beta, mean, variance, epsilon: 1e-5 }, &[x])
    }

    fn unary(&mut self, function: Unary, x: Value) -> Value {
        self.push(Op::Unary(function), &[x])
    }

    fn binary(&mut self, function: Binary, a: Value, b: Value) -> Value {
        self.push(Op::Binary(function), &[a, b])
    }

    fn reshape(&mut self, x: Value, shape: &[usize]) -> Value {
        self.push(Op::Reshape(shape.to_vec()), &[x])
    }

    /// Exports with both kinds of weights; returns the number of steps.
    fn check(mut self, output: Value) -> usize {
        self.graph.set_output(output);
        let export_as = |weights, activations| {
            let export = export(&self.graph, &Options { weights, activations, ..Options::default() });
            export.unwrap_or_else(|e| panic!("{weights:?} {activations:?}: {e:#}"))
        };
        export_as(WeightType::F16, ValueType::F32);
        export_as(WeightType::F16, ValueType::F16);
        let single = export_as(WeightType::F32, ValueType::F32);
        // Folding must not change the graph itself.
        let inputs = test_inputs(&self.graph, [-1.0, 1.0], 3);
        let inputs: Vec<&[f32]> = inputs.iter().map(|values| &values[..]).collect();
        let before = crate::graph::evaluate::evaluate(&self.graph, &inputs).expect("the inputs fit");
        let after = crate::graph::evaluate::evaluate(&single.rounded, &inputs).expect("the inputs fit");
        for (a, b) in before.iter().zip(&after) {
            // Weights were rounded to f32 once more.
            assert!((a - b).abs() <= 1e-4 * a.abs().max(1.0), "{a} became {b}");
        }
        pocketgan_format::File::parse(&single.file).expect("verified").step_count()
    }
}

#[test]
fn a_u_net_concatenates_without_copies() {
    let mut b = Builder::new(&[&[1, 3, 8, 8]]);
    let x = b.graph.input(0);
    let down1 = b.conv(x, 4, Conv2dGeometry::square(4, 2, 1));
    let down1 = b.unary(Unary::LeakyRelu(0.2), down1);
    let down2 = b.conv(down1, 8, Conv2dGeometry::square(4, 2, 1));
    let down2 = b.norm(down2);
    let up1 = b.up(down2, 4);
    let up1 = b.unary(Unary::Relu, up1);
    let skip = b.push(Op::Concat { axis: 1 }, &[up1, down1]);
    let up2 = b.up(skip, 3);
    let up2 = b.unary(Unary::Tanh, up2);
    // Two convolutions, and four phases of each transposed one: nothing is copied or normalized.
    assert_eq!(b.check(up2), 2 + 2 * 4);
}

#[test]
fn concatenations_of_all_kinds() {
    let mut b = Builder::new(&[&[1, 2, 3, 4], &[1, 1, 3, 4]]);
    let (x, y) = (b.graph.input(0), b.graph.input(1));
    let a = b.same_conv(x, 3);
    let inner = b.push(Op::Concat { axis: 1 }, &[a, y, a]);
    let grown = b.same_conv(inner, 2);
    // Reads and writes parts of one buffer.
    let outer = b.push(Op::Concat { axis: 1 }, &[inner, grown, x]);
    let rows = b.push(Op::Concat { axis: 2 }, &[outer, outer]);
    let negative = b.unary(Unary::Abs, rows);
    let constant = b.constant(&[1, 11, 6, 1]);
    let wide = b.push(Op::Concat { axis: 3 }, &[negative, constant]);
    b.check(wide);
}

#[test]
fn dense_layers_and_pictures_trade_orders() {
    let mut b = Builder::new(&[&[1, 6]]);
    let x = b.graph.input(0);
    let hidden = b.dense(x, 24);
    let hidden = b.norm(hidden);
    let hidden = b.unary(Unary::Relu, hidden);
    let picture = b.reshape(hidden, &[1, 6, 2, 2]);
    let picture = b.up(picture, 3);
    let flat = b.reshape(picture, &[1, 48]);
    let flat = b.dense(flat, 5);
    // Dense, four phases, dense: neither reshape moves a value, neither normalization remains.
    assert_eq!(b.check(flat), 6);

    let mut b = Builder::new(&[&[1, 6]]);
    let x = b.graph.input(0);
    let hidden = b.dense(x, 24);
    let picture = b.reshape(hidden, &[1, 6, 2, 2]);
    let picture = b.norm(picture);
    let picture = b.unary(Unary::Relu, picture);
    let picture = b.same_conv(picture, 3);
    assert_eq!(b.check(picture), 2);

    let mut b = Builder::new(&[&[1, 9, 1, 1]]);
    let start = b.graph.input(0);
    let weight = b.tensor(&[9, 4, 3, 3]);
    let geometry = Conv2dGeometry::square(3, 1, 0);
    let picture = b.push(Op::ConvTranspose2d { weight, bias: None, geometry }, &[start]);
    let picture = b.norm(picture);
    let picture = b.unary(Unary::Relu, picture);
    let picture = b.same_conv(picture, 1);
    assert_eq!(b.check(picture), 2);

    // A picture that is set from outside, and stays in single precision, flattened.
    let mut b = Builder::new(&[&[1, 3, 4, 4]]);
    let x = b.graph.input(0);
    let flat = b.reshape(x, &[1, 48]);
    let flat = b.dense(flat, 300);
    b.check(flat);

    // Two readers: the normalization must not reach the other one.
    let mut b = Builder::new(&[&[1, 3]]);
    let x = b.graph.input(0);
    let dense = b.dense(x, 4);
    let norm = b.norm(dense);
    let shift = b.constant(&[4]);
    let shifted = b.binary(Binary::Sub, dense, shift);
    let both = b.binary(Binary::Mul, norm, shifted);
    b.check(both);
}

#[test]
fn views_reach_every_layer() {
    let mut b = Builder::new(&[&[2, 3, 4, 5]]);
    let x = b.graph.input(0);
    let batch = b.same_conv(x, 4);
    let turned = b.push(Op::Transpose(vec![0, 1, 3, 2]), &[batch]);
    let part = b.push(Op::Slice { axis: 1, start: 3, step: -1, len: 3 }, &[turned]);
    let part = b.conv(part, 6, Conv2dGeometry { groups: 3, ..Conv2dGeometry::square(3, 2, 1) });
    let shape = b.graph.shape(part).to_vec();
    let [n, c] = [shape[0], shape[1] * shape[2] * shape[3]];
    let rows = b.reshape(part, &[n, c]);
    let rows = b.dense(rows, 4);
    let across = b.push(Op::Transpose(vec![1, 0]), &[rows]);
    let across = b.dense(across, 3);
    let spread = b.reshape(across, &[4, 1, 3]);
    let spread = b.push(Op::Broadcast(vec![4, 2, 3]), &[spread]);
    b.check(spread);
}

#[test]
fn a_batch_shares_its_weights() {
    let flash = |batch: usize| {
        let mut b = Builder::new(&[&[batch, 8, 4, 4]]);
        let x = b.graph.input(0);
        let y = b.up(x, 8);
        b.graph.set_output(y);
        let file = export(&b.graph, &Options::default()).expect("verified").file;
        pocketgan_format::File::parse(&file).expect("verified").tensor_count()
    };
    assert_eq!(flash(3), flash(1));
}

#[test]
fn pools_and_norms_are_windows_and_reductions() {
    let mut b = Builder::new(&[&[1, 3, 6, 7]]);
    let x = b.graph.input(0);
    let x = b.same_conv(x, 4);
    let rows = b.push(Op::Window { axis: 2, size: 3, stride: 2, dilation: 1 }, &[x]);
    let windows = b.push(Op::Window { axis: 3, size: 2, stride: 1, dilation: 2 }, &[rows]);
    let most = b.push(Op::Reduce { reduction: Reduction::Max, axes: vec![4, 5] }, &[windows]);
    let shape = b.graph.shape(most)[..4].to_vec();
    let pooled = b.reshape(most, &shape);
    let sum = b.push(Op::Reduce { reduction: Reduction::Sum, axes: vec![2, 3] }, &[pooled]);
    let count = b.push(Op::Constant(Tensor::scalar((shape[2] * shape[3]) as f32)), &[]);
    let mean = b.binary(Binary::Div, sum, count);
    let centred = b.binary(Binary::Sub, pooled, mean);
    let zero = b.push(Op::Constant(Tensor::scalar(0.0)), &[]);
    let positive = b.binary(Binary::Less, zero, centred);
    let slope = b.constant(&[4, 1, 1]);
    let bent = b.binary(Binary::PRelu, centred, slope);
    let chosen = b.push(Op::Select, &[positive, bent, mean]);
    b.check(chosen);
}

#[test]
fn attention_and_embeddings() {
    let mut b = Builder::new(&[&[1, 4, 3, 3], &[1]]);
    let (x, label) = (b.graph.input(0), b.graph.input(1));
    let [query, value] = [2, 4].map(|channels| b.conv(x, channels, Conv2dGeometry::square(1, 1, 0)));
    let query = b.reshape(query, &[1, 2, 9]);
    let value = b.reshape(value, &[1, 4, 9]);
    let scores =
        b.push(Op::Contract { a: vec![0, 1, 2], b: vec![0, 1, 3], out: vec![0, 2, 3] }, &[query, query]);
    let most = b.push(Op::Reduce { reduction: Reduction::Max, axes: vec![2] }, &[scores]);
    let scores = b.binary(Binary::Sub, scores, most);
    let scores = b.unary(Unary::Exp, scores);
    let sum = b.push(Op::Reduce { reduction: Reduction::Sum, axes: vec![2] }, &[scores]);
    let scores = b.binary(Binary::Div, scores, sum);
    let mixed =
        b.push(Op::Contract { a: vec![0, 1, 2], b: vec![0, 3, 2], out: vec![0, 1, 3] }, &[value, scores]);
    let picture = b.reshape(mixed, &[1, 4, 3, 3]);
    let picture = b.binary(Binary::Add, picture, x);
    let table = b.constant(&[5, 4]);
    let embedding = b.push(Op::Gather { axis: 0 }, &[table, label]);
    let embedding = b.reshape(embedding, &[1, 4, 1, 1]);
    let conditioned = b.binary(Binary::Mul, picture, embedding);
    b.check(conditioned);
}

#[test]
fn a_residual_block_adds_in_place() {
    let mut b = Builder::new(&[&[1, 4, 8, 8]]);
    let x = b.graph.input(0);
    let skip = b.same_conv(x, 4);
    let norm = b.norm(skip);
    let bent = b.unary(Unary::Exp, norm);
    let y = b.same_conv(bent, 4);
    let sum = b.binary(Binary::Add, y, skip);
    let sum = b.unary(Unary::Abs, sum);
    b.graph.set_output(sum);
    let file = export(&b.graph, &Options::default()).expect("it can be exported").file;
    let file = pocketgan_format::File::parse(&file).expect("verified");
    // The skip, to which the second convolution adds, and what that reads: nothing else lives at any time.
    assert_eq!(file.arena_bytes(), 2 * 4 * 4 * 8 * 8);
}

#[test]
fn half_precision_activations_halve_the_arena() {
    let mut b = Builder::new(&[&[1, 16]]);
    let x = b.graph.input(0);
    let hidden = b.dense(x, 16 * 16);
    let picture = b.reshape(hidden, &[1, 16, 4, 4]);
    let picture = b.unary(Unary::Relu, picture);
    let picture = b.up(picture, 16);
    let picture = b.unary(Unary::Relu, picture);
    let picture = b.up(picture, 1);
    b.graph.set_output(picture);
    let [single, half] = [ValueType::F32, ValueType::F16].map(|activations| {
        let file = export(&b.graph, &Options { activations, ..Options::default() }).expect("verified").file;
        pocketgan_format::File::parse(&file).expect("verified").arena_bytes()
    });
    // Both pictures of 16 channels, at 4x4 and at 8x8, live at the same time.
    assert_eq!((single, half), (4 * 16 * (16 + 64), 2 * 16 * (16 + 64)));
}

#[test]
fn a_square_and_its_transpose_are_not_added_in_place() {
    let mut b = Builder::new(&[&[3, 3]]);
    let x = b.graph.input(0);
    let turned = b.push(Op::Transpose(vec![1, 0]), &[x]);
    let sum = b.binary(Binary::Add, x, turned);
    let doubled = b.binary(Binary::Mul, sum, sum);
    b.check(doubled);
}

#[test]
fn outputs_that_nothing_computes() {
    let b = Builder::new(&[&[1, 2, 3, 3]]);
    let x = b.graph.input(0);
    assert_eq!(b.check(x), 1);
    let mut b = Builder::new(&[&[1, 2]]);
    let constant = b.constant(&[1, 3, 2, 2]);
    assert_eq!(b.check(constant), 1);
    let mut b = Builder::new(&[&[1, 3, 2, 2]]);
    let x = b.graph.input(0);
    let turned = b.push(Op::Transpose(vec![0, 2, 3, 1]), &[x]);
    assert_eq!(b.check(turned), 1);
}

#[test]
fn a_flat_output_becomes_the_picture_asked_for() {
    let mut b = Builder::new(&[&[1, 3]]);
    let x = b.graph.input(0);
    let flat = b.dense(x, 12);
    b.graph.set_output(flat);
    let options = Options { picture: Some([3, 2, 2]), ..Options::default() };
    let export_of = |options: &Options| export(&b.graph, options);
    let file = export_of(&options).expect("12 values are 3x2x2").file;
    let file = pocketgan_format::File::parse(&file).expect("verified");
    assert_eq!((file.output_shape(), file.step_count()), ([2, 2, 3], 1));
    let error = export_of(&Options { picture: Some([3, 3, 2]), ..options }).expect_err("12 are not 18");
    assert!(error.to_string().contains("3x3x2"), "{error}");
}

#[test]
fn what_the_format_cannot_hold_is_named() {
    let mut b = Builder::new(&[&[1, 1, 300, 300]]);
    let x = b.graph.input(0);
    let y = b.conv(x, 1, Conv2dGeometry { stride: [256, 1], ..Conv2dGeometry::square(1, 1, 0) });
    b.graph.set_output(y);
    let error = format!("{:#}", export(&b.graph, &Options::default()).expect_err("a stride of 256"));
    assert!(error.contains("n1") && error.contains("255"), "{error}");

    // Of a transposed convolution each is refused before its phases and steps are there, which would fill the memory.
    let spread = |channels: usize, stride: usize, kernel_size: usize| {
        let mut b = Builder::new(&[&[1, channels, 2, 2]]);
        let weight = b.tensor(&[channels, 1, kernel_size, kernel_size]);
        let geometry = Conv2dGeometry { groups: channels, ..Conv2dGeometry::square(kernel_size, stride, 0) };
        let x = b.graph.input(0);
        let y = b.push(Op::ConvTranspose2d { weight, bias: None, geometry }, &[x]);
        b.graph.set_output(y);
        format!("{:#}", compile(&b.graph, &Options::default()).expect_err("beyond the format"))
    };
    for (error, limit) in [
        (spread(1, 8192, 1), "a stride exceeds 255"),
        (spread(64, 255, 1), "more than 4096 steps"),
        (spread(1, 1, 300), "more than 65536 taps"),
    ] {
        assert!(error.contains("lowering n1") && error.contains(limit), "{error}");
    }
}

#[test]
fn a_file_says_what_it_draws() {
    let mut b = Builder::new(&[&[1, 6], &[1, 3, 4, 4]]);
    let [z, x] = [0, 1].map(|input| b.graph.input(input));
    let z = b.dense(z, 48);
    let z = b.push(Op::Reshape(vec![1, 3, 4, 4]), &[z]);
    let sum = b.push(Op::Binary(Binary::Add), &[z, x]);
    let y = b.up(sum, 3);
    b.graph.set_output(y);
    let file = export(&b.graph, &Options::default()).expect("it can be expressed").file;
    let model = Model::load(&file).expect("just verified");
    assert!(model.conformance().is_some());
    let again = stamp(&file).expect("it is sound");
    assert_eq!(file[..], again[..]);
}
