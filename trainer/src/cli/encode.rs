//! `trainer encode`: an encoder for a trained generator, what it knows, and images of a data set that are alike.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use super::progress;
use crate::checkpoint::{self, Checkpoint};
use crate::dataset::{Dataset, Source, Split, picture};
use crate::encoder::{self, Encoder, has_encoder, mean_squared_error, nearest, validation_seed};
use crate::grid;

/// Options of `trainer encode`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder of a run, or a checkpoint. One with an encoder, as this command writes and as autoencoders have, is used as it
    /// is; for any other an encoder is trained
    run: PathBuf,
    /// Checkpoint to write, of the same generator with the encoder that was trained
    #[arg(short, long, value_name = "FILE", default_value = "encoder.bin")]
    out: PathBuf,
    /// Updates of the encoder
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    steps: u32,
    /// Generated images in each
    #[arg(long, value_name = "N", default_value_t = 64)]
    batch_size: usize,
    /// Learning rate, which falls linearly to zero
    #[arg(long, value_name = "X", default_value_t = 1e-3)]
    lr: f64,
    /// Data set; without it the one that the run learned from
    #[arg(long, value_enum)]
    dataset: Option<Source>,
    /// Folder with its files; without it that of the run
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Test images that are drawn again
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    samples: u32,
    /// Gradient steps that look for better latents of them
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    refine: u32,
    /// Find images of the data set that are like this one: a picture file, or the number of a test image
    #[arg(long, value_name = "FILE|N")]
    search: Option<String>,
    /// How many
    #[arg(long, value_name = "N", default_value_t = 9, value_parser = clap::value_parser!(u16).range(1..=1000))]
    neighbours: u16,
    /// Picture to write of them: the query and its neighbours, below each what the generator makes of its latents
    #[arg(long, value_name = "FILE", default_value = "search.png")]
    picture: PathBuf,
    /// Print the figures as one JSON object, the last line of standard output
    #[arg(long)]
    json: bool,
}

/// What an encoder knows. Errors of images are mean squares of values in [-1, 1].
#[derive(Serialize)]
struct Figures {
    /// Of latents of generated images, in units of the prior's variance.
    latent_error: f64,
    /// Of test images drawn from their latents.
    encoded_error: f64,
    /// The same after gradient steps.
    refined_error: f64,
    /// Of the mean training image.
    mean_image_error: f64,
    samples: usize,
    refine: u32,
    dataset: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    neighbours: Option<Vec<usize>>,
}

/// Trains an encoder, if there is none, measures it, and searches.
///
/// # Errors
/// When files cannot be read or written, or the run and the data do not fit.
pub fn run(args: Args) -> Result<()> {
    args.search.as_ref().map(|_| super::ensure_picture(&args.picture)).transpose()?;
    let mut checkpoint = checkpoint::load(&args.run)?;
    let (source, data_dir) = (
        args.dataset.unwrap_or(checkpoint.config.dataset),
        args.data_dir.clone().or_else(|| checkpoint.config.data_dir.clone()),
    );
    let network = &checkpoint.config.network;
    let load = |split| Dataset::load(source, data_dir.as_deref(), split, network.size, network.channels);
    let (train, test) = (load(Split::Train)?, load(Split::Test)?);
    if !has_encoder(&checkpoint.config) {
        super::ensure_folder_of(&args.out)?;
        checkpoint = learn(&checkpoint, &args)?;
        checkpoint.save(&args.out)?;
        println!("wrote {}", args.out.display());
    }
    let encoder = Encoder::new(&checkpoint)?;
    let mut figures = measure(&encoder, &checkpoint, &train, &test, &args);
    print_table(&figures, source.test_kind());
    if let Some(query) = &args.search {
        let (index, query) = read_query(query, &test, &encoder)?;
        // Where test images are training images, the nearest one is the image itself.
        let itself = index.filter(|_| !source.has_test_part());
        let found = search(&encoder, &query, itself, &train, args.neighbours.into());
        write_neighbours(&encoder, &query, &train.images(&found), &args.picture)?;
        println!("wrote {}", args.picture.display());
        figures.neighbours = Some(found);
    }
    if args.json {
        println!("{}", serde_json::to_string(&figures)?);
    }
    Ok(())
}

