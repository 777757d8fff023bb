use anyhow::Result;

use super::*;
use crate::config::Config;
use crate::objective::Objective;
use crate::training::Losses;

/// Steps between looks.
const EVERY: usize = 10;

/// A run of `looks` looks, from what happens at each step and look.
fn run(
    looks: usize,
    loss: impl Fn(usize) -> (f32, f32),
    vitals: impl Fn(usize) -> (f32, f32),
) -> (Vec<Vitals>, Vec<Losses>) {
    let losses =
        (0..looks * EVERY).map(loss).map(|(discriminator, generator)| Losses { discriminator, generator });
    let vitals = (0..looks).map(|look| {
        let (ordered, diversity) = vitals(look);
        Vitals { step: (look + 1) * EVERY, ordered, diversity }
    });
    (vitals.collect(), losses.collect())
}

/// Noise without memory, in [-1, 1].
fn noise(step: usize) -> f32 {
    ((step as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as f32 / (1 << 23) as f32 - 1.0
}

fn rules(objective: &str) -> Rules {
    Rules::new(&objective.parse::<Objective>().unwrap(), 0.5)
}

/// The finding of each look that has one.
fn findings(objective: &str, (vitals, losses): &(Vec<Vitals>, Vec<Losses>)) -> Vec<Finding> {
    let rules = rules(objective);
    (1..=vitals.len()).flat_map(|looks| rules.findings(&vitals[..looks], losses)).collect()
}

#[test]
fn a_healthy_run_has_no_findings() {
    // Images become diverse, the discriminator is right most of the time, losses are noise around a level.
    let run = run(
        200,
        |step| (0.1 + 0.05 * noise(step), 0.4 + 0.2 * noise(step + 7919)),
        |look| (0.9 + 0.1 * noise(look), (look as f32 / 10.0).min(0.9)),
    );
    for objective in Objective::NAMES {
        assert_eq!(findings(objective, &run), [], "{objective}");
    }
}

#[test]
fn images_that_lose_their_diversity_have_collapsed() {
    let fall = 60;
    let run = run(80, |_| (0.1, 0.4), |look| (0.8, if look < fall { 0.9 } else { 0.2 }));
    let found = findings("least-squares", &run);
    // At the fifth look in a row, and as long as it stays so.
    let step = (fall + 5) * EVERY;
    assert_eq!(found.len(), 80 - fall - 4);
    assert!(
        matches!(found[0], Finding::Collapse { step: s, diversity } if s == step && diversity == 0.2),
        "{found:?}"
    );
    assert!(found[0].to_string().contains("20 %") && found[0].to_string().contains("--method"));
}

#[test]
fn a_moment_without_diversity_is_no_collapse() {
    let run = run(80, |_| (0.1, 0.4), |look| (0.8, if look % 5 == 0 { 0.9 } else { 0.2 }));
    assert_eq!(findings("least-squares", &run), []);
}

#[test]
fn images_have_time_to_become_diverse() {
    let slow = |looks| run(looks, |_| (0.1, 0.4), |_| (0.8, 0.1));
    assert_eq!(findings("least-squares", &slow(39)), []);
    let found = findings("least-squares", &slow(40));
    assert!(matches!(found[..], [Finding::Collapse { step: 400, .. }]), "{found:?}");
}

#[test]
fn a_discriminator_wins_when_its_loss_is_near_zero() {
    let run = run(10, |_| (0.01, 0.5), |_| (1.0, 0.9));
    let found = findings("least-squares", &run);
    assert_eq!(found, [Finding::DiscriminatorWins { step: 100, ordered: 1.0 }]);
    // 1/2 (0 - 1)^2 is the undecided loss: 0.01 is 2 % of it.
    assert_eq!(rules("least-squares").undecided, 0.5);
}

#[test]
fn a_discriminator_that_stumbles_twice_still_wins() {
    let stumbling = |looks: usize| {
        let is_down = move |look: usize| look < looks;
        run(
            10,
            move |step| (if is_down(step / EVERY) { 2.0 } else { 0.01 }, 0.5),
            move |look| (if is_down(look) { 0.9 } else { 1.0 }, 0.9),
        )
    };
    assert!(matches!(findings("hinge", &stumbling(2))[..], [Finding::DiscriminatorWins { .. }]));
    assert_eq!(findings("hinge", &stumbling(3)), []);
}

#[test]
fn a_discriminator_wins_when_the_loss_of_the_generator_grows() {
    let growing = |ordered| {
        run(10, |step| (0.3, 1.0 + step as f32 / 20.0 + 0.2 * noise(step)), move |_| (ordered, 0.9))
    };
    let found = findings("non-saturating", &growing(0.998));
    assert!(matches!(found[..], [Finding::DiscriminatorWins { .. }]), "{found:?}");
    assert_eq!(findings("non-saturating", &growing(0.99)), [], "scores that overlap");
    assert_eq!(findings("wasserstein", &growing(1.0)), [], "a critic is to win");
}

#[test]
fn a_discriminator_that_is_right_teaches_as_long_as_its_loss_does_not_vanish() {
    let run = run(50, |step| (0.2, 0.5 + 0.1 * noise(step)), |_| (1.0, 0.9));
    assert_eq!(findings("least-squares", &run), []);
}

#[test]
fn losses_that_swing_are_found() {
    // A period of 60 steps: in 200 steps there are 6 half ones, from one clear side to the other.
    let wave = |step: usize| (step as f32 * core::f32::consts::TAU / 60.0).sin();
    let run = run(20, |step| (0.4, 1.0 + 0.5 * wave(step) + 0.1 * noise(step)), |_| (0.8, 0.9));
    let found = findings("non-saturating", &run);
    assert_eq!(found, [Finding::Oscillation { step: 200, swings: 6, steps: 200 }]);
}

#[test]
fn noise_and_trends_do_not_swing() {
    let noisy = run(100, |step| (0.4, 1.0 + 0.9 * noise(step)), |_| (0.8, 0.9));
    assert_eq!(findings("non-saturating", &noisy), []);
    // Around a mean of zero, and small against 2, the loss of the undecided.
    let wave = |step: usize| 0.15 * (step as f32 * core::f32::consts::TAU / 60.0).sin();
    let even = run(20, |step| (1.9, wave(step)), |_| (0.6, 0.9));
    assert_eq!(findings("hinge", &even), []);
    assert_eq!(findings("wasserstein", &even), [], "a critic has no scale");
    let falling = run(100, |step| (0.4, 5.0 - step as f32 / 250.0), |_| (0.8, 0.9));
    assert_eq!(findings("non-saturating", &falling), []);
}

fn history(values: &[f32]) -> History {
    let evaluations = values.iter().enumerate().map(|(i, &value)| Evaluation { step: 10 * (i + 1), value });
    History { metric: "kid".into(), evaluations: evaluations.collect(), ..History::default() }
}

#[test]
fn the_first_of_the_best_counts() {
    assert_eq!((history(&[]).best(), history(&[]).since_best()), (None, 0));
    let history = history(&[3.0, 1.0, 2.0, 1.0]);
    assert_eq!(history.best(), Some(Evaluation { step: 20, value: 1.0 }));
    assert_eq!(history.since_best(), 2);
    assert_eq!(history.evaluations_csv().lines().nth(2), Some("20,kid,1"));
}

/// Points near two places, and a small network that learns them.
fn tiny() -> (Config, Dataset, Dataset) {
    let mut config = Config::default();
    config.network.architecture = crate::network::Architecture::Mlp;
    (config.network.size, config.network.channels) = (1, 2);
    (config.network.width, config.network.latent_dim) = (8, 2);
    config.training.batch_size = 8;
    config.training.lr_g = 1e-2;
    config.watch.every = 4;
    let points = |seed: usize| {
        let byte =
            |i: usize| (128.0 + 60.0 * noise(i / 2 + seed).signum() + 20.0 * noise(3 * i + seed)) as u8;
        Dataset::new("points", [2, 1, 1], (0..200).map(byte).collect(), None).unwrap()
    };
    (config, points(1), points(1000))
}

fn watched(
    config: &Config,
    checkpoint: Option<Checkpoint>,
    data: [&Dataset; 2],
) -> Result<(Checkpoint, Option<Stop>)> {
    let [train, held_out] = data;
    let (mut trainer, history) = match checkpoint {
        Some(checkpoint) => {
            let mut checkpoint = Checkpoint::from_bytes(&checkpoint.to_bytes())?;
            checkpoint.config = config.clone();
            (Trainer::resume(&checkpoint)?, checkpoint.history)
        }
        None => (Trainer::new(config)?, History::default()),
    };
    let mut watch = Watch::new(&trainer, history, train, Some(held_out))?;
    let stop = watch.run(&mut trainer, train, |_, _, _| Ok(()))?;
    Ok((watch.checkpoint(&trainer), stop))
}

#[test]
fn looking_changes_nothing() -> Result<()> {
    let (config, train, held_out) = tiny();
    let mut convolutional = Config::default();
    convolutional.network.width = 2;
    convolutional.training.batch_size = 4;
    let pixels = (0..9 * 28 * 28).map(|i| (i * i % 251) as u8).collect();
    let pictures = Dataset::new("pictures", [1, 28, 28], pixels, None)?;
    for (mut config, data) in [(config, [&train, &held_out]), (convolutional, [&pictures, &pictures])] {
        config.training.steps = 8;
        (config.watch.every, config.watch.eval_every, config.watch.eval_samples) = (1, 4, 8);
        let (seen, _) = watched(&config, None, data)?;
        let blind = crate::training::train(&config, data[0], |_| Ok(()))?.checkpoint();
        assert_eq!((seen.history.vitals.len(), seen.history.evaluations.len()), (8, 2));
        assert_eq!(Checkpoint { history: History::default(), ..seen }, blind);
    }
    Ok(())
}

/// As on a GPU, where losses arrive after many steps at once.
#[test]
fn losses_that_come_late_are_there_when_they_are_looked_at() -> Result<()> {
    let (mut config, train, held_out) = tiny();
    config.training.steps = 230;
    config.watch.every = 10;
    let run = |read_every: usize| -> Result<Checkpoint> {
        let mut trainer = Trainer::new(&config)?;
        trainer.read_every = read_every;
        let mut watch = Watch::new(&trainer, History::default(), &train, Some(&held_out))?;
        watch.run(&mut trainer, &train, |_, _, _| Ok(()))?;
        Ok(watch.checkpoint(&trainer))
    };
    assert_eq!(run(25)?, run(1)?);
    Ok(())
}

#[test]
fn a_run_cut_in_two_stops_at_the_same_step() -> Result<()> {
    let (mut config, train, held_out) = tiny();
    config.training.steps = 4000;
    (config.watch.eval_every, config.watch.eval_samples, config.watch.patience) = (5, 50, 3);
    for metric in [Metric::Kid, Metric::Frechet] {
        config.watch.metric = metric;
        let (whole, stop) = watched(&config, None, [&train, &held_out])?;
        let Some(Stop::Patience { best, evaluations: 3 }) = stop else { panic!("{stop:?}") };
        assert!(whole.step_count() < 4000 && whole.step_count() == best.step + 3 * 5, "{best:?}");

        // In the middle of the three evaluations that do not count.
        let cut = Config {
            training: crate::config::TrainingConfig { steps: best.step + 7, ..config.training.clone() },
            ..config.clone()
        };
        let (half, stop) = watched(&cut, None, [&train, &held_out])?;
        assert_eq!(stop, None);
        let (resumed, stop) = watched(&config, Some(half), [&train, &held_out])?;
        assert_eq!(stop, Some(Stop::Patience { best, evaluations: 3 }));
        assert_eq!(resumed.to_bytes(), whole.to_bytes());

        // There is nothing left to do.
        let (again, stop) = watched(&config, Some(resumed), [&train, &held_out])?;
        assert_eq!((again.to_bytes(), stop.map(|stop| stop.reason())), (whole.to_bytes(), Some("patience")));
        let patient = Config { watch: WatchConfig { patience: 4, ..config.watch.clone() }, ..config.clone() };
        let (longer, _) = watched(&patient, Some(again), [&train, &held_out])?;
        assert!(longer.step_count() > whole.step_count());
    }
    Ok(())
}

#[test]
fn a_generator_that_cannot_differ_has_collapsed() -> Result<()> {
    let (mut config, train, held_out) = tiny();
    config.training.steps = 1000;
    config.training.lr_g = 0.0;
    config.watch.on_collapse = OnCollapse::Stop;
    let (mut trainer, history) = (Trainer::new(&config)?, History::default());
    // Without weights, all latents give one image.
    let mut checkpoint = trainer.checkpoint();
    checkpoint.generator.0.iter_mut().for_each(|tensor| tensor.data.fill(0.0));
    trainer = Trainer::resume(&checkpoint)?;
    let mut watch = Watch::new(&trainer, history, &train, Some(&held_out))?;
    let mut said = vec![];
    let stop = watch.run(&mut trainer, &train, |_, _, seen| {
        said.extend(seen.findings.iter().copied().filter(|f| matches!(f, Finding::Collapse { .. })));
        Ok(())
    })?;
    let finding = Finding::Collapse { step: 160, diversity: 0.0 };
    assert_eq!((stop, said), (Some(Stop::Collapse(finding)), vec![finding]));

    // Who only wants to be warned is so, once, also by the second half of a run.
    config.watch.on_collapse = OnCollapse::Warn;
    config.training.steps = 200;
    let checkpoint = Checkpoint { config, ..watch.checkpoint(&trainer) };
    let mut trainer = Trainer::resume(&checkpoint)?;
    let mut watch = Watch::new(&trainer, checkpoint.history, &train, Some(&held_out))?;
    let stop = watch.run(&mut trainer, &train, |_, _, seen| {
        assert!(!seen.findings.iter().any(|f| f.is_like(&finding)));
        Ok(())
    })?;
    assert_eq!((stop, trainer.step_count()), (None, 200));
    Ok(())
}

#[test]
fn better_images_have_a_better_value() -> Result<()> {
    let (mut config, train, held_out) = tiny();
    config.training.steps = 600;
    config.training.ema_decay = 0.9;
    (config.watch.eval_every, config.watch.eval_samples) = (20, 100);
    let (checkpoint, _) = watched(&config, None, [&train, &held_out])?;
    let history = checkpoint.history;
    assert_eq!(history.metric, "kid pixels 1x1 on 100 of points");
    let (first, best) = (history.evaluations[0].value, history.best().unwrap().value);
    assert!(best < first / 2.0, "{best} of {first}");
    Ok(())
}

#[test]
fn another_metric_is_not_compared() -> Result<()> {
    let (mut config, train, held_out) = tiny();
    config.watch.eval_every = 10;
    config.training.steps = 10;
    let (checkpoint, _) = watched(&config, None, [&train, &held_out])?;
    let fewer = checkpoint.clone();
    config.watch.metric = Metric::Frechet;
    let error = watched(&config, Some(checkpoint), [&train, &held_out]).unwrap_err().to_string();
    assert!(error.contains("kid pixels 1x1") && error.contains("frechet pixels 1x1"), "{error}");
    // Distances fall with the number of images.
    config.watch.metric = Metric::Kid;
    config.watch.eval_samples = 50;
    let error = watched(&config, Some(fewer), [&train, &held_out]).unwrap_err().to_string();
    assert!(error.contains("on 100 of points") && error.contains("on 50 of points"), "{error}");
    let trainer = Trainer::new(&config)?;
    assert!(Watch::new(&trainer, History::default(), &train, None).is_err(), "nothing to compare with");
    config.watch.features = Some("no such file.onnx".into());
    let trainer = Trainer::new(&config)?;
    assert!(Watch::new(&trainer, History::default(), &train, Some(&held_out)).is_err());
    Ok(())
}

/// A classifier that shows the pixels as they are finds the same distance as the pixels.
#[test]
fn a_classifier_is_looked_through() -> Result<()> {
    use pocketgan_compiler::graph::{Graph, Op, Tensor};
    use pocketgan_compiler::onnx;
    let (mut config, train, held_out) = tiny();
    config.watch.eval_every = 10;
    config.training.steps = 10;
    let (by_pixels, _) = watched(&config, None, [&train, &held_out])?;
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("identity.onnx");
    let dense = Op::Dense { weight: Tensor::new([2, 2], vec![1.0, 0.0, 0.0, 1.0]), bias: None };
    std::fs::write(&path, onnx::write(&Graph::chain(2, [("dense".into(), dense)])?)?)?;
    config.watch.features = Some(path.display().to_string());
    (config.watch.features_mean, config.watch.features_std) = (0.5, 0.5);
    let (by_classifier, _) = watched(&config, None, [&train, &held_out])?;
    assert!(
        by_classifier.history.metric.starts_with("kid identity.onnx:"),
        "{}",
        by_classifier.history.metric
    );
    let value = |checkpoint: &Checkpoint| f64::from(checkpoint.history.evaluations[0].value);
    // (v + 1) / 2 and - 1/2 round each v, of at most 1, by half an epsilon. A kernel (x.y / 2 + 1)^3 of at most 8 has a slope of
    // at most 12 in x.y / 2, which changes by as much as x and y; the distance adds four means of kernels, and rounds itself.
    let tolerance = 4.0 * 12.0 * 2.0 * f64::from(f32::EPSILON) + f64::from(f32::EPSILON);
    assert!((value(&by_classifier) - value(&by_pixels)).abs() <= tolerance);
    Ok(())
}
