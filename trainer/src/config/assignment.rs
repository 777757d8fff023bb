//! `key=value`: one value of a configuration by its name.

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use strsim::levenshtein;
use toml::{Table, Value};

use super::Config;
use crate::objective::Objective;
use crate::regularizer::GradientPenalty;

impl Config {
    /// Sets what `assignment` names, `key=value`, e.g. `regularizer.weight_clip=0.01` or `network.architecture=mlp`: a dotted key of
    /// `train.toml` and a value in TOML, of which a single word needs no quotes. An optional table appears with its defaults
    /// where one of its keys is set; another `objective.name` brings the numbers of that objective.
    ///
    /// Whether the values fit each other shows in [`Config::check`].
    ///
    /// # Errors
    /// When there is no such key, with the nearest that there is, or it takes no such value.
    pub fn set(&mut self, assignment: &str) -> Result<()> {
        let (key, value) =
            assignment.split_once('=').with_context(|| format!("{assignment:?} is not key=value"))?;
        let (key, value) = (key.trim(), parsed(value.trim())?);
        let keys = self.keys()?;
        if !keys.iter().any(|known| known == key) {
            let nearest = keys.iter().min_by_key(|known| distance_of_keys(key, known));
            bail!("there is no key {key:?}; did you mean {:?}?", nearest.map_or("", |nearest| nearest));
        }
        if key == "objective.name" {
            let name = value.as_str().context("the name of an objective is a word")?;
            self.objective = name.parse::<Objective>()?;
            return Ok(());
        }
        let mut table = self.table()?;
        let mut parents: Vec<&str> = key.split('.').collect();
        let last = parents.pop().unwrap_or_default();
        let place = parents.iter().try_fold(&mut table, |table, &parent| {
            table.entry(parent).or_insert_with(|| Table::new().into()).as_table_mut()
        });
        place.context("the key is no table")?.insert(last.to_owned(), value);
        let changed = Self::deserialize(table).with_context(|| format!("setting {assignment}"))?;
        let seed = if key == "seed" { changed.seed } else { self.seed };
        *self = Self { seed, ..changed };
        Ok(())
    }

    /// All of it but for the seed, which may exceed the integers of a table.
    fn table(&self) -> Result<Table> {
        Table::try_from(Self { seed: 0, ..self.clone() }).context("the configuration as a table")
    }

    /// All keys that can be set, tables included.
    fn keys(&self) -> Result<Vec<String>> {
        let mut keys = vec![];
        collect("", &self.complete().table()?, &mut keys);
        Ok(keys)
    }

    /// With something for every key that may be absent: what is absent has no key in the text.
    pub(crate) fn complete(&self) -> Self {
        let mut all = self.clone();
        all.data_dir.get_or_insert_default();
        all.watch.features.get_or_insert_default();
        all.regularizer.gradient_penalty.get_or_insert_with(GradientPenalty::default);
        all
    }
}

fn collect(prefix: &str, table: &Table, keys: &mut Vec<String>) {
    for (name, value) in table {
        let key = format!("{prefix}{name}");
        if let Value::Table(table) = value {
            collect(&format!("{key}."), table, keys);
        }
        keys.push(key);
    }
}

/// A value in TOML, or a single word.
fn parsed(text: &str) -> Result<Value> {
    let is_word = |c: char| c.is_alphanumeric() || "-_./:".contains(c);
    match toml::from_str::<Table>(&format!("value = {text}")) {
        Ok(mut table) if table.len() == 1 => table.remove("value").context("no value"),
        Err(_)
            if text.starts_with(|c: char| c.is_alphabetic() || "./".contains(c))
                && text.chars().all(is_word) =>
        {
            Ok(text.into())
        }
        _ => bail!("{text:?} is no value in TOML"),
    }
}

