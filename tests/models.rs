//! The committed models: they load, are what their cards say, and draw the pictures that lie beside them.

use std::fs;
use std::path::{Path, PathBuf};

use pocketgan_format::AlignedBytes;
use pocketgan_runtime::{Generator, Kernels, Model, dispatch};
use pocketgan_trainer::cli::inputs::Inputs;
use pocketgan_trainer::config::Config;
use pocketgan_trainer::grid;

const MAX_FOLDER_BYTES: u64 = 2 << 20;

fn folders() -> Vec<PathBuf> {
    let entries = fs::read_dir(pocketgan_tests::root().join("models")).expect("models/ is there");
    let mut folders: Vec<PathBuf> =
        entries.map(|entry| entry.expect("readable").path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    assert!(folders.len() >= 2, "models/ has two models at least");
    folders
}

fn name(folder: &Path) -> String {
    folder.file_name().expect("a folder has a name").to_string_lossy().into_owned()
}

fn read(folder: &Path) -> AlignedBytes {
    let path = folder.join(format!("{}.pgan", name(folder)));
    AlignedBytes::copy(&fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display())))
}

#[test]
fn models_are_small_and_are_what_their_cards_say() {
    for folder in folders() {
        let bytes = read(&folder);
        let model = Model::load(&bytes).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
        assert!(model.file().verify_sha256(), "{}", folder.display());
        let hex: String = model.file().sha256().iter().map(|b| format!("{b:02x}")).collect();
        let card = fs::read_to_string(folder.join("CARD.md")).expect("every model has a card");
        for fact in [
            hex,
            format!("{} bytes of flash", bytes.len()),
            format!("{} bytes of arena", model.file().arena_bytes()),
        ] {
            assert!(card.contains(&fact), "{}: the card does not say: {fact}", folder.display());
        }
        let files = fs::read_dir(&folder).expect("readable");
        let total: u64 = files.map(|f| f.and_then(|f| f.metadata()).map_or(0, |m| m.len())).sum();
        assert!(total <= MAX_FOLDER_BYTES, "{}: {total} bytes", folder.display());
        Config::load(&folder.join("train.toml")).unwrap_or_else(|e| panic!("{e:#}"));
    }
}

/// Pictures `[N, C, H, W]` as `trainer sample` draws them: of seeds from 0 on, and of the class of their column.
fn pictures(model: &Model<'_>, kernels: Kernels, count: usize, columns: usize) -> Vec<f32> {
    let inputs = Inputs::of_generator(model).expect("a committed model reads latent vectors and classes");
    let mut arena = vec![f32::NAN; model.arena_len()];
    let mut generator = Generator::with_kernels(model, &mut arena, kernels).expect("the arena fits");
    let mut pictures = vec![];
    for i in 0..count {
        let image = inputs.draw(&mut generator, i as u64, i, i % columns);
        let channels = image.channels;
        for channel in 0..channels {
            pictures.extend(image.values.iter().skip(channel).step_by(channels));
        }
    }
    pictures
}

#[test]
fn every_kernel_draws_the_golden_pictures() {
    for folder in folders() {
        let bytes = read(&folder);
        let model = Model::load(&bytes).expect("the other test says why not");
        let [height, width, channels] = model.output_shape();
        let golden = image::open(folder.join("samples.png")).expect("every model has samples").to_rgb8();
        let classes =
            Config::load(&folder.join("train.toml")).expect("the other test says why not").network.classes;
        let (count, columns) = if classes > 0 { (8 * classes, classes) } else { (64, 16) };
        for kernels in dispatch::available().into_iter().flatten() {
            let pictures = pictures(&model, kernels, count, columns);
            let path =
                std::env::temp_dir().join(format!("pocketgan-{}-{}.png", std::process::id(), kernels.name));
            grid::write(&path, &pictures, [channels, height, width], columns)
                .expect("temporary files can be written");
            let drawn = image::open(&path).expect("just written").to_rgb8();
            fs::remove_file(&path).expect("just written");
            assert_eq!(drawn.dimensions(), golden.dimensions(), "{}", folder.display());
            // Another order of additions may move a value across the border of two levels.
            let largest = drawn.iter().zip(golden.iter()).map(|(a, b)| a.abs_diff(*b)).max();
            assert!(largest <= Some(1), "{} {}: {largest:?} levels", folder.display(), kernels.name);
        }
    }
}
