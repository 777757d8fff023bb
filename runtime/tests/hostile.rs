//! Files that are damaged or made to harm: an error or a picture, never a panic, a hang or a read out of bounds.

use pocketgan_format::{
    Activation, AlignedBytes, Buffer, File, Input, Program, Role, Step, TapGemmStep, TensorData,
};
use pocketgan_runtime::latent::fill_normal;
use pocketgan_runtime::{Generator, Model};
use proptest::prelude::*;

/// Two layers: dense 4 -> 2x2x8, then the four phases of a transposed convolution to 4x4x1.
fn small_program() -> Program {
    let row = |i: usize| core::array::from_fn(|lane| half::f16::from_f32((i + lane) as f32 / 64.0 - 0.3));
    let buffer = |offset, [height, width, channels]: [u16; 3]| Buffer {
        offset,
        height,
        width,
        channels,
        pixel_stride: channels,
    };
    let bias = |rows| TensorData::F32(vec![[0.125; 8]; rows]);
    let dense = TapGemmStep {
        activation: Activation::LeakyRelu(0.2),
        layer: 0,
        first_tap: 0,
        tap_count: 1,
        weights: 0,
        bias: 1,
        input: buffer(0, [1, 1, 4]),
        output: buffer(64, [1, 1, 32]),
        rows: 1,
        cols: 1,
        in_step: [1, 1],
        out_step: [1, 1],
        out_offset: [0, 0],
    };
    let phase = |i: u16| TapGemmStep {
        activation: Activation::Tanh,
        layer: 1,
        first_tap: 1,
        tap_count: 4,
        weights: 2,
        bias: 3,
        input: buffer(64, [2, 2, 8]),
        output: buffer(0, [4, 4, 1]),
        rows: 2,
        cols: 2,
        in_step: [1, 1],
        out_step: [2, 2],
        out_offset: [i / 2, i % 2],
    };
    Program {
        inputs: vec![Input { role: Role::Latent, offset: 0, shape: [1, 1, 4] }],
        output_shape: [4, 4, 1],
        range: [-1.0, 1.0],
        arena_bytes: 64 + 4 * 32,
        output_offset: 0,
        steps: core::iter::once(dense).chain((0..4).map(phase)).map(Step::TapGemm).collect(),
        tensors: vec![
            TensorData::F16((0..4 * 4).map(row).collect()),
            bias(4),
            TensorData::F16((0..4 * 8).map(row).collect()),
            bias(1),
        ],
        taps: vec![[0, 0], [0, 0], [0, -1], [-1, 0], [-1, -1]],
        axes: vec![],
        metadata: vec![("name".into(), "small".into()), ("layers".into(), "dense,conv".into())],
    }
}

fn small_file() -> AlignedBytes {
    small_program().to_bytes().expect("the program keeps the rules")
}

/// Makes the checksum fit the bytes again, as somebody who means harm would.
fn forge(file: &mut AlignedBytes) {
    let bytes = file.as_mut_slice();
    let crc = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);
    let mut digest = crc.digest();
    digest.update(&bytes[..12]);
    digest.update(&bytes[16..]);
    let value = digest.finalize();
    bytes[12..16].copy_from_slice(&value.to_le_bytes());
}

/// Draws, where the file loads.
fn draw(file: &[u8]) -> Option<Vec<f32>> {
    let model = Model::load(file).ok()?;
    // As firmware would: an arena of fixed size, larger requests are refused.
    let mut arena = vec![0.0; 1 << 16];
    let mut generator = Generator::new(&model, &mut arena).ok()?;
    if model.file().macs() > 1 << 24 {
        return None;
    }
    for index in 0..model.inputs().len() {
        fill_normal(1 + index as u64, generator.input(index));
    }
    Some(generator.run().values.to_vec())
}

fn tables_end(file: &[u8]) -> usize {
    let model = Model::load(file).expect("intact");
    file.len()
        - (0..model.file().tensor_count())
            .filter_map(|i| model.file().tensor(i))
            .map(|t| t.bytes())
            .sum::<usize>()
}

#[test]
fn an_intact_file_draws() {
    let picture = draw(&small_file()).expect("intact");
    assert_eq!(picture.len(), 16);
    assert!(picture.iter().all(|v| v.abs() <= 1.0));
    assert!(picture.iter().any(|v| *v != picture[0]));
}

