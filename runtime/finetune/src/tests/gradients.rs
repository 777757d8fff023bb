//! Every gradient against central differences of the loss that the same engine computes, with activations that are smooth; the
//! kernels' own tests have the derivatives of those with a kink.

use std::vec;
use std::vec::Vec;

use pocketgan_format::{Activation, Preset};
use pocketgan_kernels::reference;
use pocketgan_runtime::Model;

use super::models::{Shape, model};
use crate::augment::Policy;
use crate::engine::{Bank, Batch, Engine, Images, Values};
use crate::{Arena, Objective, Task};

const PRESETS: [(Preset, [u16; 2]); 4] =
    [(Preset::Tail, [1, 6]), (Preset::Affine, [0, 6]), (Preset::Head, [0, 1]), (Preset::All, [0, 6])];

const OBJECTIVES: [Objective; 3] = [
    Objective::LeastSquares { a: -1.0, b: 1.0, c: 0.0 },
    Objective::RelativisticAverage,
    Objective::LossSensitive { margin: 1.0, weight: 0.5 },
];

const COLOURED: Policy = Policy { translation: 0.25, cutout: 0.5, color: true };

#[test]
fn gradients_are_those_of_the_losses() {
    for activation in [Activation::Tanh, Activation::Sigmoid] {
        for (preset, generator) in PRESETS {
            for objective in OBJECTIVES {
                check(&Shape { preset, generator, discriminator: [0, 3], activation }, objective);
            }
        }
    }
}

#[test]
fn of_the_discriminator_any_part_may_move() {
    for discriminator in [[2, 3], [1, 3], [0, 1]] {
        let activation = Activation::Tanh;
        let shape = Shape { preset: Preset::Tail, generator: [5, 6], discriminator, activation };
        check(&shape, OBJECTIVES[0]);
    }
}

fn check(shape: &Shape, objective: Objective) {
    let bytes = model(shape);
    let model = Model::load(&bytes).unwrap();
    let task = Task::new(&model).unwrap();
    let images: Vec<f32> = (0..6 * task.image_len()).map(|i| (i * i % 23) as f32 / 11.5 - 1.0).collect();
    let images = Images::new(&images, task.image_len());
    let mut work = vec![f32::NAN; Arena::work_len(&task)];
    let mut engine = Arena::with_kernels(&task, &mut work, reference::KERNELS, reference::GRADIENTS).unwrap();
    let [mut g, mut d] = task.trained_len().map(|len| vec![0.0; len]);
    task.generator().slots.read(&model, |at, value| g[at] = value);
    let judge = task.discriminator();
    judge.slots.read(judge.chain.model(), |at, value| d[at] = value);
    // Factors other than 1, so that their gradient and their use differ.
    if shape.preset == Preset::Affine {
        g.iter_mut().enumerate().for_each(|(i, value)| *value *= 1.0 + 0.01 * (i % 7) as f32);
    }
    for of_discriminator in [true, false] {
        let mut half = |g: &[f32], d: &[f32], gradients: &mut [f32]| {
            let mut batch = Batch {
                task: &task,
                examples: &images,
                bank: Bank::default(),
                kernels: reference::KERNELS,
                objective,
                policy: COLOURED,
                pairs: 3,
                seed: 1,
                step: 0,
            };
            let values = Values { generator: g, discriminator: d };
            if of_discriminator {
                engine.discriminator(&task, values, &mut batch, gradients).loss
            } else {
                engine.generator(&task, values, &mut batch, gradients).loss
            }
        };
        let len = if of_discriminator { d.len() } else { g.len() };
        let mut gradients = vec![0.0; len];
        let loss = half(&g, &d, &mut gradients);
        let mut scratch = vec![0.0; len];
        let (mut wrong, mut uncertain, mut total) = (0, 0.0, 0.0);
        for at in 0..len {
            let mut at_distance = |h: f32| {
                let (mut g, mut d) = (g.clone(), d.clone());
                if of_discriminator {
                    d[at] += h;
                } else {
                    g[at] += h;
                }
                f64::from(half(&g, &d, &mut scratch))
            };
            let [near_up, near_down, far_up, far_down] = [H, -H, 2.0 * H, -2.0 * H].map(&mut at_distance);
            let h = f64::from(H);
            let (near, far) = ((near_up - near_down) / (2.0 * h), (far_up - far_down) / (4.0 * h));
            // A difference over h is off by h^2/6 of the third derivative, that over 2h by four times as much: their distance
            // is three times the error, and more where a kink lies between. To that comes the rounding of the losses, some
            // tens of operations deep.
            let rounding = 32.0 * f64::from(f32::EPSILON) * f64::from(loss.abs().max(1.0)) / h;
            let tolerance = (near - far).abs() + rounding;
            let gradient = f64::from(gradients[at]);
            wrong += usize::from((gradient - near).abs() > tolerance);
            uncertain += tolerance * tolerance;
            total += gradient * gradient;
        }
        let what = if of_discriminator { "discriminator" } else { "generator" };
        assert_eq!(wrong, 0, "{shape:?} {objective:?}: wrong gradients of the {what}, of {len}");
        assert!(total > 10.0 * uncertain, "{shape:?} {objective:?} {what}: {total} against {uncertain}");
    }
}

const H: f32 = 1.0 / 64.0;
