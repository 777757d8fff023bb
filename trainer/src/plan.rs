//! What a run's generator will take on a device, before the run.
//!
//! In: a [`Config`]. Out: the figures of the file that [`export`](pocketgan_compiler::export) would make of it, from a
//! file that it does make, of the untrained network with weights in half precision. No figure depends on what is learned.

use core::fmt;

use anyhow::{Context, Result, bail};
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;
use pocketgan_compiler::export::{Options, ValueType, compile};
use pocketgan_compiler::graph::Graph;
use pocketgan_format::{AlignedBytes, File, Preset};
use serde::Serialize;

use crate::config::Config;
use crate::dataset::Dataset;
use crate::finetune::{self, JudgeOptions};
use crate::network::{Discriminator, Generator};
use crate::training::noise::{Stream, seed_of};
use crate::training::training_device;

/// What a device is to do with the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Draw, with activations stored like this.
    Draw(ValueType),
    /// Draw and learn: what moves, and of [`Preset::Tail`] how many layers. Activations are `f32`.
    Learn(Preset, usize),
}

/// What a file takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Needs {
    /// Size of the file.
    pub flash_bytes: usize,
    /// The arena; for a device that learns the larger of that and the learner's memory, since it does not draw and learn at
    /// once. Stack, firmware, and what it keeps of pictures and deltas come on top.
    pub ram_bytes: usize,
}

/// What a device has for a model. What is absent does not matter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    /// Bytes of flash.
    pub flash_bytes: Option<usize>,
    /// Bytes of RAM.
    pub ram_bytes: Option<usize>,
}

/// The figures of a run's networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// `network.width`.
    pub width: usize,
    /// Weights and biases of the generator, as export counts them.
    pub generator_parameters: usize,
    /// Weights and biases of the discriminator.
    pub discriminator_parameters: usize,
    /// Multiply-accumulates of an image.
    pub macs: u64,
    /// With activations in single precision.
    pub fp32: Needs,
    /// With activations in half precision.
    pub fp16: Needs,
    /// With a learning section, if one was asked for.
    pub learning: Option<Needs>,
}

impl Plan {
    /// The figures of `config`, and of its file with a learning section if `purpose` is to learn.
    ///
    /// # Errors
    /// When the configuration is out of range, the network cannot be exported, or it has no part that can learn so.
    pub fn of(config: &Config, purpose: Purpose) -> Result<Self> {
        let graph = generator_graph(config)?;
        let file = file(config, &graph, ValueType::F32)?;
        let drawing = File::parse(&file)?;
        let device = training_device();
        let discriminator =
            Discriminator::new(&config.network, seed_of(config.seed, Stream::Weights, 1), &device);
        let mut learned = Learned(0);
        discriminator.visit(&mut learned);
        Ok(Self {
            width: config.network.width,
            generator_parameters: graph.parameters(),
            discriminator_parameters: learned.0,
            macs: drawing.macs(),
            fp32: Needs { flash_bytes: drawing.flash_bytes(), ram_bytes: drawing.arena_bytes() },
            fp16: needs(config, &graph, Purpose::Draw(ValueType::F16))?,
            learning: match purpose {
                Purpose::Learn(..) => Some(needs(config, &graph, purpose)?),
                Purpose::Draw(_) => None,
            },
        })
    }

    /// What it takes for a purpose; that to learn as it was asked for.
    pub fn needs(&self, purpose: Purpose) -> Needs {
        match purpose {
            Purpose::Draw(ValueType::F32) => self.fp32,
            Purpose::Draw(ValueType::F16) => self.fp16,
            Purpose::Learn(..) => self.learning.unwrap_or(self.fp32),
        }
    }
}

/// `config` with the greatest `network.width` whose file fits `budget`, by a binary search: a wider network takes no less. The
/// next wider one was tried, and does not fit, unless no network is wider.
///
/// # Errors
/// When nothing fits, with what the narrowest takes, or a candidate cannot be exported.
pub fn widest(config: &Config, purpose: Purpose, budget: Budget) -> Result<Config> {
    let of_width = |width: usize| {
        let mut candidate = config.clone();
        candidate.network.width = width;
        candidate
    };
    let needs_of = |candidate: &Config| {
        needs(candidate, &generator_graph(candidate)?, purpose)
            .with_context(|| format!("with network.width = {}", candidate.network.width))
    };
    let narrowest = of_width(1);
    let least = needs_of(&narrowest)?;
    if !budget.holds(least) {
        bail!("no width fits {budget}: the narrowest generator, network.width = 1, takes {least}");
    }
    let fits = |width: usize| {
        let candidate = of_width(width);
        // Wider than networks may be.
        if candidate.check().is_err() {
            return Ok(false);
        }
        anyhow::Ok(budget.holds(needs_of(&candidate)?))
    };
    // From below, so that no candidate is much larger than what fits.
    let (mut fitting, mut too_wide) = (1, 2);
    while fits(too_wide)? {
        (fitting, too_wide) = (too_wide, 2 * too_wide);
    }
    while too_wide - fitting > 1 {
        let middle = fitting.midpoint(too_wide);
        if fits(middle)? {
            fitting = middle;
        } else {
            too_wide = middle;
        }
    }
    Ok(of_width(fitting))
}

