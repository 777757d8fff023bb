//! `trainer import`: a generator in ONNX becomes a `.pgan` file, compared with the original before it is written.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use burn::tensor::{Device, Tensor, TensorData};
use pocketgan_compiler::export::{self, Export, Options, WeightType, compare};
use pocketgan_compiler::file;
use pocketgan_compiler::graph::Graph;
use pocketgan_compiler::graph::evaluate::evaluate;
use pocketgan_compiler::onnx::{self, ImportOptions, Imported, Reference};
use pocketgan_format::File;
use pocketgan_runtime::{Model, dispatch};
use rayon::prelude::*;
use serde_json::json;

use super::export::ActivationType;
use super::note::note;
use crate::checkpoint::write_atomically;
use crate::report::grouped;
use crate::weights::{self, Architecture};

/// Options of `trainer import`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The ONNX file; with --architecture a PyTorch (.pt, .pth) or safetensors file of weights
    model: PathBuf,
    /// The .pgan file to write
    #[arg(short = 'o', long = "out", value_name = "FILE")]
    out: PathBuf,
    /// The network whose weights the file holds
    #[arg(long, value_name = "NAME", value_enum)]
    architecture: Option<Architecture>,
    /// Store weights in half precision: half the flash
    #[arg(long)]
    fp16: bool,
    /// Keep activations in half precision: half the arena; inputs and picture stay as they are
    #[arg(long, value_name = "TYPE", value_enum, default_value_t = ActivationType::Fp32)]
    activations: ActivationType,
    /// Shape of an input, where the file leaves it open; an open extent is 1 otherwise
    #[arg(long, value_name = "NAME=1x100", value_parser = parse_shape)]
    input: Vec<(String, Vec<usize>)>,
    /// Values of an input that the file is made for, row-major; the model then reads it no longer
    #[arg(long, value_name = "NAME=0,1", value_parser = parse_values)]
    fix: Vec<(String, Vec<f64>)>,
    /// Which output, or tensor inside, becomes the picture; the first output otherwise
    #[arg(long, value_name = "NAME")]
    output: Option<String>,
    /// The values that are black and white
    #[arg(long, value_name = "LOW..HIGH", default_value = "-1..1", value_parser = parse_range, allow_hyphen_values = true)]
    range: [f32; 2],
    /// Channels, height and width of the picture that the output's values are, where its shape does not say
    #[arg(long, value_name = "CxHxW", value_parser = parse_picture)]
    image: Option<[usize; 3]>,
    /// Print the report as one JSON object, the last line of standard output
    #[arg(long)]
    json: bool,
}

/// Inputs tried, with seeds from 0; fewer of large models.
const SEEDS: u64 = 16;

/// Multiplications that all seeds together may take, if that leaves two.
const MANY_MACS: u64 = 1 << 31;

/// What the runtime's single precision may change, for values of the order of 1.
const TOLERANCE: f32 = 1e-4;

/// Largest and mean difference from the original, over all seeds.
struct Comparison {
    reference: &'static str,
    max_abs_diff: f32,
    mean_abs_diff: f64,
    seeds: u64,
    /// What the largest may be.
    bound: f32,
}

/// Runs `trainer import`.
///
/// # Errors
/// When the model cannot be read or expressed, or the result computes something else; nothing is written then.
pub fn run(args: Args) -> Result<()> {
    match args.architecture {
        Some(architecture) => import_weights(&args, architecture),
        None => import_onnx(&args),
    }
}

fn import_onnx(args: &Args) -> Result<()> {
    let is = |extension: &str| args.model.extension().is_some_and(|own| own.eq_ignore_ascii_case(extension));
    ensure!(
        !["pt", "pth", "safetensors"].into_iter().any(is),
        "{} holds weights alone: name the network they belong to with --architecture, or export it as ONNX",
        args.model.display()
    );
    let bytes = file::read(&args.model, file::MAX_ONNX_BYTES)?;
    let options =
        ImportOptions { shapes: args.input.clone(), fixed: args.fix.clone(), output: args.output.clone() };
    let imported =
        onnx::import(&bytes, &options).with_context(|| format!("importing {}", args.model.display()))?;
    let report = &imported.report;
    note!(
        "{}: {} nodes, operator set {}, by {}",
        args.model.display(),
        report.nodes,
        report.opset,
        report.producer
    );
    report.notes.iter().for_each(|text| note!("note: {text}"));
    let origin = format!("{}.onnx, operator set {}", stem(&args.model), report.opset);
    let export = args.export(&imported.graph, [("origin", origin), ("producer", report.producer.clone())])?;
    let inputs = inputs(&imported.graph, &export, args.range)?;
    let evaluated = evaluate_all(&imported.graph, &inputs)?;
    let (reference, expected) = original(&bytes, &options, &imported, &inputs, &evaluated)?;
    args.finish(
        &imported.graph,
        &export,
        &Comparison::new(reference, &expected, &evaluated, &export, &inputs)?,
    )
}

