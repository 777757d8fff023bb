//! `trainer eval`: how far a file's images are from real ones.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use pocketgan_runtime::{Generator, Latent, Model};
use rayon::prelude::*;
use serde_json::json;

use crate::dataset::{Dataset, Source, Split};
use crate::metrics::{
    Comparison, DEFAULT_FEATURES, Evaluation, FeatureExtractor, Normalization, RealImages, evaluate,
};
use crate::onnx::split_spec;

/// Compares generated images with real ones: Frechet distance, kernel distance, precision and recall.
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
    /// Classifier whose tensor is compared, by default one of digits that lies beside the data
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
    let spec = match &args.features {
        Some(spec) => spec.clone(),
        None => default_features(args.data_dir.as_deref())?,
    };
    let normalization = Normalization { mean: args.features_mean, std: args.features_std };
    let extractor = FeatureExtractor::open(&spec, normalization)?;
    let file = super::open(&args.model)?;
    let model = Model::load(&file).with_context(|| format!("loading {}", args.model.display()))?;
    ensure!(
        model.needs_latent_only(),
        "the model reads something else than one latent vector: there is nothing to compare its pictures with"
    );
    let [height, width, channels] = model.output_shape();
    ensure!(height == width, "images of {height}x{width}: data sets have square ones");

    let load = |split| Dataset::load(args.dataset, args.data_dir.as_deref(), split, height, channels);
    let train = load(Split::Train)?;
    // A folder has no test part.
    let test = if args.dataset == Source::Folder { None } else { Some(load(Split::Test)?) };
    let real = RealImages::choose(&train, test.as_ref(), args.samples, args.seed)?;

    let samples = real.len();
    let bar = progress_bar("samples", samples);
    let generated = draw(&model, args.seed, samples, |n| bar.inc(n as u64));
    bar.finish_and_clear();
    let bar = progress_bar("features", 3 * samples);
    let result = evaluate(&extractor, &real, &generated, |n| bar.inc(n as u64))?;
    bar.finish_and_clear();

    let features = feature_name(&spec, &extractor);
    print_table(&features, samples, args.seed, train.name(), &real.floor_name, &result);
    if args.json {
        let object = json!({
            "frechet": result.generated.frechet,
            "frechet_floor": result.floor.frechet,
            "kid": result.generated.kid.mean,
            "kid_floor": result.floor.kid.mean,
            "precision": result.generated.precision_recall.precision,
            "recall": result.generated.precision_recall.recall,
            "samples": samples,
            "features": features,
            "dataset": train.name(),
            "floor": real.floor_name,
            "seed": args.seed,
        });
        println!("{object}");
    }
    Ok(())
}

/// `count` images `[C, H, W]` in [-1, 1], one after the other; `done` is told how many more there are.
///
/// Image `i` has the latent of seed `seed * 0x9e3779b97f4a7c15 + i`, modulo 2^64: those of seed 0 are the seeds 0, 1,
/// 2, ..., those of other seeds start far away from each other.
pub fn draw(model: &Model<'_>, seed: u64, count: usize, done: impl Fn(usize) + Sync) -> Vec<f32> {
    let [height, width, channels] = model.output_shape();
    let pixels = height * width;
    let [black, white] = model.range();
    let first = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut images = vec![0.0; count * pixels * channels];
    images.par_chunks_mut(channels * pixels).enumerate().for_each_init(
        || vec![0.0; model.arena_len()],
        |arena, (i, image)| {
            let mut generator = Generator::new(model, arena).expect("the arena has the model's length");
            let drawn = generator.generate(Latent::from_seed(first.wrapping_add(i as u64)));
            for (pixel, values) in drawn.values.chunks_exact(channels).enumerate() {
                for (channel, value) in values.iter().enumerate() {
                    image[channel * pixels + pixel] = (value - black) / (white - black) * 2.0 - 1.0;
                }
            }
            done(1);
        },
    );
    images
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

/// `mnist.onnx:/Relu_3_output_0`, without the folder.
fn feature_name(spec: &str, extractor: &FeatureExtractor) -> String {
    let (path, _) = split_spec(spec);
    let file = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    format!("{file}:{}", extractor.tensor())
}

fn print_table(features: &str, samples: usize, seed: u64, dataset: &str, floor: &str, result: &Evaluation) {
    println!("features   {features}");
    println!("reference  {samples} training images of {dataset}, seed {seed}");
    println!("{:22} {:>10} {:>20} {:>10} {:>8}", "", "Frechet", "kernel distance", "precision", "recall");
    for (name, row) in [("generated", &result.generated), (floor, &result.floor)] {
        println!("{name:22} {}", columns(row));
    }
}

fn columns(row: &Comparison) -> String {
    let error = row.kid.standard_error.map_or(String::new(), |error| format!(" +- {}", number(error)));
    let kid = format!("{}{error}", number(row.kid.mean));
    let shares = row.precision_recall;
    format!("{:>10} {kid:>20} {:>10.3} {:>8.3}", number(row.frechet), shares.precision, shares.recall)
}

/// As many digits as mean something: features have any scale.
fn number(value: f64) -> String {
    match value.abs() {
        1e6.. => format!("{value:.3e}"),
        1e3.. => format!("{value:.0}"),
        1e1.. => format!("{value:.1}"),
        1e-2.. => format!("{value:.3}"),
        0.0 => "0".to_owned(),
        _ => format!("{value:.1e}"),
    }
}

fn progress_bar(what: &'static str, len: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix:9} {wide_bar} {pos}/{len} {per_sec} {eta}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(len as u64).with_style(style).with_prefix(what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_meaning() {
        let shown = [0.0, 3.1e-5, 0.0421, -2.442, 471.26, -18022.8, 1.42e9].map(number);
        assert_eq!(shown, ["0", "3.1e-5", "0.042", "-2.442", "471.3", "-18023", "1.420e9"]);
    }
}
