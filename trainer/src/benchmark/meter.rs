//! From generated samples to figures, and the figures of real data.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use pocketgan_compiler::onnx::split_spec;

use super::{Benchmark, Figures, Measure};
use crate::dataset::{Dataset, Source, Split};
use crate::metrics::modes::{ClassReport, Classes, ModeReport, Modes};
use crate::metrics::{
    Comparison, FeatureExtractor, Features, Normalization, Parzen, RealImages, compare, parzen_log_likelihood,
};
use crate::training::noise::{self, Stream};

/// What measuring images needs besides them; points need nothing.
#[derive(Clone, Copy, Debug)]
pub struct MeterOptions<'a> {
    /// Folder with the files of the data set.
    pub data_dir: Option<&'a Path>,
    /// `file.onnx` or `file.onnx:tensor` of a classifier, where one measures.
    pub features: &'a str,
    /// What the classifier reads.
    pub normalization: Normalization,
    /// Samples in a measurement.
    pub samples: usize,
}

/// Measures samples of one benchmark.
pub struct Meter {
    kind: Kind,
    floor: Figures,
    note: String,
}

enum Kind {
    Points(Modes),
    StackedDigits(FeatureExtractor, Classes),
    Distances { extractor: FeatureExtractor, reference: Features, shape: [usize; 3] },
    Likelihood(RealImages),
}

impl Meter {
    /// Reads what measuring needs, and measures real data of the test part.
    ///
    /// # Errors
    /// When the classifier or the data cannot be read, or there are fewer real images than samples.
    pub fn new(benchmark: &Benchmark, options: MeterOptions<'_>) -> Result<Self> {
        ensure!(options.samples > 0, "no samples have no figures");
        let source = benchmark.base_config().dataset;
        match benchmark.measure {
            Measure::Points => Self::points(source, options.samples),
            Measure::StackedDigits => Self::stacked_digits(options),
            Measure::Distances => Self::distances(source, options),
            Measure::Likelihood => Self::likelihood(source, options),
        }
    }

    fn points(source: Source, samples: usize) -> Result<Self> {
        let mixture = source.mixture().with_context(|| format!("{source} is no set of points"))?;
        let weights: Vec<f64> = (0..mixture.centres.len()).map(|mode| mixture.weight(mode)).collect();
        let modes = Modes::weighted(mixture.centres, mixture.sigma, &weights)?;
        let real = Dataset::load(source, None, Split::Test, 1, 2)?;
        let indices: Vec<usize> = (0..samples).map(|i| i % real.len()).collect();
        let floor = of_modes(&modes.measure(&real.images(&indices))?);
        Ok(Self { kind: Kind::Points(modes), floor, note: "other points of the distribution".into() })
    }

    fn stacked_digits(options: MeterOptions<'_>) -> Result<Self> {
        let (file, _) = split_spec(options.features);
        let classifier = FeatureExtractor::open(&file.to_string_lossy(), options.normalization)?;
        let test = Dataset::load(Source::Mnist, options.data_dir, Split::Test, 28, 1)?;
        let all: Vec<usize> = (0..test.len()).collect();
        let (read, digits) = classifier.classify(&test.images(&all), [1, 28, 28])?;
        ensure!(digits == 10, "a classifier of digits has 10 scores, this one {digits}");
        let right = all.iter().filter(|&&i| test.label(i) == Some(read[i])).count();
        // Digits are read one by one, so that stacks of real ones need not be read again.
        let mut rng = noise::rng(noise::seed_of(0, Stream::Data, 0));
        let mut digit = || read[noise::below(&mut rng, read.len() as u32) as usize];
        let stacks: Vec<u32> = (0..options.samples).map(|_| 100 * digit() + 10 * digit() + digit()).collect();
        let accuracy = 100.0 * right as f64 / read.len() as f64;
        let name = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy();
        let classes = Classes::uniform(1000)?;
        Ok(Self {
            floor: of_classes(&classes.measure(&stacks)?),
            kind: Kind::StackedDigits(classifier, classes),
            note: format!("stacks of test digits; {name} reads {accuracy:.2} % of the test digits right"),
        })
    }

