//! Any bytes at all as a delta of a model: an error or a picture, never a panic, a hang or a read out of bounds.

#![no_main]

use crc::{CRC_32_ISO_HDLC, Crc};
use libfuzzer_sys::fuzz_target;
use pocketgan_format::{AlignedBytes, Delta};
use pocketgan_runtime::{Generator, Latent, Model, include_model};

static BASE: &[u8] = include_model!("corpus/load/dcgan28.pgan");

fuzz_target!(|input: &[u8]| {
    let mut bytes = AlignedBytes::copy(input);
    draw(&bytes);
    seal(bytes.as_mut_slice());
    draw(&bytes);
});

/// Draws a picture where the bytes are a delta of the base, and merges it with itself.
fn draw(bytes: &[u8]) {
    let Ok(delta) = Delta::parse(bytes) else { return };
    // Debug output reads every record.
    let _ = format!("{delta:?}");
    let mut mean = vec![0; bytes.len()];
    if delta.summary().merged <= u32::MAX / 2 {
        let len = Delta::merge(&[delta; 2], &mut mean).expect("equals have a mean");
        let mean = AlignedBytes::copy(&mean[..len]);
        let mean = Delta::parse(&mean).expect("what was merged can be read");
        assert!(mean.changes().map(|(target, _)| target).eq(delta.changes().map(|(target, _)| target)));
    }
    let model = Model::load(BASE).expect("a sound base");
    let _ = delta.check(model.file(), Some(model.file()), 1.0);
    let Ok(model) = model.with_delta(delta, f32::INFINITY) else { return };
    let mut arena = vec![0.0; model.arena_len()];
    let mut generator = Generator::new(&model, &mut arena).expect("the arena has the length it asked for");
    generator.generate(Latent::from_seed(1));
}

/// Makes length, base and checksum fit, which no mutation finds: DELTA.md, `file_bytes`, `base` and `crc32`.
fn seal(bytes: &mut [u8]) {
    if bytes.len() < 48 {
        return;
    }
    let len = bytes.len() as u32;
    bytes[8..12].copy_from_slice(&len.to_le_bytes());
    bytes[16..48].copy_from_slice(&BASE[16..48]);
    let mut digest = CRC32.digest();
    digest.update(&bytes[..12]);
    digest.update(&bytes[16..]);
    let crc = digest.finalize();
    bytes[12..16].copy_from_slice(&crc.to_le_bytes());
}

const CRC32: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);
