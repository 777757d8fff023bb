//! Places the memory map and the model.

use core::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    boards_build::place("link.x")
}
