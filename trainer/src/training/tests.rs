use pocketgan_compiler::graph::Op;

use super::*;
use crate::method::{METHODS, Method};
use crate::network::{
    Architecture, Conditioning, DiscriminatorNorm, Growth, NamedTensor, NetworkConfig, Precision,
};

fn tiny() -> (Config, Dataset) {
    let mut config = Config::default();
    config.network.width = 2;
    config.network.latent_dim = 4;
    config.training.batch_size = 4;
    config.training.decay_start = 5;
    config.training.decay_end = 25;
    let pixels = (0..7 * 28 * 28).map(|i| (i * i % 251) as u8).collect();
    (config, Dataset::new("tiny", [1, 28, 28], pixels, None).unwrap())
}

fn tiny_autoencoder() -> (Config, Dataset) {
    let (mut config, dataset) = tiny();
    Method::named("vae").unwrap().apply(&mut config);
    (config, dataset)
}

fn tiny_spectral() -> (Config, Dataset) {
    let (mut config, dataset) = tiny();
    config.network.generator_tail = 3;
    config.network.discriminator_norm = DiscriminatorNorm::Spectral;
    config.network.discriminator_depth = 2;
    (config, dataset)
}

fn tiny_bf16() -> (Config, Dataset) {
    let (mut config, dataset) = tiny();
    config.training.precision = Precision::Bf16;
    (config, dataset)
}

#[test]
fn a_run_cut_in_two_gives_the_same_bits() {
    for (config, dataset) in [tiny(), tiny_spectral(), tiny_autoencoder(), tiny_bf16()] {
        check_cut_in_two("dcgan", config, &dataset, 20);
    }
    for (name, config, dataset) in every_method() {
        check_cut_in_two(name, config, &dataset, 4);
    }
}

/// Networks that grow: the cut is in the middle of fading a stage in.
#[test]
fn a_growing_run_cut_in_two_gives_the_same_bits() {
    let (mut config, dataset) = tiny();
    config.network.architecture = Architecture::Progressive;
    config.network.discriminator_norm = DiscriminatorNorm::None;
    config.training.growth_steps = 1;
    let growth = |step| config.growth(step).unwrap();
    assert_eq!(growth(0), Growth { stage: 0, share: 1.0 });
    config.training.growth_steps = 4;
    let growth = |step| config.growth(step).unwrap();
    assert_eq!([3, 4, 5, 6].map(growth).map(|g| g.stage), [0, 1, 1, 1]);
    assert_eq!([3, 4, 5, 6].map(growth).map(|g| g.share), [1.0, 0.5, 1.0, 1.0]);
    // After ten steps of twenty, of which two faded the second stage in.
    config.training.growth_steps = 8;
    assert_eq!([9, 10].map(|step| config.growth(step).unwrap().share), [0.5, 0.75]);
    check_cut_in_two("progressive", config, &dataset, 20);
}

/// Moments that begin as zero while the count of updates runs on would let the first steps of a stage be many times too long.
#[test]
fn a_new_stage_is_trained_by_new_optimizers() {
    let (mut config, dataset) = tiny();
    config.network.architecture = Architecture::Progressive;
    config.network.discriminator_norm = DiscriminatorNorm::None;
    (config.training.growth_steps, config.training.steps, config.training.decay_end) = (30, 31, 0);
    let mut trainer = Trainer::new(&config).unwrap();
    let mut before = None;
    trainer
        .run(&dataset, |trainer| {
            if trainer.step_count() == 30 {
                before = Some(trainer.checkpoint());
            }
            Ok(())
        })
        .unwrap();
    let (before, after) = (before.unwrap(), trainer.checkpoint());
    assert_eq!([before.moments_g.time, after.moments_g.time, after.moments_d.time], [30, 1, 1]);
    // The first step of Adam is as long as the learning rate, rounded like the weights.
    let (lr, mut moved) = (config.training.lr_g as f32, 0);
    for (before, after) in before.generator.0.iter().zip(&after.generator.0) {
        for (before, after) in before.data.iter().zip(&after.data) {
            let step = (after - before).abs();
            assert!(step <= lr * 1.001 + f32::EPSILON * before.abs(), "{step}");
            moved += usize::from(step > 0.0);
        }
    }
    assert!(moved > 0);
}

