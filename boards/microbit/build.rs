//! Places the memory map and the model.

use core::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    boards_build::place_with("link.x", "../../models/mnist-micro/mnist-micro.pgan")
}
