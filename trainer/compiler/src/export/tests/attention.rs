//! Attention among many places: in blocks of queries, with any function between scores and shares.

use super::*;

/// Softmax attention of `places` among themselves, the result as a picture.
fn attention(b: &mut Builder, x: Value, channels: usize, side: usize) -> Value {
    let places = side * side;
    let [query, key, value] = [3, 3, channels].map(|n| b.conv(x, n, Conv2dGeometry::square(1, 1, 0)));
    let [query, key] = [query, key].map(|v| b.reshape(v, &[1, 3, places]));
    let value = b.reshape(value, &[1, channels, places]);
    let scores =
        b.push(Op::Contract { a: vec![0, 1, 2], b: vec![0, 1, 3], out: vec![0, 2, 3] }, &[query, key]);
    let scale = b.push(Op::Constant(Tensor::scalar(0.5)), &[]);
    let scores = b.binary(Binary::Mul, scores, scale);
    let bias = b.constant(&[places, places]);
    let scores = b.binary(Binary::Add, scores, bias);
    let most = b.push(Op::Reduce { reduction: Reduction::Max, axes: vec![2] }, &[scores]);
    let scores = b.binary(Binary::Sub, scores, most);
    let powers = b.unary(Unary::Exp, scores);
    let sum = b.push(Op::Reduce { reduction: Reduction::Sum, axes: vec![2] }, &[powers]);
    let shares = b.binary(Binary::Div, powers, sum);
    let shares = b.push(Op::Transpose(vec![0, 2, 1]), &[shares]);
    let mixed =
        b.push(Op::Contract { a: vec![0, 1, 2], b: vec![0, 2, 3], out: vec![0, 1, 3] }, &[value, shares]);
    let picture = b.reshape(mixed, &[1, channels, side, side]);
    b.binary(Binary::Add, picture, x)
}

fn arena_bytes(graph: &Graph) -> usize {
    let file = export(graph, &Options::default()).expect("it can be exported").file;
    pocketgan_format::File::parse(&file).expect("verified").arena_bytes()
}

#[test]
fn a_large_table_of_scores_is_never_whole() {
    let mut b = Builder::new(&[&[1, 4, 24, 24]]);
    let x = b.graph.input(0);
    let y = attention(&mut b, x, 4, 24);
    b.graph.set_output(y);
    let table = size_of::<f32>() * 24_usize.pow(4);
    let have = arena_bytes(&b.graph);
    assert!(have < table / 2, "{have} bytes, where a table of scores has {table}");
    b.check(y);
}

#[test]
fn a_small_table_of_scores_stays_whole() {
    let mut b = Builder::new(&[&[1, 4, 5, 5]]);
    let x = b.graph.input(0);
    let y = attention(&mut b, x, 4, 5);
    // Three layers; scores, scale, bias; largest, power of the difference, sum; product, quotient, sum; perhaps copies.
    let steps = b.check(y);
    assert!(steps <= 12 + 2, "{steps} steps");
}

#[test]
fn a_table_that_others_read_stays_whole() {
    let mut b = Builder::new(&[&[1, 3, 400]]);
    let x = b.graph.input(0);
    let scores = b.push(Op::Contract { a: vec![0, 1, 2], b: vec![0, 1, 3], out: vec![0, 2, 3] }, &[x, x]);
    let turned = b.push(Op::Transpose(vec![0, 2, 1]), &[scores]);
    let sum = b.binary(Binary::Sub, turned, scores);
    let most = b.push(Op::Reduce { reduction: Reduction::Max, axes: vec![2] }, &[sum]);
    b.check(most);
}

#[test]
fn a_sum_of_squares_is_one_step() {
    let mut b = Builder::new(&[&[1, 12, 6, 5]]);
    let x = b.graph.input(0);
    let x = b.same_conv(x, 12);
    let square = b.binary(Binary::Mul, x, x);
    let sum = b.push(Op::Reduce { reduction: Reduction::Sum, axes: vec![2, 3] }, &[square]);
    let root = b.unary(Unary::Sqrt, sum);
    let y = b.binary(Binary::Div, x, root);
    assert!(b.check(y) <= 5, "the input may be copied; layer, sum, root, quotient");
}
