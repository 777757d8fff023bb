//! `trainer eval`: how far a file's images are from real ones.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};
use pocketgan_compiler::onnx::split_spec;
use pocketgan_runtime::{Generator, Model};
use rayon::prelude::*;
use serde_json::json;

use super::inputs::Inputs;
use super::progress;
use crate::dataset::{Dataset, Source, Split};
use crate::grid;
use crate::metrics::neighbours::{self, Neighbour};
use crate::metrics::{
    DEFAULT_FEATURES, Evaluation, Evaluator, FeatureExtractor, Figure, Metric, Normalization, RealImages, Row,
};

/// Compares generated images with real ones, and other real images with them as the floor of every figure.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The generator, a .pgan file
    #[arg(value_name = "FILE")]
    pub model: PathBuf,
    /// Real images to compare with
    #[arg(long)]
    pub dataset: Source,
    /// Folder with the files of the data set; without it the user's cache
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// What to measure, separated by commas. By default what takes seconds: the six metrics of features, and the
    /// inception-style score where the classifier gives probabilities; of stacked-mnist the classes
    #[arg(long, value_name = "METRIC,...", value_delimiter = ',')]
    pub metrics: Vec<Metric>,
    /// Picture of the generated images that are nearest to a training image, each above that image
    #[arg(long, value_name = "FILE.png")]
    pub neighbours: Option<PathBuf>,
    /// Classifier whose tensor is compared, by default one of digits that lies beside the data. Its first output has
    /// the classes
    #[arg(long, value_name = "FILE.ONNX[:TENSOR]")]
    pub features: Option<String>,
    /// The classifier reads (pixel / 255 - mean) / std
    #[arg(long, value_name = "X", default_value_t = Normalization::MNIST.mean)]
    pub features_mean: f32,
    /// The classifier reads (pixel / 255 - mean) / std
    #[arg(long, value_name = "X", default_value_t = Normalization::MNIST.std)]
    pub features_std: f32,
    /// Images of each kind
    #[arg(long, value_name = "N", default_value_t = 5000)]
    pub samples: usize,
    /// Chooses the latents and the real images
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Print the figures as one JSON object, the last line of standard output
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
///
/// # Errors
/// When a file cannot be read, or the images do not fit the classifier.
pub fn run(args: Args) -> Result<()> {
    args.neighbours.as_deref().map(super::ensure_picture).transpose()?;
    let judges = Judges::open(&args)?;
    let file = super::open(&args.model)?;
    let model = Model::load(&file).with_context(|| format!("loading {}", args.model.display()))?;
    let [height, width, channels] = model.output_shape();
    ensure!(height == width, "images of {height}x{width}: data sets have square ones");

    let load = |split| Dataset::load(args.dataset, args.data_dir.as_deref(), split, height, channels);
    let train = load(Split::Train)?;
    let test = args.dataset.has_test_part().then(|| load(Split::Test)).transpose()?;
    let real = RealImages::choose(&train, test.as_ref(), args.samples, args.seed)?;

    let samples = real.len();
    let bar = progress_bar("samples", samples);
    let classes = train.class_count().unwrap_or(1);
    let generated = draw(&model, args.seed, samples, classes, |n| bar.inc(n as u64))?;
    bar.finish_and_clear();
    let evaluator = Evaluator {
        real: &real,
        training: &train,
        features: judges.features.as_ref(),
        classifier: judges.classifier.as_ref(),
        seed: args.seed,
    };
    let result = evaluator.evaluate(&judges.metrics, &generated, |what, len| {
        let bar = progress_bar(what, len);
        move |n| bar.inc(n as u64)
    })?;

    let features = judges.features.as_ref().map(FeatureExtractor::name);
    if let Some(features) = features {
        println!("features   {features}");
    }
    println!("reference  {samples} training images of {}, seed {}", train.name(), args.seed);
    print!("{}", table(&result.rows, samples, &real.floor_name));
    if let Some((path, found)) = args.neighbours.as_ref().zip(result.neighbours.as_ref()) {
        draw_neighbours(path, &generated, found, &train)?;
    }
    if args.json {
        let mut object = figures(&result);
        object.extend([
            ("samples".to_owned(), json!(samples)),
            ("features".to_owned(), json!(features)),
            ("classifier".to_owned(), json!(judges.classifier.as_ref().map(FeatureExtractor::name))),
            ("dataset".to_owned(), json!(train.name())),
            ("floor".to_owned(), json!(real.floor_name)),
            ("seed".to_owned(), json!(args.seed)),
        ]);
        println!("{}", serde_json::Value::Object(object));
    }
    Ok(())
}

