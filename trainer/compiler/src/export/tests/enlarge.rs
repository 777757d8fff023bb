//! Pictures enlarged by repetition, or by zeros: what each reader makes of them, and that they are not made in memory.

use super::*;

/// Each pixel `times` down and across, axis by axis as importers write it.
fn enlarge(b: &mut Builder, mut x: Value, times: [usize; 2]) -> Value {
    for (axis, times) in [2, 3].into_iter().zip(times) {
        let mut shape = b.graph.shape(x).to_vec();
        shape.insert(axis + 1, 1);
        x = b.reshape(x, &shape);
        shape[axis + 1] = times;
        x = b.push(Op::Broadcast(shape.clone()), &[x]);
        shape.remove(axis + 1);
        shape[axis] *= times;
        x = b.reshape(x, &shape);
    }
    x
}

/// An input of `channels` and 5x4 pixels, enlarged.
fn enlarged(channels: usize, times: [usize; 2]) -> (Builder, Value) {
    let mut b = Builder::new(&[&[1, channels, 5, 4]]);
    let x = b.graph.input(0);
    let x = enlarge(&mut b, x, times);
    (b, x)
}

#[test]
fn a_convolution_of_an_enlarged_picture_is_one_step_for_each_repetition() {
    for (times, kernel_size, padding, dilation, groups) in [
        ([2, 2], [3, 3], [1, 1, 1, 1], [1, 1], 1),
        ([2, 2], [3, 3], [0, 2, 1, 0], [1, 1], 2),
        ([3, 2], [5, 3], [2, 1, 2, 1], [1, 1], 1),
        ([2, 4], [3, 3], [2, 2, 2, 2], [1, 1], 3),
        ([4, 4], [3, 3], [2, 2, 2, 2], [2, 2], 1),
        ([1, 2], [1, 3], [0, 1, 0, 1], [1, 1], 1),
    ] {
        let (mut b, x) = enlarged(6, times);
        let geometry =
            Conv2dGeometry { kernel_size, padding, dilation, groups, ..Conv2dGeometry::square(3, 1, 1) };
        let y = b.conv(x, 6, geometry);
        let y = b.norm(y);
        let y = b.unary(Unary::Relu, y);
        let copies = 1; // The input is single, the layer may read halves.
        let steps = b.check(y);
        assert!(steps <= times[0] * times[1] * groups + copies, "{steps} steps for {times:?} and {groups}");
    }
}

#[test]
fn what_would_not_be_exact_or_no_gain_stays() {
    for (times, geometry) in [
        // Zeros further out than the kernel reaches, a stride, and a kernel too sparse.
        ([2, 2], Conv2dGeometry::square(3, 1, 3)),
        ([2, 2], Conv2dGeometry::square(3, 2, 1)),
        ([1, 1], Conv2dGeometry::square(3, 1, 1)),
        ([2, 2], Conv2dGeometry { dilation: [5, 5], ..Conv2dGeometry::square(2, 1, 1) }),
        ([2, 2], Conv2dGeometry::square(1, 1, 1)),
    ] {
        let (mut b, x) = enlarged(2, times);
        let y = b.conv(x, 3, geometry);
        b.check(y);
    }
}

#[test]
fn what_would_take_too_many_steps_or_weights_stays() {
    // A step for each of 65 * 65 repetitions would be more than a file has.
    let mut b = Builder::new(&[&[1, 1, 1, 1]]);
    let x = b.graph.input(0);
    let x = enlarge(&mut b, x, [65, 65]);
    let y = b.conv(x, 1, Conv2dGeometry::square(2, 1, 0));
    b.check(y);

    // With many channels, 1 MB of weights, whose sums would be half a gigabyte.
    for (channels, summed) in [(2, true), (362, false)] {
        let mut b = Builder::new(&[&[1, channels, 1, 2]]);
        let x = b.graph.input(0);
        let x = enlarge(&mut b, x, [32, 32]);
        let geometry = Conv2dGeometry { kernel_size: [1, 2], ..Conv2dGeometry::square(1, 1, 0) };
        let y = b.conv(x, channels, geometry);
        b.graph.set_output(y);
        let folded = fold(&b.graph).expect("the shapes fit");
        let transposed = folded.nodes().any(|(_, node)| matches!(node.op, Op::ConvTranspose2d { .. }));
        assert_eq!(transposed, summed, "{channels} channels");
    }
}

