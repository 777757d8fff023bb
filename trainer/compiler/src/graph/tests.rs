//! Each operation on numbers small enough to check by hand, and each refusal.

use super::evaluate::{evaluate, evaluate_latents};
use super::*;

/// The result of one operation on row-major inputs.
fn apply(op: Op, inputs: &[(&[usize], &[f32])]) -> Result<(Vec<usize>, Vec<f32>)> {
    let input = |(i, (shape, _)): (usize, &(&[usize], &[f32]))| Input {
        name: format!("x{i}"),
        role: Role::Values,
        shape: shape.to_vec(),
    };
    let mut graph = Graph::new(inputs.iter().enumerate().map(input).collect());
    let read = (0..inputs.len()).map(|i| graph.input(i)).collect();
    let value = graph.push("op", op, read)?;
    let values: Vec<&[f32]> = inputs.iter().map(|(_, values)| *values).collect();
    Ok((graph.shape(value).to_vec(), evaluate(&graph, &values)?))
}

#[test]
fn views_and_copies() {
    let x: (&[usize], &[f32]) = (&[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    for (op, shape, values) in [
        (Op::Reshape(vec![3, 2]), vec![3, 2], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
        (Op::Transpose(vec![1, 0]), vec![3, 2], vec![1.0, 4.0, 2.0, 5.0, 3.0, 6.0]),
        (Op::Slice { axis: 1, start: 2, step: -2, len: 2 }, vec![2, 2], vec![3.0, 1.0, 6.0, 4.0]),
        (
            Op::Window { axis: 1, size: 2, stride: 1, dilation: 1 },
            vec![2, 2, 2],
            vec![1.0, 2.0, 2.0, 3.0, 4.0, 5.0, 5.0, 6.0],
        ),
        (Op::Reduce { reduction: Reduction::Max, axes: vec![0] }, vec![1, 3], vec![4.0, 5.0, 6.0]),
        (Op::Reduce { reduction: Reduction::Product, axes: vec![0, 1] }, vec![1, 1], vec![720.0]),
    ] {
        assert_eq!(apply(op.clone(), &[x]).unwrap(), (shape, values), "{op:?}");
    }
    let row: (&[usize], &[f32]) = (&[1, 3], &[7.0, 8.0, 9.0]);
    let (shape, values) = apply(Op::Concat { axis: 0 }, &[x, row]).unwrap();
    assert_eq!((shape, &values[6..]), (vec![3, 3], &[7.0, 8.0, 9.0][..]));
    let indices: (&[usize], &[f32]) = (&[2], &[2.0, 9.0]);
    assert_eq!(apply(Op::Gather { axis: 1 }, &[x, indices]).unwrap(), (vec![2, 2], vec![3.0, 3.0, 6.0, 6.0]));
    assert_eq!(apply(Op::Broadcast(vec![2, 1, 3]), &[row]).unwrap().1, [7.0, 8.0, 9.0, 7.0, 8.0, 9.0]);
}

#[test]
fn pairs_are_broadcast() {
    let x: (&[usize], &[f32]) = (&[2, 1], &[1.0, -2.0]);
    let y: (&[usize], &[f32]) = (&[3], &[0.0, 2.0, -4.0]);
    for (function, values) in [
        (Binary::Sub, [1.0, -1.0, 5.0, -2.0, -4.0, 2.0]),
        (Binary::LessEqual, [0.0, 1.0, 0.0, 1.0, 1.0, 0.0]),
        (Binary::PRelu, [1.0, 1.0, 1.0, -0.0, -4.0, 8.0]),
        (Binary::ExpSub, [1.0, -1.0, 5.0, -2.0, -4.0, 2.0].map(f32::exp)),
        (Binary::Max, [1.0, 2.0, 1.0, 0.0, 2.0, -2.0]),
    ] {
        assert_eq!(
            apply(Op::Binary(function), &[x, y]).unwrap(),
            (vec![2, 3], values.to_vec()),
            "{function:?}"
        );
    }
    let condition: (&[usize], &[f32]) = (&[3], &[0.0, 1.0, 0.0]);
    assert_eq!(apply(Op::Select, &[condition, x, y]).unwrap().1, [0.0, 1.0, -4.0, 0.0, -2.0, -4.0]);
}

#[test]
fn a_contraction_is_a_batched_matrix_product() {
    let a: (&[usize], &[f32]) = (&[1, 2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let b: (&[usize], &[f32]) = (&[3, 2], &[1.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
    let op = Op::Contract { a: vec![0, 1, 2], b: vec![2, 3], out: vec![3, 0, 1] };
    assert_eq!(apply(op, &[a, b]).unwrap(), (vec![2, 1, 2], vec![4.0, 10.0, 5.0, 11.0]));
}

#[test]
fn layers_sum_products() {
    let weight = Tensor::new([2, 3], vec![1.0, 0.0, -1.0, 2.0, 2.0, 2.0]);
    let dense = Op::Dense { weight, bias: Some(Tensor::new([2], vec![10.0, 20.0])) };
    let x: (&[usize], &[f32]) = (&[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    assert_eq!(apply(dense, &[x]).unwrap(), (vec![2, 2], vec![8.0, 32.0, 8.0, 50.0]));
    // A kernel of ones with stride 2 over 3x3: corners of the padded picture.
    let ones = |shape: [usize; 4]| Tensor::new(shape, vec![1.0; shape.iter().product()]);
    let picture: (&[usize], &[f32]) = (&[1, 1, 3, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]);
    let geometry = Conv2dGeometry::square(2, 2, 1);
    let conv = Op::Conv2d { weight: ones([1, 1, 2, 2]), bias: None, geometry: geometry.clone() };
    assert_eq!(apply(conv, &[picture]).unwrap(), (vec![1, 1, 2, 2], vec![1.0, 5.0, 11.0, 28.0]));
    // Its transpose puts each value on a 2x2 block, and loses the border.
    let transposed = Op::ConvTranspose2d { weight: ones([1, 1, 2, 2]), bias: None, geometry };
    let (shape, values) = apply(transposed, &[picture]).unwrap();
    assert_eq!(shape, [1, 1, 4, 4]);
    assert_eq!(values[..4], [1.0, 2.0, 2.0, 3.0]);
    let norm = Op::BatchNorm {
        gamma: Tensor::new([1], vec![2.0]),
        beta: Tensor::new([1], vec![1.0]),
        mean: Tensor::new([1], vec![5.0]),
        variance: Tensor::new([1], vec![3.0]),
        epsilon: 1.0,
    };
    assert_eq!(apply(norm, &[picture]).unwrap().1[..3], [-3.0, -2.0, -1.0]);
}

#[test]
fn what_does_not_fit_is_refused() {
    let x: (&[usize], &[f32]) = (&[2, 3], &[0.0; 6]);
    let huge = 1 << 40;
    for op in [
        Op::Reshape(vec![5]),
        Op::Reshape(vec![huge, huge]),
        Op::Transpose(vec![0, 0]),
        Op::Slice { axis: 2, start: 0, step: 1, len: 1 },
        Op::Slice { axis: 1, start: 1, step: 1, len: 3 },
        Op::Slice { axis: 1, start: 1, step: -1, len: 3 },
        Op::Slice { axis: 1, start: 0, step: isize::MAX, len: usize::MAX },
        Op::Window { axis: 1, size: 4, stride: 1, dilation: 1 },
        Op::Window { axis: 1, size: 2, stride: 1, dilation: usize::MAX },
        Op::Broadcast(vec![2, 4]),
        Op::Broadcast(vec![huge, 2, 3]),
        Op::Concat { axis: 2 },
        Op::Reduce { reduction: Reduction::Sum, axes: vec![1, 1] },
        Op::Dense { weight: Tensor::new([1, 2], vec![0.0; 2]), bias: None },
        Op::Select,
        Op::Constant(Tensor::scalar(1.0)),
        Op::Conv2d { weight: Tensor::scalar(1.0), bias: None, geometry: Conv2dGeometry::square(1, 1, 0) },
    ] {
        assert!(apply(op.clone(), &[x]).is_err(), "{op:?}");
    }
    let op = Op::Contract { a: vec![0, 1], b: vec![0, 1], out: vec![0, 2] };
    assert!(apply(op, &[x, x]).is_err());
}

#[test]
fn a_chain_runs_for_each_latent_vector() {
    let weight = Tensor::new([1, 2], vec![1.0, -1.0]);
    let dense = ("dense".to_owned(), Op::Dense { weight, bias: None });
    let graph = Graph::chain(2, [dense, ("relu".to_owned(), Op::Unary(Unary::Relu))]).unwrap();
    assert_eq!((graph.latent_dim(), graph.parameters()), (2, 2));
    assert_eq!(evaluate_latents(&graph, &[3.0, 1.0, 1.0, 3.0]).unwrap(), [2.0, 0.0]);
    assert!(evaluate_latents(&graph, &[1.0; 3]).is_err());
}
