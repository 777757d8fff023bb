//! `trainer translate`: a network from pictures to pictures, learned from pairs, as a `.pgan` file.

use std::path::PathBuf;

use anyhow::{Context, Result};
use pocketgan_compiler::export::{Options as ExportOptions, WeightType, export};
use serde_json::json;

use super::note::note;
use crate::checkpoint::write_atomically;
use crate::dataset::{Dataset, Source, Split};
use crate::grid;
use crate::objective::Objective;
use crate::translation::{self, Options, Task, mean_difference, translate};

/// Trains a U-Net to undo what a task does to images (pix2pix), and exports it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What the network undoes
    #[arg(long, value_enum)]
    task: Task,
    /// Data set
    #[arg(long, value_enum, default_value_t = Source::Glyphs)]
    dataset: Source,
    /// Folder with the files of the data set; without it the user's cache
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Height and width of the images: 28, 32 or 64
    #[arg(long, value_name = "N", default_value_t = 28)]
    size: usize,
    /// 1 for grey, 3 for colour
    #[arg(long, value_name = "N", default_value_t = 1)]
    channels: usize,
    /// The .pgan file to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Also write a picture: what goes in, what comes out, and what it was
    #[arg(long, value_name = "FILE.png")]
    grid: Option<PathBuf>,
    /// What both networks minimise
    #[arg(long, value_name = "NAME", default_value = "least-squares")]
    objective: Objective,
    /// Channels after the first convolution
    #[arg(long, value_name = "N", default_value_t = 16)]
    width: usize,
    /// Steps
    #[arg(long, value_name = "N", default_value_t = 2000)]
    steps: usize,
    /// Pairs in each step
    #[arg(long, value_name = "N", default_value_t = 16)]
    batch_size: usize,
    /// Learning rate of both networks
    #[arg(long, value_name = "X", default_value_t = 2e-4)]
    lr: f64,
    /// Weight of the mean absolute difference beside the objective
    #[arg(long, value_name = "X", default_value_t = 100.0)]
    l1_weight: f64,
    /// Seed of every random number
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Print the figures as one JSON object, the last line of standard output
    #[arg(long)]
    json: bool,
}

/// Images that the figures are taken over, at most.
const TEST_IMAGES: usize = 1000;
/// Columns of the picture.
const COLUMNS: usize = 10;

/// Runs the command.
///
/// # Errors
/// When options, files or the training fail.
pub fn run(args: Args) -> Result<()> {
    super::ensure_folder_of(&args.output)?;
    args.grid.as_deref().map(super::ensure_picture).transpose()?;
    let load = |split| Dataset::load(args.dataset, args.data_dir.as_deref(), split, args.size, args.channels);
    let dataset = load(Split::Train)?;
    let test = load(Split::Test)?;
    let options = Options {
        task: args.task,
        width: args.width,
        steps: args.steps,
        batch_size: args.batch_size,
        lr: args.lr,
        l1_weight: args.l1_weight,
        objective: args.objective,
        seed: args.seed,
    };
    let bar = super::progress::bar("steps", args.steps);
    let network = translation::train(&dataset, &options, |step, losses| {
        bar.set_message(format!("loss D {:.3} G {:.3}", losses.discriminator, losses.generator));
        bar.set_position(step as u64);
    })?;
    bar.finish_and_clear();

    let indices: Vec<usize> = (0..test.len().min(TEST_IMAGES)).collect();
    let images = test.images(&indices);
    let inputs = args.task.input(&images, test.shape());
    let made = translate(&network, &inputs, test.shape());
    let (before, after) = (mean_difference(&inputs, &images), mean_difference(&made, &images));
    let kind = args.dataset.test_kind();
    println!(
        "mean absolute difference to {} {kind} images: {after:.4}, of the input {before:.4}",
        indices.len()
    );
    let metadata = [
        ("dataset", args.dataset.to_string()),
        ("objective", options.objective.name().to_owned()),
        ("seed", args.seed.to_string()),
        ("steps", args.steps.to_string()),
    ];
    let metadata = metadata.map(|(key, value)| (key.to_owned(), value)).into();
    let weights = WeightType::F16;
    let exported =
        export(&network.graph(), &ExportOptions { weights, metadata, ..ExportOptions::default() })?;
    write_atomically(&args.output, &exported.file)?;
    note!("wrote {}; draw with `trainer sample {0} --input picture.png`", args.output.display());
    if let Some(path) = &args.grid {
        let row = |values: &[f32]| {
            let len = values.len() / indices.len() * COLUMNS.min(indices.len());
            values[..len].to_vec()
        };
        grid::write(path, &[row(&inputs), row(&made), row(&images)].concat(), test.shape(), COLUMNS)
            .with_context(|| format!("writing {}", path.display()))?;
        note!("wrote {}", path.display());
    }
    if args.json {
        let json = json!({
            "mean_absolute_difference": after,
            "mean_absolute_difference_of_input": before,
            "images": indices.len(),
            "part": kind,
            "flash_bytes": exported.file.len(),
            "max_abs_diff_f16_weights": exported.parity.max_abs_diff,
        });
        println!("{json}");
    }
    Ok(())
}
