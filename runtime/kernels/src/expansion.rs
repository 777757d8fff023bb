//! Operations whose weights were transformed when a model was loaded: faster where there is RAM for it.
//!
//! In: an operation as the file has it. Out: whether it has a form that is faster, how much memory that takes, its weights in
//! that form, and what the operation computes, within the error that the suite derives. Programs that do not name these
//! link none of it.

use half::f16;

use crate::{Sample, TapGemm, arch};

/// One implementation of expanded operations, and when it is faster.
#[derive(Clone, Copy, Debug)]
pub struct ExpansionKernels {
    /// The instruction set: the name of the [`Kernels`](crate::Kernels) that this goes with.
    pub name: &'static str,
    /// The form that the operation has, if it has one.
    pub form: fn(op: &TapGemm<'_>) -> Option<Form>,
    /// How much faster the operation's form is than the operation as it is, on so many samples at once, if expanded weights
    /// come from such storage: in the time of a multiply-add in one lane of a vector, as modelled. At most 0 where it is not.
    pub gain: fn(op: &TapGemm<'_>, samples: usize, from: Storage) -> f64,
    /// Writes the operation's weights in a form that `form` gave for it.
    ///
    /// # Panics
    /// When `expanded` has not [`Form::len`] values, or the form is another operation's.
    pub expand: fn(form: &Form, op: &TapGemm<'_>, expanded: &mut [f32]),
    /// Runs the operation on what `expand` wrote; its own weights are not read.
    ///
    /// # Panics
    /// See [`TapGemm::check`] and `expand`.
    pub tap_gemm: ExpandedFn<f32>,
    /// The same with activations in half precision.
    pub tap_gemm_f16: ExpandedFn<f16>,
}

/// Where the expanded weights of a whole model stay from one picture to the next, by their size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// A core's own cache.
    SecondLevel,
    /// The cache that cores share.
    ThirdLevel,
    /// Memory.
    Memory,
}

impl Storage {
    /// The fastest first.
    pub const ALL: [Self; 3] = [Self::SecondLevel, Self::ThirdLevel, Self::Memory];

    /// Expanded weights that stay there beside all else: half of a small second-level cache, and what a core may count on of
    /// the third-level one, a quarter, of whose size CPUs for computers tell; of others, as much as of a small one.
    pub fn capacity(self) -> usize {
        let bytes = match self {
            Self::SecondLevel => 512 << 10,
            Self::ThirdLevel => arch::third_level_bytes().unwrap_or(16 << 20) / 4,
            Self::Memory => return usize::MAX,
        };
        bytes / size_of::<f32>()
    }
}

/// A tap GEMM with expanded weights, for every sample of a batch.
pub type ExpandedFn<A> = fn(form: &Form, op: &TapGemm<'_>, expanded: &[f32], samples: &mut [Sample<'_, A>]);

/// How an operation is computed once its weights are expanded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    pub(crate) kind: Kind,
    /// Expanded weights.
    pub(crate) len: usize,
}

/// What expanded weights are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Transformed, see [`winograd`](crate::winograd).
    Winograd {
        /// Taps along each axis of a square.
        taps: usize,
    },
    /// In single precision, see [`widened`](crate::widened).
    Widened,
}

impl Form {
    /// Number of expanded weights.
    #[allow(clippy::len_without_is_empty, reason = "no form is empty")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// The form in a few words.
    pub fn path(&self) -> &'static str {
        match self.kind {
            Kind::Winograd { taps: 2 } => "Winograd: 4x4 outputs of 2x2 taps",
            Kind::Winograd { .. } => "Winograd: 4x4 outputs of 3x3 taps",
            Kind::Widened => "weights in single precision",
        }
    }
}
