//! `trainer classify`: what a discriminator learned without labels, by how well a few labels then suffice.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use super::progress;
use crate::checkpoint;
use crate::classifier::{Classifier, Extractor, chance_error, labelled};
use crate::dataset::{Dataset, Source, Split};

/// Options of `trainer classify`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder of a run, or a checkpoint
    run: PathBuf,
    /// Images whose labels are known, as many of each class; several numbers give several rows; without it one of each class, ten
    /// and a hundred, as far as there are so many
    #[arg(long, value_name = "N", value_delimiter = ',',
        value_parser = clap::value_parser!(u32).range(2..=MAX_LABELS))]
    labels: Vec<u32>,
    /// Draws of these images
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    trials: u32,
    /// Data set; without it the one that the run learned from
    #[arg(long, value_enum)]
    dataset: Option<Source>,
    /// Folder with its files; without it that of the run
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Test images that are classified; of a data set without a test part those whose labels are not known
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    samples: u32,
    /// Chooses the images
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Print the figures as one JSON object, the last line of standard output
    #[arg(long)]
    json: bool,
}

/// The classifier takes the cube of their number in operations.
const MAX_LABELS: i64 = 4000;

#[derive(Serialize)]
struct Figures {
    rows: Vec<Row>,
    /// Of the most frequent class.
    chance_error: f64,
    samples: usize,
    trials: u32,
    dataset: String,
    seed: u64,
}

/// Shares of the test images that get a wrong class.
#[derive(Serialize)]
struct Row {
    labels: usize,
    discriminator: Error,
    pixels: Error,
}

/// Mean over the trials, and its standard error.
#[derive(Clone, Copy, Serialize)]
struct Error {
    mean: f64,
    standard_error: f64,
}

/// Classifies.
///
/// # Errors
/// When the run cannot be read, or the data have no classes or too few images of one.
pub fn run(args: Args) -> Result<()> {
    let checkpoint = checkpoint::load(&args.run)?;
    let (network, config) = (&checkpoint.config.network, &checkpoint.config);
    let (source, data_dir) =
        (args.dataset.unwrap_or(config.dataset), args.data_dir.as_deref().or(config.data_dir.as_deref()));
    let load = |split| Dataset::load(source, data_dir, split, network.size, network.channels);
    let (train, test) = (load(Split::Train)?, load(Split::Test)?);
    let classes = train.class_count().with_context(|| format!("data set {} has no classes", train.name()))?;
    let (train_labels, test_labels) = (labels(&train)?, labels(&test)?);
    let counts = counts(&args.labels, &train_labels, classes)?;
    let test_indices: Vec<usize> = (0..test.len().min(args.samples as usize)).collect();
    let test_labels = &test_labels[..test_indices.len()];
    let with_test = |extractor: Extractor| anyhow::Ok((extractor.features(&test, &test_indices)?, extractor));
    let kinds = [with_test(Extractor::of_run(&checkpoint)?)?, with_test(Extractor::Pixels)?];
    let bar = progress::bar("classifiers", kinds.len() * counts.len() * args.trials as usize);
    let mut rows = vec![];
    for count in counts {
        let mut errors = [vec![], vec![]];
        for trial in 0..args.trials {
            let seed = args.seed.wrapping_add(trial.into());
            let chosen = labelled(&train_labels, classes, count, seed)?;
            let known: Vec<usize> = chosen.iter().map(|&index| train_labels[index]).collect();
            // What is learned from is no test, where both are of one part.
            let left_out = if source.has_test_part() { &[][..] } else { &chosen };
            let tested: Vec<usize> =
                test_indices.iter().copied().filter(|index| !left_out.contains(index)).collect();
            let labels: Vec<usize> = tested.iter().map(|&index| test_labels[index]).collect();
            for ((test_features, extractor), errors) in kinds.iter().zip(&mut errors) {
                let classifier = Classifier::fit(&extractor.features(&train, &chosen)?, &known, classes)?;
                errors.push(classifier.error(&test_features.select(&tested), &labels)?);
                bar.inc(1);
            }
        }
        let [discriminator, pixels] = errors.map(|errors| Error::of(&errors));
        rows.push(Row { labels: count, discriminator, pixels });
    }
    bar.finish_and_clear();
    let figures = Figures {
        rows,
        chance_error: chance_error(test_labels),
        samples: test_labels.len(),
        trials: args.trials,
        dataset: test.name().to_owned(),
        seed: args.seed,
    };
    print_table(&figures, if source.has_test_part() { "test" } else { "other" });
    if args.json {
        println!("{}", serde_json::to_string(&figures)?);
    }
    Ok(())
}

