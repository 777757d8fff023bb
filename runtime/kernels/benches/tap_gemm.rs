//! Every kernel on the layers of the 64x64x3 DCGAN generator with 64 features, one image, weights in half precision.
//!
//! `cargo bench -p pocketgan-kernels --features std`. Prints each layer's throughput in multiply-adds, and first what
//! this core can do at most.

use core::hint::black_box;
use core::time::Duration;
use std::time::Instant;

use criterion::{Criterion, Throughput, criterion_group};
use half::f16;
use pocketgan_kernels::{Activation, Kernels, PANEL, Panels, Pixels, Sample, Tap, TapGemm, dispatch, peak};

/// One layer: a dense one, or a transposed convolution k4 s2 p1 as four phases of 2x2 taps.
struct Layer {
    name: &'static str,
    input: Pixels,
    output: Pixels,
    activation: Activation,
    phases: Vec<Phase>,
}

/// One tap GEMM's own data.
struct Phase {
    taps: Vec<Tap>,
    weights: Vec<[f16; PANEL]>,
    bias: Vec<f32>,
    out_step: usize,
    out_offset: [usize; 2],
}

impl Phase {
    fn new(taps: Vec<Tap>, c: usize, n: usize, out_step: usize, out_offset: [usize; 2]) -> Self {
        let panels = n.div_ceil(PANEL);
        let weights = (0..panels * taps.len() * c)
            .map(|row| {
                core::array::from_fn(|lane| f16::from_f32(((row * 7 + lane * 3) % 17) as f32 / 64.0 - 0.125))
            })
            .collect();
        Self { taps, weights, bias: vec![0.01; panels * PANEL], out_step, out_offset }
    }
}

impl Layer {
    fn dense(name: &'static str, c: usize, n: usize) -> Self {
        let pixel = |channels| Pixels { height: 1, width: 1, channels, pixel_stride: channels };
        let phases = vec![Phase::new(vec![[0, 0]], c, n, 1, [0, 0])];
        Self { name, input: pixel(c), output: pixel(n), activation: Activation::Relu, phases }
    }

    fn conv_transpose(name: &'static str, size: usize, c: usize, n: usize, activation: Activation) -> Self {
        let pixels = |size, channels| Pixels { height: size, width: size, channels, pixel_stride: channels };
        let phases = [[0, 0], [0, 1], [1, 0], [1, 1]]
            .map(|[y, x]: [i16; 2]| {
                let taps = [[y - 1, x - 1], [y - 1, x], [y, x - 1], [y, x]];
                Phase::new(taps.to_vec(), c, n, 2, [y as usize, x as usize])
            })
            .into();
        Self { name, input: pixels(size, c), output: pixels(2 * size, n), activation, phases }
    }

    /// Multiply-adds, those of taps outside the input included.
    fn macs(&self) -> usize {
        let per_phase = self.input.height * self.input.width * self.input.channels * self.output.channels;
        self.phases.iter().map(|phase| phase.taps.len() * per_phase).sum()
    }

    fn run(&self, kernels: Kernels, input: &[f32], output: &mut [f32]) {
        for phase in &self.phases {
            let op = TapGemm {
                taps: &phase.taps,
                weights: Panels::F16(&phase.weights),
                bias: &phase.bias,
                accumulate: false,
                activation: self.activation,
                input: self.input,
                output: self.output,
                rows: self.input.height,
                cols: self.input.width,
                in_step: [1, 1],
                out_step: [phase.out_step; 2],
                out_offset: phase.out_offset,
            };
            (kernels.tap_gemm)(&op, &mut [Sample { input, output: &mut *output }]);
        }
    }
}

fn generator() -> Vec<Layer> {
    vec![
        Layer::dense("dense 100-8192", 100, 8192),
        Layer::conv_transpose("512-256 @4", 4, 512, 256, Activation::Relu),
        Layer::conv_transpose("256-128 @8", 8, 256, 128, Activation::Relu),
        Layer::conv_transpose("128-64 @16", 16, 128, 64, Activation::Relu),
        Layer::conv_transpose("64-3 @32", 32, 64, 3, Activation::Tanh),
    ]
}

fn layers(criterion: &mut Criterion) {
    let layers = generator();
    let input: Vec<f32> = (0..1 << 16).map(|i| (i % 13) as f32 / 8.0 - 0.75).collect();
    let mut output = vec![0.0; 1 << 16];
    for kernels in dispatch::available().into_iter().flatten().skip(1) {
        let mut group = criterion.benchmark_group(kernels.name);
        for layer in &layers {
            group.throughput(Throughput::Elements(layer.macs() as u64));
            group.bench_function(layer.name, |bencher| {
                bencher.iter(|| layer.run(kernels, black_box(&input), black_box(&mut output)));
            });
        }
        group.finish();
    }
}

/// The whole generator, kernels interleaved, fastest of many: what other work on the machine disturbs least.
fn fastest() {
    let layers = generator();
    let macs: usize = layers.iter().map(Layer::macs).sum();
    let input: Vec<f32> = (0..1 << 16).map(|i| (i % 13) as f32 / 8.0 - 0.75).collect();
    let mut output = vec![0.0; 1 << 16];
    let all: Vec<Kernels> = dispatch::available().into_iter().flatten().skip(1).collect();
    let mut best = vec![vec![Duration::MAX; layers.len() + 1]; all.len()];
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(4) {
        for (kernels, best) in all.iter().zip(&mut best) {
            // The portable one takes a hundred times longer: a few runs must do.
            if kernels.name == "portable" && best[layers.len()] < Duration::MAX {
                continue;
            }
            let mut whole = Duration::ZERO;
            for (layer, best) in layers.iter().zip(&mut *best) {
                let start = Instant::now();
                layer.run(*kernels, black_box(&input), black_box(&mut output));
                let elapsed = start.elapsed();
                *best = elapsed.min(*best);
                whole += elapsed;
            }
            best[layers.len()] = whole.min(best[layers.len()]);
        }
    }
    let peaks: Vec<_> = peak::fma_gflops_each().collect();
    println!("{:>10} {}", "", layers.iter().map(|l| format!("{:>15}", l.name)).collect::<String>());
    for (kernels, best) in all.iter().zip(&best) {
        let columns: String = best.iter().map(|t| format!("{:>15.1}", t.as_secs_f64() * 1e6)).collect();
        let gflops = 2.0 * macs as f64 / best[layers.len()].as_secs_f64() / 1e9;
        print!("{:>10} {columns} us whole, {gflops:.1} GFLOP/s", kernels.name);
        match peaks.iter().find(|(name, _)| *name == kernels.name) {
            Some((_, peak)) => println!(" of {peak:.1} ({:.0} %)", gflops / peak * 100.0),
            None => println!(),
        }
    }
}

criterion_group!(benches, layers);

fn main() {
    fastest();
    benches();
    Criterion::default().configure_from_args().final_summary();
}