    fn distances(source: Source, options: MeterOptions<'_>) -> Result<Self> {
        let extractor = FeatureExtractor::open(options.features, options.normalization)?;
        let real = real_images(source, options)?;
        let reference = extractor.extract(&real.reference, real.shape, |_| ())?;
        let floor = compare(&reference, &extractor.extract(&real.floor, real.shape, |_| ())?)?;
        let note = format!("{}; features {}", real.floor_name, extractor.name());
        Ok(Self {
            kind: Kind::Distances { extractor, reference, shape: real.shape },
            floor: of_comparison(&floor),
            note,
        })
    }

    fn likelihood(source: Source, options: MeterOptions<'_>) -> Result<Self> {
        let real = real_images(source, options)?;
        let floor = of_parzen(&likelihood(&real.reference, &real)?);
        let note = format!("training images; {} are measured under windows around them", real.floor_name);
        Ok(Self { kind: Kind::Likelihood(real), floor, note })
    }

    /// The figures of real data that no training has seen: no generator should be expected to do better.
    pub fn floor(&self) -> &Figures {
        &self.floor
    }

    /// What the floor is, and how good a judge the classifier.
    pub fn note(&self) -> &str {
        &self.note
    }

    /// The figures of `samples`.
    ///
    /// # Shapes
    /// `samples`: `[N, C, H, W]`, as the generator makes them.
    ///
    /// # Errors
    /// When samples are not finite, or cannot be measured.
    pub fn measure(&self, samples: &[f32]) -> Result<Figures> {
        ensure!(samples.iter().all(|value| value.is_finite()), "generated values are not finite");
        Ok(match &self.kind {
            Kind::Points(modes) => of_modes(&modes.measure(samples)?),
            Kind::StackedDigits(classifier, classes) => {
                of_classes(&classes.measure(&classifier.classify(samples, [3, 28, 28])?.0)?)
            }
            Kind::Distances { extractor, reference, shape } => {
                of_comparison(&compare(reference, &extractor.extract(samples, *shape, |_| ())?)?)
            }
            Kind::Likelihood(real) => of_parzen(&likelihood(samples, real)?),
        })
    }
}

fn real_images(source: Source, options: MeterOptions<'_>) -> Result<RealImages> {
    let load = |split| Dataset::load(source, options.data_dir, split, 28, 1);
    RealImages::choose(&load(Split::Train)?, Some(&load(Split::Test)?), options.samples, 0)
}

fn likelihood(generated: &[f32], real: &RealImages) -> Result<Parzen> {
    let pixels = real.shape.iter().product();
    parzen_log_likelihood(generated, &real.validation, &real.floor, pixels, |_| ())
}

fn of_modes(report: &ModeReport) -> Figures {
    let figures = [
        ("modes", Some(report.modes as f64)),
        ("high_quality", Some(report.high_quality)),
        ("reverse_kl", report.reverse_kl),
        ("variance_ratio", report.variance_ratio.as_ref().map(|ratio| ratio.mean)),
    ];
    figures.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
}

fn of_classes(report: &ClassReport) -> Figures {
    [("modes", report.modes as f64), ("reverse_kl", report.kl)]
        .map(|(key, value)| (key.to_owned(), value))
        .into()
}

fn of_comparison(comparison: &Comparison) -> Figures {
    let shares = comparison.precision_recall;
    [
        ("frechet", comparison.frechet),
        ("kid", comparison.kid.mean),
        ("precision", shares.precision),
        ("recall", shares.recall),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}

fn of_parzen(parzen: &Parzen) -> Figures {
    [("parzen".to_owned(), parzen.mean)].into()
}