/// Scores of one image must not know of those it is penalized with, nor a class of another batch's.
#[test]
fn penalties_at_both_go_with_classes_and_deviations_of_groups() {
    for (classes, minibatch_std) in [(3, 0), (0, 2)] {
        let (mut config, dataset) = tiny();
        let pixels = (0..dataset.len() * 28 * 28).map(|i| (i * i % 251) as u8).collect();
        let labels = (0..dataset.len()).map(|i| (i % 3) as u8).collect();
        let dataset = Dataset::new("labelled", [1, 28, 28], pixels, Some(labels)).unwrap();
        Method::named("r3gan").unwrap().apply(&mut config);
        (config.network.classes, config.network.minibatch_std) = (classes, minibatch_std);
        config.training.steps = 2;
        assert_eq!(train(&config, &dataset, |_| Ok(())).unwrap().step_count(), 2);
    }
}

fn check_cut_in_two(name: &str, mut config: Config, dataset: &Dataset, steps: usize) {
    config.training.steps = steps;
    let whole = train(&config, dataset, |_| Ok(())).unwrap().checkpoint();

    config.training.steps = steps / 2;
    let half = train(&config, dataset, |_| Ok(())).unwrap().checkpoint();
    let mut half = Checkpoint::from_bytes(&half.to_bytes()).unwrap();
    assert_eq!(half.step_count(), steps / 2, "{name}");
    half.config.training.steps = steps;
    let mut trainer = Trainer::resume(&half).unwrap();
    trainer.run(dataset, |_| Ok(())).unwrap();

    assert!(trainer.checkpoint().to_bytes() == whole.to_bytes(), "{name}");
    assert_ne!(half.generator, whole.generator, "{name}");
    assert_ne!(half.discriminator, whole.discriminator, "{name}");
}

/// Every method over points of a plane, three of them also told the class.
fn every_method() -> Vec<(&'static str, Config, Dataset)> {
    let run = |method: &'static Method, classes, conditioning| {
        let network = NetworkConfig {
            architecture: Architecture::Mlp,
            size: 2,
            width: 4,
            latent_dim: 3,
            classes,
            conditioning,
            ..NetworkConfig::default()
        };
        let mut config = Config { network, ..Config::default() };
        config.training.batch_size = 12;
        method.apply(&mut config);
        // At the published rates nothing would be seen to move in two steps.
        (config.training.lr_g, config.training.lr_d) = (1e-2, 1e-2);
        let pixels = (0..30 * 4).map(|i: usize| (i * i % 251) as u8).collect();
        let labels = (0..30).map(|i| (i % 3) as u8).collect();
        (method.name, config, Dataset::new("tiny", [1, 2, 2], pixels, Some(labels)).unwrap())
    };
    let mut runs = vec![];
    for method in METHODS {
        let classes = if method.name == "cls-gan" { 3 } else { 0 };
        runs.push(run(method, classes, Conditioning::Projection));
    }
    for (method, conditioning) in [
        ("gan", Conditioning::Projection),
        ("gan", Conditioning::Concat),
        ("wgan-gp", Conditioning::Projection),
    ] {
        runs.push(run(Method::named(method).unwrap(), 3, conditioning));
    }
    runs
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let mut penalized = tiny();
    Method::named("wgan-gp").unwrap().apply(&mut penalized.0);
    for (config, dataset) in [tiny(), tiny_spectral(), tiny_autoencoder(), penalized] {
        check_thread_counts(config, &dataset);
    }
}

fn check_thread_counts(mut config: Config, dataset: &Dataset) {
    config.network.width = 8;
    config.training.batch_size = 16;
    config.training.steps = 3;
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| train(&config, dataset, |_| Ok(())).unwrap().checkpoint().to_bytes())
    };
    let one = run(1);
    assert!(one == run(2), "two threads");
    assert!(one == run(3), "three threads");
}

#[test]
fn another_shape_is_an_error() {
    let (mut config, dataset) = tiny();
    config.network.size = 32;
    assert!(train(&config, &dataset, |_| Ok(())).is_err());
}

