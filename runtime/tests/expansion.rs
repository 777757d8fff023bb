//! Expanded weights: pictures as near those of double precision as every other picture must be.

use std::fs;
use std::path::Path;

use half::f16;
use pocketgan_format::{
    Activation, AlignedBytes, Buffer, File, Input, Program, Role, Step, Tap, TapGemmStep, Tensor, TensorData,
    ValueType,
};
use pocketgan_runtime::{Generator, Kernels, Model, dispatch, latent};

/// A picture of 20 channels, a 3x3 convolution, the four phases of a transposed one, and another 3x3: sizes that no tile and
/// no vector divides.
fn program() -> Program {
    let square =
        |[y, x]: Tap, edge: i16| (0..edge * edge).map(|t| [y + t / edge, x + t % edge]).collect::<Vec<Tap>>();
    let mut program = Program { range: [-1.0, 1.0], ..Program::default() };
    let buffers =
        [[24_u32, 19, 20], [24, 19, 40], [48, 38, 24], [48, 38, 33]].map(|[height, width, channels]| {
            let offset = program.arena_bytes;
            program.arena_bytes += (4 * height * width * channels).next_multiple_of(16_u32);
            let [height, width, channels] = [height, width, channels].map(|extent| extent as u16);
            Buffer { offset, height, width, channels, pixel_stride: channels }
        });
    let mut state = 1_u32;
    let mut add = |layer: usize, taps: Vec<Tap>, out_step: u8, out_offset: [u16; 2]| {
        let (input, output) = (buffers[layer], buffers[layer + 1]);
        let panels = usize::from(output.channels.div_ceil(8));
        let depth = taps.len() * usize::from(input.channels);
        let mut weight = |lane: usize| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // A variance of 2 / depth, which keeps that of activations.
            let value = ((state >> 16) as f32 / 32_768.0 - 1.0) * (6.0 / depth as f32).sqrt();
            f16::from_f32(if lane < usize::from(output.channels) { value } else { 0.0 })
        };
        let rows = (0..panels * depth).map(|row| core::array::from_fn(|lane| weight(row / depth * 8 + lane)));
        program.tensors.push(TensorData::F16(rows.collect()));
        program.tensors.push(TensorData::F32(vec![[0.0; 8]; panels]));
        program.steps.push(Step::TapGemm(TapGemmStep {
            accumulate: false,
            activation: Activation::LeakyRelu(0.1),
            layer: layer as u16,
            first_tap: program.taps.len() as u32,
            tap_count: taps.len() as u32,
            weights: program.tensors.len() as u32 - 2,
            bias: program.tensors.len() as u32 - 1,
            input,
            output,
            rows: output.height / u16::from(out_step),
            cols: output.width / u16::from(out_step),
            in_step: [1, 1],
            out_step: [out_step; 2],
            out_offset,
            values: ValueType::F32,
        }));
        program.taps.extend(taps);
    };
    add(0, square([-1, -1], 3), 1, [0, 0]);
    for [y, x] in [[0, 0], [0, 1], [1, 0], [1, 1]] {
        add(1, square([y - 1, x - 1], 2), 2, [y as u16, x as u16]);
    }
    add(2, square([-1, -1], 3), 1, [0, 0]);
    let shape = |buffer: Buffer| [buffer.height, buffer.width, buffer.channels].map(u32::from);
    program.inputs = vec![Input { role: Role::Image, offset: buffers[0].offset, shape: shape(buffers[0]) }];
    program.output_shape = shape(buffers[3]);
    program.output_offset = buffers[3].offset;
    program
}

/// The program above, and the committed models whose steps are all tap GEMMs.
fn files() -> Vec<AlignedBytes> {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models");
    let folders =
        fs::read_dir(models).expect("models/ is there").map(|entry| entry.expect("readable").path());
    let mut files: Vec<AlignedBytes> = folders
        .filter_map(|folder| {
            let file = folder.join(folder.file_name()?).with_extension("pgan");
            Some(AlignedBytes::copy(&fs::read(file).ok()?))
        })
        .collect();
    files.push(program().to_bytes().expect("a sound program"));
    files.retain(|file| {
        let file = File::parse(file).expect("a sound file");
        file.steps().all(|step| matches!(step, Step::TapGemm(_)))
    });
    files
}

/// The picture of an input, in double precision.
fn evaluate(file: &File<'_>, input: &[f32]) -> Vec<f64> {
    let mut arena = vec![f64::NAN; file.arena_bytes() / 4];
    let start = file.inputs().next().expect("one input").offset as usize / 4;
    arena[start..][..input.len()].copy_from_slice(&input.iter().map(|&x| x.into()).collect::<Vec<f64>>());
    for step in file.steps() {
        let Step::TapGemm(step) = step else { unreachable!("files with other steps are left out") };
        let tensor = |index: u32, at: usize| match file.tensor(index as usize).expect("checked") {
            Tensor::F16(rows) => rows.as_flattened()[at].to_f64(),
            Tensor::F32(rows) => rows.as_flattened()[at].into(),
        };
        let place = |buffer: &Buffer, y: usize, x: usize| {
            buffer.offset as usize / 4
                + (y * usize::from(buffer.width) + x) * usize::from(buffer.pixel_stride)
        };
        let taps: Vec<Tap> = file.taps(&step).to_vec();
        let c = usize::from(step.input.channels);
        for (row, col) in (0..step.rows).flat_map(|row| (0..step.cols).map(move |col| (row, col))) {
            for n in 0..usize::from(step.output.channels) {
                let mut sum = tensor(step.bias, n);
                for (t, &[dy, dx]) in taps.iter().enumerate() {
                    let y = i32::from(row) * i32::from(step.in_step[0]) + i32::from(dy);
                    let x = i32::from(col) * i32::from(step.in_step[1]) + i32::from(dx);
                    if (0..step.input.height.into()).contains(&y) && (0..step.input.width.into()).contains(&x)
                    {
                        let pixel = place(&step.input, y as usize, x as usize);
                        let row = (n / 8 * taps.len() + t) * c;
                        sum += (0..c)
                            .map(|i| arena[pixel + i] * tensor(step.weights, (row + i) * 8 + n % 8))
                            .sum::<f64>();
                    }
                }
                let [y, x] = [(row, 0), (col, 1)].map(|(position, axis)| {
                    usize::from(step.out_offset[axis] + position * u16::from(step.out_step[axis]))
                });
                arena[place(&step.output, y, x) + n] = match step.activation {
                    Activation::Identity => sum,
                    Activation::Relu => sum.max(0.0),
                    Activation::LeakyRelu(slope) if sum < 0.0 => sum * f64::from(slope),
                    Activation::LeakyRelu(_) => sum,
                    Activation::Tanh => sum.tanh(),
                    Activation::Sigmoid => 1.0 / (1.0 + (-sum).exp()),
                };
            }
        }
    }
    let len = file.output_shape().iter().product();
    arena[file.output_offset() / 4..][..len].to_vec()
}

