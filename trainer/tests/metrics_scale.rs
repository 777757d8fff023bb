//! The scale of the Frechet distance on the features of the digit classifier, from real digits to noise.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use pocketgan_trainer::dataset::{Dataset, Source, Split};
use pocketgan_trainer::metrics::{
    DEFAULT_FEATURES, Evaluation, FeatureExtractor, Normalization, RealImages, evaluate,
};
use rand_core::{Rng as _, SeedableRng as _};
use rand_xoshiro::Xoshiro128PlusPlus;

const SAMPLES: usize = 5000;

fn data() -> Option<PathBuf> {
    let folder = std::env::var_os("POCKETGAN_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"), PathBuf::from);
    let found = folder.is_dir();
    if !found {
        eprintln!("skipped: no data in {}", folder.display());
    }
    found.then_some(folder)
}

fn show(name: &str, result: &Evaluation) {
    let c = &result.generated;
    println!("{name}: Frechet {:.2}, kernel {:?}, {:?}", c.frechet, c.kid, c.precision_recall);
}

/// The classifier's README states 1.7 for other training digits, 3.1 for test digits, 1027 for Fashion-MNIST and 18023
/// for noise, from one draw of 5000 in another program. Draws differ: the statistics of 5000 images are good to about
/// 1/sqrt(5000) = 1.4 % of themselves, a distance to about twice that; 5 % leaves room for two such errors. The small
/// distances are themselves mostly such noise, so only their order of magnitude is known.
#[test]
fn digits_clothes_and_noise_have_their_known_distances() -> Result<()> {
    let Some(data) = data() else { return Ok(()) };
    let spec = data.join(DEFAULT_FEATURES).display().to_string();
    let extractor = FeatureExtractor::open(&spec, Normalization::MNIST)?;
    let load = |source, folder, split| Dataset::load(source, Some(&data.join(folder)), split, 28, 1);
    let train = load(Source::Mnist, "mnist", Split::Train)?;
    let test = load(Source::Mnist, "mnist", Split::Test)?;
    let clothes = load(Source::FashionMnist, "fashion-mnist", Split::Train)?;

    let real = RealImages::choose(&train, Some(&test), SAMPLES, 0)?;
    let others = RealImages::choose(&train, None, SAMPLES, 0)?;
    let clothes = RealImages::choose(&clothes, None, SAMPLES, 0)?.reference;
    let mut random = Xoshiro128PlusPlus::seed_from_u64(0);
    let noise: Vec<f32> =
        (0..real.reference.len()).map(|_| (random.next_u32() >> 24) as f32 / 127.5 - 1.0).collect();

    let run = |generated: &[f32]| evaluate(&extractor, &real, generated, |_| ());
    let from_training = run(&others.floor).context("other training digits")?;
    let from_clothes = run(&clothes).context("Fashion-MNIST")?;
    let from_noise = run(&noise).context("noise")?;
    show("other training digits", &from_training);
    show("test digits", &Evaluation { generated: from_training.floor, ..from_training });
    show("Fashion-MNIST", &from_clothes);
    show("noise", &from_noise);

    assert!((0.5..3.0).contains(&from_training.generated.frechet));
    assert!((1.0..6.0).contains(&from_training.floor.frechet));
    for (result, expected) in [(from_clothes, 1027.0), (from_noise, 18023.0)] {
        assert!(
            (result.generated.frechet / expected - 1.0).abs() < 0.05,
            "{:?}, not {expected}",
            result.generated
        );
        assert!(result.generated.kid.mean > 100.0 * from_training.floor.kid.mean.abs());
    }
    let shares = from_training.generated.precision_recall;
    assert!(shares.precision > 0.9 && shares.recall > 0.9, "real digits lie among real digits: {shares:?}");
    assert_eq!(from_noise.generated.precision_recall.precision, 0.0);
    Ok(())
}
