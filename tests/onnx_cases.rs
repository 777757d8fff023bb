//! The official cases of the ONNX operators: imported, evaluated, exported, and run by the runtime.
//!
//! `POCKETGAN_ONNX_CASES` names the folder `onnx/backend/test/data` of the Python package; `tests/run.sh` fetches it.
//! Results are compared as ONNX's own suite does: |difference| <= 1e-7 + 1e-3 |expected|. `onnx/passed.txt` lists the
//! cases that passed when it was written, which may only become more; `POCKETGAN_ONNX_WRITE=1` writes it again, and
//! `onnx/operators.md` with it.

use core::panic::AssertUnwindSafe;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use pocketgan_compiler::export::{self, Options, WeightType};
use pocketgan_compiler::graph::Graph;
use pocketgan_compiler::graph::evaluate::evaluate;
use pocketgan_compiler::onnx::{self, Contents, ImportOptions, Refusal};
use pocketgan_runtime::{Model, dispatch};
use rayon::prelude::*;

/// Groups of cases, each a folder of folders.
const GROUPS: [&str; 4] = ["node", "simple", "pytorch-converted", "pytorch-operator"];

/// How ONNX's own suite compares, `onnx/backend/test/loader`.
const RTOL: f64 = 1e-3;
const ATOL: f64 = 1e-7;

/// Cases that round a quotient which is a half only in single precision: the runtime is compared, not the evaluation.
const ROUNDED: [&str; 1] = ["node/test_dynamicquantizelinear_expanded"];

/// How a case ended.
#[derive(Clone, Debug)]
enum Outcome {
    Passed,
    /// Not supported, and said so.
    Refused(String),
    /// A wrong result, or a panic.
    Failed(String),
}

/// A case and how it ended.
struct Case {
    name: String,
    operator: String,
    outcome: Outcome,
}

#[test]
fn official_cases_pass_or_are_refused() {
    let Some(folder) = std::env::var_os("POCKETGAN_ONNX_CASES").map(PathBuf::from) else {
        println!("skipped: POCKETGAN_ONNX_CASES is not set");
        return;
    };
    let cases: Vec<PathBuf> = GROUPS.iter().flat_map(|group| folders(&folder.join(group))).collect();
    assert!(cases.len() > 1000, "{} cases in {}", cases.len(), folder.display());
    let only = std::env::var("POCKETGAN_ONNX_ONLY").unwrap_or_default();
    let mut cases: Vec<Case> = cases
        .into_par_iter()
        .filter(|case| case.to_string_lossy().contains(&only))
        .map(|case| run_contained(&folder, &case))
        .collect();
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    name_expanded(&mut cases);

    let passed: BTreeSet<&str> = names(&cases, |outcome| matches!(outcome, Outcome::Passed));
    let failed: Vec<&Case> = cases.iter().filter(|case| matches!(case.outcome, Outcome::Failed(_))).collect();
    for case in &failed {
        if let Outcome::Failed(reason) = &case.outcome {
            println!("failed: {}: {reason}", case.name);
        }
    }
    println!(
        "{} passed, {} failed, {} refused",
        passed.len(),
        failed.len(),
        cases.len() - passed.len() - failed.len()
    );
    let list = pocketgan_tests::root().join("tests/onnx/passed.txt");
    if std::env::var_os("POCKETGAN_ONNX_WRITE").is_some() {
        let lines: Vec<&str> = passed.iter().copied().collect();
        fs::write(&list, lines.join("\n") + "\n").expect("tests/onnx can be written");
        fs::write(list.with_file_name("operators.md"), table(&cases)).expect("tests/onnx can be written");
    }
    assert!(failed.is_empty(), "{} cases failed", failed.len());
    if only.is_empty() {
        let before = fs::read_to_string(&list).expect("tests/onnx/passed.txt is there");
        let lost: Vec<&str> = before.lines().filter(|name| !passed.contains(name)).collect();
        assert!(lost.is_empty(), "passed before: {lost:?}");
    }
}

fn folders(group: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(group).unwrap_or_else(|e| panic!("{}: {e}", group.display()));
    entries
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.join("model.onnx").is_file())
        .collect()
}

fn names(cases: &[Case], of: impl Fn(&Outcome) -> bool) -> BTreeSet<&str> {
    cases.iter().filter(|case| of(&case.outcome)).map(|case| &*case.name).collect()
}

