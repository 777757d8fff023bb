//! `trainer sample`: what a checkpoint or a `.pgan` file draws, as a picture.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use burn::tensor::Device;
use pocketgan_compiler::export::{Options, WeightType, export};
use pocketgan_runtime::{Generator, Model};

use super::inputs::InputArgs;
use super::note::note;
use crate::dataset::{Dataset, Split};
use crate::{checkpoint, grid};

/// Options of `trainer sample`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A .pgan file, a checkpoint, or the folder of a run
    model: PathBuf,
    /// Picture to write
    #[arg(short, long, value_name = "FILE", default_value = "samples.png")]
    out: PathBuf,
    /// Seed of the first image; each further one has the next
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Number of images; without it 64, a thousand points, or one for each picture of a model that reads pictures and nothing random
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    count: Option<u32>,
    /// Images in a row
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=4096))]
    columns: u32,
    /// Draw with what a device learned
    #[arg(long, value_name = "FILE")]
    delta: Option<PathBuf>,
    #[command(flatten)]
    inputs: InputArgs,
}

/// Images and points drawn where nothing says how many.
const COUNT: usize = 64;
const POINTS: usize = 1000;

/// Draws images.
///
/// # Errors
/// When the model cannot be read or the picture not be written.
pub fn run(args: Args) -> Result<()> {
    super::ensure_picture(&args.out)?;
    let mut start = [0; 4];
    let is_dir = args.model.is_dir();
    if !is_dir {
        let mut file =
            File::open(&args.model).with_context(|| format!("reading {}", args.model.display()))?;
        file.read_exact(&mut start).with_context(|| format!("reading {}", args.model.display()))?;
    }
    if &start == b"PGAN" {
        from_file(&args)?
    } else {
        from_checkpoint(&args)?
    }
    note!("wrote {}", args.out.display());
    Ok(())
}

fn from_file(args: &Args) -> Result<()> {
    let bytes = super::open(&args.model)?;
    let mut model = Model::load(&bytes).with_context(|| format!("loading {}", args.model.display()))?;
    let delta = args.delta.as_deref().map(super::open).transpose()?;
    if let (Some(delta), Some(path)) = (&delta, &args.delta) {
        model = super::with_delta(model, delta).with_context(|| format!("loading {}", path.display()))?;
    }
    let [height, width, channels] = model.output_shape();
    ensure!([1, 3].contains(&channels), "the model computes {height}x{width}x{channels} values, no picture");
    grid::write(&args.out, &draw(args, &model, COUNT)?, [channels, height, width], args.columns as usize)
}

/// By the file that would be made of it, with weights as they are.
fn from_checkpoint(args: &Args) -> Result<()> {
    ensure!(args.delta.is_none(), "a delta belongs to a .pgan file, not to a checkpoint");
    let checkpoint = checkpoint::load(&args.model)?;
    let graph = checkpoint.ema_generator(&Device::flex())?.graph();
    let options = Options { weights: WeightType::F32, ..Options::default() };
    let file = export(&graph, &options)?.file;
    let (source, network) = (checkpoint.config.dataset, &checkpoint.config.network);
    let usual = if source.mixture().is_some() { POINTS } else { COUNT };
    let images = draw(args, &Model::load(&file).context("loading the file just made")?, usual)?;
    let columns = args.columns as usize;
    if source.mixture().is_some() {
        let dataset = Dataset::load(source, None, Split::Train, network.size, network.channels)?;
        return grid::draw(&args.out, &images, &dataset, columns);
    }
    grid::write(&args.out, &images, [network.channels, network.size, network.size], columns)
}

/// Images `[N, C, H, W]` in [-1, 1], or points; `usual` is their number where nothing says another.
fn draw(args: &Args, model: &Model<'_>, usual: usize) -> Result<Vec<f32>> {
    let [height, width, channels] = model.output_shape();
    let inputs = args.inputs.prepare(model)?;
    let count = match (args.count, inputs.has_latent()) {
        (Some(count), _) => count as usize,
        (None, true) => usual,
        (None, false) if inputs.picture_count() > 0 => inputs.picture_count(),
        (None, false) => args.columns as usize,
    };
    let mut arena = vec![0.0; model.arena_len()];
    let mut generator = Generator::new(model, &mut arena)?;
    let [black, white] = model.range();
    let mut images = Vec::with_capacity(count * height * width * channels);
    for i in 0..count {
        let image =
            inputs.draw(&mut generator, args.seed.wrapping_add(i as u64), i, i % args.columns as usize);
        for channel in 0..channels {
            let values = image.values.iter().skip(channel).step_by(channels);
            images.extend(values.map(|v| (v - black) / (white - black) * 2.0 - 1.0));
        }
    }
    Ok(images)
}
