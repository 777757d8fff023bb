//! The scale of the Frechet distance on the features of the digit classifier, from real digits to noise.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use pocketgan_trainer::dataset::{Dataset, Source, Split};
use pocketgan_trainer::metrics::{
    Comparison, DEFAULT_FEATURES, FeatureExtractor, Normalization, RealImages, compare,
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

    let extract = |images: &[f32]| extractor.extract(images, real.shape, |_| ());
    let reference = extract(&real.reference)?;
    let measure = |name: &str, images: &[f32]| -> Result<Comparison> {
        let c =
            compare(&reference, &extract(images).context("features")?).with_context(|| name.to_owned())?;
        println!("{name}: Frechet {:.2}, {:?}, {:?}", c.frechet, c.kid, c.precision_recall);
        Ok(c)
    };
    let others = measure("other training digits", &others.floor)?;
    let test = measure("test digits", &real.floor)?;
    let clothes = measure("Fashion-MNIST", &clothes)?;
    let noise = measure("noise", &noise)?;

    assert!((0.5..3.0).contains(&others.frechet));
    assert!((1.0..6.0).contains(&test.frechet));
    for (result, expected) in [(clothes, 1027.0), (noise, 18023.0)] {
        assert!((result.frechet / expected - 1.0).abs() < 0.05, "{result:?}, not {expected}");
        assert!(result.kid.mean > 100.0 * test.kid.mean.abs());
    }
    let (digits, clothes) = (test.precision_recall, clothes.precision_recall);
    assert!(digits.precision > 2.0 * clothes.precision && digits.recall > 2.0 * clothes.recall);
    assert_eq!(noise.precision_recall.precision, 0.0);
    Ok(())
}