#[test]
fn a_discriminator_alone_learns_to_tell_noise_from_images() {
    let (mut config, dataset) = tiny();
    config.training.lr_g = 0.0;
    config.training.decay_end = 0;
    config.training.steps = 40;
    let trainer = train(&config, &dataset, |_| Ok(())).unwrap();
    // A score of 0.5 for everything costs 0.25.
    let last = trainer.losses().last().unwrap();
    assert!(last.discriminator < 0.1, "{last:?}");
    assert!(last.generator > last.discriminator, "{last:?}");
}

#[test]
fn standing_statistics_are_those_of_the_latents() {
    let (config, _) = tiny();
    let generator = Generator::new(&config.network, 1, &training_device());
    let graph = reestimate(generator, 8, 64, 3).graph();
    let (mut weight, mut mean, mut variance) = (None, None, None);
    for (_, node) in graph.nodes() {
        match node.op.clone() {
            Op::Dense { weight: w, .. } => weight = Some(w),
            Op::BatchNorm { mean: m, variance: v, .. } if mean.is_none() => {
                (mean, variance) = (Some(m), Some(v));
            }
            _ => {}
        }
    }
    let (weight, mean, variance) = (weight.unwrap(), mean.unwrap(), variance.unwrap());
    // z is standard normal, so channel c has mean 0 and variance |W_c|^2 averaged over its 49 rows.
    let rows: Vec<f64> =
        weight.data.chunks(4).map(|row| row.iter().map(|&w| f64::from(w).powi(2)).sum()).collect();
    for (c, rows) in rows.chunks(49).enumerate() {
        let expected = rows.iter().sum::<f64>() / 49.0;
        // 512 latents of 4 numbers: the spread of z^2 is sqrt(2 / 512), that of z is 1 / sqrt(512).
        let error = (f64::from(variance.data[c]) - expected).abs();
        assert!(error < 5.0 * (2.0 / 512f64).sqrt() * expected, "{} {expected}", variance.data[c]);
        assert!(f64::from(mean.data[c]).abs() < 5.0 * (expected / 512.0).sqrt() * 2.0);
    }
}

/// Products in bf16 change every loss a little, and the weights that gather the updates are no numbers of bf16.
#[test]
fn a_run_in_bf16_stays_beside_one_in_f32() {
    let (mut config, dataset) = tiny();
    config.training.steps = 20;
    let exact = train(&config, &dataset, |_| Ok(())).unwrap().checkpoint();
    config.training.precision = Precision::Bf16;
    let mixed = train(&config, &dataset, |_| Ok(())).unwrap().checkpoint();
    assert_ne!(mixed.losses, exact.losses);
    let mean = |checkpoint: &Checkpoint, of: fn(&Losses) -> f32| {
        checkpoint.losses.iter().map(of).sum::<f32>() / checkpoint.losses.len() as f32
    };
    for of in [|losses: &Losses| losses.discriminator, |losses: &Losses| losses.generator] {
        let [mixed, exact] = [mean(&mixed, of), mean(&exact, of)];
        // Images, scores and gradients are sums over hundreds of products, whose roundings of at most 2^-8 have no common sign.
        assert!((mixed - exact).abs() < exact / 128.0, "{mixed} {exact}");
    }
    for parameters in [&mixed.generator, &mixed.discriminator, &mixed.average, &mixed.moments_g.first] {
        let all: Vec<f32> = parameters.0.iter().flat_map(|tensor| tensor.data.clone()).collect();
        let rounded = all.iter().filter(|&&v| half::bf16::from_f32(v).to_f32() == v).count();
        // By chance one in 2^16, and what is still 0 or 1.
        assert!(rounded * 10 < all.len(), "{rounded} of {}", all.len());
    }
}

/// With a linear critic the penalty of WGAN-GP and its gradient are known: `w` is pulled towards length one.
#[test]
fn a_penalty_pulls_the_gradient_to_length_one() {
    for precision in [Precision::F32, Precision::Bf16] {
        check_penalty(precision);
    }
}

