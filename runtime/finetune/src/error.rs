//! What can go wrong before and while a device learns.

use core::fmt;

use pocketgan_format::FormatError;

/// Why a model cannot learn here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TaskError {
    /// The file has no learning section.
    CannotLearn,
    /// The file's learning section is not one.
    Learning(FormatError),
    /// The model wants more than a latent vector.
    Inputs,
    /// From the first trained step on, every layer must read the whole of what the one before wrote and write the whole of what
    /// the next reads; this step does not. The first reads the network's input, the last writes its output, and that of a
    /// discriminator is dense, without activation.
    NotAChain {
        /// Index of the step.
        step: usize,
    },
    /// A leaky ReLU whose slope is not positive: its output does not say what its input was.
    Slope {
        /// Index of the step.
        step: usize,
    },
    /// Some steps of a layer are trained, and others are not.
    PartOfALayer {
        /// Index of the layer's first step.
        step: usize,
    },
    /// More layers than [`MAX_LAYERS`](crate::chain::MAX_LAYERS) take part.
    TooManyLayers,
    /// More tensors than [`MAX_SLOTS`](crate::slots::MAX_SLOTS) move.
    TooManyTensors,
    /// The memory for learning is too small.
    MemoryTooSmall {
        /// What is needed, in bytes.
        need_bytes: usize,
        /// What is there, in bytes.
        have_bytes: usize,
    },
    /// The model's delta changes a tensor that does not move here: the next delta would not hold it.
    WouldDrop {
        /// Index of the tensor.
        tensor: u32,
    },
    /// An option is outside its range.
    Option {
        /// Its name.
        name: &'static str,
    },
}

/// Why learning stopped; what was learned since the start is undone.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum StepError {
    /// There is nothing to learn from.
    NoExamples,
    /// A loss or a gradient is not finite.
    NotFinite {
        /// Number of the step.
        step: u32,
    },
    /// The discriminator tells real from generated so well that the generator learns nothing any more.
    Gap {
        /// Number of the step.
        step: u32,
        /// Mean score of real pictures less that of generated ones, averaged over the last steps.
        gap: f32,
    },
    /// The generator draws nearly the same for every latent vector.
    Diversity {
        /// Number of the step.
        step: u32,
        /// Mean difference of generated pictures, relative to what it was.
        ratio: f32,
    },
    /// As many steps as the guards allow.
    StepCap,
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::CannotLearn => f.write_str(
                "the model has no learning section: export it with `trainer export --fp16 --finetune tail`",
            ),
            Self::Learning(error) => error.fmt(f),
            Self::Inputs => f.write_str("only a model whose one input is a latent vector can learn"),
            Self::NotAChain { step } => {
                write!(
                    f,
                    "step {step} is not a layer that reads all that the one before wrote and writes all that the next reads"
                )
            }
            Self::Slope { step } => {
                write!(f, "step {step}: no gradient is known for a slope that is not positive")
            }
            Self::PartOfALayer { step } => {
                write!(f, "only some steps of the layer that starts with step {step} are trained")
            }
            Self::TooManyLayers => {
                write!(f, "more than {} layers take part in learning", crate::chain::MAX_LAYERS)
            }
            Self::TooManyTensors => write!(f, "more than {} tensors would move", crate::slots::MAX_SLOTS),
            Self::MemoryTooSmall { need_bytes, have_bytes } => {
                write!(f, "there are {have_bytes} bytes to learn in, {need_bytes} are needed")
            }
            Self::WouldDrop { tensor } => write!(
                f,
                "the delta in use changes tensor {tensor}, which does not move here: learn by its preset, or without it"
            ),
            Self::Option { name } => write!(f, "option {name} is out of range"),
        }
    }
}

impl fmt::Display for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NoExamples => f.write_str("there is no example to learn from"),
            Self::NotFinite { step } => write!(f, "step {step} diverged: a loss is not finite"),
            Self::Gap { step, gap } => {
                write!(f, "step {step}: the discriminator has won, its scores are {gap:.2} apart")
            }
            Self::Diversity { step, ratio } => {
                write!(f, "step {step}: generated pictures differ by {ratio:.2} of what they did")
            }
            Self::StepCap => f.write_str("the guards allow no more steps"),
        }
    }
}

impl core::error::Error for TaskError {}
impl core::error::Error for StepError {}
