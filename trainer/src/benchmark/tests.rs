use std::path::PathBuf;

use super::*;
use crate::dataset::{Dataset, Source, Split};
use crate::method::{METHODS, Method};
use crate::training::noise;

#[test]
fn benchmarks_have_names_of_their_own() {
    for (i, benchmark) in BENCHMARKS.iter().enumerate() {
        assert_eq!(Benchmark::named(benchmark.name).unwrap().description, benchmark.description);
        assert!(BENCHMARKS[..i].iter().all(|other| other.name != benchmark.name));
    }
    let error = Benchmark::named("rings").unwrap_err().to_string();
    assert!(error.contains("ring, grid"), "{error}");
}

#[test]
fn published_figures_are_figures_of_their_benchmark() {
    for benchmark in BENCHMARKS {
        for row in benchmark.published {
            assert!(!row.figures.is_empty(), "{} {}", benchmark.name, row.name);
            for (key, mean, error) in row.figures {
                let known = benchmark.figures.iter().any(|figure| figure.key == *key);
                assert!(known && mean.is_finite() && error.is_none_or(|e| e >= 0.0), "{} {key}", row.name);
                // Shares in percent are a slip of the pen.
                assert!(*key != "high_quality" || *mean <= 1.0, "{} {mean}", row.name);
            }
        }
        let mut own: Vec<_> = benchmark.published.iter().filter_map(|row| row.method).collect();
        own.sort_unstable();
        assert!(own.windows(2).all(|pair| pair[0] != pair[1]), "{}: one row for each method", benchmark.name);
    }
}

#[test]
fn configurations_are_those_of_the_protocols() {
    let of = |name| Benchmark::named(name).unwrap().base_config();
    let (ring, grid, mixture, stacked) = (of("ring"), of("grid"), of("mixture"), of("stacked-mnist"));
    assert_eq!((ring.dataset, grid.dataset), (Source::Ring, Source::Grid));
    assert_eq!(Config { dataset: Source::Ring, ..grid }, ring);
    assert_eq!((ring.training.batch_size, ring.training.steps, ring.network.latent_dim), (100, 400_000, 2));
    assert_eq!(
        (mixture.training.batch_size, mixture.training.lr_g, mixture.training.lr_d),
        (512, 1e-3, 1e-4)
    );
    assert_eq!((stacked.training.lr_g, stacked.training.lr_d, stacked.training.beta_2), (1e-4, 2e-4, 0.99));
    // The papers use the weights as trained.
    let parzen = of("parzen");
    assert!([ring, mixture, stacked, parzen].iter().all(|config| config.training.ema_decay == 0.0));
}

#[test]
fn methods_are_found_by_name() {
    for method in METHODS {
        assert_eq!(Method::named(method.name).unwrap().name, method.name);
    }
    assert!(Method::named("most-squares").unwrap_err().to_string().contains("least-squares"));
}

/// Real points of the ring have the figures that theory gives them.
#[test]
fn the_floor_of_points_is_that_of_theory() {
    let options = |samples| MeterOptions {
        data_dir: None,
        features: "",
        normalization: crate::metrics::Normalization::MNIST,
        samples,
    };
    let n = 25_000;
    for name in ["ring", "grid", "mixture"] {
        let benchmark = Benchmark::named(name).unwrap();
        let meter = Meter::new(benchmark, options(n)).unwrap();
        let floor = meter.floor();
        let modes = benchmark.base_config().dataset.mixture().unwrap().centres.len();
        assert_eq!(floor["modes"], modes as f64);
        // Within three standard deviations of the mean of a round Gaussian: 1 - exp(-9/2). Five standard deviations of a
        // binomial share.
        let quality = 1.0 - (-4.5f64).exp();
        let spread = (quality * (1.0 - quality) / n as f64).sqrt();
        assert!((floor["high_quality"] - quality).abs() < 5.0 * spread, "{name}: {floor:?}");
        // 2 n KL is about chi squared with modes - 1 degrees of freedom.
        let degrees = modes as f64 - 1.0;
        assert!(
            2.0 * n as f64 * floor["reverse_kl"] < degrees + 5.0 * (2.0 * degrees).sqrt(),
            "{name}: {floor:?}"
        );
        // One sample more or less away from a mode of which none is left.
        let points = vec![0.25; 2 * n];
        let lost = meter.measure(&points).unwrap();
        assert_eq!((lost["modes"], lost["high_quality"], lost.get("reverse_kl")), (0.0, 0.0, None), "{name}");
        assert!(meter.measure(&[f32::NAN; 4]).is_err());
    }
    assert!(Meter::new(Benchmark::named("ring").unwrap(), options(0)).is_err());
}

