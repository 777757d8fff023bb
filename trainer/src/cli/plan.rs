//! `trainer plan`: flash, RAM and work of a generator before it is trained.

use std::path::PathBuf;

use anyhow::Result;
use pocketgan_format::Preset;
use serde::Serialize;

use super::export::{ActivationType, preset_parser};
use crate::config::Config;
use crate::plan::{Budget, Plan, Purpose, parse_size, widest};
use crate::report::grouped;

/// Options of `trainer plan`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Configuration file; without one the defaults
    config: Option<PathBuf>,
    /// Set any key of the configuration file, e.g. network.size=32; repeatable
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Find the greatest network.width whose file is no larger; k and Ki are 1024 bytes, M and Mi 1024 times that
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    budget_flash: Option<usize>,
    /// Find the greatest network.width that needs no more RAM, stack and firmware not counted; sizes as above
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    budget_ram: Option<usize>,
    /// Activations that the budgets are for
    #[arg(long, value_name = "TYPE", value_enum, default_value_t = ActivationType::Fp32)]
    activations: ActivationType,
    /// The device also trains a part, see `trainer export --finetune`; budgets are then for that
    #[arg(long, value_name = "PART", value_parser = preset_parser())]
    finetune: Option<Preset>,
    /// Layers of `--finetune tail`
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    finetune_layers: u16,
    /// Print one JSON object instead
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Summary {
    #[serde(flatten)]
    plan: Plan,
    /// What makes the network as wide as the budget allows; null without a budget.
    set: Option<String>,
}

/// Runs `trainer plan`.
///
/// # Errors
/// When the configuration cannot be read or is out of range, its generator cannot be exported, or no width fits the budget.
pub fn run(args: Args) -> Result<()> {
    let (plan, set) = args.plan()?;
    if args.json {
        println!("{}", serde_json::to_string(&Summary { plan, set })?);
        return Ok(());
    }
    let row = |name: &str, value: u64| println!("{name:<32} {:>14}", grouped(value));
    row("network.width", plan.width as u64);
    row("parameters of the generator", plan.generator_parameters as u64);
    row("parameters of the discriminator", plan.discriminator_parameters as u64);
    row("MACs of an image", plan.macs);
    for (name, needs) in [
        ("", Some(plan.fp32)),
        (", fp16 activations", Some(plan.fp16)),
        (", to learn as well", plan.learning),
    ] {
        if let Some(needs) = needs {
            row(&format!("flash bytes{name}"), needs.flash_bytes as u64);
            row(&format!("RAM bytes{name}"), needs.ram_bytes as u64);
        }
    }
    if let Some(set) = set {
        println!("the widest that fits: --set {set}");
    }
    Ok(())
}

impl Args {
    /// The figures, and what to set for them if there is a budget.
    fn plan(&self) -> Result<(Plan, Option<String>)> {
        let mut config = self.config.as_deref().map_or_else(|| Ok(Config::default()), Config::load)?;
        self.set.iter().try_for_each(|assignment| config.set(assignment))?;
        config.check()?;
        let purpose = match self.finetune {
            Some(preset) => {
                anyhow::ensure!(
                    self.activations == ActivationType::Fp32,
                    "layers learn in single precision: --finetune goes without --activations fp16"
                );
                Purpose::Learn(preset, self.finetune_layers.into())
            }
            None => Purpose::Draw(self.activations.into()),
        };
        let budget = Budget { flash_bytes: self.budget_flash, ram_bytes: self.budget_ram };
        let mut set = None;
        if budget != Budget::default() {
            config = widest(&config, purpose, budget)?;
            set = Some(format!("network.width={}", config.network.width));
        }
        Ok((Plan::of(&config, purpose)?, set))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn plan(line: &[&str]) -> Result<(Plan, Option<String>)> {
        Line::try_parse_from(["plan"].iter().chain(line))?.args.plan()
    }

    #[test]
    fn what_is_to_be_set_gives_the_same_figures() {
        let small = ["--set", "network.latent_dim=4", "--set", "network.width=2"];
        let (found, set) =
            plan(&[&small[..], &["--budget-ram", "16k", "--budget-flash", "40k"]].concat()).unwrap();
        let set = set.unwrap();
        assert!(found.fp32.ram_bytes <= 16 << 10 && found.fp32.flash_bytes <= 40 << 10);
        assert!(found.width > 2, "{found:?}");
        assert_eq!(plan(&[&small[..], &["--set", &set]].concat()).unwrap(), (found, None));
    }

    #[test]
    fn halves_fit_where_floats_do_not() {
        let small = ["--set", "network.latent_dim=4", "--budget-ram", "8k"];
        let wide = plan(&[&small[..], &["--activations", "fp16"]].concat()).unwrap().0;
        assert!(wide.fp16.ram_bytes <= 8 << 10 && wide.fp32.ram_bytes > 8 << 10);
        assert!(wide.width > plan(&small).unwrap().0.width);
    }

    #[test]
    fn wrong_lines_are_errors() {
        for line in [
            &["missing.toml"][..],
            &["--set", "network.widht=3"],
            &["--set", "network.size=29"],
            &["--budget-ram", "1T"],
            &["--budget-ram", "100"],
            &["--finetune", "tail", "--activations", "fp16"],
            &["--finetune", "tail", "--finetune-layers", "0"],
        ] {
            assert!(plan(line).is_err(), "{line:?}");
        }
    }
}
