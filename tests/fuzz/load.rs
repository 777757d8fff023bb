//! Any bytes at all: an error or a picture, never a panic, a hang or a read out of bounds.

#![no_main]

use crc::{CRC_32_ISO_HDLC, Crc};
use libfuzzer_sys::fuzz_target;
use pocketgan_format::{AlignedBytes, Step};
use pocketgan_runtime::latent::fill_normal;
use pocketgan_runtime::{Generator, Model};

fuzz_target!(|input: &[u8]| {
    let mut bytes = AlignedBytes::copy(input);
    draw(&bytes);
    seal(bytes.as_mut_slice());
    draw(&bytes);
});

/// Draws a picture where the bytes are a model and a picture is quick.
fn draw(bytes: &[u8]) {
    let Ok(model) = Model::load(bytes) else { return };
    // Debug output reads every record of the tables.
    let file = model.file();
    let _ = format!("{file:?} {:?}", file.inputs().collect::<Vec<_>>());
    let _ = file.learning();
    let positions = |step: Step| match &step {
        Step::TapGemm(step) => step.macs() + file.taps(step).len() as u64,
        Step::Nest(step) => step.iterations(&file.axes(step)),
    };
    if file.steps().map(positions).fold(0, u64::saturating_add) > MAX_POSITIONS
        || file.arena_bytes() > MAX_ARENA_BYTES
    {
        return;
    }
    let mut arena = vec![0.0; model.arena_len()];
    let [height, width, channels] = model.output_shape();
    let mut generator = Generator::new(&model, &mut arena).expect("the arena has the length it asked for");
    for index in 0..model.inputs().len() {
        fill_normal(1 + index as u64, generator.input(index));
    }
    let image = generator.run();
    assert_eq!(image.values.len(), height * width * channels);
    let mut pixels = vec![0; height * width];
    image.to_gray8(&mut pixels);
}

/// Makes length and checksum fit, which no mutation finds: FORMAT.md, `file_bytes` and `crc32`.
fn seal(bytes: &mut [u8]) {
    let len = bytes.len() as u32;
    if bytes.len() < 16 {
        return;
    }
    bytes[8..12].copy_from_slice(&len.to_le_bytes());
    let mut digest = CRC32.digest();
    digest.update(&bytes[..12]);
    digest.update(&bytes[16..]);
    let crc = digest.finalize();
    bytes[12..16].copy_from_slice(&crc.to_le_bytes());
}

const CRC32: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);

/// Work that keeps a run in milliseconds.
const MAX_POSITIONS: u64 = 1 << 20;

/// Memory well below the fuzzer's limit.
const MAX_ARENA_BYTES: usize = 1 << 24;
