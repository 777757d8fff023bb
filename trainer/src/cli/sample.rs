//! `trainer sample`: a checkpoint or a `.pgan` file to a PNG grid.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use burn::tensor::Device;
use pocketgan_compiler::graph::evaluate::evaluate_latents;
use pocketgan_runtime::{Generator, Model, latent};

use super::inputs::InputArgs;
use super::note::note;
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
    /// Number of images; without it 64, or one for each picture of a model that reads pictures and nothing random
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

/// Images drawn where nothing says how many.
const COUNT: usize = 64;

/// Draws images.
///
/// # Errors
/// When the model cannot be read or the picture not be written.
pub fn run(args: Args) -> Result<()> {
    let mut start = [0; 4];
    let is_dir = args.model.is_dir();
    if !is_dir {
        let mut file =
            File::open(&args.model).with_context(|| format!("reading {}", args.model.display()))?;
        file.read_exact(&mut start).with_context(|| format!("reading {}", args.model.display()))?;
    }
    let (images, shape) = if &start == b"PGAN" { from_file(&args)? } else { from_checkpoint(&args)? };
    grid::write(&args.out, &images, shape, args.columns as usize)?;
    note!("wrote {}", args.out.display());
    Ok(())
}

fn from_file(args: &Args) -> Result<(Vec<f32>, [usize; 3])> {
    let bytes = super::open(&args.model)?;
    let mut model = Model::load(&bytes).with_context(|| format!("loading {}", args.model.display()))?;
    let delta = args.delta.as_deref().map(super::open).transpose()?;
    if let (Some(delta), Some(path)) = (&delta, &args.delta) {
        model = super::with_delta(model, delta).with_context(|| format!("loading {}", path.display()))?;
    }
    let [height, width, channels] = model.output_shape();
    ensure!([1, 3].contains(&channels), "the model computes {height}x{width}x{channels} values, no picture");
    let inputs = args.inputs.prepare(&model)?;
    let count = match (args.count, inputs.has_latent()) {
        (Some(count), _) => count as usize,
        (None, true) => COUNT,
        (None, false) => inputs.picture_count().max(args.columns as usize),
    };
    let mut arena = vec![0.0; model.arena_len()];
    let mut generator = Generator::new(&model, &mut arena)?;
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
    Ok((images, [channels, height, width]))
}

fn from_checkpoint(args: &Args) -> Result<(Vec<f32>, [usize; 3])> {
    ensure!(args.delta.is_none(), "a delta belongs to a .pgan file, not to a checkpoint");
    let checkpoint = checkpoint::load(&args.model)?;
    let graph = checkpoint.ema_generator(&Device::flex())?.graph();
    let network = &checkpoint.config.network;
    let images = evaluate_latents(&graph, &latents(args, graph.latent_dim()))?;
    Ok((images, [network.channels, network.size, network.size]))
}

/// Image `i` has the seed `--seed + i`, as for the file made of the checkpoint.
fn latents(args: &Args, latent_dim: usize) -> Vec<f32> {
    let count = args.count.map_or(COUNT, |count| count as usize);
    let mut latents = vec![0.0; count * latent_dim];
    for (i, z) in latents.chunks_exact_mut(latent_dim).enumerate() {
        latent::fill_normal(args.seed.wrapping_add(i as u64), z);
    }
    latents
}