fn import_weights(args: &Args, architecture: Architecture) -> Result<()> {
    let loaded = weights::load(&args.model, architecture)?;
    note!("{}", loaded.to_string().trim_end());
    let graph = loaded.generator.graph();
    let file = args.model.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let export = args.export(&graph, [("origin", file), ("architecture", architecture.to_string())])?;
    let inputs = inputs(&graph, &export, args.range)?;
    let z: Vec<f32> = inputs.iter().flatten().flatten().copied().collect();
    let z = TensorData::new(z, [inputs.len(), graph.latent_dim()]);
    let pictures = loaded.generator.forward(Tensor::from_data(z, &Device::flex()));
    let expected: Vec<f32> = pictures.into_data().try_to_vec()?;
    let evaluated = evaluate_all(&graph, &inputs)?;
    args.finish(&graph, &export, &Comparison::new("burn", &expected, &evaluated, &export, &inputs)?)
}

impl Args {
    fn export(&self, graph: &Graph, origin: [(&str, String); 2]) -> Result<Export> {
        let one_line = |value: String| value.replace(['\n', '\r'], " ");
        let metadata = [("name", stem(&self.out))].into_iter().chain(origin);
        export::export(
            graph,
            &Options {
                weights: if self.fp16 { WeightType::F16 } else { WeightType::F32 },
                activations: self.activations.into(),
                range: self.range,
                picture: self.image.or_else(|| square(graph)),
                metadata: metadata.map(|(key, value)| (key.to_owned(), one_line(value))).collect(),
            },
        )
    }

    /// Writes the file if it computes the same.
    fn finish(&self, graph: &Graph, export: &Export, comparison: &Comparison) -> Result<()> {
        print_report(graph, export, comparison)?;
        ensure!(
            comparison.max_abs_diff <= comparison.bound,
            "the result differs from the original by up to {:.2e}, more than {:.2e}; nothing was written",
            comparison.max_abs_diff,
            comparison.bound
        );
        write_atomically(&self.out, &export.file)?;
        note!("wrote {}", self.out.display());
        if self.json {
            println!("{}", to_json(graph, export, comparison)?);
        }
        Ok(())
    }
}