#[test]
fn written_fields_are_read_back() {
    let program = small_program();
    let file = small_file();
    let read = File::parse(&file).expect("intact");
    assert_eq!(read.steps().collect::<Vec<_>>(), program.steps);
    assert_eq!(read.get("layers"), Some("dense,conv"));
    assert_eq!(read.get("layer"), None);
    assert_eq!((read.latent_dim(), read.output_shape(), read.arena_bytes()), (4, [4, 4, 1], 192));
    assert!(read.verify_sha256());
}

#[test]
fn truncation_at_every_byte_is_an_error() {
    let file = small_file();
    for len in 0..file.len() {
        assert!(Model::load(&AlignedBytes::copy(&file[..len])).is_err(), "{len} bytes of {}", file.len());
    }
}

#[test]
fn bytes_after_the_file_change_nothing() {
    let file = small_file();
    let longer: Vec<u8> = file.iter().copied().chain([0xff; 33]).collect();
    assert_eq!(draw(&AlignedBytes::copy(&longer)), draw(&file));
}

#[test]
fn a_misaligned_file_is_an_error() {
    let file = small_file();
    let shifted: Vec<u8> = core::iter::once(0).chain(file.iter().copied()).collect();
    assert!(Model::load(&AlignedBytes::copy(&shifted)[1..]).is_err());
}

#[test]
fn every_flipped_bit_is_noticed() {
    let mut file = small_file();
    for at in 0..file.len() {
        for bit in 0..8 {
            file.as_mut_slice()[at] ^= 1 << bit;
            assert!(Model::load(&file).is_err(), "bit {bit} of byte {at}");
            file.as_mut_slice()[at] ^= 1 << bit;
        }
    }
}

#[test]
fn forged_headers_and_tables_are_refused_or_draw() {
    let intact = small_file();
    let (mut refused, mut drawn) = (0, 0);
    for at in 0..tables_end(&intact) {
        for value in [0x00, 0x01, 0x7f, 0x80, 0xff, intact[at] ^ 0x10, intact[at].wrapping_add(1)] {
            let mut file = AlignedBytes::copy(&intact);
            file.as_mut_slice()[at] = value;
            forge(&mut file);
            match draw(&file) {
                Some(_) => drawn += 1,
                None => refused += 1,
            }
        }
    }
    println!("{refused} refused, {drawn} drawn");
    assert!(refused > 0 && drawn > 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn forged_words_are_refused_or_draw(
        words in prop::collection::vec((any::<prop::sample::Index>(), any::<u32>()), 1..4)
    ) {
        let mut file = small_file();
        let tables = tables_end(&file);
        for (index, word) in words {
            let at = 4 * index.index(tables / 4);
            file.as_mut_slice()[at..at + 4].copy_from_slice(&word.to_le_bytes());
        }
        forge(&mut file);
        draw(&file);
    }

    #[test]
    fn arbitrary_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        prop_assert!(Model::load(&AlignedBytes::copy(&bytes)).is_err());
    }
}

#[test]
fn a_small_arena_is_refused_with_both_numbers() {
    let file = small_file();
    let model = Model::load(&file).expect("intact");
    let mut arena = vec![0.0; model.arena_len() - 1];
    let error = Generator::new(&model, &mut arena).expect_err("one value too few");
    assert_eq!(error.to_string(), "the arena has 188 bytes, the model needs 192");
}

#[test]
fn programs_that_break_a_rule_are_not_written() {
    type Break = fn(&mut Program);
    fn gemm(program: &mut Program, index: usize) -> &mut TapGemmStep {
        match &mut program.steps[index] {
            Step::TapGemm(step) => step,
            step => panic!("{step:?}"),
        }
    }
    let breaks: [(&str, Break); 8] = [
        ("overlap", |p| gemm(p, 0).output.offset = 8),
        ("beyond the arena", |p| p.arena_bytes = 64),
        ("outside the output", |p| gemm(p, 1).out_offset = [2, 2]),
        ("weights of another size", |p| gemm(p, 1).tap_count = 3),
        ("no such tensor", |p| gemm(p, 1).bias = 9),
        ("half-precision bias", |p| gemm(p, 1).bias = 0),
        ("far tap", |p| p.taps[1] = [0, 4097]),
        ("black is white", |p| p.range = [1.0, 1.0]),
    ];
    for (name, change) in breaks {
        let mut program = small_program();
        change(&mut program);
        assert!(program.to_bytes().is_err(), "{name}");
    }
}