fn run_contained(folder: &Path, case: &Path) -> Case {
    let name = case.strip_prefix(folder).expect("it lies there").to_string_lossy().replace('\\', "/");
    let mut operator = "unreadable files".to_owned();
    let ended = catch_unwind(AssertUnwindSafe(|| run(case, &mut operator)));
    let outcome = match ended {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(error)) => Outcome::Failed(format!("{error:#}")),
        Err(panic) => {
            let message =
                panic.downcast_ref::<String>().map(|s| &**s).or(panic.downcast_ref::<&str>().copied());
            Outcome::Failed(format!("panicked: {}", message.unwrap_or("no message")))
        }
    };
    Case { name, operator, outcome }
}

/// Runs each output of a case with each set of test data.
fn run(case: &Path, operator: &mut String) -> Result<Outcome> {
    let bytes = fs::read(case.join("model.onnx"))?;
    let contents = match onnx::contents(&bytes) {
        Ok(contents) => contents,
        Err(error) => return Ok(Outcome::Refused(format!("{error:#}"))),
    };
    *operator = match &contents.operators[..] {
        [operator] => operator.clone(),
        _ => "several operators".to_owned(),
    };
    let mut sets: Vec<PathBuf> = fs::read_dir(case)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    sets.retain(|path| path.is_dir());
    sets.sort();
    let mut outcome = Outcome::Passed;
    for set in &sets {
        for index in 0..contents.outputs.len() {
            match run_output(&bytes, &contents, set, index)? {
                Outcome::Passed => {}
                Outcome::Refused(reason) => outcome = Outcome::Refused(reason),
                failed => return Ok(failed),
            }
        }
    }
    if sets.is_empty() {
        outcome = Outcome::Refused("there is no test data".to_owned());
    }
    Ok(outcome)
}

/// A stored tensor.
struct Stored {
    shape: Vec<usize>,
    values: Vec<f64>,
}

fn stored(path: &Path) -> Result<Stored> {
    let bytes = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    let (shape, values) = onnx::read_tensor(&bytes)?;
    Ok(Stored { shape, values })
}

fn run_output(bytes: &[u8], contents: &Contents, set: &Path, index: usize) -> Result<Outcome> {
    let refused = |error| {
        // What the importer says of a sequence is better than what the reader of tensors says of it.
        let refusal = onnx::import(bytes, &ImportOptions::default()).err();
        Ok(Outcome::Refused(reason(&refusal.unwrap_or(error))))
    };
    let mut inputs = BTreeMap::new();
    for (i, name) in contents.inputs.iter().enumerate() {
        match stored(&set.join(format!("input_{i}.pb"))) {
            Ok(tensor) => drop(inputs.insert(name.clone(), tensor)),
            Err(error) => return refused(error.context(format!("input {name}"))),
        }
    }
    let expected = match stored(&set.join(format!("output_{index}.pb"))) {
        Ok(expected) => expected,
        Err(error) => return refused(error.context(format!("output {index}"))),
    };
    let mut options = ImportOptions {
        shapes: inputs.iter().map(|(name, tensor)| (name.clone(), tensor.shape.clone())).collect(),
        fixed: vec![],
        output: Some(contents.outputs[index].clone()),
    };
    // Many cases feed shapes, axes and the like as inputs. What decides a shape is fixed to the value of the case.
    let graph = loop {
        match onnx::import(bytes, &options) {
            Ok(imported) => break imported.graph,
            Err(error) => {
                let wanted =
                    error.downcast_ref::<Refusal>().map(|refusal| &refusal.inputs[..]).unwrap_or_default();
                let fixed = |name: &String| options.fixed.iter().any(|(other, _)| other == name);
                let more: Vec<_> = wanted.iter().filter(|name| !fixed(name)).cloned().collect();
                if more.is_empty() {
                    return Ok(Outcome::Refused(reason(&error)));
                }
                options.fixed.extend(more.into_iter().map(|name| {
                    let values = inputs[&name].values.clone();
                    (name, values)
                }));
            }
        }
    };
    let rounded = set.parent().is_some_and(|case| ROUNDED.iter().any(|name| case.ends_with(name)));
    check(&graph, &inputs, &expected, rounded)
}

/// The first reason of a refusal.
fn reason(error: &anyhow::Error) -> String {
    match error.downcast_ref::<Refusal>().and_then(|refusal| refusal.nodes.first()) {
        Some(node) => format!("{}: {}", node.op_type, node.reason),
        None => format!("{error:#}"),
    }
}

