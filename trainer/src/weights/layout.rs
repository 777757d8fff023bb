//! Which tensor of a file is which of the generator's.

use core::fmt::Write;
use std::collections::{BTreeMap, HashMap};

use anyhow::{Result, bail, ensure};

use super::Architecture;
use super::read::{Found, shown};
use crate::network::NetworkConfig;

/// How a generator comes out of the tensors of a file.
pub(super) struct Plan {
    pub(super) config: NetworkConfig,
    pub(super) conv_count: usize,
    pub(super) assignments: Vec<Assignment>,
    /// Tensors that inference has no use for.
    pub(super) unused: Vec<usize>,
}

/// A tensor of the file becomes one of ours.
pub(super) struct Assignment {
    pub(super) found: usize,
    pub(super) ours: String,
    pub(super) change: Change,
}

/// What separates a tensor of PyTorch from ours.
#[derive(Clone, Copy)]
pub(super) enum Change {
    /// Nothing, or a shape over the same values.
    None,
    /// Rows are columns.
    Transpose { rows: usize },
    /// One value for each of so many pixels.
    Repeat { times: usize },
}

/// An extent in terms of the numbers that a file decides.
#[derive(Clone, Copy)]
enum Dim {
    Fixed(usize),
    /// So many times the width.
    Width(usize),
    Channels,
    Latent,
}

/// The numbers that a file decides, as far as they are known.
#[derive(Clone, Copy, Default)]
struct Sizes {
    width: Option<usize>,
    channels: Option<usize>,
    latent_dim: Option<usize>,
}

/// How a file writes the first layer.
#[derive(Clone, Copy, PartialEq)]
enum First {
    /// `[features, latent]`, as PyTorch's Linear.
    Linear,
    /// `[latent, features]`, as ours.
    Ours,
    /// `[latent, channels, k, k]`, a transposed convolution over one pixel.
    Transposed,
}

/// A layer of the generator.
struct Layer {
    ours: String,
    parts: Vec<Part>,
}

/// A tensor of a layer.
struct Part {
    ours: &'static str,
    theirs: &'static str,
    shape: Vec<Dim>,
    change: Change,
    optional: bool,
}

/// The tensors of a file that share all of their name but the last word.
type Module<'a> = BTreeMap<&'a str, usize>;

/// Our names: dense and reshape, then normalization, ReLU and transposed convolution for each size, tanh.
pub(super) const DENSE: &str = "layers.0";

fn norm_name(i: usize) -> String {
    format!("layers.{}.norm", 3 * i + 2)
}

pub(super) fn conv_name(i: usize) -> String {
    format!("layers.{}", 3 * i + 4)
}

const COUNTER: &str = "num_batches_tracked";

/// Finds each tensor of the generator by kind and shape.
///
/// # Errors
/// When one is missing, could be several, or is left over; the message lists what was expected and found.
pub(super) fn plan(found: &[Found], architecture: Architecture) -> Result<Plan> {
    let mut modules: BTreeMap<&str, Module> = BTreeMap::new();
    let mut unused = vec![];
    for (i, tensor) in found.iter().enumerate() {
        let (module, word) = tensor.name.rsplit_once('.').unwrap_or(("", &tensor.name));
        if word == COUNTER {
            unused.push(i);
        } else {
            modules.entry(module).or_default().insert(word, i);
        }
    }
    let shape_of = |module: &Module, word: &str| module.get(word).map(|&i| &*found[i].shape);

    let is_ours = modules.values().any(|module| module.contains_key("gamma"));
    let weights: Vec<&[usize]> = modules.values().filter_map(|module| shape_of(module, "weight")).collect();
    let (sizes, first) = infer(&weights, architecture, is_ours);
    let layers = layers(architecture, first, is_ours, sizes);

    let mut table = Table { rows: vec![], problems: 0 };
    let mut assignments = vec![];
    let mut order = vec![];
    for layer in &layers {
        let head = &layer.parts[0];
        let shape: Option<Vec<usize>> = head.shape.iter().map(|dim| dim.value(&sizes)).collect();
        let fits = |module: &Module| shape.is_some() && shape_of(module, head.theirs) == shape.as_deref();
        let fitting: Vec<_> = modules.iter().filter(|(_, module)| fits(module)).collect();
        let module = fitting.first().map(|(_, module)| *module);
        order.extend(fitting.first().map(|(path, _)| **path));
        for part in &layer.parts {
            let expected = format!("{}.{} {}", layer.ours, part.ours, text(&part.shape, &sizes));
            let Some(&i) = module.and_then(|module| module.get(part.theirs)) else {
                if !part.optional {
                    table.problem(&expected, "missing".into());
                }
                continue;
            };
            let shape: Option<Vec<usize>> = part.shape.iter().map(|dim| dim.value(&sizes)).collect();
            if shape.as_ref() == Some(&found[i].shape) {
                table.rows.push((expected, described(&found[i])));
            } else {
                table.problem(&expected, format!("{}, of another shape", described(&found[i])));
            }
            let ours = format!("{}.{}", layer.ours, part.ours);
            assignments.push(Assignment { found: i, ours, change: part.change });
        }
        for (_, other) in fitting.iter().skip(1) {
            table.problem(
                &format!("{}, once", layer.ours),
                format!("also {}", described(&found[other[head.theirs]])),
            );
        }
    }
    let mut is_used = vec![false; found.len()];
    assignments.iter().map(|a| a.found).chain(unused.iter().copied()).for_each(|i| is_used[i] = true);
    for (tensor, _) in found.iter().zip(is_used).filter(|(_, is_used)| !is_used) {
        table.problem("-", described(tensor));
    }
    if let (0, Some(width), Some(channels), Some(latent_dim)) =
        (table.problems, sizes.width, sizes.channels, sizes.latent_dim)
    {
        check_order(&order)?;
        check_names(found, &assignments, is_ours)?;
        let size = architecture.size();
        let config = NetworkConfig { size, channels, width, latent_dim, ..NetworkConfig::default() };
        return Ok(Plan { config, conv_count: layers.len() / 2, assignments, unused });
    }
    bail!("the file does not hold one {architecture} generator and nothing else\n{}", table.text(&sizes))
}

