//! Both gradients on layers that learn on a device, one image, weights in single precision, beside the forward pass.
//!
//! `cargo bench -p pocketgan-kernels --features std --bench gradient`. Prints billions of multiplications and additions a
//! second, taps outside included, from the fastest of many runs, kernels interleaved.

use core::hint::black_box;
use core::time::Duration;
use std::time::Instant;

use pocketgan_kernels::{
    Activation, GradientKernels, PANEL, Panels, Pixels, Sample, Tap, TapGemm, dispatch, peak,
};

/// Name, input and output channels, height and width of the positions, taps, and pixels of the input and of the output from
/// one position to the next.
type Layer = (&'static str, usize, usize, usize, &'static [Tap], usize, usize);

const LAYERS: [Layer; 8] = [
    ("dense 100-8192", 100, 8192, 1, &[[0, 0]], 1, 1),
    ("512-256 @4 phase", 512, 256, 4, &PHASE, 1, 2),
    ("128-64 @16 phase", 128, 64, 16, &PHASE, 1, 2),
    ("16-16 @14 phase", 16, 16, 14, &PHASE, 1, 2),
    ("64-3 @32 phase", 64, 3, 32, &PHASE, 1, 2),
    ("16-1 @28 k3", 16, 1, 28, &K3, 1, 1),
    ("1-16 @14 k3 s2", 1, 16, 14, &K3, 2, 1),
    ("16-32 @7 k3 s2", 16, 32, 7, &K3, 2, 1),
];

/// One phase of a transposed convolution with a kernel of 4x4 and stride 2.
const PHASE: [Tap; 4] = [[-1, -1], [-1, 0], [0, -1], [0, 0]];

/// A kernel of 3x3.
const K3: [Tap; 9] = [[-1, -1], [-1, 0], [-1, 1], [0, -1], [0, 0], [0, 1], [1, -1], [1, 0], [1, 1]];

fn main() {
    let gradients: Vec<_> = dispatch::available_gradients().into_iter().flatten().skip(1).collect();
    let exact = dispatch::gradients_exact();
    for layer in LAYERS {
        print!("{:>16}", layer.0);
        measure(layer, &[&gradients[..], &[exact]].concat());
    }
    for (name, gflops) in peak::fma_gflops_each() {
        println!("{name}: at most {gflops:.0}");
    }
}

fn measure((_, c, n, size, taps, in_step, out_step): Layer, all: &[GradientKernels]) {
    let values = |len: usize| (0..len).map(|i| (i % 13) as f32 / 8.0 - 0.75).collect::<Vec<f32>>();
    let pixels = |size, channels| Pixels { height: size, width: size, channels, pixel_stride: channels };
    let bias = vec![0.0; n.div_ceil(PANEL) * PANEL];
    let weights: Vec<[f32; PANEL]> = values(bias.len() * taps.len() * c).as_chunks().0.to_vec();
    let op = TapGemm {
        taps,
        weights: Panels::F32(&weights),
        bias: &bias,
        accumulate: false,
        activation: Activation::Identity,
        input: pixels(size * in_step, c),
        output: pixels(size * out_step, n),
        rows: size,
        cols: size,
        in_step: [in_step; 2],
        out_step: [out_step; 2],
        out_offset: [0, 0],
    };
    let (input, grad_out) = (values(op.input.len()), values(op.output.len()));
    let (mut output, mut grad_in) = (grad_out.clone(), input.clone());
    let (mut grad_weights, mut grad_bias) = (weights.clone(), bias.clone());
    let forward = dispatch::best();
    let mut best = vec![Duration::MAX; 1 + 2 * all.len()];
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_millis(500) {
        let mut time = |i: usize, run: &mut dyn FnMut()| {
            let start = Instant::now();
            run();
            best[i] = start.elapsed().min(best[i]);
        };
        time(0, &mut || {
            (forward.tap_gemm)(&op, &mut [Sample { input: black_box(&input), output: &mut output }]);
        });
        for (i, kernels) in all.iter().enumerate() {
            time(1 + 2 * i, &mut || (kernels.input_gradient)(&op, black_box(&grad_out), &mut grad_in));
            time(2 + 2 * i, &mut || {
                (kernels.weight_gradient)(
                    &op,
                    black_box(&input),
                    &grad_out,
                    &mut grad_weights,
                    &mut grad_bias,
                );
            });
        }
    }
    let flops = 2.0 * (size * size * taps.len() * c * n) as f64;
    let gflops: Vec<f64> = best.iter().map(|time| flops / time.as_secs_f64() / 1e9).collect();
    print!(" | {} {:6.1}", forward.name, gflops[0]);
    for (kernels, pair) in all.iter().zip(gflops[1..].chunks(2)) {
        print!(" | {} {:6.1} {:6.1}", kernels.name, pair[0], pair[1]);
    }
    println!();
}
