//! Learning with the engine for microcontrollers against burn's gradients, which share no formula with it.

use pocketgan_finetune::augment::Policy;
use pocketgan_finetune::{Arena, Autodiff, Engine, Images, Learner, Objective, Optimizer, Options, Task};
use pocketgan_format::{AlignedBytes, Delta, File, Preset, Rule, Step};
use pocketgan_runtime::{Generator, Latent, Model, dispatch};
use pocketgan_trainer::dataset::{Dataset, Source, Split};
use pocketgan_trainer::finetune::{
    self, EngineName, JudgeOptions, LearnOptions, arena_bytes, learn, prepare, to_pixels,
};

/// The committed generator of digits, and a judge that has seen letters.
fn model_and_examples() -> (AlignedBytes, Vec<f32>) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/mnist-dcgan28/mnist-dcgan28.pgan");
    let file = AlignedBytes::copy(&std::fs::read(path).unwrap());
    let letters = Dataset::load(Source::Glyphs, None, Split::Train, 28, 1).unwrap();
    let judge = JudgeOptions { width: 4, steps: 30, batch_size: 8, ..JudgeOptions::default() };
    let options = finetune::Options { judge, ..finetune::Options::default() };
    let file = prepare(&file, &letters, &options, |_, _| {}).unwrap();
    let model = Model::load(&file).unwrap();
    let examples =
        (0..12).flat_map(|i| to_pixels(&letters.images(&[i]), model.output_shape(), model.range())).collect();
    (file, examples)
}

const TRAINED: [(Preset, [u16; 2]); 4] =
    [(Preset::Tail, [5, 10]), (Preset::Affine, [0, 10]), (Preset::Head, [0, 1]), (Preset::All, [0, 10])];

const OBJECTIVES: [Objective; 3] = [
    Objective::LeastSquares { a: -1.0, b: 1.0, c: 0.0 },
    Objective::RelativisticAverage,
    Objective::LossSensitive { margin: 1.0, weight: 0.5 },
];

/// What both networks hold after some steps.
fn after(
    task: &Task<'_>,
    engine: &mut dyn Engine,
    examples: &[f32],
    options: &Options,
    steps: usize,
) -> [Vec<f32>; 2] {
    let mut memory = vec![0.0; Learner::<&mut dyn Engine>::memory_len(task, options)];
    let mut learner = Learner::new(task, engine, &mut memory, options).unwrap();
    let examples = Images::new(examples, task.image_len());
    for _ in 0..steps {
        learner.step(&examples).unwrap();
    }
    let values = learner.values();
    [values.generator.to_vec(), values.discriminator.to_vec()]
}

fn distance(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt()
}

/// A step of plain SGD moves values by the gradient, so that it can be seen from outside.
#[test]
fn gradients_are_those_of_burn() {
    let (file, examples) = model_and_examples();
    let model = Model::load(&file).unwrap();
    let learning = model.file().learning().unwrap().unwrap();
    for (preset, generator) in TRAINED {
        for objective in OBJECTIVES {
            let rule = Rule { preset, generator, lr_g: 1.0, lr_d: 1.0, ..learning.rule };
            let task = Task::with_rule(&model, &learning, rule).unwrap();
            let options = Options {
                batch: 3,
                objective: Some(objective),
                optimizer: Optimizer::Momentum { momentum: 0.0 },
                policy: Policy { color: true, ..Policy::GEOMETRY },
                guards: None,
                ..Options::default()
            };
            let mut work = vec![0.0; Arena::work_len(&task)];
            let mut arena = Arena::new(&task, &mut work).unwrap();
            let start = after(&task, &mut arena, &examples, &options, 0);
            let by_hand = after(&task, &mut arena, &examples, &options, 1);
            for mut burn in [Autodiff::flex(), Autodiff::ndarray()] {
                let by_burn = after(&task, &mut burn, &examples, &options, 1);
                for (network, ((start, by_hand), by_burn)) in
                    ["generator", "discriminator"].iter().zip(start.iter().zip(&by_hand).zip(&by_burn))
                {
                    let (error, gradient) = (distance(by_hand, by_burn), distance(start, by_hand));
                    // The longest sum adds 784 positions of 3 pictures; each addition rounds by half an epsilon of what it
                    // has, on the way down through four layers, and the values that moved are rounded once more.
                    let rounding = f64::from(f32::EPSILON) / 2.0;
                    let atol = 784.0 * 3.0 * 4.0 * rounding * gradient
                        + rounding * distance(by_hand, &vec![0.0; by_hand.len()]);
                    assert!(
                        error <= atol && gradient > 0.0,
                        "{preset:?} {objective:?} {}: {network} off by {error:e} of {gradient:e}, {atol:e} allowed",
                        burn.name()
                    );
                }
            }
        }
    }
}

