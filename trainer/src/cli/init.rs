//! `trainer init`: a `train.toml` to start from, which explains itself.

mod documentation;

use std::path::PathBuf;

use anyhow::{Result, ensure};

use crate::checkpoint::write_atomically;
use crate::config::{Config, TrainingConfig};
use crate::method::Method;
use crate::network::{DiscriminatorNorm, NetworkConfig};
use documentation::documented;

/// Options of `trainer init`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How large a run to start from
    #[arg(long, value_enum, default_value_t = Preset::Small)]
    preset: Preset,
    /// Method of the literature, as `trainer train --list-methods` shows them
    #[arg(long, value_name = "NAME", value_parser = Method::named)]
    method: Option<&'static Method>,
    /// Set any key, e.g. network.size=32; repeatable, comes last
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// The file to write
    #[arg(short, long, value_name = "FILE", default_value = "train.toml")]
    output: PathBuf,
    /// Replace the file if it exists
    #[arg(long)]
    force: bool,
}

/// Runs to start from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Preset {
    /// 28x28 grey for a microcontroller with 128 KB of RAM and 1 MB of flash, with most of both left to its firmware
    Tiny,
    /// 28x28 grey: the defaults; 32x32 with --set network.size=32
    Small,
    /// 64x64 in colour, as wide as the DCGAN of Radford et al. 2016
    Base,
}

impl Preset {
    /// The configuration that it stands for.
    pub fn config(self) -> Config {
        let (network, training) = (NetworkConfig::default(), TrainingConfig::default());
        match self {
            // That of models/mnist-micro: a generator that is small, and a discriminator that need not be.
            Self::Tiny => Config {
                network: NetworkConfig {
                    width: 8,
                    latent_dim: 16,
                    generator_tail: 4,
                    discriminator_norm: DiscriminatorNorm::Spectral,
                    discriminator_depth: 2,
                    discriminator_width: 16,
                    ..network
                },
                training: TrainingConfig {
                    steps: 9000,
                    lr_d: 2e-3,
                    decay_start: 6000,
                    decay_end: 9000,
                    ..training
                },
                ..Config::default()
            },
            Self::Small => Config::default(),
            Self::Base => Config {
                network: NetworkConfig { size: 64, channels: 3, width: 64, latent_dim: 100, ..network },
                training: TrainingConfig { steps: 20_000, lr_g: 2e-4, lr_d: 2e-4, ..training },
                ..Config::default()
            },
        }
    }
}

/// Runs `trainer init`.
///
/// # Errors
/// When the file exists and is not to be replaced, cannot be written, or preset, method and keys do not go together.
pub fn run(args: Args) -> Result<()> {
    let path = &args.output;
    ensure!(args.force || !path.exists(), "{} exists; replace it with --force", path.display());
    let mut config = args.preset.config();
    if let Some(method) = args.method {
        method.apply(&mut config);
    }
    args.set.iter().try_for_each(|assignment| config.set(assignment))?;
    config.check()?;
    write_atomically(path, documented(&config)?.as_bytes())?;
    let path = path.display();
    println!(
        "wrote {path}; see what it takes with: trainer plan {path}; train it with: trainer train --config {path}"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::{Parser, ValueEnum};

    use super::*;
    use crate::method::METHODS;
    use crate::plan::{Budget, Plan, Purpose};

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn what_is_written_means_the_preset() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let output = folder.path().join("train.toml");
        for &preset in Preset::value_variants() {
            let write = |method, set| {
                let (output, force) = (output.clone(), true);
                run(Args { preset, method, set, output, force })
            };
            write(None, vec![])?;
            assert_eq!(Config::load(&output)?, preset.config());
            for method in METHODS {
                let mut expected = preset.config();
                method.apply(&mut expected);
                if method.name == "cls-gan" {
                    assert!(write(Some(method), vec![]).is_err(), "no classes");
                }
                expected.network.classes = 3;
                if expected.check().is_ok() {
                    write(Some(method), vec!["network.classes=3".into()])?;
                    assert_eq!(Config::load(&output)?, expected, "{}", method.name);
                }
            }
        }
        Ok(())
    }

    #[test]
    fn a_file_is_replaced_only_by_force() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let output = folder.path().join("train.toml");
        std::fs::write(&output, "seed = 1")?;
        let line = ["init", "--preset", "tiny", "-o", output.to_str().expect("plain text")];
        let error = run(Line::try_parse_from(line)?.args).unwrap_err().to_string();
        assert!(error.contains("--force"), "{error}");
        assert_eq!(std::fs::read_to_string(&output)?, "seed = 1");
        run(Line::try_parse_from(line.iter().chain(&["--force"]))?.args)?;
        assert_eq!(Config::load(&output)?, Preset::Tiny.config());
        assert!(Line::try_parse_from(["init", "--method", "gna"]).is_err());
        Ok(())
    }

    #[test]
    fn tiny_leaves_most_of_a_microcontroller_to_its_firmware() -> Result<()> {
        let purpose = Purpose::Draw(pocketgan_format::ValueType::F32);
        let plan = Plan::of(&Preset::Tiny.config(), purpose)?;
        let budget = Budget { flash_bytes: Some(512 << 10), ram_bytes: Some(64 << 10) };
        assert!(budget.holds(plan.fp32), "{plan:?}");
        Ok(())
    }
}
