//! Small models that learn, and what every engine must do with them.

mod gradients;
mod hostile;
mod models;
mod steps;
