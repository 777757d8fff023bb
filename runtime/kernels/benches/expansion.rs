//! Expanded operations beside the same as they are, one image or several, weights in half precision.
//!
//! `cargo bench -p pocketgan-kernels --features std --bench expansion`. Prints microseconds from the fastest of many short
//! runs, both in turn, since what else runs on the machine disturbs that least, and whether the model of costs chooses it.

use core::hint::black_box;
use core::time::Duration;
use std::time::Instant;

use half::f16;
use pocketgan_kernels::{
    Activation, ExpansionKernels, Kernels, PANEL, Panels, Pixels, Sample, Storage, Tap, TapGemm, dispatch,
};

/// Name, input and output channels, height and width of the positions, taps, output pixels from one position to the next.
type Layer = (&'static str, usize, usize, usize, &'static [Tap], usize);

const LAYERS: [Layer; 15] = [
    ("64-64 @32 k3", 64, 64, 32, &K3, 1),
    ("128-128 @16 k3", 128, 128, 16, &K3, 1),
    ("256-256 @8 k3", 256, 256, 8, &K3, 1),
    ("32-32 @64 k3", 32, 32, 64, &K3, 1),
    ("64-3 @32 k3", 64, 3, 32, &K3, 1),
    ("16-1 @28 k3", 16, 1, 28, &K3, 1),
    ("16-16 @28 k3", 16, 16, 28, &K3, 1),
    ("512-256 @4 phase", 512, 256, 4, &PHASE, 2),
    ("512-256 @8 phase", 512, 256, 8, &PHASE, 2),
    ("256-128 @8 phase", 256, 128, 8, &PHASE, 2),
    ("256-128 @16 phase", 256, 128, 16, &PHASE, 2),
    ("128-64 @16 phase", 128, 64, 16, &PHASE, 2),
    ("128-64 @32 phase", 128, 64, 32, &PHASE, 2),
    ("64-32 @14 phase", 64, 32, 14, &PHASE, 2),
    ("64-3 @32 phase", 64, 3, 32, &PHASE, 2),
];

/// One phase of a transposed convolution with a kernel of 4x4 and stride 2.
const PHASE: [Tap; 4] = [[-1, -1], [-1, 0], [0, -1], [0, 0]];

/// A kernel of 3x3.
const K3: [Tap; 9] = [[-1, -1], [-1, 0], [-1, 1], [0, -1], [0, 0], [0, 1], [1, -1], [1, 0], [1, 1]];

fn main() {
    for kernels in dispatch::available().into_iter().flatten() {
        let Some(expansion) = dispatch::expansion(&kernels) else { continue };
        for batch in [1, 16] {
            println!("{}, {batch} at once:  as it is, expanded, ratio", kernels.name);
            for layer in LAYERS {
                measure(layer, batch, kernels, expansion);
            }
        }
    }
}

fn measure(
    (name, c, n, size, taps, out_step): Layer,
    batch: usize,
    kernels: Kernels,
    expansion: ExpansionKernels,
) {
    let pixels = |size, channels| Pixels { height: size, width: size, channels, pixel_stride: channels };
    let bias = vec![0.01; n.div_ceil(PANEL) * PANEL];
    let weight = |row: usize, lane: usize| f16::from_f32(((row * 7 + lane * 3) % 17) as f32 / 64.0 - 0.125);
    let rows = bias.len() / PANEL * taps.len() * c;
    let weights: Vec<[f16; PANEL]> =
        (0..rows).map(|row| core::array::from_fn(|lane| weight(row, lane))).collect();
    let op = TapGemm {
        taps,
        weights: Panels::F16(&weights),
        bias: &bias,
        accumulate: false,
        activation: Activation::Relu,
        input: pixels(size, c),
        output: pixels(size * out_step, n),
        rows: size,
        cols: size,
        in_step: [1, 1],
        out_step: [out_step; 2],
        out_offset: [0, 0],
    };
    let form = (expansion.form)(&op).expect("squares of taps and stride 1");
    let chosen = Storage::ALL.map(|from| if (expansion.gain)(&op, batch, from) > 0.0 { "yes" } else { "no" });
    let mut expanded = vec![0.0; form.len()];
    (expansion.expand)(&form, &op, &mut expanded);
    let input: Vec<f32> = (0..batch * op.input.len()).map(|i| (i % 13) as f32 / 8.0 - 0.75).collect();
    let mut output = vec![0.0; batch * op.output.len()];
    let mut best = [Duration::MAX; 2];
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_millis(400) {
        for (expand, best) in [false, true].into_iter().zip(&mut best) {
            let inputs = input.chunks_exact(op.input.len());
            let outputs = output.chunks_exact_mut(op.output.len());
            let mut samples: Vec<Sample<'_, f32>> =
                inputs.zip(outputs).map(|(input, output)| Sample { input, output }).collect();
            let start = Instant::now();
            if expand {
                (expansion.tap_gemm)(&form, &op, black_box(&expanded), &mut samples);
            } else {
                (kernels.tap_gemm)(black_box(&op), &mut samples);
            }
            *best = start.elapsed().min(*best);
        }
    }
    let [plain, expanded] = best.map(|time| time.as_secs_f64() * 1e6);
    println!("{name:>20} {plain:>10.1} {expanded:>10.1} {:>8.2} {}", plain / expanded, chosen.join(" "));
}