/// Numbers that make most of the layers fit, as far as there are any.
fn infer(weights: &[&[usize]], architecture: Architecture, is_ours: bool) -> (Sizes, First) {
    let (base, multiples) = multiples(architecture);
    let count = |width: usize, channels: usize| {
        let next = multiples.iter().skip(1).map(|m| m.checked_mul(width)).chain([Some(channels)]);
        let pairs = multiples.iter().map(|m| m.checked_mul(width)).zip(next);
        pairs
            .filter(|&pair| matches!(pair, (Some(a), Some(b)) if weights.contains(&&[a, b, 4, 4][..])))
            .count()
    };
    let candidates = weights.iter().filter_map(|shape| match **shape {
        [width, channels @ (1 | 3), 4, 4] if (1..=512).contains(&width) => Some((width, channels)),
        _ => None,
    });
    let mut sizes = Sizes::default();
    let usual = if is_ours { First::Ours } else { First::Linear };
    let Some((width, channels)) = candidates.max_by_key(|&(width, channels)| count(width, channels)) else {
        return (sizes, usual);
    };
    (sizes.width, sizes.channels) = (Some(width), Some(channels));
    let inner = width * multiples[0];
    for shape in weights {
        let (latent_dim, first) = match **shape {
            [features, latent] if !is_ours && features == inner * base * base => (latent, First::Linear),
            [latent, features] if is_ours && features == inner * base * base => (latent, First::Ours),
            [latent, c, h, w] if [c, h, w] == [inner, base, base] => (latent, First::Transposed),
            _ => continue,
        };
        sizes.latent_dim = Some(latent_dim);
        return (sizes, first);
    }
    (sizes, usual)
}

/// Extent of the smallest picture, and channels of all but the last in units of the width.
fn multiples(architecture: Architecture) -> (usize, Vec<usize>) {
    let unit = NetworkConfig { size: architecture.size(), width: 1, ..NetworkConfig::default() };
    let mut channels = unit.channels_upwards();
    channels.pop();
    (unit.base(), channels)
}