fn stem(path: &Path) -> String {
    path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The picture that a row of so many values is, where that is plain: a square, grey or of three channels.
fn square(graph: &Graph) -> Option<[usize; 3]> {
    let shape = graph.shape(graph.output());
    let values: usize = shape.iter().product();
    if shape.last() != Some(&values) || values < SMALLEST_PICTURE {
        return None;
    }
    [1, 3].into_iter().find_map(|channels| {
        let side = (values / channels).isqrt();
        (side * side * channels == values).then_some([channels, side, side])
    })
}

/// Fewer values are rather a row of numbers than a picture.
const SMALLEST_PICTURE: usize = 64;

/// Inputs of the first seeds, fewer of large models.
fn inputs(graph: &Graph, export: &Export, range: [f32; 2]) -> Result<Vec<Vec<Vec<f32>>>> {
    let file = File::parse(&export.file).context("the file just made does not load")?;
    let seeds = (MANY_MACS / file.macs().max(1)).clamp(2, SEEDS);
    Ok((0..seeds).map(|seed| export::test_inputs(graph, range, seed)).collect())
}

impl Comparison {
    /// Compares what the runtime draws from the file with what is `expected` of the original. It may differ by what
    /// rounding weights and activations makes of what was `evaluated` before, and by sums in another order.
    fn new(
        reference: &'static str,
        expected: &[f32],
        evaluated: &[f32],
        export: &Export,
        inputs: &[Vec<Vec<f32>>],
    ) -> Result<Self> {
        let model = Model::load(&export.file).context("the file just made does not load")?;
        let drawn = inputs.iter().map(|v| export::run(&export.rounded, &model, dispatch::best(), &slices(v)));
        let drawn = drawn.collect::<Result<Vec<_>>>()?.concat();
        ensure!(drawn.len() == expected.len(), "{} values instead of {}", drawn.len(), expected.len());
        let parity = compare(expected, &drawn, model.range());
        let largest =
            expected.iter().fold(1.0_f32, |most, v| if v.is_finite() { most.max(v.abs()) } else { most });
        let rounded = evaluate_all(&export.rounded, inputs)?;
        Ok(Self {
            reference,
            max_abs_diff: parity.max_abs_diff,
            mean_abs_diff: parity.mean_abs_diff,
            seeds: inputs.len() as u64,
            bound: compare(evaluated, &rounded, model.range()).max_abs_diff
                + 2.0 * export.activation_effect
                + TOLERANCE * largest,
        })
    }
}

/// What the original computes: by tract where it can, else by our own evaluation of the graph.
fn original(
    bytes: &[u8],
    options: &ImportOptions,
    imported: &Imported,
    inputs: &[Vec<Vec<f32>>],
    evaluated: &[f32],
) -> Result<(&'static str, Vec<f32>)> {
    match by_tract(bytes, options, &imported.graph, inputs) {
        Ok(values) if values.len() != evaluated.len() => {
            bail!("tract computes {} values, we {}", values.len(), evaluated.len())
        }
        Ok(values) => Ok(("tract", values)),
        Err(error) => {
            println!(
                "tract cannot run the original ({error:#}); compared with our own evaluation of it instead"
            );
            Ok(("evaluator", evaluated.to_vec()))
        }
    }
}

fn slices(inputs: &[Vec<f32>]) -> Vec<&[f32]> {
    inputs.iter().map(|values| &values[..]).collect()
}

fn evaluate_all(graph: &Graph, inputs: &[Vec<Vec<f32>>]) -> Result<Vec<f32>> {
    let outputs: Result<Vec<_>> = inputs.par_iter().map(|values| evaluate(graph, &slices(values))).collect();
    Ok(outputs?.concat())
}

/// The output of the original for each set of inputs. Inputs that the graph does not read have their fixed values, or
/// zeros.
fn by_tract(
    bytes: &[u8],
    options: &ImportOptions,
    graph: &Graph,
    inputs: &[Vec<Vec<f32>>],
) -> Result<Vec<f32>> {
    let reference = Reference::load(bytes, options.output.as_deref())?;
    let run = |values: &Vec<Vec<f32>>| {
        let feeds: Vec<(Vec<f32>, Vec<usize>)> = reference
            .inputs()
            .iter()
            .map(|input| {
                if let Some(at) = graph.inputs().iter().position(|own| own.name == input.name) {
                    return (values[at].clone(), graph.inputs()[at].shape.clone());
                }
                let given = options.shapes.iter().find(|(name, _)| *name == input.name);
                let open = || input.shape.iter().map(|extent| extent.unwrap_or(1)).collect();
                let shape: Vec<usize> = given.map_or_else(open, |(_, shape)| shape.clone());
                let fixed = options.fixed.iter().find(|(name, _)| *name == input.name);
                match fixed {
                    Some((_, fixed)) => (fixed.iter().map(|&v| v as f32).collect(), shape),
                    None => (vec![0.0; shape.iter().product()], shape),
                }
            })
            .collect();
        let fits = feeds.iter().all(|(values, shape)| shape.iter().product::<usize>() == values.len());
        ensure!(fits, "an input whose shape is open is fixed");
        let feeds: Vec<(&[f32], &[usize])> =
            feeds.iter().map(|(values, shape)| (&values[..], &shape[..])).collect();
        reference.run_all(&feeds)
    };
    let outputs: Result<Vec<_>> = inputs.iter().map(run).collect();
    Ok(outputs?.concat())
}

fn print_report(graph: &Graph, export: &Export, comparison: &Comparison) -> Result<()> {
    let file = File::parse(&export.file).context("the file just made")?;
    for input in graph.inputs() {
        println!("input        {:>14}  {:?}, {:?}", input.name, input.shape, input.role);
    }
    let [height, width, channels] = file.output_shape();
    println!("picture      {:>14}", format!("{channels}x{height}x{width}"));
    println!("parameters   {:>14}", grouped(graph.parameters() as u64));
    println!("MACs         {:>14}", grouped(file.macs()));
    println!("steps        {:>14}", grouped(file.step_count() as u64));
    println!("flash bytes  {:>14}", grouped(file.flash_bytes() as u64));
    println!("arena bytes  {:>14}", grouped(file.arena_bytes() as u64));
    println!(
        "differs from {}'s result by at most {:.1e}, {:.1e} on average, over {} seeds; allowed is {:.1e}",
        comparison.reference,
        comparison.max_abs_diff,
        comparison.mean_abs_diff,
        comparison.seeds,
        comparison.bound
    );
    Ok(())
}

fn to_json(graph: &Graph, export: &Export, comparison: &Comparison) -> Result<serde_json::Value> {
    let file = File::parse(&export.file).context("the file just made")?;
    let inputs: Vec<_> = graph
        .inputs()
        .iter()
        .map(|input| json!({ "name": input.name, "shape": input.shape, "role": format!("{:?}", input.role) }))
        .collect();
    Ok(json!({
        "reference": comparison.reference, "max_abs_diff": comparison.max_abs_diff,
        "mean_abs_diff": comparison.mean_abs_diff, "bound": comparison.bound, "steps": file.step_count(),
        "flash_bytes": file.flash_bytes(), "arena_bytes": file.arena_bytes(), "macs": file.macs(),
        "parameters": graph.parameters(), "inputs": inputs, "output_shape": file.output_shape(),
    }))
}

fn parse_shape(text: &str) -> Result<(String, Vec<usize>)> {
    let (name, shape) = text.rsplit_once('=').context("not of the form NAME=1x100")?;
    Ok((name.to_owned(), extents(shape)?))
}

fn parse_values(text: &str) -> Result<(String, Vec<f64>)> {
    let (name, values) = text.rsplit_once('=').context("not of the form NAME=0,1")?;
    let value = |value: &str| value.trim().parse().with_context(|| format!("{value:?} is no number"));
    Ok((name.to_owned(), values.split(',').map(value).collect::<Result<_>>()?))
}

fn parse_range(text: &str) -> Result<[f32; 2]> {
    let (low, high) = text.split_once("..").context("not of the form LOW..HIGH")?;
    let [low, high] = [low, high].map(|v| v.parse::<f32>().ok().filter(|v| v.is_finite()));
    match (low, high) {
        (Some(low), Some(high)) if low < high => Ok([low, high]),
        _ => bail!("not of the form LOW..HIGH with LOW below HIGH"),
    }
}

fn parse_picture(text: &str) -> Result<[usize; 3]> {
    extents(text)?.try_into().ok().context("not of the form CxHxW")
}

fn extents(text: &str) -> Result<Vec<usize>> {
    let extent = |extent: &str| extent.parse().ok().filter(|&extent| extent > 0);
    let extents: Option<Vec<usize>> = text.split('x').map(extent).collect();
    extents.with_context(|| format!("{text:?} is not of the form 1x100"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use pocketgan_compiler::graph::{Input, Role};

    #[test]
    fn options_are_parsed() -> Result<()> {
        assert_eq!(parse_shape("z=1x100")?, ("z".to_owned(), vec![1, 100]));
        assert_eq!(parse_shape("a=b=4")?, ("a=b".to_owned(), vec![4]));
        assert_eq!(parse_values("axes=-1,2")?, ("axes".to_owned(), vec![-1.0, 2.0]));
        assert_eq!(parse_range("-1..1")?, [-1.0, 1.0]);
        assert_eq!(parse_range("0..255")?, [0.0, 255.0]);
        assert_eq!(parse_picture("3x32x32")?, [3, 32, 32]);
        for bad in ["z", "z=", "z=0", "z=1x", "z=axb"] {
            assert!(parse_shape(bad).is_err(), "{bad}");
        }
        assert!(parse_range("1..-1").is_err() && parse_range("1").is_err() && parse_picture("3x32").is_err());
        Ok(())
    }

    #[test]
    fn rows_of_values_are_pictures_where_that_is_plain() {
        let of = |shape: &[usize]| {
            square(&Graph::new(vec![Input {
                name: String::new(),
                role: Role::Values,
                shape: shape.to_vec(),
            }]))
        };
        assert_eq!(of(&[1, 784]), Some([1, 28, 28]));
        assert_eq!(of(&[1, 3072]), Some([3, 32, 32]));
        assert_eq!(of(&[1, 10]), None);
        assert_eq!(of(&[1, 1, 28, 28]), None);
        assert_eq!(of(&[1, 1000]), None);
    }
}