/// Every implementation that this CPU has and that expands weights.
fn expanding() -> impl Iterator<Item = Kernels> {
    dispatch::available().into_iter().flatten().filter(|kernels| dispatch::expansion(kernels).is_some())
}

/// Largest difference from double precision that an export allows, in proportion to the largest value.
const TOLERANCE: f64 = 1e-4;

fn assert_near(image: &[f32], expected: &[f64], context: &str) {
    let largest = expected.iter().fold(1.0_f64, |most, value| most.max(value.abs()));
    for (value, expected) in image.iter().zip(expected) {
        let diff = (f64::from(*value) - expected).abs();
        assert!(diff <= TOLERANCE * largest, "{value} instead of {expected}: {context}");
    }
}

#[test]
fn pictures_are_those_of_double_precision() {
    for file in files() {
        let model = Model::load(&file).expect("a sound file");
        let pictures = 3;
        let inputs = [0, 1, 2].map(|seed| {
            let mut values = vec![0.0; model.inputs().next().expect("one input").len()];
            latent::fill_normal(seed, &mut values);
            values
        });
        let expected = inputs.each_ref().map(|input| evaluate(model.file(), input));
        for kernels in expanding() {
            let mut arena = vec![f32::NAN; pictures * model.arena_len()];
            let generator = Generator::with_kernels(&model, &mut arena, kernels).expect("long enough");
            let len = generator.expansion_len();
            // All steps, none, and what there is room for in between.
            for len in [len, len / 2, len / 5, 1, 0] {
                let mut buffer = vec![f32::NAN; len];
                let mut generator =
                    Generator::with_kernels(&model, &mut arena, kernels).expect("long enough");
                generator.expand(&mut buffer);
                for (picture, input) in inputs.iter().enumerate() {
                    generator.input_of(picture, 0).copy_from_slice(input);
                }
                generator.run_batch(pictures);
                for (picture, expected) in expected.iter().enumerate() {
                    let context = format!("{}, {len} values, picture {picture}", kernels.name);
                    assert_near(generator.image(picture).values, expected, &context);
                }
            }
        }
    }
}

#[test]
fn steps_that_pay_are_expanded_and_exact_ones_never() {
    let file = program().to_bytes().expect("a sound program");
    let model = Model::load(&file).expect("a sound file");
    let steps = model.file().steps().count();
    let expanded = |kernels: Kernels| {
        let mut arena = vec![f32::NAN; model.arena_len()];
        let mut generator = Generator::with_kernels(&model, &mut arena, kernels).expect("long enough");
        let mut buffer = vec![f32::NAN; generator.expansion_len()];
        let len = buffer.len();
        generator.expand(&mut buffer);
        let count = (0..steps).filter(|&step| generator.path(step, 1).starts_with("Winograd")).count();
        assert_eq!(count > 0, len > 0, "{}", kernels.name);
        count
    };
    for kernels in dispatch::available_exact().into_iter().flatten() {
        assert_eq!(expanded(kernels), 0, "{}", kernels.name);
    }
    // Of layers as large as these, vectors compute all in tiles, and other kernels those that they choose.
    for kernels in expanding().filter(|kernels| kernels.name != "amx") {
        assert_eq!(expanded(kernels), steps, "{}", kernels.name);
    }
}

#[test]
#[cfg(feature = "rayon")]
fn threads_draw_the_same_pictures() {
    let file = program().to_bytes().expect("a sound program");
    let model = Model::load(&file).expect("a sound file");
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().expect("three threads can be had");
    let mut input = vec![0.0; model.inputs().next().expect("one input").len()];
    latent::fill_normal(5, &mut input);
    let expected = evaluate(model.file(), &input);
    for kernels in expanding() {
        for pictures in [1, 4] {
            let mut arena = vec![f32::NAN; pictures * model.arena_len()];
            let mut generator = Generator::with_kernels(&model, &mut arena, kernels).expect("long enough");
            let mut buffer = vec![f32::NAN; generator.expansion_len()];
            generator.expand(&mut buffer);
            for picture in 0..pictures {
                generator.input_of(picture, 0).copy_from_slice(&input);
            }
            generator.run_batch_in(&pool, pictures);
            for picture in 0..pictures {
                assert_near(generator.image(picture).values, &expected, kernels.name);
            }
        }
    }
}
