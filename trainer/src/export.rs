//! From a [`Graph`] to a verified `.pgan` file.
//!
//! fold (fewer operations) -> lower (layers of tap GEMMs, activations channels last) -> quantize (fp16) -> arena
//! (a place for every buffer) -> write -> verify (the runtime draws what the graph draws).

mod arena;
mod fold;
mod lower;
mod panels;
pub mod phases;
mod quantize;
mod verify;

use anyhow::{Context, Result};
use pocketgan_format::{AlignedBytes, Input, Program, Role};

use crate::graph::Graph;

pub use fold::fold;
pub use quantize::{Rounding, WeightType, round_weights};
pub use verify::{Parity, VERIFY_SEEDS, compare, draw, latents};

/// What to make of a graph.
#[derive(Clone, Debug)]
pub struct Options {
    /// How weights are stored.
    pub weights: WeightType,
    /// The values that are black and white.
    pub range: [f32; 2],
    /// Lines for people: data set, objective, seed, licence.
    pub metadata: Vec<(String, String)>,
}

/// A file, and what making it cost.
#[derive(Debug)]
pub struct Export {
    /// The `.pgan` file.
    pub file: AlignedBytes,
    /// The graph that the file computes: folded, weights rounded as stored.
    pub rounded: Graph,
    /// What rounding did to each tensor.
    pub rounding: Vec<Rounding>,
    /// The runtime on the file against burn on [`Self::rounded`].
    pub parity: Parity,
}

impl Default for Options {
    fn default() -> Self {
        Self { weights: WeightType::F16, range: [-1.0, 1.0], metadata: Vec::new() }
    }
}

/// Compiles `graph` and proves the result.
///
/// # Errors
/// Names the node that cannot be expressed, the limit of the format that is exceeded, or, should the runtime not draw
/// what the graph draws, by how much it is off.
pub fn export(graph: &Graph, options: &Options) -> Result<Export> {
    let folded = fold(graph)?;
    let (rounded, rounding) = round_weights(&folded, options.weights)?;
    let layers = lower::lower(&rounded)?;
    let mut program = program(&layers, &rounded, options)?;
    program.metadata.push(("layers".into(), layers.names().join(",")));
    let file = program.to_bytes().context("writing the file")?;
    let parity = verify::verify(&rounded, &file)?;
    Ok(Export { file, rounded, rounding, parity })
}

fn program(layers: &lower::Layers, graph: &Graph, options: &Options) -> Result<Program> {
    let plan = arena::plan(&layers.lifetimes());
    let (steps, tensors, taps) = layers.emit(&plan.offsets, options.weights)?;
    let [channels, height, width] = *graph.shapes()?.last().context("the graph is empty")?;
    let extent = |v: usize| u32::try_from(v).context("an extent exceeds 32 bits");
    Ok(Program {
        inputs: vec![Input {
            role: Role::Latent,
            offset: extent(plan.offsets[0])?,
            shape: [1, 1, extent(graph.latent_dim)?],
        }],
        output_shape: [extent(height)?, extent(width)?, extent(channels)?],
        range: options.range,
        arena_bytes: extent(plan.bytes)?,
        output_offset: extent(plan.offsets[plan.offsets.len() - 1])?,
        steps,
        tensors,
        taps,
        axes: Vec::new(),
        metadata: options.metadata.clone(),
    })
}
