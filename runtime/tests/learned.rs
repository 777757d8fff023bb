//! Models with a delta draw what a file with those values would.

#[path = "shared/deltas.rs"]
#[allow(dead_code, reason = "each test takes what it needs")]
mod deltas;
#[path = "shared/programs.rs"]
#[allow(dead_code, reason = "each test takes what it needs")]
mod programs;

use deltas::{Part, delta, factor, parts, replace, rewritten};
use half::f16;
use pocketgan_format::{
    Activation, AlignedBytes, Buffer, Combine, Delta, DeltaError, File, Function, Operand, Program, Step,
    TensorData, ValueType,
};
use pocketgan_runtime::latent::fill_normal;
use pocketgan_runtime::{Generator, Kernels, Model, dispatch};

/// The tap GEMMs, their activations in half precision, with some activation at the end.
fn halves(last: Activation) -> Program {
    let mut program = programs::tap_gemms();
    program.arena_bytes = 256;
    program.output_offset = 192;
    let halved = |buffer: &mut Buffer, offset| buffer.offset = offset;
    for step in &mut program.steps {
        let Step::TapGemm(step) = step else { continue };
        step.layer += 1;
        step.values = ValueType::F16;
        if step.layer == 1 {
            step.activation = Activation::Relu;
            halved(&mut step.input, 16);
            halved(&mut step.output, 64);
        } else {
            step.activation = last;
            halved(&mut step.input, 64);
            halved(&mut step.output, 128);
        }
    }
    let mut builder = programs::Builder { program };
    let axes = |extent| [[extent, 1, 0, 1]];
    let unary = (Function::Identity, Combine::Sum);
    builder.nest(unary, &axes(4), 0, (programs::arena(0), programs::NONE, 16));
    let first = builder.program.steps.pop().expect("just added");
    builder.program.steps.insert(0, first);
    builder.nest(unary, &axes(16), 0, (Operand::ArenaF16 { offset: 128 }, programs::NONE, 192));
    let count = builder.program.steps.len();
    if let [Step::Nest(into), .., Step::Nest(out)] = &mut builder.program.steps[..count] {
        (into.layer, into.output_values, out.layer) = (0, ValueType::F16, 3);
    }
    builder.program
}

fn bytes(program: &Program) -> AlignedBytes {
    program.to_bytes().expect("a sound program")
}

fn draw(model: &Model<'_>, kernels: Kernels) -> Vec<u32> {
    let mut arena = vec![f32::NAN; model.arena_len()];
    let mut generator = Generator::with_kernels(model, &mut arena, kernels).expect("as long as it asks for");
    fill_normal(5, generator.input(0));
    generator.run().values.iter().map(|v| v.to_bits()).collect()
}

fn every_kernel() -> impl Iterator<Item = Kernels> {
    dispatch::available().into_iter().chain(dispatch::available_exact()).flatten()
}

/// A model with these parts and a model of the other program draw the same bits, which are others than the base's.
fn same_bits(program: &Program, parts: &[Part], other: &Program) {
    let (base, other) = (bytes(program), bytes(other));
    let [model, other] = [&base, &other].map(|bytes| Model::load(bytes).expect("sound"));
    let delta = delta(model.file(), parts);
    let learned = model.with_delta(Delta::parse(&delta).expect("sound"), f32::INFINITY).expect("it fits");
    for kernels in every_kernel() {
        let picture = draw(&learned, kernels);
        assert_eq!(picture, draw(&other, kernels), "{}", kernels.name);
        assert_ne!(picture, draw(&model, kernels), "{}", kernels.name);
    }
}

#[test]
fn the_base_s_own_values_change_nothing() {
    for program in [programs::tap_gemms(), halves(Activation::Tanh)] {
        let base = bytes(&program);
        let model = Model::load(&base).expect("sound");
        let mut parts = parts(&program, |v| v);
        parts.insert(2, (factor(1), ValueType::F32, vec![1.0; 32]));
        let delta = delta(model.file(), &parts);
        let delta = Delta::parse(&delta).expect("sound");
        let learned = model.with_delta(delta, 0.0).expect("it fits, and leads nowhere");
        assert_eq!(learned.delta().expect("in use").bytes(), delta.bytes());
        assert!(model.delta().is_none());
        for kernels in every_kernel() {
            // A factor of 1 is a product more, and in half precision nothing is rounded that was not.
            assert_eq!(draw(&learned, kernels), draw(&model, kernels), "{}", kernels.name);
        }
    }
}