fn learn(checkpoint: &Checkpoint, args: &Args) -> Result<Checkpoint> {
    let options = encoder::Options { steps: args.steps as usize, batch_size: args.batch_size, lr: args.lr };
    let bar = progress::bar("encoder", options.steps);
    let learned = encoder::learn(checkpoint, options, |step, loss| {
        bar.set_message(format!("loss {loss:.3}"));
        bar.set_position(step as u64);
    })?;
    bar.finish_and_clear();
    Ok(learned)
}

fn measure(
    encoder: &Encoder,
    checkpoint: &Checkpoint,
    train: &Dataset,
    test: &Dataset,
    args: &Args,
) -> Figures {
    let samples = test.len().min(args.samples as usize);
    let images = test.images(&(0..samples).collect::<Vec<_>>());
    let latents = encoder.encode(&images);
    let refined = encoder.refine(&images, &latents, args.refine as usize);
    Figures {
        latent_error: encoder.latent_error(samples, validation_seed(&checkpoint.config)),
        encoded_error: mean_squared_error(&images, &encoder.draw(&latents)),
        refined_error: mean_squared_error(&images, &encoder.draw(&refined)),
        mean_image_error: mean_squared_error(&images, &mean_image(train).repeat(samples)),
        samples,
        refine: args.refine,
        dataset: test.name().to_owned(),
        neighbours: None,
    }
}

fn mean_image(dataset: &Dataset) -> Vec<f32> {
    let mut sums = vec![0.0f64; dataset.shape().iter().product()];
    for index in 0..dataset.len() {
        for (sum, value) in sums.iter_mut().zip(dataset.images(&[index])) {
            *sum += f64::from(value);
        }
    }
    sums.into_iter().map(|sum| (sum / dataset.len() as f64) as f32).collect()
}

/// The image that is looked for, `[C, H, W]` in [-1, 1], and its number if that is what was named.
fn read_query(query: &str, test: &Dataset, encoder: &Encoder) -> Result<(Option<usize>, Vec<f32>)> {
    if let Ok(index) = query.parse::<usize>() {
        ensure!(index < test.len(), "there is no test image {index}, but {}", test.len());
        return Ok((Some(index), test.images(&[index])));
    }
    let [channels, size, _] = encoder.shape();
    ensure!([1, 3].contains(&channels), "a picture file is no item of {channels} channels: name a number");
    let pixels = picture(Path::new(query), size, channels)?;
    Ok((None, Dataset::new("query", encoder.shape(), pixels, None)?.images(&[0])))
}

/// Numbers of the images, but for `itself`, whose latents are nearest.
fn search(
    encoder: &Encoder,
    query: &[f32],
    itself: Option<usize>,
    dataset: &Dataset,
    count: usize,
) -> Vec<usize> {
    // Images as numbers are four times as large as the data set.
    const CHUNK: usize = 1024;
    let bar = progress::bar("images", dataset.len());
    let mut latents = Vec::with_capacity(dataset.len() * encoder.latent_dim());
    let indices: Vec<usize> = (0..dataset.len()).collect();
    for chunk in indices.chunks(CHUNK) {
        latents.extend(encoder.encode(&dataset.images(chunk)));
        bar.inc(chunk.len() as u64);
    }
    bar.finish_and_clear();
    let mut found = nearest(&encoder.encode(query), &latents, count + usize::from(itself.is_some()));
    found.retain(|&index| Some(index) != itself);
    found.truncate(count);
    found
}

