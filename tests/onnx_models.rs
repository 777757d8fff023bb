//! Generators and classifiers that others made, in ONNX: each imports and computes what its makers say.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use half::f16;
use pocketgan_compiler::export::{self, Options, WeightType};
use pocketgan_compiler::graph::{Graph, Op, Tensor};
use pocketgan_compiler::onnx::{self, ImportOptions};
use pocketgan_runtime::{Model, dispatch};
use pocketgan_tests::{data_dir, npy};
use rayon::prelude::*;

/// What single precision may change in a sum of some thousand products, in proportion to the largest value.
const TOLERANCE: f64 = 1e-4;

/// Imports and exports a model, runs it on rows of inputs, and returns the largest difference from the expected rows.
fn worst(path: &Path, weights: WeightType, inputs: &[f64], expected: &[f64]) -> Result<f64> {
    worst_of(&import(path)?, weights, inputs, expected)
}

fn import(path: &Path) -> Result<Graph> {
    let bytes = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    Ok(onnx::import(&bytes, &ImportOptions::default())?.graph)
}

/// Rounds every parameter and buffer to half precision, before anything is folded.
fn round_parameters(graph: &mut Graph) {
    for (_, op) in graph.ops_mut() {
        let tensors: Vec<&mut Tensor> = match op {
            Op::Constant(tensor) => vec![tensor],
            Op::Dense { weight, bias }
            | Op::Conv2d { weight, bias, .. }
            | Op::ConvTranspose2d { weight, bias, .. } => bias.iter_mut().chain([weight]).collect(),
            Op::BatchNorm { gamma, beta, mean, variance, .. } => vec![gamma, beta, mean, variance],
            _ => vec![],
        };
        for value in tensors.into_iter().flat_map(|tensor| &mut tensor.data) {
            *value = f16::from_f32(*value).to_f32();
        }
    }
}

fn worst_of(graph: &Graph, weights: WeightType, inputs: &[f64], expected: &[f64]) -> Result<f64> {
    let export = export::export(graph, &Options { weights, ..Options::default() })?;
    let model = Model::load(&export.file)?;
    let len = |shape: &[usize]| shape.iter().product::<usize>();
    let (row, out) = (len(&graph.inputs()[0].shape), len(graph.shape(graph.output())));
    ensure!(
        inputs.len() / row == expected.len() / out,
        "{} inputs, {} outputs",
        inputs.len(),
        expected.len()
    );
    let difference = |(input, expected): (&[f64], &[f64])| {
        let input: Vec<f32> = input.iter().map(|&v| v as f32).collect();
        let got = export::run(&export.rounded, &model, dispatch::best(), &[&input])?;
        Ok(got.iter().zip(expected).fold(0.0_f64, |worst, (&a, b)| worst.max((f64::from(a) - b).abs())))
    };
    let rows = inputs.par_chunks(row).zip(expected.par_chunks(out));
    let worst: Result<Vec<f64>> = rows.map(difference).collect();
    Ok(worst?.into_iter().fold(0.0, f64::max))
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.expect("readable").path()).collect();
    files.sort();
    files
}

#[test]
fn foreign_generators_draw_their_pictures() {
    let Some(data) = data_dir("foreign_generators_draw_their_pictures") else { return };
    let mut tried = 0;
    for folder in files(&data.join("foreign-models")).into_iter().filter(|path| path.is_dir()) {
        let stored = |name: &str| npy::read(&folder.join(name)).expect("stored beside the models").1;
        let (z, exact) = (stored("input_z.npy"), stored("output_f64.npy"));
        let rounded = stored("output_f16weights_f64.npy");
        // What rounding all parameters changes by itself. Ours rounds what it folded, other numbers by as much.
        let rounding = exact.iter().zip(&rounded).fold(0.0_f64, |worst, (a, b)| worst.max((a - b).abs()));
        for path in files(&folder).into_iter().filter(|path| path.extension().is_some_and(|e| e == "onnx")) {
            let name = path.display();
            let single =
                worst(&path, WeightType::F32, &z, &exact).unwrap_or_else(|e| panic!("{name}: {e:#}"));
            let half =
                worst(&path, WeightType::F16, &z, &rounded).unwrap_or_else(|e| panic!("{name}: {e:#}"));
            // The same parameters rounded as in the stored reference, which an exporter that folded them has not.
            let mut graph = import(&path).unwrap_or_else(|e| panic!("{name}: {e:#}"));
            round_parameters(&mut graph);
            let same =
                worst_of(&graph, WeightType::F32, &z, &rounded).unwrap_or_else(|e| panic!("{name}: {e:#}"));
            println!(
                "{name}: single {single:.1e}, half {half:.1e}, rounding alone {rounding:.1e}, \
                 parameters rounded alike {same:.1e}"
            );
            let unfolded = !name.to_string().contains(".dy18.");
            assert!(!unfolded || same <= 2e-3, "{name}: {same:.1e} with equal parameters");
            assert!(single <= TOLERANCE, "{name}: {single:.1e}");
            assert!(half <= 2.0 * rounding + TOLERANCE, "{name}: {half:.1e}");
            tried += 1;
        }
    }
    assert!(tried >= 9, "{tried} files");
}

