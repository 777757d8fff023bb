//! Proves a file: the runtime draws from it what the graph that it was made of says, evaluated in double precision.

use anyhow::{Context, Result, ensure};
use half::f16;
use pocketgan_format::ValueType;
use pocketgan_runtime::{Generator, Kernels, Latent, Model, dispatch, latent};
use rayon::prelude::*;

use crate::graph::evaluate::{evaluate, evaluate_rounded};
use crate::graph::{Graph, Role};

/// How far two sets of pictures are apart.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Parity {
    /// Largest difference of two values.
    pub max_abs_diff: f32,
    /// Mean difference of two values.
    pub mean_abs_diff: f64,
    /// Largest difference of two pixels in 256 levels.
    pub max_u8_diff: u8,
    /// Share of pixels that differ in 256 levels.
    pub share_u8_changed: f64,
}

/// Pictures compared at every export, fewer of large models.
pub const VERIFY_SEEDS: u64 = 8;

/// Largest difference allowed between the runtime and an evaluation in double precision on equal weights, for values in
/// [-1, 1] after sums of up to a few thousand products; in proportion for larger ones.
const TOLERANCE: f32 = 1e-4;

/// Work above which fewer pictures are compared: the reference kernels are slow.
const MANY_MACS: u64 = 1 << 30;

/// Draws with every kernel that this CPU has, from an arena full of NaN, so that nothing stale can pass.
///
/// Also returns what storing activations as they are makes by itself.
pub(crate) fn verify(rounded: &Graph, file: &[u8], activations: ValueType) -> Result<(Parity, f32)> {
    let model = Model::load(file).context("the file just written does not load")?;
    let count = VERIFY_SEEDS.min(MANY_MACS / model.file().macs().max(1)).max(1);
    let inputs: Vec<_> = (0..count).map(|seed| test_inputs(rounded, model.range(), seed)).collect();
    let expected: Vec<f32> = inputs
        .par_iter()
        .map(|inputs| evaluate(rounded, &slices(inputs)))
        .collect::<Result<Vec<_>>>()?
        .concat();
    let largest =
        expected.iter().fold(1.0_f32, |most, v| if v.is_finite() { most.max(v.abs()) } else { most });
    let effect = rounding_effect(rounded, &inputs, &expected, activations)?;
    let mut worst = Parity::default();
    for kernels in dispatch::available().into_iter().flatten() {
        let drawn = inputs.iter().map(|inputs| run(rounded, &model, kernels, &slices(inputs)));
        let parity = compare(&expected, &drawn.collect::<Result<Vec<_>>>()?.concat(), model.range());
        let mut allowed = TOLERANCE * largest + 2.0 * effect;
        if parity.max_abs_diff > allowed {
            allowed += 2.0 * splitting_effect(rounded, &inputs, &expected, kernels)?;
        }
        ensure!(
            parity.max_abs_diff <= allowed,
            "the {} kernels draw another picture than the network: values differ by {}, allowed is {allowed}",
            kernels.name,
            parity.max_abs_diff
        );
        if parity.max_abs_diff >= worst.max_abs_diff {
            worst = parity;
        }
    }
    Ok((worst, effect))
}

/// Largest difference that storing activations in half precision makes by itself. The runtime rounds at fewer places
/// than this evaluation, but its sums may fall on the other side of a rounding: it may be off by as much again.
fn rounding_effect(
    graph: &Graph,
    inputs: &[Vec<Vec<f32>>],
    expected: &[f32],
    activations: ValueType,
) -> Result<f32> {
    if activations == ValueType::F32 {
        return Ok(0.0);
    }
    let rounded = effect_of(graph, inputs, expected, |v| f16::from_f64(v).to_f64())?;
    ensure!(
        rounded.is_finite(),
        "an activation is beyond half precision (65504): export without --activations fp16"
    );
    Ok(rounded)
}

/// Largest difference that products make by themselves which are off by up to `product_error` of their size, as if
/// activations had so many bits fewer; nothing where kernels multiply in single precision. A network that divides by what
/// is small makes much of it. Products may be off by as much again.
///
/// # Errors
/// When the inputs are not those of the graph.
pub fn splitting_effect(
    graph: &Graph,
    inputs: &[Vec<Vec<f32>>],
    expected: &[f32],
    kernels: Kernels,
) -> Result<f32> {
    if kernels.product_error == 0.0 {
        return Ok(0.0);
    }
    // The head of Veltkamp's splitting.
    let factor = f64::from(kernels.product_error) * (1u64 << f64::MANTISSA_DIGITS) as f64 + 1.0;
    let head = |v: f64| if v.is_finite() { factor * v - (factor * v - v) } else { v };
    let effect = effect_of(graph, inputs, expected, head)?;
    // Where there is no number to compare with, nothing is allowed on its account.
    Ok(if effect.is_finite() { effect } else { 0.0 })
}

/// Largest difference of the pictures if inputs and activations are rounded; infinite if rounding makes them so.
fn effect_of(
    graph: &Graph,
    inputs: &[Vec<Vec<f32>>],
    expected: &[f32],
    round: impl Fn(f64) -> f64 + Sync,
) -> Result<f32> {
    let rounded = inputs.par_iter().map(|inputs| {
        // Layers read rounded inputs too; class numbers go to tables, which take them as they are.
        let mut inputs = inputs.clone();
        for (values, _) in
            inputs.iter_mut().zip(graph.inputs()).filter(|(_, input)| input.role != Role::Label)
        {
            values.iter_mut().for_each(|v| *v = round(f64::from(*v)) as f32);
        }
        evaluate_rounded(graph, &slices(&inputs), |values| values.iter_mut().for_each(|v| *v = round(*v)))
    });
    let rounded = rounded.collect::<Result<Vec<_>>>()?.concat();
    if rounded.iter().zip(expected).any(|(a, b)| !a.is_finite() && b.is_finite()) {
        return Ok(f32::INFINITY);
    }
    Ok(compare(expected, &rounded, [0.0, 1.0]).max_abs_diff)
}

