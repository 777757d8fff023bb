//! Files with a learning section that is damaged or made to harm: an error or a step, never a panic.

use std::vec;

use pocketgan_format::{Activation, AlignedBytes, Preset, Program, Step, TapGemmStep, crc32};
use pocketgan_runtime::Model;
use pocketgan_runtime::latent::Normal;

use super::models::{Shape, changed, model};
use crate::{Arena, Images, Learner, Options, Task, TaskError};

const TAIL: Shape = Shape {
    preset: Preset::Tail,
    generator: [1, 6],
    discriminator: [0, 3],
    activation: Activation::LeakyRelu(0.2),
};

/// Makes the checksum of a file fit its bytes again.
fn forge(file: &mut [u8]) {
    let crc = crc32([&file[..12], &file[16..]]);
    file[12..16].copy_from_slice(&crc.to_le_bytes());
}

/// Takes a step, where the file loads, can learn, and asks for no more memory than a device has.
fn learns(bytes: &[u8]) -> Option<bool> {
    let model = Model::load(bytes).ok()?;
    let task = Task::new(&model).ok()?;
    let options = Options { batch: 1, ..Options::default() };
    let work = vec![f32::NAN; 1 << 16];
    let mut work = work;
    let engine = Arena::new(&task, &mut work).ok()?;
    let mut memory = vec![0.0; 1 << 16];
    let mut learner = Learner::new(&task, engine, &mut memory, &options).ok()?;
    let macs = model.file().macs() + model.file().learning().ok()?.map_or(0, |l| l.discriminator.macs());
    if macs > 1 << 20 {
        return None;
    }
    let image = vec![0.5; task.image_len()];
    Some(learner.step(&Images::new(&image, task.image_len())).is_ok())
}

#[test]
fn damage_is_an_error() {
    let bytes = model(&TAIL);
    assert_eq!(learns(&bytes), Some(true));
    for len in 0..bytes.len() {
        assert!(Model::load(&AlignedBytes::copy(&bytes[..len])).is_err(), "{len} bytes");
    }
    for bit in 0..8 * bytes.len() {
        let mut damaged = AlignedBytes::copy(&bytes);
        damaged.as_mut_slice()[bit / 8] ^= 1 << (bit % 8);
        assert!(Model::load(&damaged).is_err(), "bit {bit}");
    }
}

fn gemm(program: &mut Program, index: usize) -> &mut TapGemmStep {
    match &mut program.steps[index] {
        Step::TapGemm(step) => step,
        Step::Nest(_) => panic!("step {index} is a nest"),
    }
}

type Change = fn(&mut Program);

/// Sound files, whose steps are not the layers in a row that the engines take them for.
#[test]
fn networks_that_are_no_layers_in_a_row_are_refused() {
    let refused = |step| Some(TaskError::NotAChain { step });
    let slope = |step| Some(TaskError::Slope { step });
    let discriminators: [(&str, Change, Option<TaskError>); 8] = [
        ("as it is", |_| {}, None),
        ("more than the picture", |p| gemm(p, 0).input.height = 5, refused(0)),
        ("elsewhere than the picture", |p| gemm(p, 0).input.offset = 2048, refused(0)),
        ("less than the next reads", |p| gemm(p, 0).rows = 1, refused(1)),
        ("a head that reads elsewhere", |p| gemm(p, 2).input.offset = 2048, refused(2)),
        ("a head with an activation", |p| gemm(p, 2).activation = Activation::Tanh, refused(2)),
        ("a score elsewhere", |p| p.output_offset = 512, refused(2)),
        ("a slope of zero", |p| gemm(p, 1).activation = Activation::LeakyRelu(0.0), slope(1)),
    ];
    for (name, change, error) in discriminators {
        let bytes = changed(&TAIL, |_| {}, change);
        assert_eq!(Task::new(&Model::load(&bytes).unwrap()).err(), error, "{name}");
    }
    // Steps 1 to 4 are the phases of a layer.
    let generators: [(&str, Change, Option<TaskError>); 5] = [
        ("half a phase", |p| gemm(p, 4).rows = 1, refused(5)),
        ("a phase twice", |p| gemm(p, 4).out_offset = [1, 0], refused(4)),
        ("less than a picture", |p| gemm(p, 5).cols = 3, refused(5)),
        ("a negative slope", |p| gemm(p, 1).activation = Activation::LeakyRelu(-0.25), slope(1)),
        ("a negative slope that is frozen", |p| gemm(p, 0).activation = Activation::LeakyRelu(-0.25), None),
    ];
    for (name, change, error) in generators {
        let bytes = changed(&TAIL, change, |_| {});
        assert_eq!(Task::new(&Model::load(&bytes).unwrap()).err(), error, "{name}");
    }
}

#[test]
fn forged_sections_learn_or_are_refused() {
    let bytes = model(&TAIL);
    // The discriminator is a file of its own at the end.
    let start = bytes.len()
        - (0..bytes.len())
            .rev()
            .step_by(1)
            .find_map(|at| bytes[at..].starts_with(b"PGAN").then_some(bytes.len() - at))
            .unwrap();
    let record = start - 48;
    let mut normal = Normal::from_seed(11);
    let mut below = |n: usize| ((normal.sample().abs() * 1e6) as usize) % n;
    let (mut refused, mut learned, mut stopped) = (0, 0, 0);
    for round in 0..6000 {
        let mut file = AlignedBytes::copy(&bytes);
        let bytes = file.as_mut_slice();
        // The record and the tables of both, more than the weights.
        for _ in 0..1 + below(3) {
            let at = match round % 4 {
                0 => record + below(48),
                1 => start + below(160),
                2 => start + 160 + below(400),
                _ => below(bytes.len()),
            };
            bytes[at] = match below(3) {
                0 => bytes[at] ^ 1 << below(8),
                1 => below(256) as u8,
                _ => bytes[below(bytes.len())],
            };
        }
        forge(&mut bytes[start..]);
        forge(bytes);
        match learns(&file) {
            None => refused += 1,
            Some(true) => learned += 1,
            Some(false) => stopped += 1,
        }
    }
    std::println!("{refused} refused, {learned} learned, {stopped} stopped by a guard");
    assert!(refused > 1000 && learned > 100);
}
