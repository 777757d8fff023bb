//! Written files, run by tract, against an evaluation in double precision.

use rand_core::{Rng as _, SeedableRng as _};
use rand_xoshiro::Xoshiro128PlusPlus;

use super::*;
use crate::graph::evaluate::evaluate_latents;
use crate::graph::{Conv2dGeometry, Graph, Op, Tensor, Unary};

#[test]
fn a_generator_computes_in_tract_what_its_graph_says() -> Result<()> {
    let mut random = Random::new(2);
    let wide = Conv2dGeometry {
        stride: [2, 1],
        padding: [1, 0, 2, 1],
        dilation: [1, 2],
        ..Conv2dGeometry::square(3, 1, 0)
    };
    let ragged = Conv2dGeometry {
        output_padding: [1, 0],
        groups: 2,
        padding: [1, 0, 0, 1],
        ..Conv2dGeometry::square(3, 2, 0)
    };
    let graph = chain(
        10,
        vec![
            random.dense(8 * 3 * 3, 10),
            random.batch_norm(72),
            Op::Unary(Unary::LeakyRelu(0.2)),
            Op::Reshape(vec![1, 8, 3, 3]),
            random.conv_transpose(6, 8, ragged),
            random.batch_norm(6),
            Op::Unary(Unary::Relu),
            random.conv(4, 6, wide),
            Op::Unary(Unary::Sigmoid),
            random.conv_transpose(1, 4, Conv2dGeometry::square(4, 2, 1)),
            Op::Unary(Unary::Tanh),
        ],
    )?;
    let bytes = write(&graph)?;
    let z = random.values(4 * 10);
    let got = Reference::load(&bytes, None)?.run(&z, &[4, 10])?;
    let expected = evaluate_latents(&graph, &z)?;
    assert_eq!(got.len(), expected.len());
    // Five layers of at most 54 terms and of unit gain: 5 * 54 * 2^-24 = 1.6e-5; tract's sigmoid and tanh are good to 3e-6.
    let worst = got.iter().zip(&expected).fold(0.0_f32, |worst, (a, b)| worst.max((a - b).abs()));
    assert!(worst < 2e-5, "{worst:e}");
    // What is written is read again.
    let imported = import(&bytes, &ImportOptions::default())?.graph;
    let again = evaluate_latents(&imported, &z)?;
    assert!(again.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-6));
    Ok(())
}

#[test]
fn inner_tensors_can_be_read() -> Result<()> {
    let mut random = Random::new(4);
    let ops = vec![random.dense(6, 4), random.dense(3, 6)];
    let bytes = write(&chain(4, ops.clone())?)?;
    let z = random.values(2 * 4);
    let inner = Reference::load(&bytes, Some("n0.output"))?.run(&z, &[2, 4])?;
    let expected = Reference::load(&write(&chain(4, ops[..1].to_vec())?)?, None)?.run(&z, &[2, 4])?;
    assert_eq!(inner, expected);

    let missing = Reference::load(&bytes, Some("nowhere")).err().context("a tensor that is not there")?;
    assert!(missing.to_string().contains("n0.output"), "the error lists the tensors: {missing}");
    Ok(())
}

#[test]
fn bad_files_and_shapes_are_errors() -> Result<()> {
    let mut random = Random::new(5);
    let bytes = write(&chain(4, vec![random.dense(6, 4)])?)?;
    for len in 0..bytes.len() {
        // No prefix of the file may panic; one without its last weights may still parse.
        if let Ok(reference) = Reference::load(&bytes[..len], None) {
            let _ = reference.run(&[0.0; 4], &[1, 4]);
        }
    }
    let reference = Reference::load(&bytes, None)?;
    assert_eq!(reference.input_shape(), [None, Some(4)]);
    assert!(reference.run(&[0.0; 5], &[1, 5]).is_err());
    assert!(reference.run_all(&[]).is_err());

    let old = pb::ModelProto { ir_version: 1, ..pb::ModelProto::decode(&*bytes)? };
    let error = Reference::load(&old.encode_to_vec(), None).err().context("IR version 1")?;
    assert!(error.to_string().contains("IR version 1"), "{error}");

    let relu = |name: &str| (name.to_owned(), Op::Unary(Unary::Relu));
    assert!(write(&Graph::chain(4, [relu("same"), relu("same")])?).is_err());
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

fn chain(latent_dim: usize, ops: Vec<Op>) -> Result<Graph> {
    Graph::chain(latent_dim, ops.into_iter().enumerate().map(|(i, op)| (format!("n{i}"), op)))
}

/// Weights with which a layer keeps the size of its values.
struct Random(Xoshiro128PlusPlus);

impl Random {
    fn new(seed: u64) -> Self {
        println!("seed {seed}");
        Self(Xoshiro128PlusPlus::seed_from_u64(seed))
    }

    /// In -1..1.
    fn values(&mut self, len: usize) -> Vec<f32> {
        (0..len).map(|_| self.0.next_u32().cast_signed() as f32 / 2.0_f32.powi(31)).collect()
    }

    fn tensor(&mut self, shape: &[usize], terms: usize) -> Tensor {
        let scale = (3.0 / terms as f32).sqrt();
        let values = self.values(shape.iter().product());
        Tensor::new(shape, values.into_iter().map(|v| v * scale).collect())
    }

    fn dense(&mut self, n: usize, k: usize) -> Op {
        Op::Dense { weight: self.tensor(&[n, k], k), bias: Some(self.tensor(&[n], 30)) }
    }

    fn conv(&mut self, out: usize, c: usize, geometry: Conv2dGeometry) -> Op {
        let [kh, kw] = geometry.kernel_size;
        let weight = self.tensor(&[out, c / geometry.groups, kh, kw], c / geometry.groups * kh * kw);
        Op::Conv2d { weight, bias: None, geometry }
    }

    fn conv_transpose(&mut self, out: usize, c: usize, geometry: Conv2dGeometry) -> Op {
        let ([kh, kw], [sy, sx]) = (geometry.kernel_size, geometry.stride);
        let terms = (c / geometry.groups * kh * kw / (sy * sx)).max(1);
        let weight = self.tensor(&[c, out / geometry.groups, kh, kw], terms);
        Op::ConvTranspose2d { weight, bias: Some(self.tensor(&[out], 30)), geometry }
    }

    fn batch_norm(&mut self, c: usize) -> Op {
        let mut variance = self.tensor(&[c], 3);
        variance.data.iter_mut().for_each(|v| *v = v.abs() + 0.5);
        let [gamma, beta, mean] = [0; 3].map(|_| self.tensor(&[c], 3));
        Op::BatchNorm { gamma, beta, mean, variance, epsilon: 1e-5 }
    }
}
