//! `trainer inspect`: every step of a `.pgan` file, before anything is flashed.

use std::path::PathBuf;

use anyhow::{Context, Result};
use pocketgan_format::{
    Activation, Axis, Buffer, File, Learning, NestStep, Operand, Step, TapGemmStep, ValueType,
};
use pocketgan_runtime::Model;
use serde_json::json;

use super::open;
use crate::report::grouped;

/// Options of `trainer inspect`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The .pgan file
    file: PathBuf,
    /// Print one JSON object instead
    #[arg(long)]
    json: bool,
}

/// Runs `trainer inspect`.
///
/// # Errors
/// When the file cannot be read or is not a model.
pub fn run(args: Args) -> Result<()> {
    let bytes = open(&args.file)?;
    let model = Model::load(&bytes).with_context(|| format!("loading {}", args.file.display()))?;
    let file = model.file();
    let layers: Vec<&str> = file.get("layers").map(|names| names.split(',').collect()).unwrap_or_default();
    if args.json {
        println!("{}", to_json(file, &layers, file.learning()?));
        return Ok(());
    }
    let [height, width, channels] = file.output_shape();
    println!("{}", args.file.display());
    for line in file.metadata().lines().filter(|line| !line.starts_with("layers=")) {
        println!("  {}", line.replacen('=', ": ", 1));
    }
    println!(
        "  sha256: {}{}",
        hex(&file.sha256()),
        if file.verify_sha256() { "" } else { "  DOES NOT MATCH" }
    );
    for input in model.inputs() {
        let role = format!("{:?}", input.role).to_lowercase();
        println!("{}", format!("  input: {role} {} {}", extents(input.shape), input.name).trim_end());
    }
    println!("  picture: {height}x{width}x{channels}\n");
    println!(
        "{:>4}  {:<20} {:>14} {:>14} {:>5} {:<14} {:>13} {:>10} {:>9} {:>9}",
        "step",
        "layer",
        "reads HxWxC",
        "writes HxWxC",
        "taps",
        "function",
        "MACs",
        "bytes",
        "arena in",
        "arena out"
    );
    for (index, step) in file.steps().enumerate() {
        let row = Row::new(file, &step);
        println!(
            "{index:>4}  {:<20} {:>14} {:>14} {:>5} {:<14} {:>13} {:>10} {:>9} {:>9}",
            layers.get(usize::from(step.layer())).unwrap_or(&""),
            row.reads,
            row.writes,
            row.taps.map_or("-".into(), |taps| taps.to_string()),
            row.function,
            grouped(file.step_macs(&step)),
            grouped(row.bytes as u64),
            row.arena_in.map_or("-".into(), |offset| offset.to_string()),
            row.arena_out,
        );
        if let Step::Nest(step) = &step {
            for (name, view) in views(file, step) {
                println!("{:>28} = {view}", name);
            }
        }
    }
    let peak = file
        .steps()
        .max_by_key(|step| Row::new(file, step).alive)
        .map(|step| layers.get(usize::from(step.layer())).unwrap_or(&""));
    println!("\nMACs         {:>14}", grouped(file.macs()));
    println!("flash bytes  {:>14}", grouped(file.flash_bytes() as u64));
    println!("arena bytes  {:>14}  (peak in {})", grouped(file.arena_bytes() as u64), peak.unwrap_or(&""));
    if let Some(learning) = file.learning()? {
        print_learning(file, &learning, &layers);
    }
    Ok(())
}