/// Bytes from a number and an optional unit: `k` or `Ki` is 1024, `M` or `Mi` 1024 times that, as data sheets of
/// microcontrollers count. Capital `K` is `k`, and a `B` may follow.
///
/// # Errors
/// When it is no such size, or beyond 64 bits.
pub fn parse_size(text: &str) -> Result<usize> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit.strip_suffix('B').unwrap_or(unit);
    let factor = match unit {
        "" => 1,
        "k" | "K" | "ki" | "Ki" => 1 << 10,
        "M" | "Mi" => 1 << 20,
        _ => bail!("{text:?} is no size: it ends with none of k, Ki, M and Mi"),
    };
    let number: usize = number.parse().with_context(|| format!("{text:?} is no size such as 512k"))?;
    number.checked_mul(factor).with_context(|| format!("{text:?} is beyond all memories"))
}

impl Budget {
    /// Whether that much is there.
    pub fn holds(&self, needs: Needs) -> bool {
        self.flash_bytes.is_none_or(|bytes| needs.flash_bytes <= bytes)
            && self.ram_bytes.is_none_or(|bytes| needs.ram_bytes <= bytes)
    }
}

impl fmt::Display for Needs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes of flash and {} bytes of RAM", self.flash_bytes, self.ram_bytes)
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |bytes: Option<usize>, kind| bytes.map(|bytes| format!("{bytes} bytes of {kind}"));
        let parts = [part(self.flash_bytes, "flash"), part(self.ram_bytes, "RAM")];
        f.write_str(&parts.into_iter().flatten().collect::<Vec<_>>().join(" and "))
    }
}

fn generator_graph(config: &Config) -> Result<Graph> {
    config.check()?;
    let seed = seed_of(config.seed, Stream::Weights, 0);
    Ok(Generator::new(&config.network, seed, &training_device()).graph())
}

/// The file that export would write as `model.pgan` at the end of the run.
fn file(config: &Config, graph: &Graph, activations: ValueType) -> Result<AlignedBytes> {
    let metadata = config.metadata("model".into(), config.training.steps);
    compile(graph, &Options { activations, metadata, ..Options::default() })
}

fn needs(config: &Config, graph: &Graph, purpose: Purpose) -> Result<Needs> {
    let (preset, layers) = match purpose {
        Purpose::Draw(activations) => {
            let file = file(config, graph, activations)?;
            let file = File::parse(&file)?;
            return Ok(Needs { flash_bytes: file.flash_bytes(), ram_bytes: file.arena_bytes() });
        }
        Purpose::Learn(preset, layers) => (preset, layers),
    };
    let file = file(config, graph, ValueType::F32)?;
    let network = &config.network;
    let shape = [network.channels, network.size, network.size];
    // No step is made, so that no image is looked at.
    let images = Dataset::new("blank", shape, vec![0; shape.iter().product()], None)?;
    let judge = JudgeOptions { steps: 0, ..JudgeOptions::default() };
    let options = finetune::Options { preset, layers, judge, ..finetune::Options::default() };
    let learning = finetune::prepare(&file, &images, &options, |_, _| {})?;
    let learning = File::parse(&learning)?;
    let ram_bytes = learning.arena_bytes().max(learning.finetune_arena_bytes());
    Ok(Needs { flash_bytes: learning.flash_bytes(), ram_bytes })
}

/// Counts the numbers that are learned: running statistics and singular vectors are not.
struct Learned(usize);

impl ModuleVisitor for Learned {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if param.is_require_grad() {
            self.0 += param.val().dims().iter().product::<usize>();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Architecture, DiscriminatorNorm};
    use crate::training::Trainer;
    use pocketgan_compiler::export::{WeightType, export};

    const DRAW: Purpose = Purpose::Draw(ValueType::F32);

    fn small(assignments: &[&str]) -> Config {
        let mut config = Config::default();
        for assignment in ["network.width=3", "network.latent_dim=5"].iter().chain(assignments) {
            config.set(assignment).unwrap();
        }
        config
    }

    #[test]
    fn figures_are_those_of_an_export() {
        for assignments in [
            &[][..],
            &["network.generator_tail=4", "network.discriminator_norm=spectral"],
            &["network.architecture=resnet", "network.size=32", "network.channels=3"],
        ] {
            let mut config = small(assignments);
            config.training.steps = 12345;
            let plan = Plan::of(&config, DRAW).unwrap();
            let trainer = Trainer::new(&config).unwrap();
            let graph = trainer.ema_generator().unwrap().graph();
            assert_eq!(plan.generator_parameters, graph.parameters());
            for (activations, needs) in [(ValueType::F32, plan.fp32), (ValueType::F16, plan.fp16)] {
                let metadata = config.metadata("model".into(), 12345);
                let options =
                    Options { weights: WeightType::F16, activations, metadata, ..Options::default() };
                let file = export(&graph, &options).unwrap().file;
                let file = File::parse(&file).unwrap();
                let expected = Needs { flash_bytes: file.flash_bytes(), ram_bytes: file.arena_bytes() };
                assert_eq!((needs, plan.macs), (expected, file.macs()), "{assignments:?}");
            }
            assert!(plan.fp16.ram_bytes < plan.fp32.ram_bytes);
        }
    }

