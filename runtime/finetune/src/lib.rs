//! Learning on the device: a generator follows a few pictures that the device has seen.
//!
//! In: a model with a learning section, whose preset says what moves (the last layers, a factor and a bias for each channel,
//! the first layer, or all), pictures to learn from ([`Examples`]), and memory of the caller's. Out: the losses of each step, and
//! a delta, which [`store::Store`] keeps in flash. It must never allocate, but for burn's engine on computers.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(any(feature = "flex", feature = "ndarray"))]
extern crate alloc;
#[cfg(any(test, feature = "std"))]
extern crate std;

mod arena;
pub mod augment;
#[cfg(any(feature = "flex", feature = "ndarray"))]
mod autodiff;
pub mod chain;
mod draws;
mod engine;
mod error;
mod guards;
mod head;
mod learner;
mod objective;
mod optimizer;
mod pass;
pub mod slots;
pub mod store;
mod task;
#[cfg(test)]
mod tests;

pub use arena::Arena;
#[cfg(any(feature = "flex", feature = "ndarray"))]
pub use autodiff::Autodiff;
pub use engine::{Bank, Batch, ByteImages, Engine, Examples, Images, Outcome, Values};
pub use error::{StepError, TaskError};
pub use guards::Guards;
pub use learner::{Learner, Losses, Options};
pub use objective::{MAX_BATCH, Objective, Part, Scores};
pub use optimizer::Optimizer;
pub use task::{Head, Network, Task};
