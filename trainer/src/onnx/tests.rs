//! Written files, run by tract, against plain loops in `f64` that carry a bound of the error tract may make.

use rand_core::{Rng as _, SeedableRng as _};
use rand_xoshiro::Xoshiro128PlusPlus;

use super::*;
use crate::graph::Node;

/// Values with a bound of how far an `f32` evaluation may be off.
struct Bounded {
    value: Vec<f64>,
    bound: Vec<f64>,
}

#[test]
fn every_operation_agrees_with_plain_loops() {
    let mut random = Random::new(1);
    let wide = Conv2dGeometry {
        stride: [2, 1],
        padding: [1, 0, 2, 1],
        dilation: [1, 2],
        ..Conv2dGeometry::square(3, 1, 0)
    };
    let grouped = Conv2dGeometry { groups: 2, ..Conv2dGeometry::square(3, 1, 1) };
    let ragged =
        Conv2dGeometry { output_padding: [1, 0], padding: [1, 0, 0, 1], ..Conv2dGeometry::square(3, 2, 0) };
    let grouped_up = Conv2dGeometry { groups: 2, ..Conv2dGeometry::square(4, 2, 1) };
    let cases: Vec<(&str, [usize; 3], Op)> = vec![
        ("dense", [7, 1, 1], random.dense(5, 7, true)),
        ("dense without bias", [3, 2, 2], random.dense(4, 12, false)),
        ("conv", [3, 6, 5], random.conv(4, 3, Conv2dGeometry::square(3, 1, 1), true)),
        ("conv, uneven", [3, 6, 7], random.conv(2, 3, wide, false)),
        ("conv, groups", [4, 5, 5], random.conv(6, 4, grouped, true)),
        ("conv transpose", [3, 4, 5], random.conv_transpose(2, 3, Conv2dGeometry::square(4, 2, 1), true)),
        ("conv transpose, uneven", [2, 3, 4], random.conv_transpose(3, 2, ragged, false)),
        ("conv transpose, groups", [4, 3, 3], random.conv_transpose(6, 4, grouped_up, true)),
        ("batch norm", [4, 3, 2], random.batch_norm(4)),
        ("relu", [2, 3, 3], Op::Activation(Activation::Relu)),
        ("leaky relu", [2, 3, 3], Op::Activation(Activation::LeakyRelu(0.2))),
        ("tanh", [2, 3, 3], Op::Activation(Activation::Tanh)),
        ("sigmoid", [2, 3, 3], Op::Activation(Activation::Sigmoid)),
        ("reshape", [4, 3, 2], Op::Reshape([2, 2, 6])),
    ];
    for (name, shape, op) in cases {
        let nodes =
            vec![Node { name: "start".into(), op: Op::Reshape(shape) }, Node { name: "op".into(), op }];
        let graph = Graph { latent_dim: shape.iter().product(), nodes };
        check(name, &graph, 3, &mut random);
    }
}

#[test]
fn a_generator_agrees_with_plain_loops() {
    let mut random = Random::new(2);
    let ops = vec![
        random.dense(8 * 3 * 3, 10, false),
        Op::Reshape([8, 3, 3]),
        random.batch_norm(8),
        Op::Activation(Activation::Relu),
        random.conv_transpose(6, 8, Conv2dGeometry::square(4, 2, 1), false),
        random.batch_norm(6),
        Op::Activation(Activation::LeakyRelu(0.1)),
        random.conv(1, 6, Conv2dGeometry::square(3, 1, 1), true),
        Op::Activation(Activation::Tanh),
    ];
    check("generator", &chain(10, ops), 4, &mut random);
}

#[test]
fn a_latent_enters_convolutions_and_a_flat_result_becomes_an_image() {
    let mut random = Random::new(3);
    let ops = vec![random.conv_transpose(4, 9, Conv2dGeometry::square(4, 1, 0), true)];
    check("latent as pixels", &chain(9, ops), 2, &mut random);
    let ops = vec![random.dense(6, 5, true), random.batch_norm(6), Op::Activation(Activation::Sigmoid)];
    check("flat", &chain(5, ops), 2, &mut random);
    check("nothing", &chain(5, vec![]), 2, &mut random);
}

