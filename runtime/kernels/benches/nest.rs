//! Loop nests of the kinds that networks are made of, each implementation against the reference.
//!
//! `cargo bench -p pocketgan-kernels --features std --bench nest`. Prints the fastest of many runs in microseconds.

use core::time::Duration;
use std::time::Instant;

use half::f16;
use pocketgan_kernels::{Activation, Axis, Combine, Function, Nest, Operand, dispatch};

/// A name, extents and strides `[extent, a, b, out]`, how many are reduced, and function.
type Case = (&'static str, &'static [[i32; 4]], usize, Function, Combine, [Place; 2]);

/// Where an operand lies.
#[derive(Clone, Copy)]
enum Place {
    Arena,
    Halves,
    Two,
    None,
}

const CASES: &[Case] = {
    use Combine::{Max, Sum};
    use Function::*;
    use Place::*;
    const FLAT: &[[i32; 4]] = &[[65_536, 1, 1, 1]];
    &[
        ("copy 64k", FLAT, 0, Identity, Sum, [Arena, None]),
        ("transpose 256x256", &[[256, 1, 0, 256], [256, 256, 0, 1]], 0, Identity, Sum, [Arena, None]),
        ("add 64k", FLAT, 0, Add, Sum, [Arena, Arena]),
        ("times 2, 64k", FLAT, 0, Mul, Sum, [Arena, Two]),
        ("add 3 channels, 64k", &[[21_845, 3, 0, 3], [3, 1, 1, 1]], 0, Add, Sum, [Arena, Halves]),
        ("add 64 channels, 64k", &[[1024, 64, 0, 64], [64, 1, 1, 1]], 0, Add, Sum, [Arena, Halves]),
        ("exp 64k", FLAT, 0, Exp, Sum, [Arena, None]),
        ("erf 64k", FLAT, 0, Erf, Sum, [Arena, None]),
        ("round 64k", FLAT, 0, Round, Sum, [Arena, None]),
        ("max of 256 rows of 256", &[[256, 256, 0, 1], [256, 1, 0, 0]], 1, Identity, Max, [Arena, None]),
        ("sum of 256 columns of 256", &[[256, 1, 0, 1], [256, 256, 0, 0]], 1, Identity, Sum, [Arena, None]),
        ("sum of 64k", &[[65_536, 1, 0, 0]], 1, Identity, Sum, [Arena, None]),
        (
            "a * b, 256x32x256",
            &[[256, 32, 0, 256], [256, 0, 1, 1], [32, 1, 256, 0]],
            1,
            Mul,
            Sum,
            [Arena, Arena],
        ),
        (
            "a * b^T, 256x32x256",
            &[[256, 32, 0, 256], [256, 0, 32, 1], [32, 1, 1, 0]],
            1,
            Mul,
            Sum,
            [Arena, Arena],
        ),
        (
            "a * b, 256x256x32",
            &[[256, 256, 0, 32], [32, 0, 1, 1], [256, 1, 32, 0]],
            1,
            Mul,
            Sum,
            [Arena, Arena],
        ),
        (
            "a^T * b, 64x1024x64",
            &[[64, 1, 0, 64], [64, 0, 1, 1], [1024, 64, 64, 0]],
            1,
            Mul,
            Sum,
            [Arena, Arena],
        ),
        ("a * b^T, 1024x8x64", &[[1024, 8, 0, 64], [64, 0, 8, 1], [8, 1, 1, 0]], 1, Mul, Sum, [Arena, Arena]),
        ("a * halves, 1x512x512", &[[512, 0, 1, 1], [512, 1, 512, 0]], 1, Mul, Sum, [Arena, Halves]),
        (
            "depthwise 3x3, 32x32x64",
            &[[32, 34 * 64, 0, 2048], [32, 64, 0, 64], [64, 1, 1, 1], [3, 34 * 64, 192, 0], [3, 64, 64, 0]],
            2,
            Mul,
            Sum,
            [Arena, Halves],
        ),
        (
            "max pool 2x2, 64x64x16",
            &[[32, 2048, 0, 512], [32, 32, 0, 16], [16, 1, 0, 1], [2, 1024, 0, 0], [2, 16, 0, 0]],
            2,
            Identity,
            Max,
            [Arena, None],
        ),
    ]
};

fn main() {
    const PART: usize = 1 << 18;
    let halves: Vec<f16> = (0..PART).map(|i| f16::from_f32((i % 17) as f32 / 16.0)).collect();
    let mut arena: Vec<f32> = (0..3 * PART).map(|i| (i % 13) as f32 / 8.0 - 0.75).collect();
    let all: Vec<_> = dispatch::available().into_iter().flatten().collect();
    println!("{:28} {}", "us", all.iter().map(|k| format!("{:>11}", k.name)).collect::<String>());
    for &(name, axes, reduced, function, combine, places) in CASES {
        let axes: Vec<Axis> =
            axes.iter().map(|&[extent, a, b, out]| Axis { extent: extent as u32, a, b, out }).collect();
        let operand = |i: usize| match places[i] {
            Place::Arena => Operand::Arena(i * PART),
            Place::Halves => Operand::F16(&halves, 0),
            Place::Two => Operand::Scalar(2.0),
            Place::None => Operand::Scalar(0.0),
        };
        let nest = Nest {
            function,
            combine,
            axes: &axes,
            reduced,
            a: operand(0),
            b: operand(1),
            shift: None,
            activation: Activation::Identity,
            out: 2 * PART,
            out_f16: false,
        };
        print!("{name:28}");
        for kernels in &all {
            let begin = Instant::now();
            let mut fastest = Duration::MAX;
            while begin.elapsed() < Duration::from_millis(150) {
                let start = Instant::now();
                kernels.nest.expect("every implementation here has nests")(&nest, &mut arena);
                fastest = fastest.min(start.elapsed());
            }
            print!("{:>11.1}", fastest.as_secs_f64() * 1e6);
        }
        println!();
    }
}
