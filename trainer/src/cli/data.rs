//! `trainer data`: what is in a data set, before anything learns from it.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Subcommand;
use serde::Serialize;

use crate::dataset::{Dataset, Source, Split, Summary};
use crate::grid;
use crate::training::noise::{self, Stream};

/// Options of `trainer data`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Count and measure the images of a data set, and show some
    Inspect(Inspect),
}

#[derive(Debug, clap::Args)]
struct Inspect {
    /// The data set
    #[arg(long, value_enum)]
    dataset: Source,
    /// Folder with its files; without it the user's cache, where a set can be downloaded
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Pixels each way; without it as the data set comes, for a folder 64
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    size: Option<u16>,
    /// 1 for grey, 3 for colour; without it as the data set comes
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=3))]
    channels: Option<u8>,
    /// PNG file to write: random training images, where there are classes a row of each
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Chooses the images that are shown
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Print one JSON object instead
    #[arg(long)]
    json: bool,
}

/// Pixels are in [-1, 1], as networks see them.
#[derive(Debug, Serialize)]
struct Figures {
    dataset: String,
    /// `[C, H, W]`
    shape: [usize; 3],
    train: Part,
    /// None for a set without one.
    test: Option<Part>,
    /// Test images that are training images, too.
    shared: Option<usize>,
    /// Files that were left out.
    unreadable: Vec<String>,
    classes: Vec<Class>,
}

#[derive(Debug, Serialize)]
struct Part {
    images: usize,
    mean: Vec<f64>,
    std: Vec<f64>,
    /// None for points, which have one pixel.
    constant: Option<usize>,
    duplicates: usize,
}

#[derive(Debug, Serialize)]
struct Class {
    class: usize,
    name: Option<String>,
    train: usize,
    test: Option<usize>,
}

/// Runs `trainer data`.
///
/// # Errors
/// When the data set cannot be read, or the sheet not be written.
pub fn run(args: Args) -> Result<()> {
    match args.command {
        Command::Inspect(args) => inspect(&args),
    }
}

fn inspect(args: &Inspect) -> Result<()> {
    ensure!(
        args.out.is_none() || args.dataset.mixture().is_none(),
        "{} are points: there are no images to write with --out",
        args.dataset
    );
    let train = args.load(Split::Train)?;
    let test = args.dataset.has_test_part().then(|| args.load(Split::Test)).transpose()?;
    let figures = Figures::of(args.dataset, &train, test.as_ref());
    if args.json {
        println!("{}", serde_json::to_string(&figures)?);
    } else {
        print(&figures);
    }
    if let Some(path) = &args.out {
        let (images, columns) = sheet(&train, args.seed);
        grid::write(path, &images, train.shape(), columns)?;
    }
    Ok(())
}

impl Inspect {
    fn load(&self, split: Split) -> Result<Dataset> {
        let [channels, size, _] = self.dataset.usual_shape();
        let (size, channels) =
            (self.size.map_or(size, usize::from), self.channels.map_or(channels, usize::from));
        Dataset::load(self.dataset, self.data_dir.as_deref(), split, size, channels)
    }
}

impl Figures {
    fn of(source: Source, train: &Dataset, test: Option<&Dataset>) -> Self {
        let (of_train, of_test) = (Summary::of(train), test.map(Summary::of));
        let class = |class: usize| Class {
            class,
            name: train.class_name(class).map(str::to_owned),
            train: of_train.classes[class],
            test: of_test.as_ref().map(|test| test.classes.get(class).copied().unwrap_or(0)),
        };
        let part = |summary: &Summary| Part {
            images: summary.images,
            mean: summary.mean.clone(),
            std: summary.std.clone(),
            constant: source.mixture().is_none().then_some(summary.constant),
            duplicates: summary.duplicates,
        };
        Self {
            dataset: train.name().to_owned(),
            shape: train.shape(),
            train: part(&of_train),
            test: of_test.as_ref().map(part),
            shared: of_test.as_ref().map(|test| test.shared_with(&of_train)),
            unreadable: train.unreadable().to_vec(),
            classes: (0..of_train.classes.len()).map(class).collect(),
        }
    }
}

fn print(figures: &Figures) {
    let [channels, height, width] = figures.shape;
    println!("{}: {width}x{height}, {channels} channels, values in [-1, 1] for pictures", figures.dataset);
    println!("{:>6} {:>9} {:>9} {:>10}  mean and standard deviation", "", "images", "constant", "duplicates");
    for (name, part) in [("train", Some(&figures.train)), ("test", figures.test.as_ref())] {
        let Some(part) = part else { continue };
        let constant = part.constant.map_or("-".to_owned(), |count| count.to_string());
        let channel = |(mean, std): (&f64, &f64)| format!("{mean:.4} +- {std:.4}");
        let channels: Vec<String> = part.mean.iter().zip(&part.std).map(channel).collect();
        let (images, duplicates) = (part.images, part.duplicates);
        println!("{name:>6} {images:>9} {constant:>9} {duplicates:>10}  {}", channels.join(", "));
    }
    match figures.shared {
        Some(shared) => println!("{shared} test images are training images, too"),
        None => println!("no test part"),
    }
    if !figures.unreadable.is_empty() {
        println!("files that cannot be read: {}", figures.unreadable.len());
    }
    if figures.classes.is_empty() {
        return println!("no classes");
    }
    println!("{:>6} {:>9} {:>9}", "class", "train", "test");
    for class in figures.classes.iter().take(MAX_ROWS) {
        let test = class.test.map_or("-".to_owned(), |count| count.to_string());
        println!("{:>6} {:>9} {test:>9}  {}", class.class, class.train, class.name.as_deref().unwrap_or(""));
    }
    if figures.classes.len() > MAX_ROWS {
        println!("and {} more classes", figures.classes.len() - MAX_ROWS);
    }
}