/// How far a key is from a known one, whose tables may be left out.
fn distance_of_keys(key: &str, known: &str) -> usize {
    let short = known.rsplit('.').next().unwrap_or(known);
    // The whole key is meant where both are as near.
    (2 * levenshtein(key, known)).min(2 * levenshtein(key, short) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Architecture;
    use crate::regularizer::{Augment, PenaltyPoints};

    fn with(assignments: &[&str]) -> Result<Config> {
        let mut config = Config::default();
        for assignment in assignments {
            config.set(assignment)?;
        }
        Ok(config)
    }

    #[test]
    fn values_are_typed_as_in_a_file() -> Result<()> {
        let config = with(&[
            "seed = 7",
            "regularizer.weight_clip=0.01",
            "training.lr_d=1",
            "training.simultaneous=true",
            "network.architecture=mlp",
            "regularizer.augment=[\"color\", \"cutout\"]",
            "data_dir=some/where",
            "watch.features=\"a b.onnx:c\"",
        ])?;
        assert_eq!((config.seed, config.regularizer.weight_clip, config.training.lr_d), (7, 0.01, 1.0));
        assert!(config.training.simultaneous);
        assert_eq!(config.network.architecture, Architecture::Mlp);
        assert_eq!(config.regularizer.augment, [Augment::Color, Augment::Cutout]);
        assert_eq!(config.data_dir.as_deref(), Some("some/where".as_ref()));
        assert_eq!(config.watch.features.as_deref(), Some("a b.onnx:c"));
        Ok(())
    }

    #[test]
    fn optional_tables_appear_and_objectives_change() -> Result<()> {
        let config = with(&["regularizer.gradient_penalty.weight=5", "objective.c=0.5"])?;
        let penalty = GradientPenalty { weight: 5.0, ..GradientPenalty::default() };
        assert_eq!(config.regularizer.gradient_penalty, Some(penalty));
        let config = with(&["regularizer.gradient_penalty={ at = \"real\" }", "objective.name=hinge"])?;
        assert_eq!(config.regularizer.gradient_penalty.map(|p| p.at), Some(PenaltyPoints::Real));
        assert_eq!(config.objective, "hinge".parse()?);
        // Another objective has other numbers.
        assert!(with(&["objective.name=hinge", "objective.a=0"]).is_err());
        with(&["objective.name=energy", "objective.margin=2"])?;
        Ok(())
    }

    #[test]
    fn unknown_keys_are_told_the_nearest() {
        for (assignment, nearest) in [
            ("training.lr_gen=1", "training.lr_g"),
            ("regularizer.weigth_clip=1", "regularizer.weight_clip"),
            ("weight_clip=1", "regularizer.weight_clip"),
            ("regularizer.gradient_penalty.wieght=1", "regularizer.gradient_penalty.weight"),
            ("watch.patiense=1", "watch.patience"),
            ("sed=1", "seed"),
        ] {
            let error = with(&[assignment]).expect_err(assignment).to_string();
            assert!(error.contains(&format!("did you mean {nearest:?}")), "{error}");
        }
    }

    #[test]
    fn the_largest_seed_stays() -> Result<()> {
        let mut config = Config { seed: u64::MAX, ..Config::default() };
        config.set("training.steps=3")?;
        assert_eq!((config.seed, config.training.steps), (u64::MAX, 3));
        assert_eq!(Config::parse(&config.to_toml())?, config);
        Ok(())
    }

    #[test]
    fn nonsense_is_an_error() {
        for assignment in [
            "",
            "seed",
            "=3",
            "seed=",
            "seed=-1",
            "seed=\"a\"",
            "seed.x=1",
            "seed=1\nstray = 2",
            "seed=1\n[network]\nwidth = 3",
            "network=3",
            "network.architecture=gpt",
            "network.size=28.5",
            "objective.name=3",
            "objective.name=lsgan",
            "training.lr_g=[1]",
            "regularizer.augment=color",
            "a.b.c.d=1",
        ] {
            assert!(with(&[assignment]).is_err(), "{assignment:?}");
        }
    }

    /// What a file may say can be set by its name.
    #[test]
    fn every_key_can_be_set_to_what_it_is() -> Result<()> {
        let mut config = Config { data_dir: Some("here".into()), ..Config::default() };
        config.watch.features = Some("f.onnx".into());
        config.regularizer.gradient_penalty = Some(GradientPenalty::default());
        let table = Table::try_from(&config)?;
        for key in config.keys()? {
            let value =
                key.split('.').try_fold(&Value::Table(table.clone()), |value, name| value.get(name)).cloned();
            let value = value.with_context(|| key.clone())?;
            if !value.is_table() {
                let mut same = config.clone();
                same.set(&format!("{key}={value}"))?;
                assert_eq!(same, config, "{key}");
            }
        }
        Ok(())
    }
}
