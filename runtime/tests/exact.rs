//! One seed, the same bytes: every implementation of exact arithmetic that this CPU has, and what the files say.

#[path = "shared/programs.rs"]
#[allow(dead_code, reason = "each test takes what it needs")]
mod programs;

use std::fs;
use std::path::Path;

use pocketgan_format::{AlignedBytes, File};
use pocketgan_runtime::{Conformance, Generator, Kernels, Model, dispatch};

fn drawn(model: &Model<'_>, kernels: Kernels, seed: u64) -> Conformance {
    let mut arena = vec![f32::NAN; model.arena_len()];
    let mut generator = Generator::with_kernels(model, &mut arena, kernels).expect("as long as it asks for");
    generator.conformance(seed)
}

fn small_files() -> [AlignedBytes; 2] {
    [programs::tap_gemms(), programs::nests()]
        .map(|program| program.to_bytes().expect("the program keeps the rules"))
}

fn committed_files() -> Vec<AlignedBytes> {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models");
    let folders =
        fs::read_dir(models).expect("models/ is there").map(|entry| entry.expect("readable").path());
    let read = |folder: &Path| {
        let file = folder.join(folder.file_name()?).with_extension("pgan");
        Some(AlignedBytes::copy(&fs::read(file).ok()?))
    };
    folders.filter_map(|folder| read(&folder)).collect()
}

#[test]
fn exact_kernels_draw_the_same_bytes() {
    for file in small_files().into_iter().chain(committed_files()) {
        let model = Model::load(&file).expect("a sound file");
        let seeds = [0, 1, u64::MAX];
        let of = |kernels| seeds.map(|seed| drawn(&model, kernels, seed));
        let reference = of(dispatch::available_exact()[0].expect("the reference is always there"));
        for kernels in dispatch::available_exact().into_iter().flatten() {
            assert_eq!(of(kernels), reference, "{}", kernels.name);
        }
        assert_ne!(reference[0].crc32, reference[1].crc32);
    }
}

#[test]
fn committed_models_say_what_they_draw() {
    let files = committed_files();
    assert!(files.len() >= 2, "models/ has two models at least");
    for file in files {
        let model = Model::load(&file).expect("a sound file");
        let mut arena = vec![f32::NAN; model.arena_len()];
        let verdict = Generator::exact(&model, &mut arena).expect("as long as it asks for").check();
        assert!(verdict.holds(), "{verdict}: {model:?}");
    }
}

#[test]
fn a_line_of_metadata_is_replaced_and_nothing_else() {
    for file in small_files() {
        let old = File::parse(&file).expect("a sound file");
        let first = old.with_metadata(Conformance::KEY, "0 00000000").expect("it is short");
        let twice = File::parse(&first).expect("verified").with_metadata(Conformance::KEY, "7 0000beef");
        let twice = twice.expect("it is short");
        let new = File::parse(&twice).expect("verified");
        assert!(new.verify_sha256());
        assert_eq!(new.metadata(), format!("{}exact=7 0000beef\n", old.metadata()));
        assert_eq!(
            Model::load(&twice).expect("verified").conformance(),
            Some(Conformance { seed: 7, crc32: 0xbeef })
        );
        assert_eq!(new.inputs().collect::<Vec<_>>(), old.inputs().collect::<Vec<_>>());
        assert_eq!(new.steps().collect::<Vec<_>>(), old.steps().collect::<Vec<_>>());
        assert_eq!(new.tensor_count(), old.tensor_count());
        for index in 0..old.tensor_count() {
            assert_eq!(format!("{:?}", new.tensor(index)), format!("{:?}", old.tensor(index)));
        }
        let (old, new) = (Model::load(&file).expect("sound"), Model::load(&twice).expect("sound"));
        let kernels = dispatch::exact();
        assert_eq!(drawn(&old, kernels, 3), drawn(&new, kernels, 3));
    }
}

#[test]
fn metadata_has_a_limit() {
    let [file, _] = small_files();
    let long = "x".repeat(70_000);
    assert!(File::parse(&file).expect("a sound file").with_metadata("note", &long).is_err());
}