#[test]
fn inner_tensors_can_be_read() -> Result<()> {
    let mut random = Random::new(4);
    let whole = chain(4, vec![random.dense(6, 4, true), random.dense(3, 6, true)]);
    let bytes = write(&whole)?;
    let z = random.values(2 * 4);
    let inner = Reference::load(&bytes, Some("n0.output"))?.run(&z, &[2, 4])?;
    let first = chain(4, whole.nodes[..1].iter().map(|node| node.op.clone()).collect());
    let expected = Reference::load(&write(&first)?, None)?.run(&z, &[2, 4])?;
    assert_eq!(inner, expected);

    let missing = Reference::load(&bytes, Some("nowhere")).err().context("a tensor that is not there")?;
    assert!(missing.to_string().contains("n0.output"), "the error lists the tensors: {missing}");
    Ok(())
}

#[test]
fn bad_files_and_shapes_are_errors() -> Result<()> {
    let mut random = Random::new(5);
    let bytes = write(&chain(4, vec![random.dense(6, 4, true)]))?;
    for len in 0..bytes.len() {
        // No prefix of the file may panic; one without its last weights may still parse.
        if let Ok(reference) = Reference::load(&bytes[..len], None) {
            let _ = reference.run(&[0.0; 4], &[1, 4]);
        }
    }
    let reference = Reference::load(&bytes, None)?;
    assert_eq!(reference.input_shape(), [None, Some(4)]);
    assert!(reference.run(&[0.0; 5], &[1, 5]).is_err());

    let old = pb::ModelProto { ir_version: 1, ..pb::ModelProto::decode(&*bytes)? };
    let error = Reference::load(&old.encode_to_vec(), None).err().context("IR version 1")?;
    assert!(error.to_string().contains("IR version 1"), "{error}");

    let twice = Graph {
        latent_dim: 4,
        nodes: vec![Node { name: "same".into(), op: Op::Activation(Activation::Relu) }; 2],
    };
    assert!(write(&twice).is_err());
    Ok(())
}

#[test]
fn panics_become_errors() {
    let error = contain(|| -> Result<()> { panic!("on purpose: {}", 1) }).expect_err("it panicked");
    assert!(error.to_string().contains("on purpose: 1"), "{error}");
}

#[test]
fn a_spec_names_a_file_and_a_tensor() {
    assert_eq!(split_spec("a/m.onnx"), (Path::new("a/m.onnx"), None));
    assert_eq!(split_spec("c:/m.onnx:/Relu_3_output_0"), (Path::new("c:/m.onnx"), Some("/Relu_3_output_0")));
}

/// Set `POCKETGAN_ONNX_OUT` to a folder to get a file, an input and tract's output for other readers of ONNX.
#[test]
fn a_file_for_other_readers() -> Result<()> {
    let Some(folder) = std::env::var_os("POCKETGAN_ONNX_OUT") else {
        eprintln!("skipped: POCKETGAN_ONNX_OUT is not set");
        return Ok(());
    };
    let folder = Path::new(&folder);
    let mut random = Random::new(6);
    let geometry = Conv2dGeometry { output_padding: [1, 1], groups: 2, ..Conv2dGeometry::square(3, 2, 1) };
    let ops = vec![
        random.dense(8 * 3 * 3, 10, true),
        random.batch_norm(72),
        Op::Activation(Activation::LeakyRelu(0.2)),
        Op::Reshape([8, 3, 3]),
        random.conv_transpose(6, 8, geometry, true),
        random.batch_norm(6),
        Op::Activation(Activation::Relu),
        random.conv(4, 6, Conv2dGeometry { dilation: [2, 1], ..Conv2dGeometry::square(3, 1, 2) }, false),
        Op::Activation(Activation::Sigmoid),
        random.dense(12, 4 * 6 * 8, true),
        Op::Reshape([3, 2, 2]),
        Op::Activation(Activation::Tanh),
    ];
    let bytes = write(&chain(10, ops))?;
    let z = random.values(5 * 10);
    let image = Reference::load(&bytes, None)?.run(&z, &[5, 10])?;
    std::fs::write(folder.join("generator.onnx"), bytes)?;
    std::fs::write(folder.join("z.f32"), bytemuck::cast_slice(&z))?;
    std::fs::write(folder.join("image.f32"), bytemuck::cast_slice(&image))?;
    Ok(())
}

fn chain(latent_dim: usize, ops: Vec<Op>) -> Graph {
    let nodes = ops.into_iter().enumerate().map(|(i, op)| Node { name: format!("n{i}"), op }).collect();
    Graph { latent_dim, nodes }
}