/// How many labels are known in each row.
fn counts(asked: &[u32], labels: &[usize], classes: usize) -> Result<Vec<usize>> {
    if asked.is_empty() {
        let fewest = (0..classes).map(|class| labels.iter().filter(|&&label| label == class).count()).min();
        let all = [1, 10, 100].map(|each| (each, each * classes)).into_iter();
        let possible =
            all.filter(|&(each, count)| Some(each) < fewest && (2..=MAX_LABELS as usize).contains(&count));
        let counts: Vec<usize> = possible.map(|(_, count)| count).collect();
        ensure!(!counts.is_empty(), "a class has no image to learn from and another to test with");
        return Ok(counts);
    }
    let counts: Vec<usize> = asked.iter().map(|&count| count as usize).collect();
    for count in &counts {
        ensure!(
            count.is_multiple_of(classes),
            "--labels {count} is no multiple of {classes}, the number of classes"
        );
    }
    Ok(counts)
}

/// The class of each image.
fn labels(dataset: &Dataset) -> Result<Vec<usize>> {
    let label = |index| Some(dataset.label(index)? as usize);
    let labels: Option<Vec<usize>> = (0..dataset.len()).map(label).collect();
    labels.with_context(|| format!("data set {} has no classes", dataset.name()))
}

impl Error {
    fn of(errors: &[f64]) -> Self {
        let n = errors.len() as f64;
        let mean = errors.iter().sum::<f64>() / n;
        let squares = errors.iter().map(|error| (error - mean).powi(2)).sum::<f64>();
        // Of one trial nothing is known.
        let standard_error = if errors.len() > 1 { (squares / (n - 1.0) / n).sqrt() } else { 0.0 };
        Self { mean, standard_error }
    }
}

impl core::fmt::Display for Error {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(&format!("{:.1} +- {:.1} %", 100.0 * self.mean, 100.0 * self.standard_error))
    }
}

fn print_table(figures: &Figures, kind: &str) {
    let Figures { samples, trials, dataset, chance_error, .. } = figures;
    println!(
        "errors on {samples} {kind} images of {dataset}, means and standard errors of {trials} draws of labels"
    );
    println!("{:>8} {:>20} {:>20}", "labels", "discriminator", "pixels");
    for row in &figures.rows {
        println!("{:>8} {:>20} {:>20}", row.labels, row.discriminator, row.pixels);
    }
    println!("{:>8} {:>18.1} %", "chance", 100.0 * chance_error);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_number_there_are_one_ten_and_a_hundred_of_each_class() {
        let labels =
            |each: usize, classes: usize| (0..each * classes).map(|i| i % classes).collect::<Vec<_>>();
        assert_eq!(counts(&[], &labels(101, 10), 10).unwrap(), [10, 100, 1000]);
        // There is one more to test with.
        assert_eq!(counts(&[], &labels(100, 10), 10).unwrap(), [10, 100]);
        // A hundred of each would take long.
        assert_eq!(counts(&[], &labels(101, 100), 100).unwrap(), [100, 1000]);
        assert!(counts(&[], &labels(1, 10), 10).is_err());
        assert_eq!(counts(&[20, 30], &labels(3, 10), 10).unwrap(), [20, 30]);
        let error = counts(&[10, 36], &labels(3, 10), 10).unwrap_err().to_string();
        assert_eq!(error, "--labels 36 is no multiple of 10, the number of classes");
    }

    #[test]
    fn errors_are_means_and_standard_errors() {
        let error = Error::of(&[0.1, 0.2, 0.3]);
        // The deviation is 0.1, of three draws.
        assert!((error.mean - 0.2).abs() < 1e-12 && (error.standard_error - 0.1 / 3f64.sqrt()).abs() < 1e-12);
        assert_eq!(error.to_string(), "20.0 +- 5.8 %");
        assert_eq!(Error::of(&[0.5]).to_string(), "50.0 +- 0.0 %");
    }
}