#[test]
fn other_values_draw_what_a_rewritten_file_draws() {
    for program in [programs::tap_gemms(), halves(Activation::Tanh)] {
        let all = parts(&program, |v| v * 1.1 - 0.03);
        for parts in [&all[..], &all[..1], &all[1..2], &all[2..3], &all[3..]] {
            same_bits(&program, parts, &rewritten(program.clone(), parts));
        }
    }
}

#[test]
fn a_delta_is_replaced_by_the_next() {
    let base = bytes(&programs::tap_gemms());
    let model = Model::load(&base).expect("sound");
    let all = parts(&programs::tap_gemms(), |v| 0.5 * v);
    let [one, two] = [&all[..2], &all[2..]].map(|parts| delta(model.file(), parts));
    let [one, two] = [&one, &two].map(|bytes| Delta::parse(bytes).expect("sound"));
    let with = |model: &Model<'_>| draw(model, dispatch::best());
    let both = model.with_delta(one, 1.0).expect("it fits").with_delta(two, 1.0).expect("it fits");
    assert_eq!(with(&both), with(&model.with_delta(two, 1.0).expect("it fits")));
    assert!(model.with_delta(one, 0.4).is_err());
}

/// Factors for the layers with this bias, and the program with its weights and bias multiplied by them, as `f32` or as they
/// were.
fn scaled(program: &Program, [weights, bias]: [usize; 2], factors: &[f32], single: bool) -> (Part, Program) {
    let mut other = program.clone();
    let TensorData::F32(rows) = &mut other.tensors[bias] else { panic!("biases are f32") };
    for (value, factor) in rows.as_flattened_mut().iter_mut().zip(factors) {
        *value *= factor;
    }
    let TensorData::F16(rows) = &program.tensors[weights] else { panic!("weights are f16") };
    let each = rows.len() / (factors.len() / 8);
    let row = |(index, row): (usize, &[f16; 8])| -> [f32; 8] {
        core::array::from_fn(|lane| row[lane].to_f32() * factors[index / each * 8 + lane])
    };
    let rows = rows.iter().enumerate().map(row);
    other.tensors[weights] = if single {
        TensorData::F32(rows.collect())
    } else {
        TensorData::F16(rows.map(|row| row.map(f16::from_f32)).collect())
    };
    ((factor(bias as u32), ValueType::F32, factors.to_vec()), other)
}

#[test]
fn factors_that_are_powers_of_two_draw_the_bits_of_scaled_weights() {
    let powers = [2.0, 0.5, -1.0, 4.0, 0.25, -2.0, 1.0, -0.5];
    for program in [programs::tap_gemms(), halves(Activation::Relu), halves(Activation::Identity)] {
        // Every product and every sum is scaled, and rounds as before; no value is subnormal.
        let dense: Vec<f32> = powers.iter().copied().cycle().skip(3).take(32).collect();
        for (tensors, factors) in [([0, 1], &dense[..]), ([2, 3], &powers[..])] {
            let (part, other) = scaled(&program, tensors, factors, false);
            same_bits(&program, &[part], &other);
        }
    }
}

/// The file that a delta has become part of.
fn applied(program: &Program, parts: &[Part]) -> Result<AlignedBytes, DeltaError> {
    let base = bytes(program);
    let file = File::parse(&base).expect("sound");
    file.with_delta(&Delta::parse(&delta(&file, parts)).expect("sound"))
}