#[test]
fn classifiers_compute_what_their_test_data_says() -> Result<()> {
    let Some(data) = data_dir("classifiers_compute_what_their_test_data_says") else { return Ok(()) };
    let folder = data.join("classifiers/mnist-8");
    for set in 0..3 {
        let stored = |name: &str| -> Result<Vec<f64>> {
            Ok(onnx::read_tensor(&fs::read(folder.join(format!("test_data_set_{set}/{name}_0.pb")))?)?.1)
        };
        let (input, output) = (stored("input")?, stored("output")?);
        let difference = worst(&folder.join("mnist-8.onnx"), WeightType::F32, &input, &output)?;
        let largest = output.iter().fold(1.0_f64, |most, v| most.max(v.abs()));
        println!("mnist-8, set {set}: {difference:.1e} of {largest:.0}");
        assert!(difference <= TOLERANCE * largest, "mnist-8, set {set}: {difference:.1e}");
    }
    let folder = data.join("classifiers/squeezenet-fp16");
    let stored = |name: &str| npy::read(&folder.join(name));
    let (input, output) = (stored("input_data_0_f16.npy")?.1, stored("output_ort_f16.npy")?.1);
    let difference = worst(&folder.join("SqueezeNet_fp16.onnx"), WeightType::F16, &input, &output)?;
    println!("squeezenet-fp16: {difference:.1e}");
    // Stored by an engine that rounds every activation to half precision: probabilities with 11 bits after 26 layers.
    assert!(difference <= 26.0 * 2.0_f64.powi(-11), "squeezenet-fp16: {difference:.1e}");
    Ok(())
}

#[test]
fn a_file_of_the_oldest_form_is_refused_with_advice() {
    let Some(data) = data_dir("a_file_of_the_oldest_form_is_refused_with_advice") else { return };
    let path = data.join("classifiers/legacy-super-resolution/super_resolution.onnx");
    let bytes = fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let error = onnx::import(&bytes, &ImportOptions::default()).expect_err("it names no operator set");
    let text = format!("{error:#}");
    assert!(text.contains("IR version 1") && text.contains("export the model again"), "{text}");
}

/// Generators of every common kind, which `make_models.py` of the peers' benchmark writes with fixed weights:
/// `POCKETGAN_PEERS` names the folder with its `golden/`, `POCKETGAN_PEERS_MODELS` the one with the models.
#[test]
fn generators_of_every_kind_draw_their_golden_pictures() {
    let [peers, models] = ["POCKETGAN_PEERS", "POCKETGAN_PEERS_MODELS"].map(std::env::var_os);
    let (Some(peers), Some(models)) = (peers, models) else {
        println!("skipped: POCKETGAN_PEERS or POCKETGAN_PEERS_MODELS is not set");
        return;
    };
    for folder in files(Path::new(&models)) {
        let name = folder.file_name().expect("a folder has a name").to_string_lossy().into_owned();
        let stored = |part: &str| npy::read(&Path::new(&peers).join(format!("golden/{name}.{part}.npy")));
        let (x, y) = (stored("x").expect("golden").1, stored("y").expect("golden").1);
        let path = folder.join("b1.onnx");
        let difference = worst(&path, WeightType::F32, &x, &y).unwrap_or_else(|e| panic!("{name}: {e:#}"));
        println!("{name}: {difference:.1e}");
        assert!(difference <= TOLERANCE, "{name}: {difference:.1e}");
    }
}
