//! What a step computes besides its layer: the sum with a residual, a shift, an activation, the places of pixels.

use super::*;

/// A block with pre-activation (He et al. 2016, arXiv:1603.05027) over a layer's result.
fn residual(b: &mut Builder, x: Value) -> Value {
    let norm = b.norm(x);
    let bent = b.unary(Unary::LeakyRelu(0.1), norm);
    let y = b.same_conv(bent, 8);
    let y = b.norm(y);
    let y = b.unary(Unary::Relu, y);
    let y = b.same_conv(y, 8);
    b.binary(Binary::Add, x, y)
}

#[test]
fn a_residual_block_is_a_normalization_and_two_convolutions() {
    let mut b = Builder::new(&[&[1, 3, 6, 5]]);
    let x = b.graph.input(0);
    let x = b.same_conv(x, 8);
    let x = residual(&mut b, x);
    let x = residual(&mut b, x);
    let x = b.unary(Unary::Tanh, x);
    assert_eq!(b.check(x), 1 + 3 + 3);
}

#[test]
fn a_residual_that_is_read_again_is_not_written_over() {
    let mut b = Builder::new(&[&[1, 3, 6, 5]]);
    let x = b.graph.input(0);
    let x = b.same_conv(x, 8);
    let sum = residual(&mut b, x);
    let both = b.push(Op::Concat { axis: 1 }, &[x, sum]);
    b.check(both);

    let mut b = Builder::new(&[&[1, 3, 6, 5]]);
    let x = b.graph.input(0);
    let x = b.same_conv(x, 3);
    // What is added is what is read.
    let y = b.same_conv(x, 3);
    let sum = b.binary(Binary::Add, y, x);
    let twice = b.same_conv(sum, 3);
    let double = b.binary(Binary::Add, twice, twice);
    b.check(double);
}

#[test]
fn transposed_convolutions_of_batches_add_to_what_is_there() {
    let mut b = Builder::new(&[&[2, 3, 4, 4]]);
    let x = b.graph.input(0);
    let (one, other) = (b.up(x, 5), b.up(x, 5));
    let sum = b.binary(Binary::Add, one, other);
    let y = b.unary(Unary::Sigmoid, sum);
    assert_eq!(b.check(y), 2 * 2 * 4);
}

#[test]
fn a_shift_and_an_activation_belong_to_a_product() {
    let mut b = Builder::new(&[&[1, 6, 4, 3], &[1, 6, 1, 1], &[1, 6, 1, 1]]);
    let [x, scale, shift] = [0, 1, 2].map(|input| b.graph.input(input));
    // The product's operands may be in either order; so may the sum's.
    let scaled = b.binary(Binary::Mul, scale, x);
    let shifted = b.binary(Binary::Add, shift, scaled);
    let y = b.unary(Unary::Relu, shifted);
    assert_eq!(b.check(y), 1);

    // A shift with other strides, or one that comes later, is a step of its own.
    let mut b = Builder::new(&[&[1, 6, 4, 3], &[1, 6, 1, 1], &[1, 1, 4, 3]]);
    let [x, scale, shift] = [0, 1, 2].map(|input| b.graph.input(input));
    let scaled = b.binary(Binary::Mul, x, scale);
    let shifted = b.binary(Binary::Add, scaled, shift);
    assert_eq!(b.check(shifted), 2);
    let mut b = Builder::new(&[&[1, 6, 4, 3], &[1, 6, 1, 1]]);
    let [x, scale] = [0, 1].map(|input| b.graph.input(input));
    let scaled = b.binary(Binary::Mul, x, scale);
    let late = b.unary(Unary::Exp, x);
    let shifted = b.binary(Binary::Add, scaled, late);
    b.check(shifted);
}

/// `DepthToSpace` with a factor of 2: PyTorch's order of channels, or the other.
fn shuffle(b: &mut Builder, x: Value, blocks_first: bool) -> Value {
    let &[n, c, h, w] = b.graph.shape(x) else { panic!("no picture") };
    let (apart, permutation) = match blocks_first {
        true => ([n, 2, 2, c / 4, h, w], vec![0, 3, 4, 1, 5, 2]),
        false => ([n, c / 4, 2, 2, h, w], vec![0, 1, 4, 2, 5, 3]),
    };
    let x = b.reshape(x, &apart);
    let x = b.push(Op::Transpose(permutation), &[x]);
    b.reshape(x, &[n, c / 4, 2 * h, 2 * w])
}

#[test]
fn a_sub_pixel_convolution_writes_pixels_where_they_belong() {
    for blocks_first in [false, true] {
        for early in [false, true] {
            let mut b = Builder::new(&[&[1, 5, 4, 3]]);
            let x = b.graph.input(0);
            let x = b.same_conv(x, 32);
            let x = if early { b.unary(Unary::Relu, x) } else { x };
            let x = shuffle(&mut b, x, blocks_first);
            let x = if early { x } else { b.unary(Unary::Tanh, x) };
            let last = b.same_conv(x, 2);
            assert_eq!(b.check(last), 4 + 1, "{blocks_first} {early}");
        }
    }
}

#[test]
fn a_sum_whose_pixels_are_spread_is_a_copy() {
    let mut b = Builder::new(&[&[1, 5, 4, 3]]);
    let x = b.graph.input(0);
    let skip = b.same_conv(x, 32);
    let bent = b.unary(Unary::Relu, skip);
    let y = b.same_conv(bent, 32);
    let sum = b.binary(Binary::Add, y, skip);
    let large = shuffle(&mut b, sum, false);
    assert_eq!(b.check(large), 4);
}

#[test]
fn a_shuffle_that_would_need_padding_is_a_copy() {
    let mut b = Builder::new(&[&[1, 5, 4, 3]]);
    let x = b.graph.input(0);
    let x = b.same_conv(x, 12);
    let x = shuffle(&mut b, x, false);
    assert_eq!(b.check(x), 2);
    // One that is read as it is, too.
    let mut b = Builder::new(&[&[1, 5, 4, 3]]);
    let x = b.graph.input(0);
    let x = b.same_conv(x, 32);
    let large = shuffle(&mut b, x, false);
    let large = b.conv(large, 32, Conv2dGeometry::square(2, 2, 0));
    let sum = b.binary(Binary::Add, large, x);
    b.check(sum);
}
