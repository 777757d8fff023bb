//! What the page must show, from this computer's runtime: `pixels MODEL.pgan OUT COUNT [CLASS]` writes the pictures of the
//! first seeds in exact arithmetic, four bytes a pixel, one after the other.
//!
//! From `boards/`, where programs are this computer's: `cargo run --release -p web --example pixels`.

use core::error::Error;
use std::{env, fs};

use pocketgan_format::AlignedBytes;
use pocketgan_runtime::{Generator, Model, Role, latent};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [model, out, count, class @ ..] = &args[..] else {
        return Err("usage: pixels MODEL.pgan OUT COUNT [CLASS]".into());
    };
    let class: f32 = class.first().map_or(Ok(0.0), |class| class.parse())?;
    let file = AlignedBytes::copy(&fs::read(model)?);
    let model = Model::load(&file)?;
    let mut arena = vec![0.0; model.arena_len()];
    let mut generator = Generator::exact(&model, &mut arena)?;
    let mut pixels = Vec::new();
    for seed in 0..count.parse()? {
        for (index, input) in model.inputs().enumerate() {
            match input.role {
                Role::Label => generator.input(index).fill(class),
                _ => latent::fill_normal(seed + ((index as u64) << 32), generator.input(index)),
            }
        }
        let image = generator.run();
        let mut picture = vec![0; image.height * image.width * 4];
        image.to_rgba8888(&mut picture);
        pixels.extend(picture);
    }
    fs::write(out, pixels)?;
    Ok(())
}