fn check_penalty(precision: Precision) {
    let network = NetworkConfig {
        architecture: Architecture::Mlp,
        size: 2,
        width: 4,
        latent_dim: 3,
        discriminator_norm: DiscriminatorNorm::None,
        // A linear network, as long as no value is negative: two layers without a kink.
        leaky_slope: 0.999,
        ..NetworkConfig::default()
    };
    let mut config = Config { network, ..Config::default() };
    Method::named("wgan-gp").unwrap().apply(&mut config);
    config.training.precision = precision;
    config.training.batch_size = 8;
    (config.training.lr_g, config.training.lr_d) = (0.0, 1e-2);
    config.training.steps = 60;
    let pixels = (0..40 * 4).map(|i: usize| (i * i % 251) as u8).collect();
    let dataset = Dataset::new("tiny", [1, 2, 2], pixels, None).unwrap();
    let trainer = train(&config, &dataset, |_| Ok(())).unwrap();
    let parameters = trainer.checkpoint().discriminator;
    let tensor = |name: &str| parameters.0.iter().find(|t| t.name == name).unwrap();
    let (first, second) = (tensor("layers.0.weight"), tensor("head.dense.weight"));
    let slope: f64 = (0..4)
        .map(|i| {
            let along: f64 = (0..4).map(|j| f64::from(first.data[i * 4 + j] * second.data[j])).sum();
            along.powi(2)
        })
        .sum::<f64>()
        .sqrt();
    // Minimising `-d s + 10 (s - 1)^2` over the slope gives 1 + d / 20; the means of the two sets, both in -1..1 with four
    // values, are at most 4 apart. Adam's last steps of 1e-2 in some ten weights shake it by about as much again.
    assert!((0.9..1.3).contains(&slope), "{precision:?}: {slope}");
}

/// What a GPU does, on a device that is the processor: other roundings of the updates, and losses that are read late.
#[test]
fn a_resident_run_does_the_same() {
    for (mut config, dataset) in [tiny(), tiny_spectral()] {
        config.training.steps = 4;
        let expected = train(&config, &dataset, |_| Ok(())).unwrap().checkpoint();
        let mut trainer = Trainer::new(&config).unwrap().resident(training_device());
        let mut seen = 0;
        trainer
            .run(&dataset, |trainer| {
                seen += 1;
                assert_eq!(trainer.step_count(), seen);
                assert_eq!(trainer.checkpoint().losses.len(), seen);
                assert_eq!(trainer.losses().len(), if seen == 4 { 4 } else { 0 });
                Ok(())
            })
            .unwrap();
        let found = trainer.checkpoint();
        for (found, expected) in found.losses.iter().zip(&expected.losses) {
            for (found, expected) in
                [(found.discriminator, expected.discriminator), (found.generator, expected.generator)]
            {
                assert!((found - expected).abs() < 1e-3 * expected.abs(), "{found} {expected}");
            }
        }
        // Adam divides a gradient by its size, so that a rounding of one that is nearly zero may turn a whole step around;
        // everything else agrees to roundings.
        for (found, expected) in found.average.0.iter().zip(&expected.average.0) {
            assert_eq!(found.name, expected.name);
            let far = found.data.iter().zip(&expected.data).filter(|(a, b)| (*a - *b).abs() > 1e-5).count();
            assert!(far * 20 <= found.data.len(), "{}: {far} of {}", found.name, found.data.len());
        }
    }
}

#[test]
fn a_loss_that_is_no_number_ends_a_resident_run_too() {
    let (mut config, dataset) = tiny();
    config.training.steps = 40;
    config.training.decay_end = 0;
    config.training.lr_d = 1e30;
    let mut trainer = Trainer::new(&config).unwrap().resident(training_device());
    let error = trainer.run(&dataset, |_| Ok(())).unwrap_err().to_string();
    assert!(error.contains("diverged"), "{error}");
    // As soon as the losses are read.
    assert!(trainer.step_count() <= READ_EVERY, "{}", trainer.step_count());
}

/// Weights and gradients of order one, a few steps, sums of at most some thousand products in another order.
fn assert_same(found: &Parameters, expected: &Parameters) {
    assert_near(found, expected, 1e-4);
}

fn assert_near(found: &Parameters, expected: &Parameters, share: f32) {
    for (found, expected) in found.0.iter().zip(&expected.0) {
        assert_eq!((&found.name, &found.shape), (&expected.name, &expected.shape));
        for (found, expected) in found.data.iter().zip(&expected.data) {
            assert!((found - expected).abs() < share * (1.0 + expected.abs()), "{found} {expected}");
        }
    }
}