#[test]
fn a_delta_becomes_part_of_the_file() {
    let program = programs::tap_gemms();
    let powers = [2.0, 0.5, -1.0, 4.0, 0.25, -2.0, 1.0, -0.5];
    let (factors, scaled) = scaled(&program, [2, 3], &powers, false);
    let mut all = parts(&scaled, |v| v * 1.1 - 0.03);
    all.truncate(2);
    let expected = bytes(&rewritten(scaled, &all));
    all.push(factors);
    assert_eq!(applied(&program, &all).as_deref(), Ok(&expected[..]));
}

#[test]
fn factors_stay_outside_a_file_that_has_no_place_for_them() {
    let part = |tensor, factor_of: f32| (factor(tensor), ValueType::F32, vec![factor_of; 8]);
    // Another bias for the last of the phases that share weights, and weights 2 for the layers with a bias before and after.
    let mut program = programs::tap_gemms();
    program.tensors.push(program.tensors[3].clone());
    let Some(Step::TapGemm(last)) = program.steps.last_mut() else { panic!("a tap GEMM") };
    last.bias = 4;
    assert_eq!(applied(&program, &[part(3, 1.5)]).err(), Some(DeltaError::Shared { step: 4, tensor: 2 }));
    assert_eq!(applied(&program, &[part(4, 1.5)]).err(), Some(DeltaError::Shared { step: 1, tensor: 2 }));
    // A loop nest reads the weights, or the bias.
    for tensor in [2, 3] {
        let mut builder = programs::Builder { program: programs::tap_gemms() };
        let views = (Operand::Tensor { index: tensor, start: 0 }, programs::NONE, 64);
        builder.nest((Function::Identity, Combine::Sum), &[[8, 1, 0, 1]], 0, views);
        let Some(Step::Nest(nest)) = builder.program.steps.last_mut() else { panic!("a nest") };
        nest.layer = 2;
        let refused = Some(DeltaError::Shared { step: 5, tensor });
        assert_eq!(applied(&builder.program, &[part(3, 1.5)]).err(), refused);
    }
    // The largest half is 65,504.
    let mut program = programs::tap_gemms();
    let TensorData::F16(rows) = &mut program.tensors[2] else { panic!("weights are f16") };
    rows[5][3] = f16::from_f32(40_000.0);
    assert_eq!(applied(&program, &[part(3, 2.0)]).err(), Some(DeltaError::NotFinite { index: 0 }));
    assert!(applied(&program, &[part(3, 1.5)]).is_ok());
}

#[test]
fn any_factors_draw_scaled_weights_in_single_precision() {
    let program = programs::tap_gemms();
    let base = bytes(&program);
    let model = Model::load(&base).expect("sound");
    let factors: Vec<f32> = (0..32).map(|i| 1.3 - i as f32 * 0.07).collect();
    let (dense, other) = scaled(&program, [0, 1], &factors, true);
    let (last, other) = scaled(&other, [2, 3], &[0.7; 8], true);
    let delta = delta(model.file(), &[dense, last]);
    let learned = model.with_delta(Delta::parse(&delta).expect("sound"), f32::INFINITY).expect("it fits");
    let other = bytes(&other);
    let other = Model::load(&other).expect("sound");

    // A sum of k products and a bias, in any order, with k further roundings of scaled weights or one of a factor, is off by
    // (k + 3) eps/2 of the sum of magnitudes s on each side (Higham 2002, section 3.1). The first layer's error then
    // passes through the second; tanh shrinks it and adds 1e-7 on each side.
    let largest = |index: usize| -> f32 {
        let TensorData::F16(rows) = &program.tensors[index] else { panic!("weights are f16") };
        rows.as_flattened().iter().fold(0.0, |most, v| most.max(v.to_f32().abs()))
    };
    let mut latent = [0.0; 4];
    fill_normal(5, &mut latent);
    let z = latent.iter().fold(0.0_f32, |most, v| most.max(v.abs()));
    let s = 1.3 * (4.0 * largest(0) * z + 0.125);
    let hidden = (4.0 + 3.0) * f32::EPSILON * s;
    let s = 0.7 * (32.0 * largest(2) * s + 0.125);
    let atol = 0.7 * 32.0 * largest(2) * hidden + (32.0 + 3.0) * f32::EPSILON * s + 2e-7;
    assert!(atol < 1e-3, "{atol}");
    for kernels in every_kernel() {
        let pictures = [&learned, &other, &model].map(|model| draw(model, kernels));
        let value = |picture: &[u32], i: usize| f32::from_bits(picture[i]);
        let far = |a: &[u32], b: &[u32]| {
            (0..16).fold(0.0_f32, |most, i| most.max((value(a, i) - value(b, i)).abs()))
        };
        let [ours, expected, before] = &pictures;
        assert!(far(ours, expected) <= atol, "{}: {} > {atol}", kernels.name, far(ours, expected));
        assert!(far(ours, before) > 100.0 * atol, "{}", kernels.name);
    }
}