fn slices(inputs: &[Vec<f32>]) -> Vec<&[f32]> {
    inputs.iter().map(|values| &values[..]).collect()
}

/// Inputs to try a graph with: for each its values, row-major. Latent vectors are those of the seed, pictures are noise in
/// `range`, labels are small numbers.
pub fn test_inputs(graph: &Graph, [low, high]: [f32; 2], seed: u64) -> Vec<Vec<f32>> {
    let values = graph.inputs().iter().enumerate().map(|(index, input)| {
        let mut values = vec![0.0; input.shape.iter().product()];
        // The first input has the seed itself, so that a lone latent vector is the one of `sample`.
        latent::fill_normal(seed.wrapping_add((index as u64) << 32), &mut values);
        match input.role {
            Role::Latent | Role::Values => {}
            Role::Image => values.iter_mut().for_each(|v| {
                let share = 1.0 / (1.0 + (-1.7 * *v).exp());
                *v = low + (high - low) * share;
            }),
            Role::Label => values.fill((seed % 10) as f32),
        }
        values
    });
    values.collect()
}

/// The output of the runtime, row-major as the graph states it, for inputs that are so too.
///
/// # Errors
/// When the inputs are not those of the graph.
pub fn run(graph: &Graph, model: &Model<'_>, kernels: Kernels, inputs: &[&[f32]]) -> Result<Vec<f32>> {
    let mut arena = vec![f32::NAN; model.arena_len()];
    let mut generator = Generator::with_kernels(model, &mut arena, kernels)?;
    ensure!(inputs.len() == graph.inputs().len(), "{} inputs of {}", inputs.len(), graph.inputs().len());
    for (index, (values, input)) in inputs.iter().zip(graph.inputs()).enumerate() {
        let stored = generator.input(index);
        ensure!(stored.len() == values.len(), "input {} has {} values", input.name, stored.len());
        channels_last(&input.shape, |row_major, place| stored[place] = values[row_major]);
    }
    let image = generator.run();
    let mut output = vec![0.0; image.values.len()];
    channels_last(graph.shape(graph.output()), |row_major, place| output[row_major] = image.values[place]);
    Ok(output)
}

/// Calls `f` with the row-major index of each value and its place in a file's order, channels last for pictures.
pub fn channels_last(shape: &[usize], mut f: impl FnMut(usize, usize)) {
    if let &[batch, channels, height, width] = shape {
        let pixels = height * width;
        for (image, channel) in (0..batch * channels).map(|plane| (plane / channels, plane % channels)) {
            for pixel in 0..pixels {
                let row_major = (image * channels + channel) * pixels + pixel;
                f(row_major, (image * pixels + pixel) * channels + channel);
            }
        }
    } else {
        (0..shape.iter().product()).for_each(|index| f(index, index));
    }
}

/// Latent vectors of seeds `0..count`, `[count, latent_dim]`.
pub fn latents(model: &Model<'_>, count: u64) -> Vec<f32> {
    let mut latents = vec![0.0; count as usize * model.latent_dim()];
    for (seed, z) in (0..count).zip(latents.chunks_exact_mut(model.latent_dim().max(1))) {
        latent::fill_normal(seed, z);
    }
    latents
}

/// Pictures `[N, C, H, W]` of latent vectors `[N, latent_dim]`, drawn by the runtime.
///
/// # Errors
/// When the model reads something else than one latent vector.
pub fn draw(model: &Model<'_>, kernels: Kernels, latents: &[f32]) -> Result<Vec<f32>> {
    ensure!(model.needs_latent_only(), "the model reads something else than one latent vector");
    let mut arena = vec![f32::NAN; model.arena_len()];
    let mut generator = Generator::with_kernels(model, &mut arena, kernels)?;
    let [height, width, channels] = model.output_shape();
    let mut pictures = Vec::with_capacity(latents.len() / model.latent_dim() * height * width * channels);
    for z in latents.chunks_exact(model.latent_dim()) {
        let image = generator.generate(Latent::from(z));
        for channel in 0..channels {
            pictures.extend(image.values.iter().skip(channel).step_by(channels));
        }
    }
    Ok(pictures)
}

/// Compares values, and the pixels that they become in `range`. A value that is not a number differs infinitely from one
/// that is.
///
/// # Panics
/// When the two have different lengths.
pub fn compare(expected: &[f32], got: &[f32], [low, high]: [f32; 2]) -> Parity {
    assert_eq!(expected.len(), got.len(), "two sets of pictures of one shape");
    let byte = |v: f32| ((v - low) / (high - low) * 255.0 + 0.5) as u8;
    let mut parity = Parity::default();
    let (mut sum, mut changed) = (0.0, 0_usize);
    for (&a, &b) in expected.iter().zip(got) {
        let diff = match (a.is_nan(), b.is_nan()) {
            _ if a == b => 0.0,
            (true, true) => 0.0,
            (false, false) => (a - b).abs(),
            _ => f32::INFINITY,
        };
        let levels = byte(a).abs_diff(byte(b));
        parity.max_abs_diff = parity.max_abs_diff.max(diff);
        parity.max_u8_diff = parity.max_u8_diff.max(levels);
        sum += f64::from(diff);
        changed += usize::from(levels > 0);
    }
    let count = expected.len().max(1) as f64;
    Parity { mean_abs_diff: sum / count, share_u8_changed: changed as f64 / count, ..parity }
}
