//! What the keys of `train.toml` mean, in the words of the types that hold them.
//!
//! The doc comments of the configuration are the one place where keys are explained: a word changed there is changed here, and a
//! key without a comment fails the tests.

use core::fmt::Write as _;
use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::config::Config;

/// The text of a `train.toml` that means `config`, with every key, and what each means. Optional keys that `config` lacks are
/// there as comments.
///
/// # Errors
/// When a key has no documentation, or the text would mean another run, as it may if one of its strings has several lines.
pub(super) fn documented(config: &Config) -> Result<String> {
    let plain = config.to_toml();
    let present: BTreeSet<String> =
        Entry::all(&plain).into_iter().filter_map(|(_, entry)| entry).map(Entry::path).collect();
    let meanings = Meanings::new();
    let mut text = String::from(HEADER);
    for (line, entry) in Entry::all(&config.complete().to_toml()) {
        let Some(entry) = entry else {
            if !line.is_empty() {
                writeln!(text, "{line}")?;
            }
            continue;
        };
        let path = entry.path();
        let meaning =
            meanings.of(config, &path).with_context(|| format!("the key {path} has no documentation"))?;
        text.push('\n');
        for line in wrapped(&meaning) {
            writeln!(text, "# {line}")?;
        }
        writeln!(text, "{}{line}", if present.contains(&path) { "" } else { "#" })?;
    }
    ensure!(Config::parse(&text)? == *config, "the configuration has strings of several lines");
    Ok(text)
}

/// What a line of a configuration begins.
struct Entry {
    table: String,
    /// None for the head of the table itself.
    key: Option<String>,
}

impl Entry {
    /// All lines of a text in TOML as the configuration writes it, with what they begin, if anything.
    fn all(text: &str) -> Vec<(&str, Option<Self>)> {
        let mut table = String::new();
        let entries = text.lines().map(|line| {
            let head = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
            let entry = if let Some(head) = head {
                head.clone_into(&mut table);
                Some(Self { table: table.clone(), key: None })
            } else {
                let key = line.split_once(" = ").map(|(key, _)| key);
                let key = key.filter(|key| key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'));
                key.map(|key| Self { table: table.clone(), key: Some(key.to_owned()) })
            };
            (line, entry)
        });
        entries.collect()
    }

    /// The name by which `--set` knows it.
    fn path(self) -> String {
        match self.key {
            Some(key) if self.table.is_empty() => key,
            Some(key) => format!("{}.{key}", self.table),
            None => self.table,
        }
    }
}

/// The schema of a configuration: its keys with the doc comments of their types.
struct Meanings(Value);

impl Meanings {
    fn new() -> Self {
        Self(schemars::schema_for!(Config).to_value())
    }

    /// What a key means: the first paragraph of its doc comment, and the words that it may be.
    fn of(&self, config: &Config, path: &str) -> Option<String> {
        let (mut holder, mut table, mut key) = (&self.0, &self.0, &self.0);
        for name in path.split('.') {
            holder = key;
            table = self.table(config, key);
            key = table.get("properties")?.get(name)?;
        }
        // The word that chooses among tables has no comment of its own, but each of the tables has.
        let Some(doc) = doc(key) else {
            return Some(with_choices(doc(table)?, "One of", &self.choices(holder)));
        };
        let which = if key.get("items").is_some() { "Any of" } else { "One of" };
        let is_table = self.definition(key).pointer("/oneOf/0/properties").is_some();
        Some(if is_table { doc } else { with_choices(doc, which, &self.choices(key)) })
    }

    /// The type of a value, of what an option or a list holds.
    fn definition<'a>(&'a self, mut node: &'a Value) -> &'a Value {
        loop {
            let reference = node.get("$ref").and_then(Value::as_str);
            let named = reference.and_then(|at| self.0.pointer(at.strip_prefix('#')?));
            let next = named.or_else(|| node.get("items")).or_else(|| node.pointer("/anyOf/0"));
            match next {
                Some(next) => node = next,
                None => return node,
            }
        }
    }

    /// The type of a table; of one that has several forms, that which the configuration has.
    fn table<'a>(&'a self, config: &Config, node: &'a Value) -> &'a Value {
        let definition = self.definition(node);
        let forms = definition.get("oneOf").and_then(Value::as_array);
        let form = forms.and_then(|forms| {
            forms.iter().find(|form| word(form).is_some_and(|word| word == config.objective.name()))
        });
        form.unwrap_or(definition)
    }