/// All layers in the order in which they run.
fn layers(architecture: Architecture, first: First, is_ours: bool, sizes: Sizes) -> Vec<Layer> {
    use Dim::{Channels, Fixed, Latent, Width};
    let (base, multiples) = multiples(architecture);
    let area = base * base;
    let part = |ours, theirs, shape: &[Dim]| {
        let optional = ours == "bias";
        Part { ours, theirs, shape: shape.to_vec(), change: Change::None, optional }
    };
    let features = Width(multiples[0] * area);
    let mut parts = match first {
        First::Linear => [part("weight", "weight", &[features, Latent]), part("bias", "bias", &[features])],
        First::Ours => [part("weight", "weight", &[Latent, features]), part("bias", "bias", &[features])],
        First::Transposed => [
            part("weight", "weight", &[Latent, Width(multiples[0]), Fixed(base), Fixed(base)]),
            part("bias", "bias", &[Width(multiples[0])]),
        ],
    };
    match first {
        First::Linear => {
            // Without a width nothing is found, and nothing changed.
            parts[0].change = Change::Transpose { rows: features.value(&sizes).unwrap_or(1) };
        }
        First::Ours => {}
        First::Transposed => parts[1].change = Change::Repeat { times: area },
    }
    let mut layers = vec![Layer { ours: DENSE.into(), parts: parts.into() }];
    let (gamma, beta) = if is_ours { ("gamma", "beta") } else { ("weight", "bias") };
    for (i, &multiple) in multiples.iter().enumerate() {
        let before = Width(multiple);
        let after = multiples.get(i + 1).map_or(Channels, |&m| Width(m));
        let norm = [
            ("gamma", gamma),
            ("beta", beta),
            ("running_mean", "running_mean"),
            ("running_var", "running_var"),
        ];
        let norm = norm.map(|(ours, theirs)| part(ours, theirs, &[before]));
        layers.push(Layer { ours: norm_name(i), parts: norm.into() });
        let weight = part("weight", "weight", &[before, after, Fixed(4), Fixed(4)]);
        layers.push(Layer { ours: conv_name(i), parts: vec![weight, part("bias", "bias", &[after])] });
    }
    layers
}

/// Modules that differ in their numbers alone are numbered in the order in which they run. A discriminator, whose
/// layers may have the same shapes the other way round, would be read as a generator otherwise.
fn check_order(paths: &[&str]) -> Result<()> {
    let mut last: HashMap<String, (Vec<u64>, &str)> = HashMap::new();
    for path in paths {
        let words = path.split('.');
        let number = |word: &str| word.parse::<u64>().ok();
        let numbers: Vec<u64> = words.clone().filter_map(number).collect();
        let kind: Vec<&str> = words.map(|word| if number(word).is_some() { "#" } else { word }).collect();
        if let Some((before, other)) = last.insert(kind.join("."), (numbers.clone(), path)) {
            ensure!(
                before < numbers,
                "{} has the shape of a layer that runs before {}: is this a discriminator?",
                shown(other),
                shown(path)
            );
        }
    }
    Ok(())
}

/// A file with our names means our layers by them.
fn check_names(found: &[Found], assignments: &[Assignment], is_ours: bool) -> Result<()> {
    for a in assignments.iter().filter(|_| is_ours) {
        let theirs = &found[a.found].name;
        ensure!(
            theirs == &a.ours || assignments.iter().all(|other| other.ours != *theirs),
            "{} has the shape of {}",
            shown(theirs),
            a.ours
        );
    }
    Ok(())
}

impl Dim {
    fn value(self, sizes: &Sizes) -> Option<usize> {
        match self {
            Self::Fixed(n) => Some(n),
            Self::Width(times) => sizes.width.map(|width| times * width),
            Self::Channels => sizes.channels,
            Self::Latent => sizes.latent_dim,
        }
    }
}

fn text(shape: &[Dim], sizes: &Sizes) -> String {
    let dims: Vec<String> = shape
        .iter()
        .map(|dim| match (dim.value(sizes), dim) {
            (Some(n), _) => n.to_string(),
            (None, Dim::Width(1)) => "W".into(),
            (None, Dim::Width(times)) => format!("{times}W"),
            (None, Dim::Latent) => "L".into(),
            (None, _) => "C".into(),
        })
        .collect();
    format!("[{}]", dims.join(", "))
}

fn described(tensor: &Found) -> String {
    format!("{} {:?}", shown(&tensor.name), tensor.shape)
}

/// What was expected beside what was found.
struct Table {
    rows: Vec<(String, String)>,
    problems: usize,
}

impl Table {
    fn problem(&mut self, expected: &str, found: String) {
        self.problems += 1;
        self.rows.push((expected.to_owned(), format!("{found}  <--")));
    }

    fn text(&self, sizes: &Sizes) -> String {
        const MOST: usize = 100;
        let widest = self.rows.iter().map(|(expected, _)| expected.len()).max().unwrap_or(0);
        let mut text = format!("{:<widest$}  found", "expected");
        for (expected, found) in self.rows.iter().take(MOST) {
            // Writing to a String cannot fail.
            let _ = write!(text, "\n{expected:<widest$}  {found}");
        }
        if self.rows.len() > MOST {
            let _ = write!(text, "\n... and {} more", self.rows.len() - MOST);
        }
        if sizes.width.is_none() || sizes.latent_dim.is_none() {
            text.push_str("\nW: width, L: latent_dim, C: channels, 1 or 3; the file does not show them all");
        }
        text
    }
}
