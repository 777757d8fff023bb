//! Programs of loop nests, from bytes to values, against closed forms.

#[path = "shared/programs.rs"]
#[allow(dead_code, reason = "each test takes what it needs")]
mod programs;

use pocketgan_format::{Combine, Function, Operand, Program, Role, Step, ValueType};
use pocketgan_runtime::{Generator, Latent, Model, StartError, dispatch};
use programs::{Builder, NONE, arena};

/// The values at `offset` after every kernel of this CPU has run with these inputs; all kernels agree on them.
fn run(mut builder: Builder, offset: u32, shape: [u32; 3], inputs: &[&[f32]]) -> Vec<f32> {
    builder.program.output_offset = offset;
    builder.program.output_shape = shape;
    let file = builder.program.to_bytes().expect("the program keeps the rules");
    let model = Model::load(&file).expect("just verified");
    let mut results = dispatch::available().into_iter().flatten().map(|kernels| {
        let mut arena = vec![f32::NAN; model.arena_len()];
        let mut generator =
            Generator::with_kernels(&model, &mut arena, kernels).expect("as long as it asks for");
        for (index, values) in inputs.iter().enumerate() {
            generator.input(index).copy_from_slice(values);
        }
        generator.run().values.to_vec()
    });
    let first = results.next().expect("the reference is always there");
    for other in results {
        assert_eq!(other, first);
    }
    first
}

#[test]
fn softmax_is_five_nests_in_place() {
    let mut builder = Builder::new(&[(Role::Values, [1, 2, 3])]);
    let x = builder.program.inputs[0].offset;
    let row = builder.reserve(2);
    builder.nest((Function::Identity, Combine::Max), &[[2, 3, 0, 1], [3, 1, 0, 0]], 1, (arena(x), NONE, row));
    builder.nest((Function::Sub, Combine::Sum), &[[2, 3, 1, 3], [3, 1, 0, 1]], 0, (arena(x), arena(row), x));
    builder.nest((Function::Exp, Combine::Sum), &[[6, 1, 0, 1]], 0, (arena(x), NONE, x));
    builder.nest((Function::Identity, Combine::Sum), &[[2, 3, 0, 1], [3, 1, 0, 0]], 1, (arena(x), NONE, row));
    builder.nest((Function::Div, Combine::Sum), &[[2, 3, 1, 3], [3, 1, 0, 1]], 0, (arena(x), arena(row), x));
    let logits = [1.0, 2.0, 3.0, -1.0, -1.0, 40.0];
    let got = run(builder, x, [1, 2, 3], &[&logits]);
    for (row, logits) in got.chunks(3).zip(logits.chunks(3)) {
        let sum: f64 = logits.iter().map(|&x| f64::from(x).exp()).sum();
        for (got, &x) in row.iter().zip(logits) {
            let want = f64::from(x).exp() / sum;
            assert!((f64::from(*got) - want).abs() < 1e-6, "{got} instead of {want}");
        }
    }
}

#[test]
fn a_label_takes_its_embedding() {
    let mut builder = Builder::new(&[(Role::Label, [1, 1, 1])]);
    let table = builder.tensor(&(0..12).map(|i| i as f32).collect::<Vec<_>>());
    let out = builder.reserve(4);
    let label = builder.program.inputs[0].offset;
    let table = Operand::Tensor { index: table, start: 0 };
    builder.nest(
        (Function::Take, Combine::Sum),
        &[[4, 1, 0, 1], [3, 4, 0, 0]],
        0,
        (table, arena(label), out),
    );
    assert_eq!(run(builder, out, [1, 1, 4], &[&[2.0]]), [8.0, 9.0, 10.0, 11.0]);
}

#[test]
fn a_matrix_product_counts_its_multiplications() {
    // [2, 3] x [3, 4], the second in the file.
    let mut builder = Builder::new(&[(Role::Values, [1, 2, 3])]);
    let weights = builder.tensor(&(0..12).map(|i| i as f32).collect::<Vec<_>>());
    let out = builder.reserve(8);
    let x = builder.program.inputs[0].offset;
    let weights = Operand::Tensor { index: weights, start: 0 };
    builder.nest(
        (Function::Mul, Combine::Sum),
        &[[2, 3, 0, 4], [4, 0, 1, 1], [3, 1, 4, 0]],
        1,
        (arena(x), weights, out),
    );
    let file = builder.program.clone();
    let got = run(builder, out, [1, 2, 4], &[&[1.0, 10.0, 100.0, 0.0, 1.0, -1.0]]);
    assert_eq!(got, [840.0, 951.0, 1062.0, 1173.0, -4.0, -4.0, -4.0, -4.0]);
    let file =
        Program { output_offset: out, output_shape: [1, 2, 4], ..file }.to_bytes().expect("written before");
    assert_eq!(Model::load(&file).expect("just verified").file().macs(), 24);
}