/// Every kind of change at once.
fn mixed(program: &Program) -> Vec<Part> {
    let mut all = parts(program, |v| v * 0.9 + 0.02);
    all.truncate(2);
    all.push((factor(1), ValueType::F32, (0..32).map(|i| 0.8 + i as f32 / 50.0).collect()));
    all.push((factor(3), ValueType::F32, vec![1.7; 8]));
    all
}

#[test]
fn exact_kernels_draw_the_same_bits() {
    for program in [programs::tap_gemms(), halves(Activation::Sigmoid)] {
        let base = bytes(&program);
        let model = Model::load(&base).expect("sound");
        let delta = delta(model.file(), &mixed(&program));
        let learned = model.with_delta(Delta::parse(&delta).expect("sound"), f32::INFINITY).expect("it fits");
        let mut pictures =
            dispatch::available_exact().into_iter().flatten().map(|k| (k.name, draw(&learned, k)));
        let (_, reference) = pictures.next().expect("the reference is always there");
        let mut others = 0;
        for (name, picture) in pictures {
            assert_eq!(picture, reference, "{name}");
            others += 1;
        }
        assert!(others > 0);
    }
}

#[test]
fn many_pictures_are_those_drawn_alone() {
    /// More than kernels see at once.
    const PICTURES: usize = 21;
    for program in [programs::tap_gemms(), halves(Activation::Tanh)] {
        let base = bytes(&program);
        let model = Model::load(&base).expect("sound");
        let delta = delta(model.file(), &mixed(&program));
        let model = model.with_delta(Delta::parse(&delta).expect("sound"), f32::INFINITY).expect("it fits");
        let mut one = vec![0.0; model.arena_len()];
        let mut many = vec![f32::NAN; PICTURES * model.arena_len()];
        // One order of additions, whoever else is in the batch.
        for kernels in dispatch::available_exact().into_iter().flatten() {
            let mut alone = Generator::with_kernels(&model, &mut one, kernels).expect("long enough");
            let mut together = Generator::with_kernels(&model, &mut many, kernels).expect("long enough");
            (0..PICTURES).for_each(|i| fill_normal(i as u64, together.input_of(i, 0)));
            together.run_batch(PICTURES);
            for picture in 0..PICTURES {
                fill_normal(picture as u64, alone.input(0));
                assert_eq!(alone.run().values, together.image(picture).values, "{}", kernels.name);
            }
        }
    }
}

