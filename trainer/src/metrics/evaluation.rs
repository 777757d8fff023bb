//! A generator against a data set, with the figures of other real images as the floor.

use anyhow::{Context as _, Result, ensure};

use super::modes::Classes;
use super::neighbours::{self, Neighbour};
use super::{
    FeatureExtractor, Features, Gaussian, InceptionScore, MsSsim, Parzen, RealImages, class_probabilities,
    density_coverage, frechet_distance, inception_score, kernel_distance, ms_ssim, parzen_log_likelihood,
    precision_recall, sliced_wasserstein,
};
use crate::dataset::Dataset;

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Metric {
    /// Frechet distance of features; FID if they are those of the Inception network
    Frechet,
    /// Kernel distance of features, unbiased at any number of images
    Kid,
    /// Share of generated images that look real
    Precision,
    /// Share of real images that the generator could have made
    Recall,
    /// As precision, but an outlier does not move it; 1 is as real images are
    Density,
    /// As recall, but an outlier does not move it
    Coverage,
    /// How sure a classifier is of each image, and how unsure of all
    InceptionStyleScore,
    /// Classes that are generated, and the divergence of their shares from those of real images
    Classes,
    /// Similarity of pairs of generated images: diversity, where it is that of real ones
    MsSsim,
    /// Distance of patches on several scales: texture
    SlicedWasserstein,
    /// Log-likelihood under Parzen windows, for comparison with 2014; their protocol has 10,000 samples
    Parzen,
    /// Distance to the nearest training image, over that of images nobody trained on: copies
    Neighbours,
}

/// A number, and how far chance moves it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figure {
    /// The number.
    pub value: f64,
    /// Its standard error where one is known; for an inception-style score the standard deviation over its parts.
    pub error: Option<f64>,
}

/// One line of a result.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// For programs: `kid`.
    pub key: String,
    /// For people: `kernel distance (KID)`.
    pub name: String,
    /// Of the generated images.
    pub generated: Figure,
    /// Of other real images: what no generator should be expected to better.
    pub floor: Figure,
    /// Under which conditions, for people; may be empty.
    pub note: String,
}

/// What was measured.
#[derive(Clone, Debug)]
pub struct Evaluation {
    /// In the order of [`Metric`], whatever order they were asked for in.
    pub rows: Vec<Row>,
    /// The nearest training image of each generated one, where that was asked for.
    pub neighbours: Option<Vec<Neighbour>>,
}

/// What a generator is measured with.
pub struct Evaluator<'a> {
    /// What is compared.
    pub real: &'a RealImages,
    /// Where copies are looked for.
    pub training: &'a Dataset,
    /// For the metrics of features.
    pub features: Option<&'a FeatureExtractor>,
    /// For the metrics of classes: its tensor holds probabilities or logits.
    pub classifier: Option<&'a FeatureExtractor>,
    /// Of random patches and projections.
    pub seed: u64,
}

impl Metric {
    /// Those that take seconds, on features.
    pub const FAST: [Self; 6] =
        [Self::Frechet, Self::Kid, Self::Precision, Self::Recall, Self::Density, Self::Coverage];

    /// Whether it is measured on features.
    pub fn needs_features(self) -> bool {
        Self::FAST.contains(&self)
    }

    /// Whether it is measured on classes.
    pub fn needs_classes(self) -> bool {
        matches!(self, Self::InceptionStyleScore | Self::Classes)
    }
}

impl Row {
    fn new(key: impl Into<String>, name: impl Into<String>, [generated, floor]: [Figure; 2]) -> Self {
        Self { key: key.into(), name: name.into(), generated, floor, note: String::new() }
    }

    fn with_note(self, note: String) -> Self {
        Self { note, ..self }
    }
}

impl From<f64> for Figure {
    fn from(value: f64) -> Self {
        Self { value, error: None }
    }
}

