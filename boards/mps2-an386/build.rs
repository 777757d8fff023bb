//! Places the memory map, the models and the examples.

use core::error::Error;

use boards_common::Plan;

fn main() -> Result<(), Box<dyn Error>> {
    boards_build::place("link.x")?;
    boards_build::place_learning(Plan::Full)
}
