//! What the two networks minimise. One file per objective.

mod least_squares;

pub use least_squares::LeastSquares;
