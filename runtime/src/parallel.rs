//! One picture on several threads: a tap GEMM in bands of rows, or of channels where it has one position.

use std::vec::Vec;

use pocketgan_kernels::{PANEL, Panels, Pixels, Sample, Tap, TapGemm};
use rayon::ThreadPool;

/// What computes an operation. Where it reads other weights than the operation's, that has no [`lone_position`].
type Kernel<'a, T> = dyn Fn(&TapGemm<'_>, &mut [Sample<'_, T>]) + Sync + 'a;

/// Runs an operation on one sample, in as many parts as the pool has threads if that pays.
pub(crate) fn run<T: Send + Sync>(
    pool: &ThreadPool,
    gemm: &TapGemm<'_>,
    sample: Sample<'_, T>,
    kernel: &Kernel<'_, T>,
) {
    let Sample { input, output } = sample;
    // Up to 2^36.
    let macs: u64 = [gemm.rows, gemm.cols, gemm.taps.len(), gemm.input.channels, gemm.output.channels]
        .into_iter()
        .map(|count| count as u64)
        .product();
    let last = moved(gemm, gemm.rows.saturating_sub(1));
    let parts = if last.is_some() { (macs / MIN_MACS).min(pool.current_num_threads() as u64) } else { 1 };
    let parts = parts as usize;
    in_parts(pool, parts, gemm, Sample { input, output }, kernel);
}

/// Runs an operation in about `parts` parts. Its last row can be [`moved`] to.
fn in_parts<T: Send + Sync>(
    pool: &ThreadPool,
    parts: usize,
    gemm: &TapGemm<'_>,
    Sample { input, output }: Sample<'_, T>,
    kernel: &Kernel<'_, T>,
) {
    if parts < 2 {
        kernel(gemm, &mut [Sample { input, output }]);
    } else if lone_position(gemm) {
        let share = gemm.bias.len().div_ceil(PANEL).div_ceil(parts) * PANEL;
        let outputs = output[..gemm.output.channels].chunks_mut(share);
        pool.scope(|scope| {
            for (part, output) in outputs.enumerate() {
                let gemm = channels(gemm, part * share, output.len());
                scope.spawn(move |_| kernel(&gemm, &mut [Sample { input, output }]));
            }
        });
    } else {
        let share = gemm.rows.div_ceil(parts);
        pool.scope(|scope| {
            let mut rest = output;
            // From the last band to the first: each ends where the one after it starts.
            for first in (0..gemm.rows).step_by(share).rev() {
                let taps = moved(gemm, first).expect("the last row can be reached, so all can");
                let top = gemm.out_offset[0] + first * gemm.out_step[0];
                let (before, output) = core::mem::take(&mut rest)
                    .split_at_mut(top * gemm.output.width * gemm.output.pixel_stride);
                rest = before;
                let rows = share.min(gemm.rows - first);
                scope.spawn(move |_| {
                    let gemm = band(gemm, &taps, rows);
                    kernel(&gemm, &mut [Sample { input, output }]);
                });
            }
        });
    }
}

/// Whether an operation has one position only, so that its parts are some of its channels each.
pub(crate) fn lone_position(gemm: &TapGemm<'_>) -> bool {
    [gemm.rows, gemm.cols, gemm.output.height, gemm.output.width] == [1; 4]
}

/// The output channels `first..first + count`; `first` is a multiple of [`PANEL`].
fn channels<'a>(gemm: &TapGemm<'a>, first: usize, count: usize) -> TapGemm<'a> {
    let panels = first / PANEL..(first + count).div_ceil(PANEL);
    let rows = gemm.taps.len() * gemm.input.channels;
    let rows = panels.start * rows..panels.end * rows;
    let weights = match gemm.weights {
        Panels::F16(weights) => Panels::F16(&weights[rows]),
        Panels::F32(weights) => Panels::F32(&weights[rows]),
    };
    let bias = &gemm.bias[panels.start * PANEL..panels.end * PANEL];
    let output = Pixels { channels: count, pixel_stride: count, ..gemm.output };
    TapGemm { weights, bias, output, ..*gemm }
}

/// The taps as they lie from row `first` on.
fn moved(gemm: &TapGemm<'_>, first: usize) -> Option<Vec<Tap>> {
    let down = i16::try_from(first * gemm.in_step[0]).ok()?;
    gemm.taps.iter().map(|&[dy, dx]| Some([dy.checked_add(down)?, dx])).collect()
}

/// `rows` rows, the first of which writes the first row of its output.
fn band<'a>(gemm: &TapGemm<'a>, taps: &'a [Tap], rows: usize) -> TapGemm<'a> {
    let height = (rows - 1) * gemm.out_step[0] + 1;
    TapGemm {
        taps,
        rows,
        output: Pixels { height, ..gemm.output },
        out_offset: [0, gemm.out_offset[1]],
        ..*gemm
    }
}

/// Multiplications that take about as long as it takes to wake a thread, ten times.
const MIN_MACS: u64 = 1 << 19;

#[cfg(test)]
mod tests {
    use pocketgan_kernels::{Activation, reference};

    use super::*;

    #[test]
    fn parts_are_the_whole() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().expect("three threads can be had");
        let value = |i: usize| (i * 37 % 101) as f32 / 51.0 - 0.9;
        let taps = [[-1, 0], [0, 1], [2, -1]];
        let bias: Vec<f32> = (0..24).map(value).collect();
        let pixels = |height, width, channels| Pixels { height, width, channels, pixel_stride: channels + 1 };
        for (taps, output, [rows, cols], out_step) in [
            (&taps[..], pixels(12, 14, 20), [5, 6], [2, 2]),
            (&taps[..2], pixels(9, 7, 20), [7, 6], [1, 1]),
            (&taps[..1], Pixels { pixel_stride: 20, ..pixels(1, 1, 20) }, [1, 1], [1, 1]),
            (&taps[..0], pixels(4, 4, 20), [3, 3], [1, 1]),
        ] {
            let weights: Vec<[f32; PANEL]> = (0..3 * taps.len() * 5)
                .map(|row| core::array::from_fn(|lane| value(row * PANEL + lane)))
                .collect();
            let gemm = TapGemm {
                taps,
                weights: Panels::F32(&weights),
                bias: &bias,
                accumulate: rows > 3,
                activation: Activation::Relu,
                input: pixels(8, 7, 5),
                output,
                rows,
                cols,
                in_step: [1, 1],
                out_step,
                out_offset: [0, 0].map(|_| output.height.min(2) - 1),
            };
            let input: Vec<f32> = (0..gemm.input.len()).map(value).collect();
            let (mut whole, mut parted) =
                (std::vec![0.5; output.len() + 3], std::vec![0.5; output.len() + 3]);
            let kernel = &reference::KERNELS.tap_gemm;
            kernel(&gemm, &mut [Sample { input: &input, output: &mut whole }]);
            for parts in 2..9 {
                let sample = Sample { input: &input[..], output: &mut parted[..] };
                in_parts(&pool, parts, &gemm, sample, kernel);
                assert_eq!(parted, whole, "{parts} parts of {gemm:?}");
                parted.fill(0.5);
            }
        }
    }
}