/// What is measured, and the classifiers that it takes.
struct Judges {
    metrics: Vec<Metric>,
    features: Option<FeatureExtractor>,
    classifier: Option<FeatureExtractor>,
}

impl Judges {
    fn open(args: &Args) -> Result<Self> {
        let mut metrics = args.metrics.clone();
        let by_default = metrics.is_empty();
        if by_default {
            // Classifiers read one digit of a stack at a time: its features are not those of a picture.
            let stacks = args.dataset == Source::StackedMnist;
            metrics.extend_from_slice(if stacks { &[Metric::Classes] } else { &Metric::FAST });
        }
        if args.neighbours.is_some() {
            metrics.push(Metric::Neighbours);
        }
        let needs_features = metrics.iter().any(|metric| metric.needs_features());
        let needs_classes = by_default || metrics.iter().any(|metric| metric.needs_classes());
        if !needs_features && !needs_classes {
            return Ok(Self { metrics, features: None, classifier: None });
        }

        let spec = match &args.features {
            Some(spec) => spec.clone(),
            None => default_features(args.data_dir.as_deref())?,
        };
        let normalization = Normalization { mean: args.features_mean, std: args.features_std };
        let open = |spec: &str| FeatureExtractor::open(spec, normalization);
        let features = needs_features.then(|| open(&spec)).transpose()?;
        let (file, _) = split_spec(&spec);
        let mut classifier = needs_classes.then(|| open(&file.display().to_string())).transpose()?;
        if by_default && needs_features {
            // Logits look like any other numbers: who has such a classifier asks for its score.
            classifier = classifier.filter(FeatureExtractor::gives_probabilities);
            metrics.extend(classifier.is_some().then_some(Metric::InceptionStyleScore));
        }
        Ok(Self { metrics, features, classifier })
    }
}

/// `count` images `[C, H, W]` in [-1, 1], one after the other; `done` is told how many more there are.
///
/// Image `i` has the latent of seed `seed * 0x9e3779b97f4a7c15 + i`, modulo 2^64: those of seed 0 are the seeds 0, 1,
/// 2, ..., those of other seeds start far away from each other. A model that is told classes draws each of `classes` in turn.
///
/// # Errors
/// When the model reads something else than latent vectors and classes.
pub fn draw(
    model: &Model<'_>,
    seed: u64,
    count: usize,
    classes: usize,
    done: impl Fn(usize) + Sync,
) -> Result<Vec<f32>> {
    let inputs = Inputs::of_generator(model)?;
    let [height, width, channels] = model.output_shape();
    let pixels = height * width;
    let [black, white] = model.range();
    let first = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut images = vec![0.0; count * pixels * channels];
    images.par_chunks_mut(channels * pixels).enumerate().for_each_init(
        || vec![0.0; model.arena_len()],
        |arena, (i, image)| {
            let mut generator = Generator::new(model, arena).expect("the arena has the model's length");
            let drawn = inputs.draw(&mut generator, first.wrapping_add(i as u64), i, i % classes.max(1));
            for (pixel, values) in drawn.values.chunks_exact(channels).enumerate() {
                for (channel, value) in values.iter().enumerate() {
                    image[channel * pixels + pixel] = (value - black) / (white - black) * 2.0 - 1.0;
                }
            }
            done(1);
        },
    );
    Ok(images)
}