impl Evaluator<'_> {
    /// Measures `generated`, and the floor in the same way. `stage` starts something long, of which there are so many,
    /// and gives what is told how many more of them are done.
    ///
    /// # Shapes
    /// `generated`: `[N, C, H, W]` in [-1, 1], as many images as there are real ones, and of their shape.
    ///
    /// # Errors
    /// When a metric lacks what it is measured with, or the images do not fit it.
    pub fn evaluate<D: Fn(usize) + Sync>(
        &self,
        metrics: &[Metric],
        generated: &[f32],
        stage: impl Fn(&'static str, usize) -> D,
    ) -> Result<Evaluation> {
        let real = self.real;
        ensure!(
            generated.len() == real.reference.len(),
            "{} values of generated images, {} of real ones",
            generated.len(),
            real.reference.len()
        );
        let mut rows = vec![];
        if metrics.iter().any(|metric| metric.needs_features()) {
            rows.extend(self.on_features(metrics, generated, &stage)?);
        }
        if metrics.contains(&Metric::InceptionStyleScore) {
            rows.push(self.score(generated, &stage)?);
        }
        if metrics.contains(&Metric::Classes) {
            rows.extend(self.classes(generated, &stage)?);
        }
        if metrics.contains(&Metric::MsSsim) {
            rows.push(self.similarity(generated, &stage)?);
        }
        if metrics.contains(&Metric::SlicedWasserstein) {
            rows.extend(self.texture(generated, &stage)?);
        }
        if metrics.contains(&Metric::Parzen) {
            rows.push(self.likelihood(generated, &stage)?);
        }
        let mut found = None;
        if metrics.contains(&Metric::Neighbours) {
            let (new, neighbours) = self.copies(generated, &stage)?;
            rows.extend(new);
            found = Some(neighbours);
        }
        Ok(Evaluation { rows, neighbours: found })
    }

    fn on_features<D: Fn(usize) + Sync>(
        &self,
        metrics: &[Metric],
        generated: &[f32],
        stage: &impl Fn(&'static str, usize) -> D,
    ) -> Result<Vec<Row>> {
        let extractor = self.features.context("no classifier was named whose features are compared")?;
        let done = stage("features", 3 * self.real.len());
        let extract = |images: &[f32]| extractor.extract(images, self.real.shape, &done);
        let reference = extract(&self.real.reference)?;
        let sets = [extract(generated)?, extract(&self.real.floor)?];
        drop(done);

        let asks = |any: &[Metric]| any.iter().any(|metric| metrics.contains(metric));
        let mut rows = vec![];
        let mut add = |metric: Metric, key: &str, name: &str, figures: [Figure; 2]| {
            if metrics.contains(&metric) {
                rows.push(Row::new(key, name, figures));
            }
        };
        if asks(&[Metric::Frechet]) {
            let target = Gaussian::fit(&reference)?;
            let distance = |set: &Features| frechet_distance(&target, &Gaussian::fit(set)?).map(Figure::from);
            add(Metric::Frechet, "frechet", "Frechet distance", both(&sets, distance)?);
        }
        if asks(&[Metric::Kid]) {
            let distance = |set: &Features| {
                let kid = kernel_distance(&reference, set)?;
                Ok(Figure { value: kid.mean, error: kid.standard_error })
            };
            add(Metric::Kid, "kid", "kernel distance (KID)", both(&sets, distance)?);
        }
        if asks(&[Metric::Precision, Metric::Recall]) {
            let [a, b] = both(&sets, |set| precision_recall(&reference, set))?;
            add(Metric::Precision, "precision", "precision", [a.precision.into(), b.precision.into()]);
            add(Metric::Recall, "recall", "recall", [a.recall.into(), b.recall.into()]);
        }
        if asks(&[Metric::Density, Metric::Coverage]) {
            let [a, b] = both(&sets, |set| density_coverage(&reference, set))?;
            add(Metric::Density, "density", "density", [a.density.into(), b.density.into()]);
            add(Metric::Coverage, "coverage", "coverage", [a.coverage.into(), b.coverage.into()]);
        }
        Ok(rows)
    }

    fn score<D: Fn(usize) + Sync>(
        &self,
        generated: &[f32],
        stage: &impl Fn(&'static str, usize) -> D,
    ) -> Result<Row> {
        let classifier = self.classifier()?;
        let done = stage("class probabilities", 2 * self.real.len());
        let splits = if self.real.len() >= 100 * SPLITS { SPLITS } else { 1 };
        let mut classes = 0;
        let scores = both(&[generated, &self.real.floor], |images| {
            let outputs = classifier.extract(images, self.real.shape, &done)?;
            let probabilities =
                class_probabilities(&outputs).with_context(|| format!("classes of {}", classifier.name()))?;
            classes = probabilities.dim();
            let InceptionScore { mean, standard_deviation, .. } = inception_score(&probabilities, splits)?;
            Ok(Figure { value: mean, error: (splits > 1).then_some(standard_deviation) })
        })?;
        let name = format!("inception-style score of {}", file_of(classifier.name()));
        let note = format!("{classes} classes, {splits} splits");
        Ok(Row::new("inception_style_score", name, scores).with_note(note))
    }

    fn classes<D: Fn(usize) + Sync>(
        &self,
        generated: &[f32],
        stage: &impl Fn(&'static str, usize) -> D,
    ) -> Result<[Row; 2]> {
        let classifier = self.classifier()?;
        let done = stage("classes", 3 * self.real.len());
        let classify = |images: &[f32]| {
            let found = classifier.classify(images, self.real.shape);
            done(self.real.len());
            found
        };
        let (reference, count) = classify(&self.real.reference)?;
        // Half an image more of each class, so that none is impossible.
        let mut counts = vec![0.5; count];
        reference.iter().for_each(|&class| counts[class as usize] += 1.0);
        let target = Classes::weighted(&counts)?;
        let [a, b] = both(&[generated, &self.real.floor], |images| target.measure(&classify(images)?.0))?;
        let note = format!("of {}, by {}", a.mode_count, file_of(classifier.name()));
        let hit = [(a.modes as f64).into(), (b.modes as f64).into()];
        Ok([
            Row::new("classes", "classes", hit).with_note(note),
            Row::new("class_kl", "KL of classes to real ones", [a.kl.into(), b.kl.into()]),
        ])
    }

    fn classifier(&self) -> Result<&FeatureExtractor> {
        self.classifier.context("no classifier was named whose classes are counted")
    }

    fn similarity<D: Fn(usize) + Sync>(
        &self,
        generated: &[f32],
        stage: &impl Fn(&'static str, usize) -> D,
    ) -> Result<Row> {
        let done = stage("MS-SSIM", 2 * self.real.len());
        let [a, b] = both(&[generated, &self.real.floor], |set| ms_ssim(set, self.real.shape, &done))?;
        let figure = |of: MsSsim| Figure { value: of.mean, error: of.standard_error };
        let note = format!("{} of 5 scales, {} pairs; right is what real images have", a.scales, a.pairs);
        Ok(Row::new("ms_ssim", "MS-SSIM of pairs", [figure(a), figure(b)]).with_note(note))
    }

    fn texture<D: Fn(usize) + Sync>(
        &self,
        generated: &[f32],
        stage: &impl Fn(&'static str, usize) -> D,
    ) -> Result<Vec<Row>> {
        let [_, h, w] = self.real.shape;
        let levels = sliced_wasserstein::sizes([h, w]).len();
        let done = stage("textures", 2 * levels * sliced_wasserstein::DIRECTIONS);
        let [a, b] = both(&[generated, &self.real.floor], |set| {
            sliced_wasserstein(&self.real.reference, set, self.real.shape, self.seed, &done)
        })?;
        let mean =
            Row::new("sliced_wasserstein", "sliced Wasserstein distance", [a.mean().into(), b.mean().into()])
                .with_note("the literature quotes 1000 times that".to_owned());
        let level = |(a, b): (&super::Level, &super::Level)| {
            let [h, w] = a.size;
            let figures = [a.distance.into(), b.distance.into()];
            Row::new(format!("sliced_wasserstein_{h}x{w}"), format!("  at {h}x{w}"), figures)
        };
        Ok(core::iter::once(mean).chain(a.levels.iter().zip(&b.levels).map(level)).collect())
    }

    fn likelihood<D: Fn(usize) + Sync>(
        &self,
        generated: &[f32],
        stage: &impl Fn(&'static str, usize) -> D,
    ) -> Result<Row> {
        let real = self.real;
        ensure!(
            !real.validation.is_empty(),
            "all training images are compared, none is left to choose the width of Parzen windows: ask for fewer with \
             --samples"
        );
        let pixels = real.shape.iter().product();
        let validation = real.validation.len() / pixels;
        let done = stage("windows", 2 * (validation + real.len()));
        let [a, b] = both(&[generated, &real.reference], |windows| {
            parzen_log_likelihood(windows, &real.validation, &real.floor, pixels, &done)
        })?;
        let note = format!("nats; sigma {:.3}, for real ones {:.3}", a.sigma, b.sigma);
        let figure = |of: Parzen| Figure { value: of.mean, error: Some(of.standard_error) };
        Ok(Row::new("parzen", "Parzen log-likelihood", [figure(a), figure(b)]).with_note(note))
    }

    fn copies<D: Fn(usize) + Sync>(
        &self,
        generated: &[f32],
        stage: &impl Fn(&'static str, usize) -> D,
    ) -> Result<(Vec<Row>, Vec<Neighbour>)> {
        let done = stage("neighbours", 2 * self.training.len());
        let own = self.real.floor_places.as_deref();
        let found = neighbours::nearest(generated, self.training, None, &done)?;
        let floor = neighbours::nearest(&self.real.floor, self.training, own, &done)?;
        let [a, b] = [&found, &floor].map(|of| neighbours::mean_distance(of));
        let rows = vec![
            Row::new("neighbour_distance", "distance to a training image", [a.into(), b.into()])
                .with_note(format!("the nearest of {}", self.training.len())),
            Row::new("neighbour_ratio", "  over that of real images", [(a / b).into(), 1.0.into()])
                .with_note("well below 1: copies".to_owned()),
        ];
        Ok((rows, found))
    }
}

fn both<S, T>(sets: &[S; 2], mut measure: impl FnMut(&S) -> Result<T>) -> Result<[T; 2]> {
    Ok([measure(&sets[0])?, measure(&sets[1])?])
}

/// `mnist.onnx` of `mnist.onnx:tensor`.
fn file_of(name: &str) -> &str {
    name.split_once(".onnx:").map_or(name, |(stem, _)| &name[..stem.len() + ".onnx".len()])
}

/// As in the literature.
const SPLITS: usize = 10;

#[cfg(test)]
mod tests;