/// What a device may train, and what that takes.
fn print_learning(file: &File<'_>, learning: &Learning<'_>, layers: &[&str]) {
    let Learning { rule, discriminator } = learning;
    println!("\nlearns       {:>14}", rule.preset.name());
    let mut trained: Vec<&str> = vec![];
    for step in file.steps().skip(rule.generator_steps().start).take(rule.generator_steps().len()) {
        let name = layers.get(usize::from(step.layer())).unwrap_or(&"");
        if trained.last() != Some(name) {
            trained.push(name);
        }
    }
    println!("  layers: {}", trained.join(", "));
    println!("  least squares: a = {}, b = {}, c = {}", rule.a, rule.b, rule.c);
    println!("  learning rates: generator {}, discriminator {}", rule.lr_g, rule.lr_d);
    println!("  bound: {} times the norm of what moves", rule.bound);
    let trained = rule.discriminator_steps();
    println!(
        "  discriminator: {} layers, of which {} learn, {} MACs, {} bytes",
        discriminator.step_count(),
        trained.len(),
        grouped(discriminator.macs()),
        grouped(discriminator.flash_bytes() as u64)
    );
    println!("finetune arena bytes  {:>5}", grouped(file.finetune_arena_bytes() as u64));
}

fn to_json(file: &File<'_>, layers: &[&str], learning: Option<Learning<'_>>) -> serde_json::Value {
    let steps: Vec<_> = file
        .steps()
        .map(|step| {
            let row = Row::new(file, &step);
            let mut json = json!({
                "layer": layers.get(usize::from(step.layer())), "reads": row.reads, "writes": row.writes,
                "macs": file.step_macs(&step), "bytes": row.bytes, "arena_in": row.arena_in, "arena_out": row.arena_out,
            });
            match &step {
                Step::TapGemm(step) => {
                    json["taps"] = json!(file.taps(step));
                    json["activation"] = json!(row.function);
                }
                Step::Nest(step) => {
                    json["function"] = json!(row.function);
                    for (name, view) in views(file, step) {
                        json[name] = json!(view);
                    }
                }
            }
            json
        })
        .collect();
    let inputs: Vec<_> = file
        .inputs()
        .enumerate()
        .map(|(index, input)| {
            json!({
                "name": file.input_name(index), "role": format!("{:?}", input.role).to_lowercase(),
                "shape": input.shape, "arena": input.offset,
            })
        })
        .collect();
    json!({
        "sha256": hex(&file.sha256()), "latent_dim": file.latent_dim(), "inputs": inputs,
        "output_shape": file.output_shape(), "range": file.range(), "macs": file.macs(),
        "flash_bytes": file.flash_bytes(), "arena_bytes": file.arena_bytes(), "metadata": file.metadata(),
        "finetune_arena_bytes": file.finetune_arena_bytes(), "learning": learning.map(learning_json),
        "steps": steps,
    })
}

fn learning_json(learning: Learning<'_>) -> serde_json::Value {
    let Learning { rule, discriminator } = learning;
    json!({
        "preset": rule.preset.name(), "codes": [rule.a, rule.b, rule.c], "lr_g": rule.lr_g, "lr_d": rule.lr_d,
        "bound": rule.bound, "generator_steps": rule.generator, "discriminator_steps": rule.discriminator,
        "discriminator_macs": discriminator.macs(), "discriminator_bytes": discriminator.flash_bytes(),
    })
}

/// What the table says of a step of either kind.
struct Row {
    reads: String,
    writes: String,
    taps: Option<u32>,
    function: String,
    /// Weights and biases, or tensors that are operands.
    bytes: usize,
    arena_in: Option<u32>,
    arena_out: u32,
    /// Bytes of the arena that are read or written.
    alive: usize,
}

impl Row {
    fn new(file: &File<'_>, step: &Step) -> Self {
        match step {
            Step::TapGemm(step) => Self::tap_gemm(file, step),
            Step::Nest(step) => Self::nest(file, step),
        }
    }

    fn tap_gemm(file: &File<'_>, step: &TapGemmStep) -> Self {
        let tensors = [step.weights, step.bias];
        Self {
            reads: shape(&step.input),
            writes: format!("{}x{}x{}", step.rows, step.cols, step.output.channels),
            taps: Some(step.tap_count),
            function: activation(step.activation).to_owned(),
            bytes: tensors.iter().map(|&index| tensor_bytes(file, index)).sum(),
            arena_in: Some(step.input.offset),
            arena_out: step.output.offset,
            alive: (step.input.len() + step.output.len()) * step.values.bytes() as usize,
        }
    }