/// Classes that are shown; `--json` has all.
const MAX_ROWS: usize = 100;

/// Images `[N, C, H, W]` in random order and the number of columns; where there are classes, row i is of class i.
fn sheet(dataset: &Dataset, seed: u64) -> (Vec<f32>, usize) {
    const COLUMNS: usize = 12;
    /// As the lines between images.
    const BLANK: f32 = 64.0 / 127.5 - 1.0;
    let order = noise::permutation(noise::seed_of(seed, Stream::Samples, 0), dataset.len());
    let order = order.into_iter().map(|index| index as usize);
    let Some(classes) = dataset.class_count() else {
        let chosen: Vec<usize> = order.take(COLUMNS * COLUMNS).collect();
        return (dataset.images(&chosen), COLUMNS);
    };
    let mut rows = vec![vec![]; classes.min(MAX_ROWS)];
    for index in order {
        let row = dataset.label(index).and_then(|label| rows.get_mut(label as usize));
        if let Some(row) = row.filter(|row| row.len() < COLUMNS) {
            row.push(index);
        }
    }
    let area: usize = dataset.shape().iter().product();
    let mut images = vec![];
    for row in rows {
        images.extend(dataset.images(&row));
        images.resize(images.len() + (COLUMNS - row.len()) * area, BLANK);
    }
    (images, COLUMNS)
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use image::{Rgb, RgbImage};

    use super::*;
    use crate::cli::Cli;

    /// Two pictures of class `a`, which are copies, and one of class `b` with a broken one beside.
    fn folder() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let save = |name: &str, image: RgbImage| {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            image.save(path).unwrap();
        };
        save("a/1.png", RgbImage::from_pixel(4, 4, Rgb([255, 0, 0])));
        save("a/2.png", RgbImage::from_pixel(4, 4, Rgb([255, 0, 0])));
        save("b/1.png", RgbImage::from_fn(4, 4, |x, _| Rgb([255, 0, if x < 2 { 0 } else { 255 }])));
        std::fs::write(dir.path().join("b/2.png"), "no picture").unwrap();
        dir
    }

    fn arguments(dataset: Source, data_dir: Option<PathBuf>) -> Inspect {
        Inspect { dataset, data_dir, size: Some(4), channels: None, out: None, seed: 0, json: true }
    }

    #[test]
    fn a_folder_is_counted_and_shown() {
        let dir = folder();
        let args = arguments(Source::Folder, Some(dir.path().to_owned()));
        let train = args.load(Split::Train).unwrap();
        let figures = serde_json::to_value(Figures::of(Source::Folder, &train, None)).unwrap();
        assert_eq!(figures["shape"], serde_json::json!([3, 4, 4]));
        assert_eq!(figures["train"]["images"], 3);
        assert_eq!(figures["train"]["constant"], 2);
        assert_eq!(figures["train"]["duplicates"], 1);
        assert_eq!(figures["train"]["mean"][0], 1.0);
        assert_eq!(figures["train"]["std"][1], 0.0);
        // A sixth of the blue values is 1, the others are -1.
        assert!((figures["train"]["mean"][2].as_f64().unwrap() + 2.0 / 3.0).abs() < 1e-12);
        assert_eq!(figures["unreadable"].as_array().unwrap().len(), 1);
        assert_eq!(
            figures["classes"][1],
            serde_json::json!({"class": 1, "name": "b", "train": 1, "test": null})
        );
        assert!(figures["test"].is_null() && figures["shared"].is_null());

        let path = dir.path().join("grid.png");
        inspect(&Inspect { out: Some(path.clone()), ..args }).unwrap();
        let grid = image::open(&path).unwrap().into_rgb8();
        assert_eq!(grid.dimensions(), (12 * 5 - 1, 2 * 5 - 1));
        let at = |x, y| grid.get_pixel(x, y).0;
        assert_eq!([at(0, 0), at(5, 0), at(10, 0)], [[255, 0, 0], [255, 0, 0], [64; 3]]);
        assert_eq!([at(0, 5), at(3, 5), at(5, 5)], [[255, 0, 0], [255, 0, 255], [64; 3]]);
    }

    #[test]
    fn the_command_line_is_understood() {
        let dir = folder();
        let data_dir = dir.path().to_str().unwrap();
        let parse = |size: &str| {
            let line = ["trainer", "data", "inspect", "--dataset", "folder", "--data-dir", data_dir];
            Cli::try_parse_from(line.into_iter().chain(["--channels", "1", "--size", size]))
        };
        parse("8").unwrap().run().unwrap();
        assert!(["0", "257", "-1", "99999999999"].iter().all(|size| parse(size).is_err()));
    }

    #[test]
    fn points_have_no_sheet() {
        let ring = Inspect { size: None, ..arguments(Source::Ring, None) };
        let (train, test) = (ring.load(Split::Train).unwrap(), ring.load(Split::Test).unwrap());
        let figures = Figures::of(Source::Ring, &train, Some(&test));
        assert_eq!((figures.train.constant, figures.shared, figures.classes.len()), (None, Some(0), 8));
        let error = inspect(&Inspect { out: Some("grid.png".into()), ..ring }).unwrap_err();
        assert!(error.to_string().contains("--out"), "{error}");
    }

    #[test]
    fn two_channels_are_no_image() {
        let args = Inspect { channels: Some(2), ..arguments(Source::Glyphs, None) };
        assert!(args.load(Split::Train).unwrap_err().to_string().contains("1 or 3"));
    }
}
