//! Counts the instructions of both gradients, for every implementation that this machine has.
//!
//! Prints a line for each layer: implementation, layer, storage of the weights, multiplications with inputs that exist, and
//! instructions for each of them, with respect to the input and to the weights.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec;

use kernel_suite::{instructions, pixels_read, print};
use pocketgan_kernels::{Activation, PANEL, Panels, Pixels, Tap, TapGemm, dispatch, f32_to_f16};

kernel_suite::firmware!();

#[unsafe(no_mangle)]
fn firmware() {
    for (name, c, n, size, taps, step) in LAYERS {
        let rows = n.div_ceil(PANEL) * taps.len() * c;
        let narrow = vec![[f32_to_f16(0.25); PANEL]; rows];
        let wide = vec![[0.25; PANEL]; rows];
        let bias = vec![0.0; n.div_ceil(PANEL) * PANEL];
        let pixels = |size, channels| Pixels { height: size, width: size, channels, pixel_stride: channels };
        let op = TapGemm {
            taps,
            weights: Panels::F16(&narrow),
            bias: &bias,
            activation: Activation::Identity,
            input: pixels(size, c),
            output: pixels(size * step, n),
            rows: size,
            cols: size,
            in_step: [1, 1],
            out_step: [step, step],
            out_offset: [0, 0],
            accumulate: false,
        };
        let products = pixels_read(&op) * c * n;
        let (input, grad_out) = (vec![0.5; op.input.len()], vec![0.5; op.output.len()]);
        let (mut grad_in, mut grad_weights, mut grad_bias) = (input.clone(), wide.clone(), bias.clone());
        for kernels in dispatch::available_gradients().into_iter().flatten() {
            let for_weights = instructions(|| {
                (kernels.weight_gradient)(&op, &input, &grad_out, &mut grad_weights, &mut grad_bias);
            });
            for (storage, weights) in [("f16", op.weights), ("f32", Panels::F32(&wide))] {
                let op = TapGemm { weights, ..op };
                let for_input = instructions(|| (kernels.input_gradient)(&op, &grad_out, &mut grad_in));
                print(format_args!(
                    "{} {name} {storage} {products} {:.2} {:.2}\n",
                    kernels.name,
                    for_input as f32 / products as f32,
                    for_weights as f32 / products as f32,
                ));
            }
        }
    }
}

/// Name, input and output channels, height and width of the input, taps, and output pixels between positions.
type Layer = (&'static str, usize, usize, usize, &'static [Tap], usize);

const LAYERS: [Layer; 5] = [
    ("16->16,14x14,phase", 16, 16, 14, &PHASE, 2),
    ("16->16,14x14,k3", 16, 16, 14, &K3, 1),
    ("16->1,28x28,k3", 16, 1, 28, &K3, 1),
    ("16->3,14x14,phase", 16, 3, 14, &PHASE, 2),
    ("dense,16->784", 16, 784, 1, &[[0, 0]], 1),
];

/// One phase of a transposed convolution with a kernel of 4x4 and stride 2.
const PHASE: [Tap; 4] = [[-1, -1], [-1, 0], [0, -1], [0, 0]];

/// A kernel of 3x3.
const K3: [Tap; 9] = [[-1, -1], [-1, 0], [-1, 1], [0, -1], [0, 0], [0, 1], [1, -1], [1, 0], [1, 1]];