    /// `reads` has every axis that is iterated, `writes` those that are kept.
    fn nest(file: &File<'_>, step: &NestStep) -> Self {
        let axes = file.axes(step);
        let iterated = step.iterated(&axes);
        let kept = &iterated[..iterated.len() - usize::from(step.reduced)];
        let mut function = format!("{:?}", step.function).to_lowercase();
        if step.reduced > 0 {
            function.push_str(&format!(" {:?}", step.combine).to_lowercase());
        }
        let named = |stride: fn(&Axis) -> i32, values: ValueType| -> usize {
            let moved = axes.iter().filter(|axis| stride(axis) != 0);
            moved.map(|axis| axis.extent as usize).product::<usize>() * values.bytes() as usize
        };
        let (mut bytes, mut arena_in, mut alive) = (0, None, named(|axis| axis.out, step.output_values));
        let strides: [fn(&Axis) -> i32; 2] = [|axis| axis.a, |axis| axis.b];
        for (operand, stride) in [step.a, step.b].into_iter().zip(strides) {
            match operand {
                Operand::Arena { offset } | Operand::ArenaF16 { offset } => {
                    arena_in = arena_in.or(Some(offset));
                    let values = match operand {
                        Operand::ArenaF16 { .. } => ValueType::F16,
                        _ => ValueType::F32,
                    };
                    alive += named(stride, values);
                }
                Operand::Tensor { index, .. } => bytes += tensor_bytes(file, index),
                Operand::Scalar(_) => {}
            }
        }
        Self {
            reads: extents(iterated.iter().map(|axis| axis.extent)),
            writes: extents(kept.iter().map(|axis| axis.extent)),
            taps: None,
            function,
            bytes,
            arena_in,
            arena_out: step.output,
            alive,
        }
    }
}

/// Where a loop nest reads and writes: start, and a stride in values for each axis.
fn views(file: &File<'_>, step: &NestStep) -> Vec<(&'static str, String)> {
    let axes = file.axes(step);
    let strides = |stride: fn(&Axis) -> i32| -> String {
        axes.iter().map(|axis| stride(axis).to_string()).collect::<Vec<_>>().join(" ")
    };
    let view = |operand: Operand, stride| match operand {
        Operand::Arena { offset } => format!("arena {offset}, strides {}", strides(stride)),
        Operand::ArenaF16 { offset } => format!("arena {offset} as f16, strides {}", strides(stride)),
        Operand::Tensor { index, start } => {
            format!("tensor {index} from {start}, strides {}", strides(stride))
        }
        Operand::Scalar(value) => format!("{value}"),
    };
    let mut views = vec![("a", view(step.a, |axis| axis.a))];
    if !step.function.is_unary() {
        views.push(("b", view(step.b, |axis| axis.b)));
    }
    let offset = step.output;
    let output = match step.output_values {
        ValueType::F32 => Operand::Arena { offset },
        ValueType::F16 => Operand::ArenaF16 { offset },
    };
    views.push(("out", view(output, |axis| axis.out)));
    views
}

fn tensor_bytes(file: &File<'_>, index: u32) -> usize {
    file.tensor(index as usize).map_or(0, |tensor| tensor.bytes())
}

fn shape(buffer: &Buffer) -> String {
    extents([buffer.height, buffer.width, buffer.channels])
}

/// `28x28x1`; `1` without an axis.
fn extents<T: ToString>(extents: impl IntoIterator<Item = T>) -> String {
    let extents: Vec<String> = extents.into_iter().map(|extent| extent.to_string()).collect();
    if extents.is_empty() { "1".to_owned() } else { extents.join("x") }
}

fn activation(activation: Activation) -> &'static str {
    match activation {
        Activation::Identity => "-",
        Activation::Relu => "relu",
        Activation::LeakyRelu(_) => "leaky relu",
        Activation::Tanh => "tanh",
        Activation::Sigmoid => "sigmoid",
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