/// Two dense layers of so many products that threads share each; half precision between nests.
#[cfg(feature = "rayon")]
fn wide(values: ValueType) -> Program {
    const N: u16 = 1024;
    let bytes = 4 * u32::from(N);
    let mut builder = programs::Builder::new(&[(pocketgan_format::Role::Latent, [1, 1, N.into()])]);
    let [a, b, picture] = [0; 3].map(|_| builder.reserve(N.into()));
    let numbers = |len: u32| -> Vec<f32> {
        (0..len).map(|i| (i % 1009 * 7919 % 1009) as f32 / 16_000.0 - 0.03).collect()
    };
    let weights = builder.tensor(&numbers(u32::from(N) * u32::from(N)));
    builder.program.tensors.push(TensorData::F32(vec![[0.125; 8]; usize::from(N) / 8]));
    builder.program.taps = vec![[0, 0]];
    let buffer = |offset| Buffer { offset, height: 1, width: 1, channels: N, pixel_stride: N };
    let nest = (Function::Identity, Combine::Sum);
    builder.nest(nest, &[[N.into(), 1, 0, 1]], 0, (programs::arena(0), programs::NONE, a));
    builder.program.steps.push(Step::TapGemm(pocketgan_format::TapGemmStep {
        accumulate: false,
        activation: Activation::Tanh,
        layer: 1,
        first_tap: 0,
        tap_count: 1,
        weights,
        bias: weights + 1,
        input: buffer(a),
        output: buffer(b),
        rows: 1,
        cols: 1,
        in_step: [1, 1],
        out_step: [1, 1],
        out_offset: [0, 0],
        values,
    }));
    let drawn = match values {
        ValueType::F32 => programs::arena(b),
        ValueType::F16 => Operand::ArenaF16 { offset: b },
    };
    builder.nest(nest, &[[N.into(), 1, 0, 1]], 0, (drawn, programs::NONE, picture));
    if let Step::Nest(step) = &mut builder.program.steps[0] {
        step.output_values = values;
    }
    builder.program.output_offset = picture;
    builder.program.output_shape = [32, 32, 1];
    assert_eq!(builder.program.arena_bytes, 4 * bytes);
    builder.program
}

#[cfg(feature = "rayon")]
#[test]
fn threads_draw_what_one_draws() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().expect("three threads can be had");
    for values in [ValueType::F32, ValueType::F16] {
        let base = bytes(&wide(values));
        let model = Model::load(&base).expect("sound");
        let factors = (0..1024).map(|i| 0.5 + i as f32 / 1024.0).collect();
        let delta = delta(model.file(), &[(factor(1), ValueType::F32, factors)]);
        let model = model.with_delta(Delta::parse(&delta).expect("sound"), f32::INFINITY).expect("it fits");
        let mut arena = vec![0.0; 5 * model.arena_len()];
        let kernels = dispatch::exact();
        let mut generator = Generator::with_kernels(&model, &mut arena, kernels).expect("long enough");
        generator.run_batch_in(&pool, 0);
        for count in [1, 5] {
            let fill = |generator: &mut Generator<'_, '_>| {
                (0..count).for_each(|i| fill_normal(i as u64, generator.input_of(i, 0)));
            };
            fill(&mut generator);
            generator.run_batch(count);
            let expected: Vec<Vec<f32>> = (0..count).map(|i| generator.image(i).values.to_vec()).collect();
            fill(&mut generator);
            generator.run_batch_in(&pool, count);
            for (picture, expected) in expected.iter().enumerate() {
                assert_eq!(generator.image(picture).values, expected, "picture {picture} of {count}");
            }
        }
    }
}

#[test]
fn a_file_says_nothing_of_what_was_learned() {
    let mut program = programs::tap_gemms();
    program.metadata.push(("exact".into(), "7 0000beef".into()));
    let base = bytes(&program);
    let model = Model::load(&base).expect("sound");
    let delta = delta(model.file(), &[(factor(3), ValueType::F32, vec![1.5; 8])]);
    let learned = model.with_delta(Delta::parse(&delta).expect("sound"), 1.0).expect("it fits");
    assert!(model.conformance().is_some());
    assert_eq!(learned.conformance(), None);
}

#[test]
fn only_what_is_named_is_replaced() {
    // Tensors of the discriminator have indices of their own.
    let program = programs::tap_gemms();
    let base = bytes(&program);
    let model = Model::load(&base).expect("sound");
    let mut parts = parts(&program, |v| v + 1.0);
    for (target, ..) in &mut parts {
        target.network = pocketgan_format::Network::Discriminator;
    }
    parts.insert(0, (replace(3), ValueType::F32, vec![0.125; 8]));
    let delta = delta(model.file(), &parts);
    let learned = model.with_delta(Delta::parse(&delta).expect("sound"), 0.0).expect("it fits");
    assert_eq!(draw(&learned, dispatch::best()), draw(&model, dispatch::best()));
}