fn data_folder() -> PathBuf {
    std::env::var_os("POCKETGAN_DATA").unwrap_or_else(|| "../../shared/data".into()).into()
}

/// Real digits are likelier under windows around other real ones than around noise, and likeliest around themselves; and no
/// classifier is asked.
#[test]
fn digits_are_likelier_the_nearer_the_windows_are() {
    let folder = data_folder().join("mnist");
    if !folder.is_dir() {
        eprintln!("skipped: no digits in {}", folder.display());
        return;
    }
    let samples = 200;
    let options = MeterOptions {
        data_dir: Some(&folder),
        features: "",
        normalization: crate::metrics::Normalization::MNIST,
        samples,
    };
    let meter = Meter::new(Benchmark::named("parzen").unwrap(), options).unwrap();
    let likelihood = |images: &[f32]| meter.measure(images).unwrap()["parzen"];
    let load = |split| Dataset::load(Source::Mnist, Some(&folder), split, 28, 1).unwrap();
    let (train, test) = (load(Split::Train), load(Split::Test));
    let floor = meter.floor()["parzen"];
    let train = likelihood(&train.images(&(0..samples).collect::<Vec<_>>()));
    let test = likelihood(&test.images(&(0..test.len()).collect::<Vec<_>>()));
    let mut rng = noise::rng(1);
    let mut pixel = || noise::below(&mut rng, 256) as f32 / 127.5 - 1.0;
    let noise = likelihood(&(0..samples * 784).map(|_| pixel()).collect::<Vec<_>>());
    assert!(noise < train.min(floor) && train.max(floor) < test, "{noise} {train} {floor} {test}");
    assert!(meter.measure(&[f32::NAN; 784]).is_err() && meter.measure(&[0.0; 783]).is_err());
}

/// With real digits and the classifier that reads them, where they are.
#[test]
fn the_floor_of_stacked_digits_is_that_of_the_classifier() {
    let folder = data_folder();
    let classifier = folder.join("classifiers/burn-mnist/mnist.onnx");
    if !classifier.is_file() || !folder.join("mnist").is_dir() {
        eprintln!("skipped: no digits and classifier in {}", folder.display());
        return;
    }
    let mnist = folder.join("mnist");
    let options = MeterOptions {
        data_dir: Some(&mnist),
        features: &format!("{}:/Relu_3_output_0", classifier.display()),
        normalization: crate::metrics::Normalization::MNIST,
        samples: 25_600,
    };
    let meter = Meter::new(Benchmark::named("stacked-mnist").unwrap(), options).unwrap();
    assert!(meter.note().contains("mnist.onnx reads 99.16 %"), "{}", meter.note());
    assert_eq!(meter.floor()["modes"], 1000.0);
    // 999 / 2N of noise, and some 0.005 because there are more ones than fives. The noise of 2N KL has a standard deviation of
    // sqrt(2 * 999).
    let n = 25_600.0;
    let (mean, spread) = (999.0 / (2.0 * n), (2.0 * 999.0f64).sqrt() / (2.0 * n));
    let kl = meter.floor()["reverse_kl"];
    assert!((mean - 5.0 * spread..mean + 0.01 + 5.0 * spread).contains(&kl), "{kl}");
    // Black pictures are all of one class.
    let black = meter.measure(&vec![-1.0; 20 * 3 * 28 * 28]).unwrap();
    assert_eq!(black["modes"], 1.0);
    assert!((black["reverse_kl"] - 1000f64.ln()).abs() < 1e-12);
}