fn check(name: &str, graph: &Graph, batch: usize, random: &mut Random) {
    let z = random.values(batch * graph.latent_dim);
    let reference = Reference::load(&write(graph).expect("the graph is sound"), None).expect("it loads");
    let result = reference.run(&z, &[batch, graph.latent_dim]).expect("it runs");
    let per_image = result.len() / batch;
    for (z, result) in z.chunks(graph.latent_dim).zip(result.chunks(per_image)) {
        let expected = evaluate(graph, z);
        assert_eq!(result.len(), expected.value.len(), "{name}");
        for (i, &y) in result.iter().enumerate() {
            let (value, bound) = (expected.value[i], expected.bound[i]);
            assert!((y as f64 - value).abs() <= bound, "{name}[{i}]: {y}, expected {value} +- {bound:e}");
        }
    }
}

fn evaluate(graph: &Graph, z: &[f32]) -> Bounded {
    let mut x = Bounded { value: z.iter().map(|&v| v as f64).collect(), bound: vec![0.0; z.len()] };
    let mut shape = [graph.latent_dim, 1, 1];
    for (node, output) in graph.nodes.iter().zip(graph.shapes().expect("the graph is sound")) {
        x = apply(&node.op, &x, shape, output);
        shape = output;
    }
    x
}

/// Adds up products and bounds the error of doing so in `f32`, in any order: k eps sum|a b| (Higham 2002, section 3.1),
/// plus what the inputs were off by.
#[derive(Clone, Copy, Default)]
struct Sum {
    value: f64,
    magnitude: f64,
    inherited: f64,
    terms: usize,
}

impl Sum {
    fn add(&mut self, weight: f32, x: &Bounded, i: usize) {
        self.constant(weight as f64 * x.value[i]);
        self.inherited += (weight as f64).abs() * x.bound[i];
    }

    fn constant(&mut self, term: f64) {
        self.value += term;
        self.magnitude += term.abs();
        self.terms += 1;
    }

    fn bound(&self) -> f64 {
        self.inherited + (self.terms + 1) as f64 * EPS * (self.magnitude + self.inherited)
    }
}

const EPS: f64 = f32::EPSILON as f64;

fn apply(op: &Op, x: &Bounded, [c, h, w]: [usize; 3], [co, ho, wo]: [usize; 3]) -> Bounded {
    let mut sums = vec![Sum::default(); co * ho * wo];
    match op {
        Op::Reshape(_) => return Bounded { value: x.value.clone(), bound: x.bound.clone() },
        Op::Activation(activation) => return activate(*activation, x),
        Op::Dense { weight, .. } => {
            for (sum, row) in sums.iter_mut().zip(weight.data.chunks(c * h * w)) {
                row.iter().enumerate().for_each(|(i, &v)| sum.add(v, x, i));
            }
        }
        Op::Conv2d { weight, geometry: g, .. } => {
            for_each_tap(g, [co, c], |o, i, tap, [ky, kx]| {
                for (y, row) in sums[o * ho * wo..][..ho * wo].chunks_mut(wo).enumerate() {
                    for (xo, sum) in row.iter_mut().enumerate() {
                        let yi = (y * g.stride[0] + ky * g.dilation[0]).checked_sub(g.padding[0]);
                        let xi = (xo * g.stride[1] + kx * g.dilation[1]).checked_sub(g.padding[1]);
                        if let (Some(yi), Some(xi)) = (yi.filter(|&v| v < h), xi.filter(|&v| v < w)) {
                            sum.add(
                                weight.data[(o * (c / g.groups) + i % (c / g.groups)) * tap.1 + tap.0],
                                x,
                                (i * h + yi) * w + xi,
                            );
                        }
                    }
                }
            });
        }
        Op::ConvTranspose2d { weight, geometry: g, .. } => {
            for_each_tap(g, [co, c], |o, i, tap, [ky, kx]| {
                for (yi, xi) in (0..h).flat_map(|yi| (0..w).map(move |xi| (yi, xi))) {
                    let y = (yi * g.stride[0] + ky * g.dilation[0]).checked_sub(g.padding[0]);
                    let xo = (xi * g.stride[1] + kx * g.dilation[1]).checked_sub(g.padding[1]);
                    if let (Some(y), Some(xo)) = (y.filter(|&v| v < ho), xo.filter(|&v| v < wo)) {
                        let v = weight.data[(i * (co / g.groups) + o % (co / g.groups)) * tap.1 + tap.0];
                        sums[(o * ho + y) * wo + xo].add(v, x, (i * h + yi) * w + xi);
                    }
                }
            });
        }
        Op::BatchNorm { gamma, beta, mean, variance, epsilon } => {
            for (i, sum) in sums.iter_mut().enumerate() {
                let k = i / (h * w);
                let scale = gamma.data[k] as f64 / (variance.data[k] as f64 + *epsilon as f64).sqrt();
                // The scale itself is rounded four times: sum, root, quotient, and when folded.
                sum.constant(scale * x.value[i]);
                sum.constant(-scale * mean.data[k] as f64);
                sum.constant(beta.data[k] as f64);
                sum.inherited = scale.abs() * x.bound[i];
                sum.terms += 4;
            }
        }
    }
    if let Op::Dense { bias: Some(b), .. }
    | Op::Conv2d { bias: Some(b), .. }
    | Op::ConvTranspose2d { bias: Some(b), .. } = op
    {
        for (sums, &b) in sums.chunks_mut(ho * wo).zip(&b.data) {
            sums.iter_mut().for_each(|sum| sum.constant(b as f64));
        }
    }
    Bounded { value: sums.iter().map(|s| s.value).collect(), bound: sums.iter().map(Sum::bound).collect() }
}

