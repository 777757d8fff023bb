//! From a [`Graph`] to a verified `.pgan` file.
//!
//! fold (fewer operations) -> quantize (fp16) -> blocks (smaller tables) -> lower (tap GEMMs and loop nests over buffers,
//! pictures channels last) -> arena (a place for every buffer) -> write -> stamp (what one seed draws exactly) -> verify
//! (the runtime draws what the graph draws).

mod arena;
mod blocks;
mod draft;
mod fold;
mod lower;
pub mod panels;
pub mod phases;
mod quantize;
mod stamp;
#[cfg(test)]
mod tests;
mod verify;
mod view;

use anyhow::{Context, Result, ensure};
use pocketgan_format::{AlignedBytes, Input, Program, Role as StoredRole};

pub use pocketgan_format::ValueType;

use crate::graph::{Graph, Op, Role};

pub use fold::fold;
pub use quantize::{Rounding, WeightType, round_weights};
pub use stamp::stamp;
pub use verify::{
    Parity, VERIFY_SEEDS, channels_last, compare, draw, latents, run, splitting_effect, test_inputs,
};

/// What to make of a graph.
#[derive(Clone, Debug)]
pub struct Options {
    /// How weights are stored.
    pub weights: WeightType,
    /// How activations are stored in the arena; inputs and output are `f32` in any case.
    pub activations: ValueType,
    /// The values that are black and white.
    pub range: [f32; 2],
    /// `[C, H, W]` of the picture that the output's values are, in that order; none if the output is one already.
    pub picture: Option<[usize; 3]>,
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
    /// Largest difference that storing activations in half precision makes by itself.
    pub activation_effect: f32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            weights: WeightType::F16,
            activations: ValueType::F32,
            range: [-1.0, 1.0],
            picture: None,
            metadata: Vec::new(),
        }
    }
}

/// Compiles `graph` and proves the result.
///
/// # Errors
/// Names the node that cannot be expressed, the limit of the format that is exceeded, or, should the runtime not draw
/// what the graph draws, by how much it is off.
pub fn export(graph: &Graph, options: &Options) -> Result<Export> {
    let (file, rounded, rounding) = compiled(graph, options)?;
    let (parity, activation_effect) = verify::verify(&rounded, &file, options.activations)?;
    Ok(Export { file, rounded, rounding, parity, activation_effect })
}

/// The file of [`export`] without the proof, for what only reads its header.
///
/// # Errors
/// Names the node that cannot be expressed, or the limit of the format that is exceeded.
pub fn compile(graph: &Graph, options: &Options) -> Result<AlignedBytes> {
    Ok(compiled(graph, options)?.0)
}

fn compiled(graph: &Graph, options: &Options) -> Result<(AlignedBytes, Graph, Vec<Rounding>)> {
    let folded = fold(&with_picture(graph, options.picture)?)?;
    let (rounded, rounding) = round_weights(&folded, options.weights)?;
    let program = program(&blocks::split(&rounded)?, options)?;
    let file = stamp(&program.to_bytes().context("writing the file")?)?;
    Ok((file, rounded, rounding))
}

/// The graph with an output `[1, C, H, W]`, if one is asked for.
fn with_picture(graph: &Graph, picture: Option<[usize; 3]>) -> Result<Graph> {
    let mut graph = graph.clone();
    if let Some([c, h, w]) = picture {
        let shape = graph.shape(graph.output()).to_vec();
        let output = graph.push("picture", Op::Reshape(vec![1, c, h, w]), vec![graph.output()]);
        let output = output.with_context(|| format!("the output {shape:?} is no picture {c}x{h}x{w}"))?;
        graph.set_output(output);
    }
    Ok(graph)
}

fn program(graph: &Graph, options: &Options) -> Result<Program> {
    let mut lowered = lower::lower(graph, options.weights, options.activations)?;
    let (steps, arena_bytes, offsets) = lowered.draft.place()?;
    let extent = |v: usize| u32::try_from(v).context("an extent exceeds 32 bits");
    let offset = |view: &view::View| match view.memory {
        view::Memory::Buffer(buffer) => extent(offsets[buffer] + size_of::<f32>() * view.start),
        _ => anyhow::bail!("the output is not in the arena"),
    };
    let inputs = graph.inputs().iter().zip(&lowered.inputs).map(|(input, view)| {
        let [height, width, channels] = stored_shape(&input.shape)?.map(extent);
        let shape = [height?, width?, channels?];
        let role = match input.role {
            Role::Latent => StoredRole::Latent,
            Role::Image => StoredRole::Image,
            Role::Label => StoredRole::Label,
            Role::Values => StoredRole::Values,
        };
        Ok(Input { role, offset: offset(view)?, shape })
    });
    let inputs = inputs.collect::<Result<Vec<_>>>()?;
    let [height, width, channels] = stored_shape(graph.shape(graph.output()))?.map(extent);
    let names: Vec<String> = graph.inputs().iter().map(|input| input.name.replace(',', " ")).collect();
    let mut metadata = options.metadata.clone();
    metadata.push(("inputs".into(), names.join(",")));
    metadata.push(("layers".into(), lowered.draft.layers.join(",")));
    Ok(Program {
        inputs,
        output_shape: [height?, width?, channels?],
        range: options.range,
        arena_bytes: extent(arena_bytes)?,
        output_offset: offset(&lowered.output)?,
        steps,
        tensors: lowered.draft.tensors,
        taps: lowered.draft.taps,
        axes: lowered.draft.axes,
        metadata,
    })
}

/// Height, width and channels under which a file states a tensor: those of a picture, channels last; otherwise the last
/// two axes are width and channels, and all others the height.
fn stored_shape(shape: &[usize]) -> Result<[usize; 3]> {
    let stored = match *shape {
        [batch, c, h, w] => [batch * h, w, c],
        [.., width, channels] => [shape[..shape.len() - 2].iter().product(), width, channels],
        [channels] => [1, 1, channels],
        [] => [1, 1, 1],
    };
    ensure!(
        stored.iter().all(|&extent| extent <= usize::from(u16::MAX)),
        "a tensor {shape:?} has an extent beyond 65,535"
    );
    Ok(stored)
}