/// Looks for the classifier below `POCKETGAN_DATA`, beside and below the data, and in `../shared/data`.
pub(crate) fn default_features(data_dir: Option<&Path>) -> Result<String> {
    let mut folders: Vec<PathBuf> =
        std::env::var_os("POCKETGAN_DATA").map(PathBuf::from).into_iter().collect();
    if let Some(dir) = data_dir {
        folders.extend([dir.join(".."), dir.to_owned()]);
    }
    folders.push("../shared/data".into());
    let found = folders
        .iter()
        .map(|folder| folder.join(DEFAULT_FEATURES).display().to_string())
        .find(|spec| split_spec(spec).0.is_file());
    found.with_context(|| {
        let looked = folders.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(", ");
        let (file, _) = split_spec(DEFAULT_FEATURES);
        format!("no {} in {looked}: name a classifier with --features file.onnx[:tensor]", file.display())
    })
}

/// The rows for people: generated images, the floor, and under which conditions.
fn table(rows: &[Row], samples: usize, floor: &str) -> String {
    let heads = [format!("{samples} generated"), format!("{samples} {floor}")];
    let cells: Vec<_> = rows.iter().map(|row| [shown(row.generated), shown(row.floor)]).collect();
    let width = |of: &mut dyn Iterator<Item = usize>| of.max().unwrap_or(0);
    let name = width(&mut rows.iter().map(|row| row.name.chars().count()));
    let [first, second] =
        [0, 1].map(|i| width(&mut cells.iter().map(|cell| cell[i].len()).chain([heads[i].len()])));
    let mut lines = vec![format!("{:name$}  {:>first$}  {:>second$}", "", heads[0], heads[1])];
    for (row, [generated, floor]) in rows.iter().zip(&cells) {
        let line = format!("{:name$}  {generated:>first$}  {floor:>second$}  {}", row.name, row.note);
        lines.push(line.trim_end().to_owned());
    }
    lines.join("\n") + "\n"
}

/// The rows for programs: `kid`, `kid_error`, `kid_floor`, `kid_floor_error`, where there are errors. What is no number,
/// such as a ratio of nothings, is `null`.
fn figures(result: &Evaluation) -> serde_json::Map<String, serde_json::Value> {
    let mut object = serde_json::Map::new();
    for row in &result.rows {
        for (suffix, figure) in [("", row.generated), ("_floor", row.floor)] {
            object.insert(format!("{}{suffix}", row.key), json!(figure.value));
            if let Some(error) = figure.error {
                object.insert(format!("{}{suffix}_error", row.key), json!(error));
            }
        }
    }
    if let Some(found) = &result.neighbours {
        let pair = |&i: &usize| json!([i, found[i].index, found[i].distance]);
        let pairs: Vec<_> = neighbours::closest(found, PAIRS).iter().map(pair).collect();
        object.insert("neighbour_pairs".to_owned(), json!(pairs));
    }
    object
}

/// The generated images that are nearest to training images, each above its neighbour.
fn draw_neighbours(path: &Path, generated: &[f32], found: &[Neighbour], train: &Dataset) -> Result<()> {
    let shown = neighbours::closest(found, PAIRS);
    let images = neighbours::grid(generated, found, train, &shown, COLUMNS);
    grid::write(path, &images, train.shape(), COLUMNS.min(shown.len()))?;
    println!("the {} pairs that are nearest: {}", shown.len(), path.display());
    Ok(())
}

fn shown(Figure { value, error }: Figure) -> String {
    let error = error.map_or(String::new(), |error| format!(" +- {}", number(error)));
    format!("{}{error}", number(value))
}

/// As many digits as mean something: features have any scale.
fn number(value: f64) -> String {
    match value.abs() {
        size if size.fract() == 0.0 && size < 1e6 => format!("{value}"),
        1e6.. => format!("{value:.3e}"),
        1e3.. => format!("{value:.0}"),
        1e1.. => format!("{value:.1}"),
        1e-2.. => format!("{value:.3}"),
        _ => format!("{value:.1e}"),
    }
}