fn write_neighbours(encoder: &Encoder, query: &[f32], neighbours: &[f32], path: &Path) -> Result<()> {
    let mut images = [query, neighbours].concat();
    let columns = images.len() / query.len();
    images.extend(encoder.draw(&encoder.encode(&images)));
    grid::write(path, &images, encoder.shape(), columns).context("the picture of neighbours")
}

fn print_table(figures: &Figures, kind: &str) {
    let Figures { latent_error, encoded_error, refined_error, mean_image_error, .. } = figures;
    println!("latents of {} generated images", figures.samples);
    println!("  {latent_error:8.4}  mean squared error, where 1 is the prior's variance");
    println!("{} {kind} images of {}, drawn again", figures.samples, figures.dataset);
    println!("  {encoded_error:8.4}  mean squared error of values in [-1, 1], from what the encoder says");
    println!("  {refined_error:8.4}  after {} gradient steps", figures.refine);
    println!("  {mean_image_error:8.4}  of the mean image, for comparison");
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::config::Config;
    use crate::method::Method;
    use crate::training::Trainer;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        args: Args,
    }

    fn args(options: &[&str]) -> Args {
        Command::parse_from(["encode", "run"].iter().chain(options)).args
    }

    /// An autoencoder that has not been trained.
    fn checkpoint() -> Checkpoint {
        let mut config = Config::default();
        (config.network.width, config.network.latent_dim) = (1, 2);
        Method::named("vae").unwrap().apply(&mut config);
        Trainer::new(&config).unwrap().checkpoint()
    }

    /// Images of one brightness each.
    fn plain(levels: &[u8]) -> Dataset {
        let pixels = levels.iter().flat_map(|&level| [level; 28 * 28]).collect();
        Dataset::new("plain", [1, 28, 28], pixels, None).unwrap()
    }

    #[test]
    fn errors_are_those_of_the_test_images() {
        let checkpoint = checkpoint();
        let encoder = Encoder::new(&checkpoint).unwrap();
        // The mean training image is 0, and the test images are 1 and -1; the third is not among the samples.
        let (train, test) = (plain(&[255, 0]), plain(&[255, 0, 128]));
        let measure = |options: &[&str]| measure(&encoder, &checkpoint, &train, &test, &args(options));
        let figures = measure(&["--samples", "2", "--refine", "3"]);
        assert_eq!((figures.samples, figures.mean_image_error), (2, 1.0));
        assert!(figures.refined_error <= figures.encoded_error, "gradient steps keep the best");
        assert_eq!(measure(&[]).samples, 3);
    }

    #[test]
    fn a_query_is_a_number_or_a_file_and_its_neighbours_a_picture() {
        let encoder = Encoder::new(&checkpoint()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str| dir.path().join(name);
        let data = plain(&[0, 51, 102, 255]);
        grid::write(&file("query.png"), &data.images(&[1]), [1, 28, 28], 1).unwrap();
        let (number, by_file) = read_query(file("query.png").to_str().unwrap(), &data, &encoder).unwrap();
        assert!(number.is_none());
        assert_eq!(read_query("1", &data, &encoder).unwrap(), (Some(1), by_file.clone()));
        assert!(read_query("4", &data, &encoder).is_err());
        assert!(read_query(file("none.png").to_str().unwrap(), &data, &encoder).is_err());

        let found = search(&encoder, &by_file, None, &data, 3);
        assert_eq!((found.len(), found[0]), (3, 1));
        // Where the query is one of the images that are searched.
        let others = search(&encoder, &by_file, Some(1), &data, 3);
        assert!(others.len() == 3 && others[..2] == found[1..] && !others.contains(&1), "{others:?}");
        write_neighbours(&encoder, &by_file, &data.images(&found), &file("found.png")).unwrap();
        // Four columns and two rows, with a line between them.
        assert_eq!(image::image_dimensions(file("found.png")).unwrap(), (4 * 29 - 1, 2 * 29 - 1));
    }
}
