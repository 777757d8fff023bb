//! Many pictures at once: each is the one that is drawn alone.

#[path = "shared/programs.rs"]
#[allow(dead_code, reason = "each test takes what it needs")]
mod programs;

use pocketgan_format::AlignedBytes;
use pocketgan_runtime::{Generator, Model, dispatch, latent};

/// More than kernels see at once.
const PICTURES: usize = 21;

fn pictures_are_those_drawn_alone(file: &AlignedBytes) {
    let model = Model::load(file).expect("a sound file");
    let mut one = vec![0.0; model.arena_len()];
    // A value more than the last picture needs.
    let mut many = vec![f32::NAN; PICTURES * model.arena_len() + 1];
    for kernels in dispatch::available().into_iter().flatten() {
        let mut alone = Generator::with_kernels(&model, &mut one, kernels).expect("the arena is long enough");
        let mut together =
            Generator::with_kernels(&model, &mut many, kernels).expect("the arena is long enough");
        assert_eq!((alone.capacity(), together.capacity()), (1, PICTURES));
        for picture in 0..PICTURES {
            for index in 0..model.inputs().len() {
                latent::fill_normal(picture as u64, together.input_of(picture, index));
            }
        }
        together.run_batch(PICTURES);
        for picture in 0..PICTURES {
            for index in 0..model.inputs().len() {
                latent::fill_normal(picture as u64, alone.input(index));
            }
            let expected = alone.run();
            let image = together.image(picture);
            assert_eq!((image.height, image.width), (expected.height, expected.width));
            for (a, b) in image.values.iter().zip(expected.values) {
                // Sums of at most 32 products below 4 in another order, through at most two layers.
                assert!((a - b).abs() <= 1e-4 * b.abs().max(1.0), "{}: {a} instead of {b}", kernels.name);
            }
        }
    }
}

#[test]
fn tap_gemms_of_many_pictures() {
    pictures_are_those_drawn_alone(&programs::tap_gemms().to_bytes().expect("a sound program"));
}

#[test]
fn nests_of_many_pictures() {
    pictures_are_those_drawn_alone(&programs::nests().to_bytes().expect("a sound program"));
}