    /// Convolutions k4 from 1 to 3 and from 3 to 6 channels, and a score of 7x7 pixels.
    #[test]
    fn a_discriminator_counts_what_it_learns() {
        let count = |norm: DiscriminatorNorm| {
            let mut config = small(&[]);
            config.network.discriminator_norm = norm;
            Plan::of(&config, DRAW).unwrap().discriminator_parameters
        };
        let plain = 16 * 3 + 3 + 16 * 3 * 6 + 6 + 49 * 6 + 1;
        assert_eq!(count(DiscriminatorNorm::None), plain);
        assert_eq!(count(DiscriminatorNorm::Spectral), plain);
    }

    #[test]
    fn the_widest_fits_and_the_next_does_not() {
        let config = small(&[]);
        let at = |width: usize| {
            let config = small(&[&format!("network.width={width}")]);
            Plan::of(&config, DRAW).unwrap().fp32
        };
        let target = at(7);
        for budget in [
            Budget { flash_bytes: Some(target.flash_bytes), ram_bytes: None },
            Budget { flash_bytes: None, ram_bytes: Some(target.ram_bytes) },
            Budget { flash_bytes: Some(target.flash_bytes + 1000), ram_bytes: Some(target.ram_bytes) },
        ] {
            let found = widest(&config, DRAW, budget).unwrap();
            let width = found.network.width;
            assert!(
                width >= 7 && budget.holds(at(width)) && !budget.holds(at(width + 1)),
                "{budget}: {width}"
            );
        }
    }

    #[test]
    fn what_never_fits_says_what_the_narrowest_takes() {
        let config = small(&[]);
        let narrow = Plan::of(&small(&["network.width=1"]), DRAW).unwrap().fp32;
        let budget = Budget { flash_bytes: None, ram_bytes: Some(narrow.ram_bytes - 1) };
        let error = widest(&config, DRAW, budget).unwrap_err().to_string();
        assert!(error.contains(&format!("takes {narrow}")), "{error}");
    }

    /// A network of almost no size, so that the widest is quick to make.
    #[test]
    fn no_network_is_wider_than_the_widest() {
        let mut config = small(&["network.architecture=mlp", "network.size=1", "network.generator_depth=1"]);
        config.network.discriminator_norm = DiscriminatorNorm::None;
        assert_eq!(config.network.architecture, Architecture::Mlp);
        let budget = Budget { flash_bytes: Some(usize::MAX), ram_bytes: None };
        assert_eq!(widest(&config, DRAW, budget).unwrap().network.width, 8192);
    }

    #[test]
    fn learning_takes_what_a_file_that_learns_states() {
        let config = small(&[]);
        let purpose = Purpose::Learn(Preset::Tail, 1);
        let plan = Plan::of(&config, purpose).unwrap();
        let learning = plan.needs(purpose);
        assert!(learning.flash_bytes > plan.fp32.flash_bytes);
        let graph = generator_graph(&config).unwrap();
        let file = file(&config, &graph, ValueType::F32).unwrap();
        let images = Dataset::new("t", [1, 28, 28], vec![7; 2 * 784], None).unwrap();
        let judge = JudgeOptions { steps: 1, batch_size: 2, ..JudgeOptions::default() };
        let options = finetune::Options { judge, ..finetune::Options::default() };
        let real = finetune::prepare(&file, &images, &options, |_, _| {}).unwrap();
        let bytes = finetune::arena_bytes(&real, &pocketgan_finetune::Options::default()).unwrap();
        assert_eq!(learning, Needs { flash_bytes: real.len(), ram_bytes: bytes.max(plan.fp32.ram_bytes) });
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("0", 0),
            ("131072", 131_072),
            ("128k", 131_072),
            ("128K", 131_072),
            ("128Ki", 131_072),
            ("128KB", 131_072),
            ("1M", 1 << 20),
            ("2Mi", 2 << 20),
            ("2MiB", 2 << 20),
        ] {
            assert_eq!(parse_size(text).unwrap(), bytes, "{text}");
        }
        for text in [
            "",
            "k",
            "-1k",
            "1.5M",
            "1 k",
            "1G",
            "1m",
            "1kk",
            "99999999999999999999",
            "18446744073709551615k",
        ] {
            assert!(parse_size(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_bad_configuration_is_an_error() {
        let mut config = small(&[]);
        config.network.size = 29;
        assert!(Plan::of(&config, DRAW).is_err());
        assert!(widest(&config, DRAW, Budget::default()).is_err());
    }
}
