//! Small models that learn, and what every engine must do with them.

mod gradients;
mod models;
mod steps;