fn check(
    graph: &Graph,
    inputs: &BTreeMap<String, Stored>,
    expected: &Stored,
    rounded: bool,
) -> Result<Outcome> {
    let mut values = vec![];
    for input in graph.inputs() {
        let tensor = &inputs[&input.name];
        let narrow: Vec<f32> = tensor.values.iter().map(|&v| v as f32).collect();
        let exact = |(&wide, &narrow): (&f64, &f32)| {
            wide.fract() != 0.0 || f64::from(narrow) == wide || wide.is_nan()
        };
        if !tensor.values.iter().zip(&narrow).all(exact) {
            return Ok(Outcome::Refused("its integers have more than 24 bits".to_owned()));
        }
        values.push(narrow);
    }
    let values: Vec<&[f32]> = values.iter().map(|values| &values[..]).collect();
    if graph.shape(graph.output()) != expected.shape {
        bail!("shape {:?}, expected {:?}", graph.shape(graph.output()), expected.shape);
    }
    if let Some(difference) = difference(&evaluate(graph, &values)?, &expected.values)
        && !rounded
    {
        bail!("evaluated: {difference}");
    }
    if graph.inputs().is_empty() {
        // The file fixes the result, and nothing is left to run.
        return Ok(Outcome::Passed);
    }
    let options = Options { weights: WeightType::F32, ..Options::default() };
    let export = match export::export(graph, &options) {
        Ok(export) => export,
        Err(error) if format!("{error:#}").contains("draw another picture") => return Err(error),
        Err(error) => return Ok(Outcome::Refused(format!("export: {error:#}"))),
    };
    let model =
        Model::load(&export.file).map_err(|error| anyhow!("the runtime does not load it: {error}"))?;
    for kernels in dispatch::available().into_iter().flatten() {
        let drawn = export::run(&export.rounded, &model, kernels, &values)?;
        if let Some(difference) = difference(&drawn, &expected.values) {
            bail!("{} kernels: {difference}", kernels.name);
        }
    }
    Ok(Outcome::Passed)
}

/// The first difference beyond the tolerance.
fn difference(got: &[f32], expected: &[f64]) -> Option<String> {
    let same = |got: f64, expected: f64| {
        got == expected
            || (got.is_nan() && expected.is_nan())
            || (got - expected).abs() <= ATOL + RTOL * expected.abs()
    };
    let found = got.iter().zip(expected).position(|(&got, &expected)| !same(f64::from(got), expected))?;
    Some(format!("value {found} of {} is {}, expected {}", got.len(), got[found], expected[found]))
}

/// Cases of operators written out in others go under the operator that they write out.
fn name_expanded(cases: &mut [Case]) {
    let operators: BTreeMap<String, String> =
        cases.iter().map(|case| (case.name.clone(), case.operator.clone())).collect();
    for case in cases {
        if let Some((base, _)) = case.name.split_once("_expanded")
            && let Some(operator) = operators.get(base)
        {
            case.operator.clone_from(operator);
        }
    }
}

/// The table that is committed.
fn table(cases: &[Case]) -> String {
    let mut rows: BTreeMap<&str, [usize; 3]> = BTreeMap::new();
    let mut reasons: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut total = [0; 3];
    for case in cases {
        let column = match &case.outcome {
            Outcome::Passed => 0,
            Outcome::Refused(reason) => {
                reasons.entry(&case.operator).or_default().insert(reason);
                1
            }
            Outcome::Failed(_) => 2,
        };
        rows.entry(&case.operator).or_default()[column] += 1;
        total[column] += 1;
    }
    let mut text = format!(
        "# Official ONNX cases\n\n{} cases of onnx 1.22.0: {} passed, {} refused, {} failed. Passed means: imported, and \
         all outputs\nas stored within 1e-7 + 1e-3 |value|, in double precision and by every kernel of the runtime on the \
         exported file.\nInputs that decide shapes are fixed to their stored values; a result that the file fixes needs no runtime. Written by `POCKETGAN_ONNX_WRITE=1 \
         cargo test --release\n-p pocketgan-tests --test onnx_cases`.\n\n| operator | passed | refused | failed | why \
         refused |\n|---|---:|---:|---:|---|\n",
        cases.len(),
        total[0],
        total[1],
        total[2]
    );
    for (operator, [passed, refused, failed]) in rows {
        let reasons = reasons.get(operator).into_iter().flatten().take(3);
        let reasons = reasons.map(|reason| reason.replace(['|', '\n'], " ")).collect::<Vec<_>>().join("; ");
        text.push_str(&format!("| {operator} | {passed} | {refused} | {failed} | {reasons} |\n"));
    }
    text
}