    /// The words that a value may be, or that choose among tables.
    fn choices<'a>(&'a self, node: &'a Value) -> Vec<&'a str> {
        let forms = self.definition(node).get("oneOf").and_then(Value::as_array);
        forms.into_iter().flatten().filter_map(word).collect()
    }
}

/// The word of one of several forms.
fn word(form: &Value) -> Option<&str> {
    form.get("const").or_else(|| form.pointer("/properties/name/const"))?.as_str()
}

/// The first paragraph of a doc comment, on one line.
fn doc(node: &Value) -> Option<String> {
    let doc = node.get("description")?.as_str()?;
    let paragraph = doc.split("\n\n").next().unwrap_or_default();
    Some(paragraph.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// With the words that a value may be, unless it has none or they are already named.
fn with_choices(doc: String, which: &str, words: &[&str]) -> String {
    if words.iter().all(|word| doc.contains(&format!("`{word}`"))) {
        return doc;
    }
    format!("{doc} {which} {}.", words.join(", "))
}

/// Lines of at most [`WIDTH`] characters, but for longer words.
fn wrapped(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is always one");
        if !line.is_empty() && line.len() + 1 + word.len() > WIDTH {
            lines.push(word.to_owned());
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

const WIDTH: usize = 110;

const HEADER: &str = "\
# A run of `trainer train --config`. Every key is optional and may be left out: an empty file is the default run.
# Keys after a # without a space are off; `--set key=value` overrides what is here.
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objective::Objective;

    /// Configurations with every objective, since each has keys of its own.
    fn configs() -> impl Iterator<Item = Config> {
        Objective::NAMES.into_iter().map(|name| {
            let objective = name.parse().expect("a name of an objective");
            Config { objective, ..Config::default() }
        })
    }

    fn paths(text: &str) -> BTreeSet<String> {
        Entry::all(text).into_iter().filter_map(|(_, entry)| entry).map(Entry::path).collect()
    }

    #[test]
    fn every_key_is_documented() {
        let meanings = Meanings::new();
        for config in configs() {
            for path in paths(&config.complete().to_toml()) {
                assert!(meanings.of(&config, &path).is_some_and(|text| text.len() > 10), "{path}");
            }
        }
    }

    /// The other way round: what the types have is what a file may say.
    #[test]
    fn every_documented_field_is_a_key() {
        fn collect(
            meanings: &Meanings,
            config: &Config,
            prefix: &str,
            node: &Value,
            found: &mut BTreeSet<String>,
        ) {
            let properties = meanings.table(config, node).get("properties").and_then(Value::as_object);
            for (name, key) in properties.into_iter().flatten() {
                let path = format!("{prefix}{name}");
                collect(meanings, config, &format!("{path}."), key, found);
                found.insert(path);
            }
        }
        let meanings = Meanings::new();
        for config in configs() {
            let mut found = BTreeSet::new();
            collect(&meanings, &config, "", &meanings.0, &mut found);
            assert_eq!(found, paths(&config.complete().to_toml()));
        }
    }

    #[test]
    fn words_are_those_that_values_may_be() {
        let meanings = Meanings::new();
        let node = |path: &str| {
            let at = |node, name| &meanings.table(&Config::default(), node)["properties"][name];
            path.split('.').fold(&meanings.0, at)
        };
        assert_eq!(meanings.choices(node("objective")), Objective::NAMES);
        for key in [
            "dataset",
            "network.architecture",
            "network.discriminator_norm",
            "network.discriminator_output",
            "network.conditioning",
            "training.optimizer",
            "training.precision",
            "watch.metric",
            "regularizer.gradient_penalty.at",
            "regularizer.gradient_penalty.form",
        ] {
            let words = meanings.choices(node(key));
            assert!(words.len() > 1, "{key}");
            let error = Config::default().set(&format!("{key}=nothing")).unwrap_err();
            for word in words {
                Config::default().set(&format!("{key}={word}")).unwrap();
                assert!(format!("{error:#}").contains(word), "{word}: {error:#}");
            }
        }
        assert_eq!(meanings.choices(node("regularizer.augment")), ["color", "translation", "cutout"]);
    }

    #[test]
    fn absent_keys_are_comments_that_can_be_switched_on() {
        let text = documented(&Config::default()).unwrap();
        let mut on = Config::default();
        on.regularizer.gradient_penalty = on.complete().regularizer.gradient_penalty;
        let edited = text
            .replace("#[regularizer.gradient_penalty]", "[regularizer.gradient_penalty]")
            .replace("\n#at", "\nat")
            .replace("discriminator_norm = \"batch\"", "discriminator_norm = \"none\"")
            .replace("#data_dir = \"\"", "data_dir = \"here\"");
        let edited = Config::parse(&edited).unwrap_or_else(|error| panic!("{error:#}\n{edited}"));
        assert_eq!(edited.regularizer.gradient_penalty, on.regularizer.gradient_penalty);
        assert_eq!(edited.data_dir.as_deref(), Some("here".as_ref()));
    }

    #[test]
    fn awkward_values_keep_their_meaning() {
        let mut config =
            Config { seed: u64::MAX, data_dir: Some("a = \"b\" # c".into()), ..Config::default() };
        config.set("regularizer.augment=[\"color\", \"cutout\"]").unwrap();
        assert_eq!(Config::parse(&documented(&config).unwrap()).unwrap(), config);
    }
}
