//! File format.