fn progress_bar(what: &'static str, len: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix:9} {wide_bar} {pos}/{len} {per_sec} {eta}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    let finish = ProgressFinish::AndClear;
    progress::bar(what, len).with_style(style).with_finish(finish)
}

/// Pairs of neighbours that are shown, and how many side by side.
const PAIRS: usize = 32;
const COLUMNS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_meaning() {
        let shown = [0.0, 10.0, 3.1e-5, 0.0421, -2.442, 471.26, -18022.8, 1.42e9].map(number);
        assert_eq!(shown, ["0", "10", "3.1e-5", "0.042", "-2.442", "471.3", "-18023", "1.420e9"]);
    }

    #[derive(clap::Parser)]
    struct Eval {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn a_file_is_measured_against_a_folder() -> Result<()> {
        let dir = tempfile::tempdir()?;
        for i in 0..12u32 {
            let pixel = |x: u32, y: u32| image::Luma([((x * 7 + y * 13 + i * i * 31) % 256) as u8]);
            image::GrayImage::from_fn(28, 28, pixel).save(dir.path().join(format!("{i}.png")))?;
        }
        let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/mnist-micro/mnist-micro.pgan");
        let picture = dir.path().join("pairs.png");
        let arguments = [
            "eval".as_ref(),
            model.as_os_str(),
            "--dataset=folder".as_ref(),
            "--data-dir".as_ref(),
            dir.path().as_os_str(),
            "--samples=4".as_ref(),
            "--metrics=ms-ssim,parzen".as_ref(),
            "--neighbours".as_ref(),
            picture.as_os_str(),
            "--json".as_ref(),
        ];
        run(<Eval as clap::Parser>::try_parse_from(arguments)?.args)?;
        // Four pairs, one above the other, with lines between; no classifier was looked for.
        assert_eq!(image::open(&picture)?.into_luma8().dimensions(), (4 * 29 - 1, 2 * 29 - 1));
        assert!(
            <Eval as clap::Parser>::try_parse_from(["eval", "a", "--dataset=mnist", "--metrics=fid"])
                .is_err()
        );
        Ok(())
    }

    fn result() -> Evaluation {
        let row = |key: &str, name: &str, value: f64, error: Option<f64>, note: &str| Row {
            key: key.into(),
            name: name.into(),
            generated: Figure { value, error },
            floor: Figure { value: value / 2.0, error },
            note: note.into(),
        };
        let rows = vec![
            row("frechet", "Frechet distance", 471.25, None, ""),
            row("kid", "kernel distance (KID)", 0.25, Some(0.125), ""),
            row("neighbour_ratio", "ratio", f64::NAN, None, "a note"),
        ];
        let neighbours = vec![Neighbour { index: 5, distance: 2.0 }, Neighbour { index: 0, distance: 1.0 }];
        Evaluation { rows, neighbours: Some(neighbours) }
    }

    #[test]
    fn tables_stand_in_columns() {
        let shown = table(&result().rows, 20, "test images");
        let expected = [
            "                         20 generated  20 test images",
            "Frechet distance                471.2           235.6",
            "kernel distance (KID)  0.250 +- 0.125  0.125 +- 0.125",
            "ratio                             NaN             NaN  a note",
        ];
        assert_eq!(shown.lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn programs_find_every_figure_by_its_key() {
        let object = serde_json::Value::Object(figures(&result()));
        let expected = json!({
            "frechet": 471.25, "frechet_floor": 235.625,
            "kid": 0.25, "kid_error": 0.125, "kid_floor": 0.125, "kid_floor_error": 0.125,
            "neighbour_ratio": null, "neighbour_ratio_floor": null,
            "neighbour_pairs": [[1, 0, 1.0], [0, 5, 2.0]],
        });
        assert_eq!(object, expected);
    }
}