/// Without statistics of a batch, the mean of the gradients of its parts is the gradient of the whole.
#[test]
fn two_devices_compute_what_one_does() {
    let (mut config, dataset) = tiny();
    config.network.architecture = Architecture::Progressive;
    config.network.discriminator_norm = DiscriminatorNorm::None;
    config.training.batch_size = 8;
    config.training.growth_steps = 1;
    config.training.steps = 4;
    // Sums in another order: with Adam a rounding may turn a step around.
    config.training.optimizer = OptimizerName::Sgd;
    // Long enough steps that a wrong gradient is seen.
    (config.training.lr_g, config.training.lr_d) = (1.0, 0.02);
    config.training.ema_decay = 0.0;
    let run = |parts: usize| {
        let devices = vec![Device::flex(); parts];
        let mut trainer = Trainer::new(&config).unwrap().on(&devices).unwrap();
        trainer.run(&dataset, |_| Ok(())).unwrap();
        trainer
    };
    let (one, two) = (run(1), run(2));
    let [expected, found] = [&one, &two].map(Trainer::checkpoint);
    let start = Trainer::new(&config).unwrap().checkpoint();
    for (found, expected, start) in [
        (&found.generator, &expected.generator, &start.generator),
        (&found.discriminator, &expected.discriminator, &start.discriminator),
    ] {
        assert_same(found, expected);
        let moved = |(a, b): (&NamedTensor, &NamedTensor)| {
            a.data.iter().zip(&b.data).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
        };
        let most = expected.0.iter().zip(&start.0).map(moved).fold(0.0, f32::max);
        assert!(most > 1e-3, "{most}: ten times what may differ");
    }
    for (found, expected) in found.losses.iter().zip(&expected.losses) {
        assert!((found.discriminator - expected.discriminator).abs() < 1e-4, "{found:?} {expected:?}");
    }
    // The parts took the same steps: nothing that they have in common drifts apart.
    let other = two.others.as_ref().unwrap().trainers[0].checkpoint();
    assert_eq!((&other.generator, &other.discriminator), (&found.generator, &found.discriminator));
    assert_eq!((&other.moments_d, &other.losses), (&found.moments_d, &found.losses));
    // And again.
    assert!(run(2).checkpoint().to_bytes() == found.to_bytes());
}

#[test]
fn a_batch_has_parts_of_whole_packs() {
    let (mut config, _) = tiny();
    config.training.batch_size = 8;
    config.network.pack = 2;
    let on = |config: &Config, parts: usize| Trainer::new(config).unwrap().on(&vec![Device::flex(); parts]);
    assert!(on(&config, 2).is_ok() && on(&config, 4).is_ok());
    assert!(on(&config, 3).is_err());
    config.network.pack = 1;
    assert!(on(&config, 8).is_err());
}

/// On whatever device there is besides the processor; Mesa's lavapipe is one.
#[cfg(any(feature = "cuda", feature = "wgpu"))]
#[test]
fn another_device_computes_the_same() {
    #[cfg(feature = "cuda")]
    let kind = burn::tensor::DeviceType::Cuda;
    #[cfg(not(feature = "cuda"))]
    let kind = burn::tensor::DeviceType::Wgpu;
    let Some(device) = Device::enumerate(kind).into_vec().into_iter().next() else {
        println!("skipped: there is no such device");
        return;
    };
    let (mut config, dataset) = tiny();
    config.training.steps = 3;
    // With Adam a rounding of a gradient that is nearly zero may turn a step around.
    config.training.optimizer = OptimizerName::Sgd;
    let run = |mut trainer: Trainer| {
        trainer.run(&dataset, |_| Ok(())).unwrap();
        trainer.checkpoint()
    };
    let exact = run(Trainer::new(&config).unwrap().on(core::slice::from_ref(&device)).unwrap());
    assert_same(&exact.average, &run(Trainer::new(&config).unwrap()).average);

    config.training.precision = Precision::Bf16;
    let expected = run(Trainer::new(&config).unwrap());
    let Ok(trainer) = Trainer::new(&config).unwrap().on(&[device]) else {
        println!("skipped in bf16: the device has none");
        return;
    };
    let found = run(trainer);
    // A sum in another order may be rounded to the next number of bf16.
    assert_near(&found.average, &expected.average, 1.0 / 256.0);
    assert_ne!(found.average, exact.average);
}