#[test]
fn a_residual_block_enlarges_nothing_in_memory() {
    let mut b = Builder::new(&[&[1, 4, 4, 4]]);
    let x = b.graph.input(0);
    let x = b.same_conv(x, 4);
    let norm = b.norm(x);
    let bent = b.unary(Unary::Relu, norm);
    let large = enlarge(&mut b, bent, [2, 2]);
    let y = b.same_conv(large, 4);
    let y = b.unary(Unary::Relu, y);
    let y = b.same_conv(y, 4);
    let skip = enlarge(&mut b, x, [2, 2]);
    let skip = b.conv(skip, 4, Conv2dGeometry::square(1, 1, 0));
    let sum = b.binary(Binary::Add, y, skip);
    let sum = b.norm(sum);
    let y = b.same_conv(sum, 3);
    let y = b.unary(Unary::Tanh, y);
    // The first layer, its norm with the function; four phases; the second layer, the skip, their sum; the last.
    assert_eq!(b.check(y), 1 + 1 + 4 + 3 + 1);
}

#[test]
fn functions_come_before_the_repetition() {
    let (mut b, x) = enlarged(3, [2, 3]);
    let bent = b.unary(Unary::Exp, x);
    b.graph.set_output(bent);
    let folded = fold(&b.graph).expect("the shapes fit");
    let exp = folded.nodes().find(|(_, node)| matches!(node.op, Op::Unary(_))).expect("it stays");
    assert_eq!(folded.shape(exp.0), [1, 3, 5, 4]);
    b.check(bent);

    let (mut b, x) = enlarged(3, [2, 2]);
    let y = b.unary(Unary::Exp, x);
    let sum = b.binary(Binary::Sub, x, y);
    let square = b.binary(Binary::Mul, sum, sum);
    b.check(square);
}

#[test]
fn what_is_enlarged_may_be_a_reshape_itself() {
    let mut b = Builder::new(&[&[1, 6]]);
    let x = b.graph.input(0);
    let x = b.dense(x, 3 * 4 * 4);
    let picture = b.reshape(x, &[1, 3, 4, 4]);
    let norm = b.norm(picture);
    let norm = b.unary(Unary::Relu, norm);
    let large = enlarge(&mut b, norm, [2, 2]);
    let y = b.same_conv(large, 3);
    let skip = enlarge(&mut b, picture, [2, 2]);
    let skip = b.conv(skip, 3, Conv2dGeometry::square(1, 1, 0));
    let sum = b.binary(Binary::Add, y, skip);
    let skip = enlarge(&mut b, sum, [2, 2]);
    let skip = b.conv(skip, 3, Conv2dGeometry::square(1, 1, 0));
    let large = enlarge(&mut b, sum, [2, 2]);
    let y = b.same_conv(large, 3);
    let sum = b.binary(Binary::Add, y, skip);
    b.graph.set_output(sum);
    let folded = fold(&b.graph).expect("the shapes fit");
    for (value, node) in folded.nodes().filter(|(_, node)| matches!(node.op, Op::Conv2d { .. })) {
        assert!(folded.shape(value)[2] < 16, "{} is computed on the enlarged picture", node.name);
    }
    b.check(sum);
}

#[test]
fn repetition_along_other_axes_is_left_alone() {
    for [n, c, h, w] in [[2, 1, 1, 2], [1, 3, 2, 1], [3, 2, 1, 1], [2, 2, 2, 2]] {
        let mut b = Builder::new(&[&[2, 3, 4, 7]]);
        let x = b.graph.input(0);
        let apart = b.reshape(x, &[1, 2, 1, 3, 1, 4, 1, 7]);
        let repeated = b.push(Op::Broadcast(vec![n, 2, c, 3, h, 4, w, 7]), &[apart]);
        let whole = b.reshape(repeated, &[2 * n, 3 * c, 4 * h, 7 * w]);
        b.check(whole);
    }
}

#[test]
fn zeros_around_a_picture_are_padding() {
    let mut b = Builder::new(&[&[1, 3, 5, 4]]);
    let mut x = b.graph.input(0);
    let zero = b.push(Op::Constant(Tensor::scalar(0.0)), &[]);
    for (axis, amounts) in [(2, [2, 1]), (3, [0, 3])] {
        let mut parts = vec![x];
        for (amount, before) in amounts.into_iter().zip([true, false]).filter(|(amount, _)| *amount > 0) {
            let mut shape = b.graph.shape(x).to_vec();
            shape[axis] = amount;
            let zeros = b.push(Op::Broadcast(shape), &[zero]);
            parts.insert(if before { 0 } else { parts.len() }, zeros);
        }
        x = b.push(Op::Concat { axis }, &parts);
    }
    let y = b.conv(x, 4, Conv2dGeometry::square(3, 2, 1));
    b.graph.set_output(y);
    let folded = fold(&b.graph).expect("the shapes fit");
    let padding = folded.nodes().find_map(|(_, node)| match &node.op {
        Op::Conv2d { geometry, .. } => Some(geometry.padding),
        _ => None,
    });
    assert_eq!(padding, Some([3, 1, 2, 4]));
    b.check(y);
}