#[test]
fn ten_steps_agree() {
    let (file, examples) = model_and_examples();
    let model = Model::load(&file).unwrap();
    let task = Task::new(&model).unwrap();
    let options = Options {
        batch: 4,
        optimizer: Optimizer::Momentum { momentum: 0.5 },
        rate: 10.0,
        seed: 5,
        ..Options::default()
    };
    let mut work = vec![0.0; Arena::work_len(&task)];
    let mut arena = Arena::new(&task, &mut work).unwrap();
    let start = after(&task, &mut arena, &examples, &options, 0);
    let by_hand = after(&task, &mut arena, &examples, &options, 10);
    for mut burn in [Autodiff::flex(), Autodiff::ndarray()] {
        let by_burn = after(&task, &mut burn, &examples, &options, 10);
        for ((start, by_hand), by_burn) in start.iter().zip(&by_hand).zip(&by_burn) {
            let moved = distance(start, by_hand);
            // Each step adds the error of its gradient, as above with 4 pictures, and lets the others grow by what a step moves,
            // which is far from doubling them.
            let rounding = f64::from(f32::EPSILON) / 2.0;
            let norm = distance(by_hand, &vec![0.0; by_hand.len()]);
            let atol = 784.0 * 4.0 * 4.0 * rounding * moved * 2.0 + 10.0 * rounding * norm;
            let error = distance(by_hand, by_burn);
            assert!(error <= atol, "{}: {error:e} of {moved:e}, {atol:e} allowed", burn.name());
        }
    }
}

#[test]
fn every_preset_learns_what_its_file_says() {
    let (file, examples) = model_and_examples();
    let model = Model::load(&file).unwrap();
    assert_eq!(model.file().finetune_arena_bytes(), arena_bytes(&file, &Options::default()).unwrap());
    for preset in Preset::ALL {
        let options = LearnOptions { preset: Some((preset, 1)), steps: 3, ..LearnOptions::default() };
        let mut seen = 0;
        let learned = learn(&model, &examples, &options, |_, _| seen += 1).unwrap();
        assert_eq!((seen, learned.losses.len(), learned.stopped), (3, 3, None));
        let delta = Delta::parse(&learned.delta).unwrap();
        assert_eq!(
            (delta.summary().preset, delta.summary().steps, delta.summary().examples),
            (preset, 3, 12)
        );
        let adapted = model.with_delta(delta, 1.0).unwrap();
        // A file with the delta as its own draws the same but for factors, whose products with weights are rounded.
        let applied = model.file().with_delta(&delta).unwrap();
        let applied = Model::load(&applied).unwrap();
        let draw = |model: &Model<'_>| {
            let mut arena = vec![0.0; model.arena_len()];
            let mut generator = Generator::with_kernels(model, &mut arena, dispatch::exact()).unwrap();
            generator.generate(Latent::from_seed(3)).values.to_vec()
        };
        let (as_delta, as_file, factory) = (draw(&adapted), draw(&applied), draw(&model));
        let largest = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        let atol = if preset == Preset::Affine { 0.02 } else { 0.0 };
        assert!(largest(&as_delta, &as_file) <= atol, "{preset:?}: {}", largest(&as_delta, &as_file));
        assert!(largest(&as_delta, &factory) > 0.0, "{preset:?}");
    }
}

/// Phases of a transposed convolution come with a bias each, which are equal; to stay so, they become one.
#[test]
fn phases_of_a_layer_share_their_bias() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/mnist-dcgan28/mnist-dcgan28.pgan");
    let plain = AlignedBytes::copy(&std::fs::read(path).unwrap());
    let tied = File::parse(&plain).unwrap().with_tied_biases().unwrap();
    let biases = |bytes: &[u8]| -> Vec<(u16, u32)> {
        let steps = File::parse(bytes).unwrap().steps().map(|step| match step {
            Step::TapGemm(step) => (step.layer, step.bias),
            Step::Nest(step) => (step.layer, 0),
        });
        let mut biases: Vec<_> = steps.collect();
        biases.dedup();
        biases
    };
    // Dense, two layers of four phases, and the last convolution.
    assert_eq!((biases(&plain).len(), biases(&tied).len()), (10, 4));
    let picture = |bytes: &[u8]| {
        let model = Model::load(bytes).unwrap();
        let mut arena = vec![0.0; model.arena_len()];
        Generator::exact(&model, &mut arena).unwrap().generate(Latent::from_seed(5)).values.to_vec()
    };
    assert_eq!(picture(&plain), picture(&tied));
}

#[test]
fn what_cannot_learn_says_so() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/mnist-dcgan28/mnist-dcgan28.pgan");
    let plain = AlignedBytes::copy(&std::fs::read(path).unwrap());
    let plain = Model::load(&plain).unwrap();
    let error = learn(&plain, &[0.0; 784], &LearnOptions::default(), |_, _| {}).unwrap_err();
    assert!(error.to_string().contains("export --fp16 --finetune"), "{error}");
    let (file, examples) = model_and_examples();
    let model = Model::load(&file).unwrap();
    let error = learn(&model, &examples[..10], &LearnOptions::default(), |_, _| {}).unwrap_err();
    assert!(error.to_string().contains("no example"), "{error}");
    let engine = LearnOptions { engine: EngineName::Flex, steps: 2, ..LearnOptions::default() };
    assert_eq!(learn(&model, &examples, &engine, |_, _| {}).unwrap().losses.len(), 2);
}

/// The discriminator learns the examples by heart, and those that it has not seen tell.
#[test]
fn overfitting_stops() {
    let (file, examples) = model_and_examples();
    let model = Model::load(&file).unwrap();
    let mut options = LearnOptions { steps: 2000, overfitting: Some(0.5), ..LearnOptions::default() };
    options.step.policy = Policy::NONE;
    let learned = learn(&model, &examples, &options, |_, _| {}).unwrap();
    assert!(matches!(learned.stopped, Some(finetune::Stopped::Overfitting(_))), "{:?}", learned.stopped);
    assert!(!learned.losses.is_empty());
}
