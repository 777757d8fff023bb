//! What can go wrong before the first picture; nothing can afterwards.

use core::fmt;

use pocketgan_format::{FormatError, Function};

/// Why a file cannot be used.
pub type LoadError = FormatError;

/// Why a generator cannot run a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartError {
    /// The arena holds fewer values than the model needs.
    ArenaTooSmall {
        /// What the model needs, in bytes.
        need_bytes: usize,
        /// What the arena has, in bytes.
        have_bytes: usize,
    },
    /// The model has a loop nest, and the kernels have none.
    NoNests {
        /// Index of the first such step.
        step: usize,
        /// What it computes.
        function: Function,
    },
    /// The model has activations in half precision, and the kernels have no arithmetic for them.
    NoHalves {
        /// Index of the first such step.
        step: usize,
    },
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ArenaTooSmall { need_bytes, have_bytes } => {
                write!(f, "the arena has {have_bytes} bytes, the model needs {need_bytes}")
            }
            Self::NoNests { step, function } => {
                write!(f, "step {step} is a loop nest of {function:?}, and these kernels have no loop nests")
            }
            Self::NoHalves { step } => {
                write!(f, "step {step} computes in half precision, and these kernels do not")
            }
        }
    }
}

impl core::error::Error for StartError {}
