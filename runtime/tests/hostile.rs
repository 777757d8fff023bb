//! Files that are damaged or made to harm: an error or a picture, never a panic, a hang or a read out of bounds.

#[path = "shared/programs.rs"]
#[allow(dead_code, reason = "each test takes what it needs")]
mod programs;

use core::cell::Cell;

use pocketgan_format::{
    Activation, AlignedBytes, Axis, Combine, File, FormatError, Function, Input, NestStep, Operand, Program,
    Role, Step, TapGemmStep, ValueType,
};
use pocketgan_runtime::latent::fill_normal;
use pocketgan_runtime::{Generator, Kernels, Model, dispatch};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

/// A file of each kind.
fn files() -> [AlignedBytes; 2] {
    [programs::tap_gemms(), programs::nests()]
        .map(|program| program.to_bytes().expect("the program keeps the rules"))
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

/// Draws, where the file loads and the picture is quick.
fn draw(file: &[u8]) -> Option<Vec<f32>> {
    draw_with(file, dispatch::best())
}

fn draw_with(file: &[u8], kernels: Kernels) -> Option<Vec<f32>> {
    let model = Model::load(file).ok()?;
    // As firmware would: an arena of fixed size, larger requests are refused.
    let mut arena = vec![0.0; 1 << 16];
    let mut expanded = vec![0.0; 1 << 16];
    let mut generator = Generator::with_kernels(&model, &mut arena, kernels).ok()?;
    let file = model.file();
    let positions = |step: &Step| match step {
        Step::TapGemm(step) => step.macs(),
        Step::Nest(step) => step.iterations(&file.axes(step)),
    };
    if file.steps().map(|step| positions(&step)).sum::<u64>() > 1 << 20 {
        return None;
    }
    let len = generator.expansion_len().min(expanded.len());
    generator.expand(&mut expanded[..len]);
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
    for file in files() {
        let picture = draw(&file).expect("intact");
        assert_eq!(picture.len(), 16);
        assert!(picture.iter().all(|v| v.abs() <= 1.0));
        assert!(picture.iter().any(|v| *v != picture[0]));
    }
}

#[test]
fn written_fields_are_read_back() {
    for (program, file) in [programs::tap_gemms(), programs::nests()].into_iter().zip(files()) {
        let read = File::parse(&file).expect("intact");
        assert_eq!(read.steps().collect::<Vec<_>>(), program.steps);
        assert_eq!(read.inputs().collect::<Vec<_>>(), program.inputs);
        for (step, read) in program.steps.iter().zip(read.steps()) {
            assert_eq!(*step, read);
        }
        for step in program.steps.iter().filter_map(nest) {
            let first = step.first_axis as usize;
            assert_eq!(*read.axes(step), program.axes[first..][..step.axis_count.into()]);
        }
        assert_eq!((read.output_shape(), read.arena_bytes()), ([4, 4, 1], program.arena_bytes as usize));
        assert!(read.verify_sha256());
    }
    let [tap_gemms, nests] = files();
    let read = File::parse(&tap_gemms).expect("intact");
    assert_eq!((read.get("layers"), read.get("layer")), (Some("dense,conv"), None));
    assert_eq!((read.latent_dim(), read.input_name(0)), (4, None));
    let read = File::parse(&nests).expect("intact");
    assert_eq!([0, 1, 2, 3].map(|i| read.input_name(i)), [Some("z"), Some("label"), Some("x"), None]);
}

fn nest(step: &Step) -> Option<&NestStep> {
    if let Step::Nest(step) = step { Some(step) } else { None }
}

#[test]
fn truncation_at_every_byte_is_an_error() {
    for file in files() {
        for len in 0..file.len() {
            let cut = AlignedBytes::copy(&file[..len]);
            assert!(Model::load(&cut).is_err(), "{len} bytes of {}", file.len());
        }
    }
}

#[test]
fn bytes_after_the_file_change_nothing() {
    for file in files() {
        let longer: Vec<u8> = file.iter().copied().chain([0xff; 33]).collect();
        assert_eq!(draw(&AlignedBytes::copy(&longer)), draw(&file));
    }
}

#[test]
fn a_misaligned_file_is_an_error() {
    let [file, _] = files();
    let shifted: Vec<u8> = core::iter::once(0).chain(file.iter().copied()).collect();
    assert!(Model::load(&AlignedBytes::copy(&shifted)[1..]).is_err());
}

#[test]
fn a_file_of_version_1_is_refused_by_its_number() {
    let file = AlignedBytes::copy(include_bytes!("data/version-1.pgan"));
    let error = Model::load(&file).expect_err("another version");
    assert_eq!(error, FormatError::UnsupportedVersion { found: 1 });
    assert_eq!(error.to_string(), "format version 1, this reader knows 2: export the model again");
}

#[test]
fn every_flipped_bit_is_noticed() {
    for mut file in files() {
        for at in 0..file.len() {
            for bit in 0..8 {
                file.as_mut_slice()[at] ^= 1 << bit;
                assert!(Model::load(&file).is_err(), "bit {bit} of byte {at}");
                file.as_mut_slice()[at] ^= 1 << bit;
            }
        }
    }
}

#[test]
fn forged_headers_and_tables_are_refused_or_draw() {
    for intact in files() {
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
}

/// The sum of both must not come back to the file's length where an address has 32 bits.
#[test]
fn sections_longer_than_the_file_are_refused() {
    const WEIGHTS_BYTES: usize = 112;
    const LEARNING_BYTES: usize = 116;
    let [intact, _] = files();
    let weights = u32::from_le_bytes([0, 1, 2, 3].map(|i| intact[WEIGHTS_BYTES + i]));
    let len = intact.len() as u32;
    for (at, value, field) in [
        (WEIGHTS_BYTES, (1 << 31) - 16, "weights_bytes"),
        (WEIGHTS_BYTES, len.next_multiple_of(16) + 16, "weights_bytes"),
        (LEARNING_BYTES, (1 << 31) - 1, "learning_bytes"),
        (LEARNING_BYTES, len - weights + 1, "learning_bytes"),
    ] {
        let mut file = AlignedBytes::copy(&intact);
        file.as_mut_slice()[at..at + 4].copy_from_slice(&value.to_le_bytes());
        forge(&mut file);
        assert_eq!(Model::load(&file).err(), Some(FormatError::Header { field }), "{value}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn forged_words_are_refused_or_draw(
        nests in any::<bool>(),
        words in prop::collection::vec((any::<prop::sample::Index>(), any::<u32>()), 1..4)
    ) {
        let [tap_gemms, with_nests] = files();
        let mut file = if nests { with_nests } else { tap_gemms };
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

/// Numbers that are small as a rule, and now and then anything.
fn mostly<T: Arbitrary>(small: impl Strategy<Value = T>) -> impl Strategy<Value = T> {
    prop_oneof![30 => small, 1 => any::<T>()]
}

/// Any loop nest at all, on an arena of 64 values and two tensors of 16.
fn any_nest() -> impl Strategy<Value = (NestStep, Vec<Axis>)> {
    let axis = (mostly(0..6_u32), mostly(-4..5_i32), mostly(-4..5_i32), mostly(-8..9_i32))
        .prop_map(|(extent, a, b, out)| Axis { extent, a, b, out });
    let offset = || mostly((0..66_u32).prop_map(|value| 4 * value));
    let operand = || {
        prop_oneof![
            3 => offset().prop_map(|offset| Operand::Arena { offset }),
            2 => mostly((0..132_u32).prop_map(|value| 2 * value)).prop_map(|offset| Operand::ArenaF16 { offset }),
            1 => (0..3_u32, mostly(0..20_u32)).prop_map(|(index, start)| Operand::Tensor { index, start }),
            1 => any::<f32>().prop_map(Operand::Scalar),
        ]
    };
    let code = (0..Function::ALL.len(), prop::sample::select(&[Combine::Sum, Combine::Max][..]));
    let axes = prop::collection::vec(axis, 0..5);
    let output = (offset(), prop::sample::select(&[ValueType::F32, ValueType::F16][..]));
    let activation =
        prop::sample::select(&[Activation::Identity, Activation::Relu, Activation::LeakyRelu(f32::NAN)][..]);
    let end = (prop::option::of(operand()), activation);
    (code, axes, mostly(0..3_u8), operand(), operand(), end, output, any::<bool>()).prop_map(
        |(
            (function, combine),
            mut axes,
            reduced,
            a,
            b,
            (shift, activation),
            (output, output_values),
            tidy,
        )| {
            let function = Function::ALL[function];
            if tidy {
                axes.iter_mut().for_each(|axis| axis.extent = axis.extent.max(1));
                axes.iter_mut().rev().take(reduced.into()).for_each(|axis| axis.out = 0);
            }
            let b = if function.is_unary() && tidy { Operand::Scalar(0.0) } else { b };
            let axis_count = axes.len() as u8;
            let (layer, first_axis) = (0, 0);
            (
                NestStep {
                    shift,
                    activation,
                    function,
                    combine,
                    layer,
                    first_axis,
                    axis_count,
                    reduced,
                    a,
                    b,
                    output,
                    output_values,
                },
                axes,
            )
        },
    )
}

#[test]
fn any_nest_is_refused_or_gives_the_same_with_every_kernel() {
    let (refused, drawn) = (Cell::new(0), Cell::new(0));
    let mut runner = TestRunner::new(ProptestConfig::with_cases(20_000));
    let outcome = runner.run(&any_nest(), |(step, axes)| {
        let mut builder = programs::Builder::new(&[(Role::Latent, [1, 8, 8])]);
        builder.tensor(&[1.5; 16]);
        builder.tensor(&[-0.5; 16]);
        builder.program.steps.push(Step::Nest(step));
        builder.program.axes = axes;
        builder.program.output_shape = [8, 8, 1];
        let Ok(file) = builder.program.to_bytes() else {
            refused.set(refused.get() + 1);
            return Ok(());
        };
        drawn.set(drawn.get() + 1);
        let bits = |kernels: Kernels| -> Option<Vec<u32>> {
            // Which NaN is left open.
            let bits = |v: f32| if v.is_nan() { f32::NAN.to_bits() } else { v.to_bits() };
            Some(draw_with(&file, kernels)?.into_iter().map(bits).collect())
        };
        let mut pictures = dispatch::available().into_iter().flatten().map(bits);
        let first = pictures.next().expect("the reference is always there");
        prop_assert!(pictures.all(|picture| picture == first));
        Ok(())
    });
    println!("{} refused, {} drawn", refused.get(), drawn.get());
    outcome.expect("no counterexample");
    assert!(refused.get() > 1000 && drawn.get() > 1000);
}

#[test]
fn a_small_arena_is_refused_with_both_numbers() {
    let [file, _] = files();
    let model = Model::load(&file).expect("intact");
    let mut arena = vec![0.0; model.arena_len() - 1];
    let error = Generator::new(&model, &mut arena).expect_err("one value too few");
    assert_eq!(error.to_string(), "the arena has 188 bytes, the model needs 192");
}

type Break = fn(&mut Program);

/// Each with the words that say what is wrong.
fn are_not_written(sound: fn() -> Program, breaks: &[(&str, &str, Break)]) {
    assert!(sound().to_bytes().is_ok());
    for (name, field, change) in breaks {
        let mut program = sound();
        change(&mut program);
        let error = program.to_bytes().expect_err(name).to_string();
        assert!(format!(" {error}").contains(&format!(" {field} ")), "{name}: {error}");
    }
}

#[test]
fn programs_that_break_a_rule_are_not_written() {
    fn gemm(program: &mut Program, index: usize) -> &mut TapGemmStep {
        match &mut program.steps[index] {
            Step::TapGemm(step) => step,
            step => panic!("{step:?}"),
        }
    }
    are_not_written(
        programs::tap_gemms,
        &[
            ("overlap", "output.offset", |p| gemm(p, 0).output.offset = 8),
            ("beyond the arena", "output", |p| p.arena_bytes = 64),
            ("outside the output", "out_offset", |p| gemm(p, 1).out_offset = [2, 2]),
            ("weights of another size", "weights", |p| gemm(p, 1).tap_count = 3),
            ("no such tensor", "bias", |p| gemm(p, 1).bias = 9),
            ("half-precision bias", "bias", |p| gemm(p, 1).bias = 0),
            ("far tap", "tap 1", |p| p.taps[1] = [0, 4097]),
            ("black is white", "low, high", |p| p.range = [1.0, 1.0]),
            ("a layer left out", "layer", |p| gemm(p, 1).layer = 2),
            ("no step", "step_count", |p| p.steps.clear()),
            ("no channel", "channels", |p| p.output_shape[2] = 0),
            ("no input", "input_count", |p| p.inputs.clear()),
            ("too many inputs", "input_count", |p| {
                p.arena_bytes = 1 << 10;
                let input = |i| Input { role: Role::Values, offset: 4 * i, shape: [1; 3] };
                p.inputs = (100_u32..117).map(input).collect();
            }),
            ("inputs that overlap", "offset", |p| p.inputs.push(Input { offset: 12, ..p.inputs[0] })),
            ("an input beyond the arena", "offset", |p| p.inputs[0].offset = p.arena_bytes - 12),
            ("an input between two values", "offset", |p| p.inputs[0].offset = 2),
            ("an empty input", "height, width, channels", |p| p.inputs[0].shape[1] = 0),
            ("a wide input", "height, width, channels", |p| p.inputs[0].shape[1] = 65_536),
            ("a label of many values", "height, width, channels", |p| p.inputs[0].role = Role::Label),
        ],
    );
}

#[test]
fn nests_that_break_a_rule_are_not_written() {
    fn nest(program: &mut Program, index: usize) -> &mut NestStep {
        match &mut program.steps[index] {
            Step::Nest(step) => step,
            step => panic!("{step:?}"),
        }
    }
    // Steps 0: take; 1: add in place; 2: product of matrices; 3: less; 4: select; 5: largest; 6: product; 7: tanh.
    are_not_written(
        programs::nests,
        &[
            ("an axis of no extent", "axes", |p| p.axes[2].extent = 0),
            ("no such axis", "axis_count", |p| nest(p, 7).first_axis += 1),
            ("the first axis far away", "axis_count", |p| nest(p, 7).first_axis = u32::MAX),
            ("more axes than one step may have", "axes", |p| {
                p.axes = vec![Axis { extent: 1, ..Axis::default() }; 20];
                nest(p, 7).first_axis = 0;
                nest(p, 7).axis_count = 9;
                p.steps.drain(..7);
                nest(p, 0).layer = 0;
            }),
            ("more reduced axes than axes", "reduced", |p| nest(p, 2).reduced = 4),
            ("a reduced axis that moves the result", "axes", |p| nest(p, 2).reduced = 2),
            ("take that reduces", "reduced", |p| nest(p, 0).reduced = 1),
            ("take without a table", "axis_count", |p| nest(p, 0).axis_count = 0),
            ("a table that moves the index", "axes", |p| p.axes[1].b = 1),
            ("a table that moves the result", "axes", |p| p.axes[1].out = 1),
            ("a table beyond its tensor", "a", |p| p.axes[1].extent = 6),
            ("take in place", "output", |p| nest(p, 0).output = p.inputs[1].offset),
            ("select that reduces", "reduced", |p| {
                p.axes[6].out = 0;
                nest(p, 4).reduced = 1;
            }),
            ("operand before the arena", "a", |p| p.axes[7].a = -100),
            ("operand beyond the arena", "a", |p| p.axes[7].a = 100),
            ("operand beyond its tensor", "b", |p| p.axes[4].b = 100),
            ("start beyond its tensor", "b", |p| {
                nest(p, 2).b = Operand::Tensor { index: 1, start: u32::MAX }
            }),
            ("no such tensor", "b", |p| nest(p, 2).b = Operand::Tensor { index: 2, start: 0 }),
            ("operand between two values", "b", |p| nest(p, 1).b = Operand::Arena { offset: 2 }),
            ("result between two values", "output", |p| nest(p, 1).output += 2),
            ("result beyond the arena", "output", |p| p.axes[2].out = i32::MAX),
            ("huge extent", "output", |p| p.axes[4].extent = u32::MAX),
            ("reaches that overflow", "output", |p| {
                for axis in &mut p.axes[3..6] {
                    *axis = Axis { extent: u32::MAX, a: i32::MIN, b: i32::MAX, out: axis.out };
                }
            }),
            ("result overlaps an operand", "output", |p| nest(p, 1).output += 4),
            ("in place with another stride", "output", |p| p.axes[2].a = 0),
            ("in place, every value many times", "output", |p| {
                let axis = &mut p.axes[2];
                (axis.a, axis.out) = (0, 0);
            }),
            ("in place and reduced", "output", |p| {
                nest(p, 5).a = Operand::Arena { offset: nest(p, 5).output }
            }),
            ("an activation of what is reduced", "activation", |p| nest(p, 2).activation = Activation::Relu),
            ("a shift of what is chosen", "activation", |p| nest(p, 4).shift = Some(Operand::Scalar(1.0))),
            ("a slope that is none", "slope", |p| {
                nest(p, 1).activation = Activation::LeakyRelu(f32::INFINITY)
            }),
            ("a shift beyond its tensor", "shift", |p| {
                nest(p, 1).shift = Some(Operand::Tensor { index: 1, start: u32::MAX })
            }),
            ("result overlaps the shift", "output", |p| {
                nest(p, 1).shift = Some(Operand::Arena { offset: nest(p, 1).output + 4 })
            }),
            ("a second operand of a function of one", "b", |p| nest(p, 7).b = Operand::Scalar(-0.0)),
            ("too much work", "axes", |p| {
                let axis = |extent| Axis { extent, ..Axis::default() };
                let first = p.axes.len() as u32;
                p.axes.extend([axis(1 << 20), axis(1 << 17)]);
                let step = nest(p, 6);
                (step.first_axis, step.axis_count, step.output) = (first, 2, 0);
            }),
        ],
    );
}