#[test]
fn inputs_say_what_they_are() {
    let file = programs::nests().to_bytes().expect("the program keeps the rules");
    let model = Model::load(&file).expect("just verified");
    let inputs: Vec<_> =
        model.inputs().map(|input| (input.name, input.role, input.shape, input.len())).collect();
    let expected = [
        ("z", Role::Latent, [1, 1, 6], 6),
        ("label", Role::Label, [1, 1, 1], 1),
        ("x", Role::Image, [2, 3, 1], 6),
    ];
    assert_eq!(inputs, expected);
    assert_eq!(model.latent_dim(), 6);
    let mut arena = vec![f32::NAN; model.arena_len()];
    let mut generator = Generator::new(&model, &mut arena).expect("as long as it asks for");
    for (index, (_, _, _, len)) in expected.into_iter().enumerate() {
        assert_eq!(generator.input(index).len(), len);
    }
}

#[test]
#[should_panic(expected = "inputs besides a latent vector")]
fn a_latent_vector_alone_does_not_draw_from_other_inputs() {
    let file = programs::nests().to_bytes().expect("the program keeps the rules");
    let model = Model::load(&file).expect("just verified");
    let mut arena = vec![0.0; model.arena_len()];
    Generator::new(&model, &mut arena).expect("as long as it asks for").generate(Latent::from_seed(1));
}

#[test]
fn kernels_without_nests_refuse_a_model_that_has_one() {
    let file = programs::nests().to_bytes().expect("the program keeps the rules");
    let model = Model::load(&file).expect("just verified");
    let mut arena = vec![0.0; model.arena_len()];
    let error = Generator::with_kernels(&model, &mut arena, dispatch::best().without_nests())
        .expect_err("the model has loop nests");
    assert!(matches!(error, StartError::NoNests { .. }));
    assert!(error.to_string().contains("is a loop nest of "), "{error}");
}

#[test]
fn kernels_without_nests_refuse_activations_in_half_precision() {
    let mut program = programs::tap_gemms();
    // Half as many bytes lie there, so that everything still fits.
    for step in &mut program.steps {
        let Step::TapGemm(step) = step else { panic!("a tap GEMM") };
        step.values = ValueType::F16;
    }
    let file = program.to_bytes().expect("the program keeps the rules");
    let model = Model::load(&file).expect("just verified");
    let mut arena = vec![0.0; model.arena_len()];
    let error = Generator::with_kernels(&model, &mut arena, dispatch::best().without_nests())
        .expect_err("the model computes in half precision");
    assert_eq!(error, StartError::NoHalves { step: 0 });
    assert!(Generator::new(&model, &mut arena).is_ok());
}

#[test]
fn a_picture_may_have_any_number_of_channels() {
    let mut builder = Builder::new(&[(Role::Latent, [1, 1, 10])]);
    let z = builder.program.inputs[0].offset;
    builder.nest((Function::Identity, Combine::Sum), &[[10, 1, 0, 1]], 0, (arena(z), NONE, z));
    builder.program.output_shape = [1, 2, 5];
    let file = builder.program.to_bytes().expect("the program keeps the rules");
    let model = Model::load(&file).expect("just verified");
    let mut arena = vec![0.0; model.arena_len()];
    let mut generator = Generator::new(&model, &mut arena).expect("as long as it asks for");
    let values: Vec<f32> = (0..10).map(|i| i as f32 / 5.0).collect();
    let image = generator.generate(Latent::from(&values[..]));
    assert_eq!((image.channels, image.values), (5, &values[..]));
    // Grey of the first channel, as FORMAT.md says.
    let mut pixels = [9; 2];
    image.to_gray8(&mut pixels);
    assert_eq!(pixels, [0, 255]);
}
