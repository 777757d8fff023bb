//! Whole steps.

use std::vec;
use std::vec::Vec;

use pocketgan_format::{Activation, AlignedBytes, Delta, Preset, Rule};
use pocketgan_kernels::{dispatch, reference};
use pocketgan_runtime::{Generator, Latent, Model};

use super::models::{Shape, model};
use crate::augment::Policy;
use crate::draws::{Stream, seed_of};
use crate::engine::{Bank, Batch, Values};
use crate::{Arena, Guards, Images, Learner, Objective, Optimizer, Options, StepError, Task, TaskError};

const TAIL: Shape = Shape {
    preset: Preset::Tail,
    generator: [1, 6],
    discriminator: [0, 3],
    activation: Activation::LeakyRelu(0.2),
};

fn images(len: usize, count: usize) -> Vec<f32> {
    (0..count * len).map(|i| if i % 3 == 0 { 0.8 } else { -0.6 } + (i % 5) as f32 * 0.01).collect()
}

#[test]
fn exact_learning_gives_the_same_bits_with_any_kernels() {
    let bytes = model(&TAIL);
    let model = Model::load(&bytes).unwrap();
    let task = Task::new(&model).unwrap();
    let values = images(task.image_len(), 5);
    let examples = Images::new(&values, task.image_len());
    let mut learned: Vec<Vec<u32>> = vec![];
    for exact in [false, true] {
        let mut work = vec![f32::NAN; Arena::work_len(&task)];
        let engine = if exact {
            Arena::exact(&task, &mut work)
        } else {
            Arena::with_kernels(&task, &mut work, reference::KERNELS, reference::GRADIENTS)
        };
        let options = Options { seed: 3, pull: 0.01, ..Options::default() };
        let mut memory = vec![f32::NAN; Learner::<Arena<'_>>::memory_len(&task, &options)];
        let mut learner = Learner::new(&task, engine.unwrap(), &mut memory, &options).unwrap();
        for _ in 0..10 {
            learner.step(&examples).unwrap();
        }
        learned.push(learner.learned().iter().map(|value| value.to_bits()).collect());
    }
    assert_eq!(learned[0], learned[1]);
}

#[test]
fn a_bank_gives_what_the_frozen_steps_gave() {
    let bytes = model(&TAIL);
    let model = Model::load(&bytes).unwrap();
    let task = Task::new(&model).unwrap();
    let len = task.features_len();
    let mut memory = vec![0.0; 2 * (len + 1) + 5];
    let mut work = vec![0.0; model.arena_len()];
    let mut features = |step: u32, pair: usize| {
        let mut batch = Batch {
            task: &task,
            examples: &Images::new(&[], 1),
            bank: Bank { memory: &mut memory, refresh: 10 },
            kernels: dispatch::exact(),
            objective: Objective::RelativisticAverage,
            policy: Policy::NONE,
            pairs: 64,
            seed: 9,
            step,
        };
        batch.features(pair, &mut work);
        work[..len].to_vec()
    };
    let mut seen: Vec<Vec<f32>> = vec![];
    for step in 0..20 {
        for pair in 0..8 {
            let features = features(step, pair);
            if !seen.contains(&features) {
                seen.push(features);
            }
        }
    }
    // Two places, filled twice.
    assert_eq!(seen.len(), 4);
    // What lies there is what a generator makes of the same latent vector.
    let mut arena = vec![0.0; model.arena_len()];
    let mut generator = Generator::exact(&model, &mut arena).unwrap();
    generator.set_latent(Latent::from_seed(seed_of(9, Stream::Latents, u32::MAX - 1, 0)));
    generator.run_first(1);
    assert!(seen[..2].iter().any(|features| features[..] == arena[256..][..len]));
}

#[test]
fn guards_stop_and_undo() {
    let bytes = model(&TAIL);
    let model = Model::load(&bytes).unwrap();
    let task = Task::new(&model).unwrap();
    let values = images(task.image_len(), 5);
    let examples = Images::new(&values, task.image_len());
    let run = |options: &Options| {
        let mut work = vec![0.0; Arena::work_len(&task)];
        let mut memory = vec![0.0; Learner::<Arena<'_>>::memory_len(&task, options)];
        let engine = Arena::new(&task, &mut work).unwrap();
        let mut learner = Learner::new(&task, engine, &mut memory, options).unwrap();
        let factory = learner.learned().to_vec();
        let error = (0..200).find_map(|_| learner.step(&examples).err());
        (error, learner.learned() == factory)
    };
    let (error, undone) = run(&Options { rate: 1e30, guards: None, ..Options::default() });
    assert!(matches!(error, Some(StepError::NotFinite { .. })), "{error:?}");
    assert!(undone);
    let guards = Guards { gap: 1e-3, ..Guards::default() };
    let (error, undone) = run(&Options { guards: Some(guards), ..Options::default() });
    assert!(matches!(error, Some(StepError::Gap { .. })), "{error:?}");
    assert!(undone);
    let guards = Guards { diversity: 1.5, ..Guards::default() };
    let (error, undone) = run(&Options { guards: Some(guards), ..Options::default() });
    assert!(matches!(error, Some(StepError::Diversity { .. })), "{error:?}");
    assert!(undone);
    let guards = Guards { step_cap: 7, ..Guards::default() };
    let (error, undone) = run(&Options { guards: Some(guards), ..Options::default() });
    assert_eq!(error, Some(StepError::StepCap));
    assert!(undone);
    let guards = Guards { diversity: 0.0, ..Guards::default() };
    let (error, undone) = run(&Options { guards: Some(guards), ..Options::default() });
    assert_eq!(error, None);
    assert!(!undone);
}

/// Pictures are watched for their differences, which those of a bank's one latent vector have not.
#[test]
fn a_bank_of_one_is_no_collapse() {
    let bytes = model(&TAIL);
    let model = Model::load(&bytes).unwrap();
    let task = Task::new(&model).unwrap();
    let values = images(task.image_len(), 5);
    let examples = Images::new(&values, task.image_len());
    let options = Options::default();
    let mut work = vec![0.0; Arena::work_len(&task)];
    let mut memory = vec![0.0; Learner::<Arena<'_>>::memory_len(&task, &options)];
    let mut bank = vec![0.0; task.features_len() + 1];
    let engine = Arena::new(&task, &mut work).unwrap();
    let mut learner = Learner::new(&task, engine, &mut memory, &options).unwrap().with_bank(&mut bank);
    assert_eq!(learner.step(&examples).err(), None);
}

/// The next delta takes the place of the one in use, and would not hold what does not move.
#[test]
fn nothing_of_a_delta_is_dropped() {
    let bytes = model(&Shape { preset: Preset::Affine, generator: [0, 6], ..TAIL });
    let model = Model::load(&bytes).unwrap();
    let learning = model.file().learning().unwrap().unwrap();
    let options = Options::default();
    let learned = |model: &Model<'_>, preset, generator| {
        let task = Task::with_rule(model, &learning, Rule { preset, generator, ..learning.rule }).unwrap();
        let mut work = vec![0.0; Arena::work_len(&task)];
        let mut memory = vec![0.0; Learner::<Arena<'_>>::memory_len(&task, &options)];
        let learner = Learner::new(&task, Arena::new(&task, &mut work).unwrap(), &mut memory, &options)?;
        let mut delta = AlignedBytes::copy(&vec![0; learner.delta_bytes()]);
        learner.write_delta(0, delta.as_mut_slice()).unwrap();
        Ok::<_, TaskError>(delta)
    };
    let presets =
        [(Preset::Tail, [1, 6]), (Preset::Affine, [0, 6]), (Preset::Head, [0, 1]), (Preset::All, [0, 6])];
    for (before, steps) in presets {
        let delta = learned(&model, before, steps).unwrap();
        let adapted = model.with_delta(Delta::parse(&delta).unwrap(), 1.0).unwrap();
        for (after, steps) in presets {
            let wider = after == Preset::All && before != Preset::Affine;
            let result = learned(&adapted, after, steps);
            let kept = !matches!(result, Err(TaskError::WouldDrop { .. }));
            assert_eq!(kept, after == before || wider, "{after:?} after {before:?}");
        }
    }
}

#[test]
fn a_strong_pull_leaves_nothing_to_learn() {
    let bytes = model(&TAIL);
    let model = Model::load(&bytes).unwrap();
    let task = Task::new(&model).unwrap();
    let values = images(task.image_len(), 5);
    let examples = Images::new(&values, task.image_len());
    let distance = |pull: f32| {
        let optimizer = Optimizer::Momentum { momentum: 0.0 };
        let options = Options { pull, optimizer, ..Options::default() };
        let mut work = vec![0.0; Arena::work_len(&task)];
        let mut memory = vec![0.0; Learner::<Arena<'_>>::memory_len(&task, &options)];
        let mut learner =
            Learner::new(&task, Arena::new(&task, &mut work).unwrap(), &mut memory, &options).unwrap();
        let factory = learner.learned().to_vec();
        for _ in 0..200 {
            learner.step(&examples).unwrap();
        }
        let pairs = learner.learned().iter().zip(&factory);
        pairs.map(|(a, b)| (a - b) * (a - b)).sum::<f32>().sqrt()
    };
    // It ends where the pull is as strong as the gradient: 90 times closer than a gradient of one step's length leads in one.
    let (free, held) = (distance(0.0), distance(90.0));
    assert!(free > 10.0 * held, "{free} against {held}");
}

/// The pull is towards the file, also for who starts from a delta.
#[test]
fn a_pull_undoes_a_delta() {
    let bytes = model(&TAIL);
    let model = Model::load(&bytes).unwrap();
    let task = Task::new(&model).unwrap();
    let values = images(task.image_len(), 5);
    let examples = Images::new(&values, task.image_len());
    let steps = |model: &Model<'_>, options: &Options, steps: usize| {
        let task = Task::new(model).unwrap();
        let mut work = vec![0.0; Arena::work_len(&task)];
        let mut memory = vec![0.0; Learner::<Arena<'_>>::memory_len(&task, options)];
        let engine = Arena::new(&task, &mut work).unwrap();
        let mut learner = Learner::new(&task, engine, &mut memory, options).unwrap();
        for _ in 0..steps {
            learner.step(&examples).unwrap();
        }
        let mut delta = AlignedBytes::copy(&vec![0; learner.delta_bytes()]);
        learner.write_delta(5, delta.as_mut_slice()).unwrap();
        (learner.learned().to_vec(), delta)
    };
    let distance = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f32>().sqrt();
    let optimizer = Optimizer::Momentum { momentum: 0.0 };
    let free = Options { optimizer, ..Options::default() };
    let (factory, _) = steps(&model, &free, 0);
    let (away, delta) = steps(&model, &free, 200);
    let adapted = model.with_delta(Delta::parse(&delta).unwrap(), 1e3).unwrap();
    let (start, _) = steps(&adapted, &free, 0);
    assert!(distance(&start, &away) < 0.01 * distance(&start, &factory));
    let (back, _) = steps(&adapted, &Options { pull: 90.0, ..free }, 200);
    assert!(distance(&back, &factory) < 0.1 * distance(&start, &factory));
}

#[test]
fn what_cannot_be_is_an_error() {
    let bytes = model(&TAIL);
    let model = Model::load(&bytes).unwrap();
    let task = Task::new(&model).unwrap();
    let mut work = vec![0.0; Arena::work_len(&task) - 1];
    assert!(matches!(Arena::new(&task, &mut work), Err(TaskError::MemoryTooSmall { .. })));
    for (options, name) in [
        (Options { batch: 0, ..Options::default() }, "batch"),
        (Options { batch: 65, ..Options::default() }, "batch"),
        (Options { rate: f32::NAN, ..Options::default() }, "rate"),
        (Options { ema_decay: 1.0, ..Options::default() }, "ema_decay"),
        (Options { pull: -1.0, ..Options::default() }, "pull"),
    ] {
        let mut work = vec![0.0; Arena::work_len(&task)];
        let engine = Arena::with_kernels(&task, &mut work, dispatch::best(), dispatch::gradients()).unwrap();
        let mut memory = vec![0.0; 1 << 16];
        let error = Learner::new(&task, engine, &mut memory, &options).err();
        assert_eq!(error, Some(TaskError::Option { name }));
    }
    let part = self::model(&Shape { generator: [2, 6], ..TAIL });
    let part = Model::load(&part).unwrap();
    assert_eq!(Task::new(&part).err(), Some(TaskError::PartOfALayer { step: 2 }));
}

/// What a device draws with its delta is what the learner drew: the averaged values, rounded as the delta stores them.
#[test]
fn a_delta_draws_what_was_learned() {
    for preset in [(Preset::Tail, [1, 6]), (Preset::Affine, [0, 6]), (Preset::Head, [0, 1])] {
        let bytes = model(&Shape { preset: preset.0, generator: preset.1, ..TAIL });
        let model = Model::load(&bytes).unwrap();
        let task = Task::new(&model).unwrap();
        let values = images(task.image_len(), 5);
        let examples = Images::new(&values, task.image_len());
        let options = Options { rate: 0.3, ..Options::default() };
        let mut work = vec![0.0; Arena::work_len(&task)];
        let mut memory = vec![0.0; Learner::<Arena<'_>>::memory_len(&task, &options)];
        let engine = Arena::new(&task, &mut work).unwrap();
        let mut learner = Learner::new(&task, engine, &mut memory, &options).unwrap();
        for _ in 0..20 {
            learner.step(&examples).unwrap();
        }
        let mut delta = AlignedBytes::copy(&vec![0; learner.delta_bytes()]);
        let len = learner.write_delta(5, delta.as_mut_slice()).unwrap();
        assert_eq!(len, delta.len());
        let delta = Delta::parse(&delta).unwrap();
        assert_eq!(delta.summary().steps, 20);
        let adapted = model.with_delta(delta, 1.0).unwrap();

        // A learner that starts from the delta holds its values.
        let task = Task::new(&adapted).unwrap();
        let mut again = vec![0.0; learner.learned().len()];
        task.generator().slots.read(&adapted, |at, value| again[at] = value);
        for (&exact, &stored) in learner.learned().iter().zip(&again) {
            assert!((exact - stored).abs() <= 2f32.powi(-11) * exact.abs() + 2f32.powi(-25));
        }
        let mut arena = vec![0.0; model.arena_len()];
        let mut factory = Generator::new(&model, &mut arena).unwrap();
        let factory: Vec<f32> = factory.generate(Latent::from_seed(4)).values.to_vec();
        let mut arena = vec![0.0; model.arena_len()];
        let mut generator = Generator::new(&adapted, &mut arena).unwrap();
        let drawn: Vec<f32> = generator.generate(Latent::from_seed(4)).values.to_vec();

        // The same by the engine, whose pictures the examples have no part in.
        let mut work = vec![0.0; Arena::work_len(&task)];
        let mut engine = Arena::new(&task, &mut work).unwrap();
        let mut judge = vec![0.0; task.trained_len()[1]];
        let network = task.discriminator();
        network.slots.read(network.chain.model(), |at, value| judge[at] = value);
        let values = Values { generator: &again, discriminator: &judge };
        let mut arena = vec![0.0; model.arena_len().max(task.features_len())];
        let picture = engine.picture(&task, values, |work| {
            let mut generator = Generator::new(&adapted, &mut arena).unwrap();
            generator.set_latent(Latent::from_seed(4));
            generator.run_first(task.first_step());
            let start = task.features_at();
            work[..task.features_len()].copy_from_slice(&arena[start..start + task.features_len()]);
        });
        let largest = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        // Sums of at most 45 products, in another order, through three layers.
        assert!(largest(&picture, &drawn) < 3.0 * 45.0 * f32::EPSILON * 4.0, "{preset:?}");
        assert!(largest(&drawn, &factory) > 0.01, "{preset:?}: nothing was learned");
    }
}