/// Calls `f(output channel, input channel, (tap, taps), [ky, kx])` for pairs of channels in the same group.
fn for_each_tap(
    g: &Conv2dGeometry,
    [co, c]: [usize; 2],
    mut f: impl FnMut(usize, usize, (usize, usize), [usize; 2]),
) {
    let [kh, kw] = g.kernel_size;
    for (o, i) in (0..co).flat_map(|o| (0..c).map(move |i| (o, i))) {
        if o / (co / g.groups) == i / (c / g.groups) {
            (0..kh * kw).for_each(|tap| f(o, i, (tap, kh * kw), [tap / kw, tap % kw]));
        }
    }
}

fn activate(activation: Activation, x: &Bounded) -> Bounded {
    // tract's tanh and sigmoid are quotients of polynomials of degree 13 and 6: 22 operations of half an eps each, and
    // an approximation error of the same order.
    let rational = 22.0 * EPS;
    let (f, own): (Box<dyn Fn(f64) -> f64>, f64) = match activation {
        Activation::Relu => (Box::new(|v| v.max(0.0)), 0.0),
        Activation::LeakyRelu(slope) => (Box::new(move |v| if v > 0.0 { v } else { slope as f64 * v }), EPS),
        Activation::Tanh => (Box::new(f64::tanh), rational),
        Activation::Sigmoid => (Box::new(|v| 1.0 / (1.0 + (-v).exp())), rational),
    };
    let value: Vec<f64> = x.value.iter().map(|&v| f(v)).collect();
    // None of them stretches a distance.
    let bound = x.bound.iter().zip(&x.value).map(|(&b, v)| b + own * v.abs().max(1.0)).collect();
    Bounded { value, bound }
}

struct Random(Xoshiro128PlusPlus);

impl Random {
    fn new(seed: u64) -> Self {
        println!("seed {seed}");
        Self(Xoshiro128PlusPlus::seed_from_u64(seed))
    }

    /// Uniform in [-1, 1).
    fn values(&mut self, len: usize) -> Vec<f32> {
        (0..len).map(|_| (self.0.next_u32() >> 8) as f32 / (1 << 23) as f32 - 1.0).collect()
    }

    fn tensor(&mut self, shape: &[usize]) -> Tensor {
        Tensor::new(shape, self.values(shape.iter().product()))
    }

    fn dense(&mut self, n: usize, k: usize, bias: bool) -> Op {
        Op::Dense { weight: self.tensor(&[n, k]), bias: bias.then(|| self.tensor(&[n])) }
    }

    fn conv(&mut self, co: usize, c: usize, geometry: Conv2dGeometry, bias: bool) -> Op {
        let [kh, kw] = geometry.kernel_size;
        let weight = self.tensor(&[co, c / geometry.groups, kh, kw]);
        Op::Conv2d { weight, bias: bias.then(|| self.tensor(&[co])), geometry }
    }

    fn conv_transpose(&mut self, co: usize, c: usize, geometry: Conv2dGeometry, bias: bool) -> Op {
        let [kh, kw] = geometry.kernel_size;
        let weight = self.tensor(&[c, co / geometry.groups, kh, kw]);
        Op::ConvTranspose2d { weight, bias: bias.then(|| self.tensor(&[co])), geometry }
    }

    fn batch_norm(&mut self, c: usize) -> Op {
        let mut variance = self.tensor(&[c]);
        variance.data.iter_mut().for_each(|v| *v = v.abs() + 0.1);
        let [gamma, beta, mean] = [0; 3].map(|_| self.tensor(&[c]));
        Op::BatchNorm { gamma, beta, mean, variance, epsilon: 1e-5 }
    }
}
