//! Makes a generator fit to learn on a device, and lets it learn here.
//!
//! In: a `.pgan` file and images of what it draws. Out: the file with a learning section, see FORMAT.md: which part moves, by
//! which rule, and a small discriminator that was trained against the finished generator.

mod judge;
mod learn;

use anyhow::{Context, Result, bail, ensure};
use pocketgan_compiler::export::{self, WeightType};
use pocketgan_finetune::{Arena, Learner, Options as LearnerOptions, Task};
use pocketgan_format::{AlignedBytes, File, Preset, Rule, Step, ValueType};
use pocketgan_runtime::Model;

use crate::dataset::Dataset;

pub use judge::JudgeOptions;
pub use judge::to_pixels;
pub use learn::{EngineName, LearnOptions, Learned, Stopped, learn};

/// How a file is to learn.
#[derive(Clone, Debug)]
pub struct Options {
    /// What moves.
    pub preset: Preset,
    /// Of preset `tail`: how many layers.
    pub layers: usize,
    /// Least-squares codes of generated and real pictures, and what the generator wants.
    pub codes: [f32; 3],
    /// Learning rate of the generator.
    pub lr_g: f32,
    /// Learning rate of the discriminator.
    pub lr_d: f32,
    /// See [`Rule::bound`].
    pub bound: f32,
    /// How its discriminator is made.
    pub judge: JudgeOptions,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            preset: Preset::Tail,
            layers: 1,
            codes: [-1.0, 1.0, 0.0],
            lr_g: 1e-3,
            lr_d: 2e-3,
            bound: 4.0,
            judge: JudgeOptions::default(),
        }
    }
}

/// The file with a learning section.
///
/// # Errors
/// When the generator has no part that this preset can train, or no discriminator exists for its pictures.
pub fn prepare(
    file: &[u8],
    dataset: &Dataset,
    options: &Options,
    progress: impl FnMut(usize, [f32; 2]),
) -> Result<AlignedBytes> {
    let model = Model::load(file)?;
    ensure!(model.needs_latent_only(), "only a generator whose one input is a latent vector can learn");
    let tied = model.file().with_tied_biases()?;
    let tied = export::stamp(&tied)?;
    let base = File::parse(&tied)?;
    let generator = trained_steps(&base, options.preset, options.layers)?;
    let judge = judge::train(&model, dataset, options.codes, &options.judge, progress)?;
    let judge_options =
        export::Options { weights: WeightType::F16, range: model.range(), ..export::Options::default() };
    let judge = export::export(&judge, &judge_options).context("exporting the discriminator")?.file;
    let judge = File::parse(&judge)?;
    let [a, b, c] = options.codes;
    let steps = u16::try_from(judge.step_count())?;
    let rule = Rule {
        preset: options.preset,
        a,
        b,
        c,
        lr_g: options.lr_g,
        lr_d: options.lr_d,
        bound: options.bound,
        generator,
        discriminator: [0, steps],
    };
    // How much memory that takes can be said once the section is there to be read.
    let unsized_file = base.with_learning(&rule, &judge, 0)?;
    let bytes = arena_bytes(&unsized_file, &LearnerOptions::default())?;
    Ok(base.with_learning(&rule, &judge, u32::try_from(bytes)?)?)
}

/// RAM in which a file learns with the engine for microcontrollers, all told but for the stack.
///
/// # Errors
/// When the file cannot learn.
pub fn arena_bytes(file: &[u8], options: &LearnerOptions) -> Result<usize> {
    let model = Model::load(file)?;
    let task = Task::new(&model)?;
    let values = Learner::<Arena<'_>>::memory_len(&task, options) + Arena::work_len(&task);
    Ok(size_of::<f32>() * values)
}

/// First step that is trained, and one past the last.
fn trained_steps(file: &File<'_>, preset: Preset, tail: usize) -> Result<[u16; 2]> {
    let layers: Vec<u16> = file.steps().map(|step| step.layer()).collect();
    let last = *layers.last().context("the file has no step")?;
    let end = layers.len();
    let first_of = |layer: u16| layers.iter().position(|&l| l >= layer).unwrap_or(0);
    let (first, end) = match preset {
        Preset::Tail => {
            ensure!(tail > 0, "a tail has at least one layer");
            (first_of((last + 1).saturating_sub(u16::try_from(tail)?)), end)
        }
        Preset::Head => (0, layers.iter().position(|&layer| layer > 0).unwrap_or(end)),
        Preset::Affine | Preset::All => (0, end),
    };
    let half = |step| matches!(step, Step::TapGemm(step) if step.values == ValueType::F16);
    ensure!(!file.steps().any(half), "layers learn in single precision: export without --activations fp16");
    if let Some(index) = file.steps().skip(first).position(|step| matches!(step, Step::Nest(_))) {
        bail!(
            "step {} is a loop nest: only dense layers and convolutions learn, try --finetune tail --finetune-layers 1",
            first + index
        );
    }
    Ok([u16::try_from(first)?, u16::try_from(end)?])
}
