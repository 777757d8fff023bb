//! Weights that others trained: the state dict of a PyTorch or safetensors file becomes our generator.
//!
//! A state dict has names, shapes and numbers. What it does not say is taken from the architecture that the caller
//! names: strides, ReLU between the layers and tanh at the end, and PyTorch's epsilon of 1e-5 in batch norms. A file of
//! another network with the same shapes cannot be told from ours; any other is refused with both lists side by side.
//!
//! Nothing in a file is executed.

mod layout;
mod read;
#[cfg(test)]
mod tests;

use core::fmt;
use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use burn::tensor::Device;

use crate::network::{Generator, NamedTensor, NetworkConfig, Parameters};
use layout::{Change, Plan};

/// A generator that a file's weights are read into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Architecture {
    /// 28 by 28: dense to 7 by 7, two transposed convolutions
    Dcgan28,
    /// 32 by 32: dense to 4 by 4, three transposed convolutions
    Dcgan32,
    /// 64 by 64: dense to 4 by 4, four transposed convolutions; the network of the DCGAN paper
    Dcgan64,
}

impl Architecture {
    /// Height and width of the images.
    pub fn size(self) -> usize {
        match self {
            Self::Dcgan28 => 28,
            Self::Dcgan32 => 32,
            Self::Dcgan64 => 64,
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "dcgan{}", self.size())
    }
}

/// A generator, and what became of each tensor of its file. Displayed, it is a table of that.
#[derive(Debug)]
pub struct Loaded {
    /// The generator, with the standing statistics of the file.
    pub generator: Generator,
    /// Its shape, read off the shapes of the tensors.
    pub config: NetworkConfig,
    /// For each tensor of the generator, in its order: the name in the file, our name, the shape in the file.
    pub mapping: Vec<(String, String, Vec<usize>)>,
    /// Names in the file that inference has no use for: `num_batches_tracked`.
    pub unused: Vec<String>,
}

impl fmt::Display for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let NetworkConfig { size, channels, width, latent_dim, .. } = self.config;
        writeln!(f, "dcgan{size}: width {width}, latent_dim {latent_dim}, channels {channels}")?;
        let used = self.mapping.iter().map(|(theirs, ours, shape)| (theirs, format!("{shape:?}"), &**ours));
        let unused = self.unused.iter().map(|name| (name, String::new(), "not used"));
        let shown = |(theirs, shape, ours): (&String, _, _)| (read::shown(theirs), shape, ours);
        let rows: Vec<(String, String, &str)> = used.chain(unused).map(shown).collect();
        let widest = rows.iter().map(|(theirs, ..)| theirs.chars().count()).max().unwrap_or(0);
        for (theirs, shape, ours) in rows {
            writeln!(f, "  {theirs:<widest$}  {shape:<20} -> {ours}")?;
        }
        Ok(())
    }
}

/// Reads the generator in a `.pt`, `.pth` or `.safetensors` file; which of them it is, its content tells.
///
/// Width, channels and latent_dim follow from the shapes. Tensors are found by kind and shape, since no two layers of
/// these networks have the same; names only tell weights, biases and statistics apart, so that any prefix will do. The
/// first layer may be a `Linear` or a `ConvTranspose2d` over one pixel. Layers may have biases or none. Files with our
/// own names (`layers.2.norm.gamma`) are read too. Values of f64, f16 and bf16 are converted.
///
/// # Errors
/// When the file cannot be read, is damaged, holds numbers that are not finite, or does not hold exactly one generator
/// of this architecture.
pub fn load(path: &Path, architecture: Architecture) -> Result<Loaded> {
    let reading = || format!("reading {}", path.display());
    let found = read::read(path).with_context(reading)?;
    let plan = layout::plan(&found, architecture).with_context(reading)?;
    plan.config.check().with_context(reading)?;
    build(&found, plan).with_context(reading)
}

fn build(found: &[read::Found], plan: Plan) -> Result<Loaded> {
    let mut values = HashMap::new();
    for assignment in &plan.assignments {
        let tensor = &found[assignment.found];
        let data = adapted(tensor.values()?, &assignment.change);
        ensure!(
            !assignment.ours.ends_with(".running_var") || data.iter().all(|&v| v >= 0.0),
            "{} holds a negative variance",
            read::shown(&tensor.name)
        );
        values.insert(&*assignment.ours, data);
    }

    let has = |name: &str| values.contains_key(name);
    let convs: Vec<bool> =
        (0..plan.conv_count).map(|i| has(&format!("{}.bias", layout::conv_name(i)))).collect();
    let template = Generator::new(&plan.config, 0, &Device::flex())
        .with_biases(has(&format!("{}.bias", layout::DENSE)), &convs);
    let tensor = |NamedTensor { name, shape, .. }: NamedTensor| {
        let data = values.remove(&*name).with_context(|| format!("{name} has no value"))?;
        ensure!(data.len() == shape.iter().product::<usize>(), "{name} is not {shape:?}");
        Ok(NamedTensor { name, shape, data })
    };
    let parameters = Parameters::read(&template).0.into_iter().map(tensor).collect::<Result<_>>()?;
    let generator = Parameters(parameters).write(template)?;

    let named = |a: &layout::Assignment| {
        let tensor = &found[a.found];
        (tensor.name.clone(), a.ours.clone(), tensor.shape.clone())
    };
    Ok(Loaded {
        generator,
        config: plan.config,
        mapping: plan.assignments.iter().map(named).collect(),
        unused: plan.unused.iter().map(|&i| found[i].name.clone()).collect(),
    })
}

/// The values in the order of our tensor.
fn adapted(values: Vec<f32>, change: &Change) -> Vec<f32> {
    match *change {
        Change::None => values,
        Change::Transpose { rows } => {
            let columns = values.len() / rows;
            (0..values.len()).map(|i| values[i % rows * columns + i / rows]).collect()
        }
        Change::Repeat { times } => values.iter().flat_map(|&v| core::iter::repeat_n(v, times)).collect(),
    }
}
